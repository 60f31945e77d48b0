package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// loopbackPipe is an end of a net.Pipe that claims to be on this machine, so that guest may log in.
type loopbackPipe struct{ net.Conn }

func (loopbackPipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// FuzzConnection sends bytes to a connection: from the start, or behind a handshake with channel 1 open, as they are or cut
// into well-formed frames. Whatever comes, the server must not panic and the connection must end with its client.
func FuzzConnection(f *testing.F) {
	handshake := wire.AppendMethod([]byte(wire.ProtocolHeader), 0, startOk())
	handshake = wire.AppendMethod(handshake, 0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 131072})
	handshake = wire.AppendMethod(handshake, 0, &wire.ConnectionOpen{VirtualHost: "/"})
	handshake = wire.AppendMethod(handshake, 1, &wire.ChannelOpen{})

	const fromStart, asIs, framed = 0, 1, 2
	f.Add(byte(fromStart), handshake)
	f.Add(byte(fromStart), []byte("GET / HTTP/1.1\r\n\r\n"))
	var all []byte
	for _, m := range []wire.Method{
		&wire.QueueDeclare{Exclusive: true}, &wire.BasicConsume{ConsumerTag: "t"}, &wire.BasicQos{PrefetchCount: 1},
		&wire.TxSelect{}, &wire.BasicAck{Multiple: true}, &wire.TxCommit{}, &wire.BasicRecover{Requeue: true},
		&wire.QueueBind{Exchange: "amq.headers", Arguments: wire.Table{{Name: "x-match", Value: wire.String("any")}}},
		&wire.BasicCancel{ConsumerTag: "t"}, &wire.QueueDelete{}, &wire.ChannelClose{}, &wire.ChannelOpen{},
	} {
		all = wire.AppendMethod(all, 1, m)
		f.Add(byte(asIs), wire.AppendMethod(nil, 1, m))
	}
	all = append(all, publish(1, "amq.headers", "k", "body")...)
	f.Add(byte(asIs), all)
	f.Add(byte(framed), []byte("\x01\x01\x04\x00\x3c\x00\x28\x02\x01\x02ab\x03\x01\x01x"))

	s, err := New(Options{LoginDelay: time.Millisecond, CloseTimeout: time.Millisecond, HandshakeTimeout: 50 * time.Millisecond},
		testBroker{node, &gate{}}, slog.New(slog.DiscardHandler))
	check(err)
	f.Cleanup(func() { check(s.Shutdown(context.Background(), "end")) })
	f.Fuzz(func(t *testing.T, mode byte, data []byte) {
		near, far := net.Pipe()
		s.ServeConn(loopbackPipe{far})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, near)
		}()
		switch mode % 3 {
		case asIs:
			data = append(handshake[:len(handshake):len(handshake)], data...)
		case framed:
			data = append(handshake[:len(handshake):len(handshake)], frames(data)...)
		}
		_ = near.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = near.Write(data)
		_ = near.Close()
		<-ended
		eventually(t, "ended", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.conns) == 0
		})
	})
}

// frames makes frames of data: type, channel, length of the payload, payload.
func frames(data []byte) []byte {
	var b []byte
	for len(data) >= 3 {
		n := min(int(data[2]), len(data)-3)
		b = wire.AppendFrameHeader(b, data[0]%10, uint16(data[1]%4), uint32(n))
		b = append(append(b, data[3:3+n]...), wire.FrameEnd)
		data = data[3+n:]
	}
	return b
}
