//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// raw is a client that sends what it is told to, right or wrong. It belongs to one goroutine.
type raw struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
}

// connect opens a TCP connection, closed at the end of the test.
func connect(t *testing.T, b *broker) *raw {
	t.Helper()
	conn, err := net.DialTimeout("tcp", b.addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{t: t, conn: conn, reader: bufio.NewReaderSize(conn, 4*kib)}
}

// startOk logs in as guest. The capability makes the broker say why it refuses.
func startOk() *wire.ConnectionStartOk {
	capabilities := wire.Table{{Name: "authentication_failure_close", Value: wire.Bool(true)}}
	return &wire.ConnectionStartOk{
		ClientProperties: wire.Table{{Name: "capabilities", Value: wire.TableValue(capabilities)}},
		Mechanism:        "PLAIN", Response: []byte("\x00guest\x00guest"), Locale: "en_US",
	}
}

// open makes the handshake, without heartbeats.
func open(t *testing.T, b *broker) *raw {
	t.Helper()
	r := connect(t, b)
	r.write([]byte(wire.ProtocolHeader))
	r.expect(wire.KeyConnectionStart)
	r.send(0, startOk())
	tune, ok := r.expect(wire.KeyConnectionTune).(*wire.ConnectionTune)
	if !ok {
		t.Fatal("no tune")
	}
	r.send(0, &wire.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: tune.FrameMax})
	r.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
	r.expect(wire.KeyConnectionOpenOk)
	return r
}

// openRawChannel opens channel 1 on a connection of its own.
func openRawChannel(t *testing.T, b *broker) *raw {
	t.Helper()
	r := open(t, b)
	r.send(1, &wire.ChannelOpen{})
	r.expect(wire.KeyChannelOpenOk)
	return r
}

// write sends bytes and ignores that the broker may have closed the connection: the answer says so.
func (r *raw) write(b []byte) {
	_ = r.conn.SetWriteDeadline(time.Now().Add(patience))
	_, _ = r.conn.Write(b)
}

func (r *raw) send(channel uint16, m wire.Method) { r.write(wire.AppendMethod(nil, channel, m)) }

// read returns the next frame other than a heartbeat.
func (r *raw) read() (wire.Frame, error) {
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		header, err := r.reader.Peek(wire.FrameHeaderLen)
		if err != nil {
			return wire.Frame{}, err
		}
		_, _, size := wire.ParseFrameHeader(header)
		if size > 1<<20 {
			return wire.Frame{}, fmt.Errorf("no frame: %x", header)
		}
		b := make([]byte, size+wire.FrameOverhead)
		if _, err := io.ReadFull(r.reader, b); err != nil {
			return wire.Frame{}, err
		}
		frame, _, err := wire.ParseFrame(b, 0)
		if err != nil || frame.Type != wire.FrameHeartbeat {
			return frame, err
		}
	}
}

// readMethod returns the next method.
func (r *raw) readMethod() (wire.Method, error) {
	frame, err := r.read()
	if err != nil {
		return nil, err
	}
	if frame.Type != wire.FrameMethod {
		return nil, fmt.Errorf("frame of type %d", frame.Type)
	}
	return wire.ParseMethod(frame.Payload)
}

func (r *raw) expect(key wire.MethodKey) wire.Method {
	r.t.Helper()
	m, err := r.readMethod()
	if err != nil {
		r.t.Fatalf("%s expected: %v", key, err)
	}
	if m.Key() != key {
		r.t.Fatalf("%s expected, got %s: %+v", key, m.Key(), m)
	}
	return m
}

// expectClose reads until connection.close, which must have one of the codes.
func (r *raw) expectClose(codes ...wire.ReplyCode) {
	r.t.Helper()
	for {
		m, err := r.readMethod()
		if err != nil {
			r.t.Errorf("connection.close with %v expected: %v", codes, err)
			return
		}
		if closed, ok := m.(*wire.ConnectionClose); ok {
			for _, code := range codes {
				if closed.ReplyCode == code {
					return
				}
			}
			r.t.Errorf("connection.close with %v expected, got %d %s", codes, closed.ReplyCode, closed.ReplyText)
			return
		}
	}
}

// expectEnd reads until the broker has closed the connection, which must happen within limit. It returns what came before.
func (r *raw) expectEnd(limit time.Duration) []byte {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(limit))
	got, err := io.ReadAll(io.LimitReader(r.reader, mib))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Errorf("the connection is still open after %s", limit)
	}
	return got
}
