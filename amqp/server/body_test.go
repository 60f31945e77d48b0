package server

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// largeMessage returns the frames of a message whose body comes in parts of the given size.
func largeMessage(key string, body []byte, part int) []byte {
	b := wire.AppendPublish(nil, 1, "", key, false)
	b = wire.AppendContentHeader(b, 1, basicClass, uint64(len(body)), nil)
	return wire.AppendBody(b, 1, body, uint32(part+wire.FrameOverhead))
}

// plainConn hides what it is, so that it is read without access to its socket.
type plainConn struct{ net.Conn }

// TestLargeBodies sends large bodies among small ones, in writes of any length, and gets them back.
func TestLargeBodies(t *testing.T) {
	for name, plain := range map[string]bool{"socket": false, "stream": true} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, Options{})
			var c *client
			if plain {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				check(err)
				defer l.Close()
				nc, err := net.Dial("tcp", l.Addr().String())
				check(err)
				defer nc.Close()
				served, err := l.Accept()
				check(err)
				s.ServeConn(plainConn{served})
				c = &client{t: t, nc: nc, patience: 5 * time.Second}
				c.shake(usualTune, allCapabilities)
			} else {
				c = s.open()
			}
			c.channel(1)
			c.send(1, &wire.QueueDeclare{Exclusive: true})
			q := expect[*wire.QueueDeclareOk](c, 1).Queue
			random := rand.New(rand.NewPCG(1, 2))
			var want [][]byte
			var frames []byte
			for _, size := range []int{20_000, 131_064, 131_065, 10, 150_000, 262_128, 1 << 20, 3, 1<<20 + 17} {
				for _, part := range []int{131_064, 40_000} {
					body := make([]byte, size)
					for i := range body {
						body[i] = byte(random.Uint32())
					}
					want = append(want, body)
					frames = append(frames, largeMessage(q, body, part)...)
				}
			}
			for rest := frames; len(rest) > 0; {
				n := min(len(rest), 1+int(random.Uint32N(200_000)))
				c.raw(rest[:n])
				rest = rest[n:]
			}
			for i, body := range want {
				c.send(1, &wire.BasicGet{Queue: q, NoAck: true})
				expect[*wire.BasicGetOk](c, 1)
				if _, got := c.content(1); got != string(body) {
					t.Fatalf("message %d of %d bytes came as %d bytes, or changed", i, len(body), len(got))
				}
			}
			c.sync(1)
			if n := s.claims.bytes.Load(); n != 0 {
				t.Errorf("%d bytes claimed in the end", n)
			}
		})
	}
}

const halfPart = 100_000

// halfMessage sends a message with two body frames of halfPart bytes until within the first one and returns the rest of it once the
// server waits for that.
func (s *testServer) halfMessage(c *client) (rest []byte) {
	c.t.Helper()
	b := largeMessage("nowhere", bytes.Repeat([]byte{7}, 2*halfPart), halfPart)
	c.raw(b[:halfPart/2])
	eventually(c.t, "reading a body", func() bool { return s.claims.bytes.Load() > 0 })
	return b[halfPart/2:]
}

func TestLargeBodyWithoutEnd(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	rest := s.halfMessage(c)
	rest[len(rest)-1-wire.FrameOverhead-halfPart] = 1
	c.raw(rest)
	c.expectClose(0, "FRAME_ERROR - type 3, first 16 octets = <<7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7>>: {invalid_frame_end_marker,1}", 0)
	c.send(0, &wire.ConnectionCloseOk{})
	c.expectEnd()
}

// TestConnectionEndsWithinBody closes the connection from outside: the rest of the frame is not taken for other frames.
func TestConnectionEndsWithinBody(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	rest := s.halfMessage(c)
	s.CloseConnections("enough", func(Connection) bool { return true })
	c.expectClose(0, "CONNECTION_FORCED - enough", 0)
	c.raw(rest)
	c.send(0, &wire.ConnectionCloseOk{})
	c.expectEnd()
}

// TestChannelEndsWithinBody lets a channel time out while the rest of a frame is awaited: only the message is lost.
func TestChannelEndsWithinBody(t *testing.T) {
	s := startServer(t, Options{ConsumerTimeout: time.Second})
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	q := expect[*wire.QueueDeclareOk](c, 1).Queue
	c.raw(publish(1, "", q, "x"))
	c.send(1, &wire.BasicGet{Queue: q})
	expect[*wire.BasicGetOk](c, 1)
	c.content(1)
	rest := s.halfMessage(c)
	expect[*wire.ChannelClose](c, 1)
	c.raw(rest)
	c.send(1, &wire.ChannelCloseOk{})
	c.channel(1)
	body := bytes.Repeat([]byte{9}, 200_000)
	c.raw(largeMessage(q, body, 131_064))
	for _, want := range []string{"x", string(body)} {
		c.send(1, &wire.BasicGet{Queue: q, NoAck: true})
		expect[*wire.BasicGetOk](c, 1)
		if _, got := c.content(1); got != want {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	}
}

// TestClaimsAreBounded announces more than there may be memory for, on many channels: what does not come costs little.
func TestClaimsAreBounded(t *testing.T) {
	r := newRig(t, &sink{})
	const channels, size, part = 100, 16 << 20, 20_000
	memory := func() (n int) {
		for _, ch := range r.c.channels {
			if ch.state == channelOpen {
				n += cap(ch.pub.own)
			}
		}
		return n
	}
	for id := uint16(1); id <= channels; id++ {
		r.open(id)
		b := wire.AppendPublish(nil, id, "", "q", false)
		b = wire.AppendContentHeader(b, id, basicClass, size, nil)
		r.feed(wire.AppendBody(b, id, make([]byte, part), 0))
	}
	if n := memory(); n > claimLimit+channels*3*part {
		t.Errorf("%d bytes for %d that came", n, channels*part)
	}
	if n := r.c.srv.claims.bytes.Load(); n > claimLimit || n < claimLimit-size {
		t.Errorf("%d bytes claimed", n)
	}
	for range 5 { // the bodies go on
		for id := uint16(1); id <= channels; id++ {
			r.feed(wire.AppendBody(nil, id, make([]byte, part), 0))
		}
	}
	if n := memory(); n > claimLimit+channels*6*3*part {
		t.Errorf("%d bytes for %d that came", n, channels*6*part)
	}
	for _, ch := range r.c.channels {
		ch.release()
	}
	if n := r.c.srv.claims.bytes.Load(); n != 0 {
		t.Errorf("%d bytes claimed in the end", n)
	}
}
