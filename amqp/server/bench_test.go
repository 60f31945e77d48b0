package server

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// benchClient is a connection with channel 1 to a server of its own.
func benchClient(b *testing.B) net.Conn {
	b.Helper()
	s, err := New(Options{}, testBroker{node, &gate{}}, slog.New(slog.DiscardHandler))
	check(err)
	check(s.Listen(context.Background(), "127.0.0.1:0"))
	nc, err := net.Dial("tcp", s.Addrs()[0].String())
	check(err)
	b.Cleanup(func() {
		_ = nc.Close()
		check(s.Shutdown(context.Background(), "end"))
	})
	p := wire.AppendMethod([]byte(wire.ProtocolHeader), 0, startOk())
	p = wire.AppendMethod(p, 0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 131072})
	p = wire.AppendMethod(p, 0, &wire.ConnectionOpen{VirtualHost: "/"})
	p = wire.AppendMethod(p, 1, &wire.ChannelOpen{})
	_, err = nc.Write(p)
	check(err)
	return nc
}

// awaitQos asks for basic.qos-ok and reads until it is there: everything before is handled then.
func awaitQos(nc net.Conn) {
	_, err := nc.Write(wire.AppendMethod(nil, 1, &wire.BasicQos{}))
	check(err)
	want := wire.AppendMethod(nil, 1, &wire.BasicQosOk{})
	var got []byte
	buf := make([]byte, 64<<10)
	check(nc.SetReadDeadline(time.Now().Add(time.Minute)))
	for !bytes.HasSuffix(got, want) {
		n, err := nc.Read(buf)
		check(err)
		got = append(got, buf[:n]...)
		got = got[max(0, len(got)-len(want)):]
	}
}

// BenchmarkPublish sends 16 byte messages that are routed nowhere: what is measured is reading, dispatch, checks and the route
// lookup, with the client and the loopback device beside it.
func BenchmarkPublish(b *testing.B) {
	nc := benchClient(b)
	awaitQos(nc)
	const run = 1000
	messages := bytes.Repeat(publish(1, "amq.fanout", "key", "0123456789abcdef"), run)
	b.SetBytes(int64(len(messages) / run))
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += run {
		_, err := nc.Write(messages)
		check(err)
	}
	awaitQos(nc)
}

// BenchmarkSynchronous measures a method with its answer, one at a time.
func BenchmarkSynchronous(b *testing.B) {
	nc := benchClient(b)
	b.ReportAllocs()
	for b.Loop() {
		awaitQos(nc)
	}
}
