//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// hostileMemory is what the broker may have resident in the tests of this file, however hostile the clients.
const hostileMemory = 300 * mib

// handshakeTimeout is short here, so that a test can wait for it.
const handshakeTimeout = 2 * time.Second

// hostile starts a broker and a bystander and runs attack. Afterwards the broker has to be up and small, and the bystander to
// have been served.
func hostile(t *testing.T, attack func(t *testing.T, b *broker)) {
	t.Helper()
	b := newBroker(t)
	b.set("amqp.handshake_timeout", handshakeTimeout.String())
	b.start()
	s := startBystander(t, b)
	attack(t, b)
	s.stop()
	if !b.running() {
		t.Fatalf("the broker has ended: %s", b.cmd.ProcessState)
	}
	if strings.Contains(b.log(0), "panic") || strings.Contains(b.log(0), "goroutine ") {
		t.Error("the broker's log has a panic")
	}
	b.checkPeak(hostileMemory)
}

// TestRandomBytes sends noise before, instead of and after the handshake.
func TestRandomBytes(t *testing.T) {
	t.Logf("seed %d (repeat with -args -seed %d)", *seed, *seed)
	noise := rand.New(rand.NewPCG(*seed, 3))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(noise.Uint32())
		}
		return b
	}
	hostile(t, func(t *testing.T, b *broker) {
		for range 50 {
			r := connect(t, b)
			r.write(random(8 + noise.IntN(5000)))
			if got := r.expectEnd(patience); len(got) != 0 && string(got) != wire.ProtocolHeader {
				t.Errorf("answer to a random protocol header: %q", got)
			}
		}
		var refused []*raw // together, since the broker answers wrong logins late
		for range 50 {
			r := connect(t, b)
			r.write([]byte(wire.ProtocolHeader))
			r.expect(wire.KeyConnectionStart)
			r.write(random(8 + noise.IntN(5000)))
			refused = append(refused, r)
		}
		for _, r := range refused {
			r.expectEnd(handshakeTimeout + patience)
		}
		for range 50 {
			r := openRawChannel(t, b)
			bytes := random(64 + noise.IntN(5000))
			bytes[0], bytes[3] = 100, 0xff // no frame type, and a size that need not be waited for
			r.write(bytes)
			r.expectClose(wire.FrameError)
		}
		for range 50 { // good frames of nonsense
			r := openRawChannel(t, b)
			payload := random(4 + noise.IntN(1000))
			frame := wire.AppendFrameHeader(nil, byte(1+noise.IntN(3)), 1, uint32(len(payload)))
			r.write(append(append(frame, payload...), wire.FrameEnd))
			// Whether the broker has closed the connection for it, or only the channel, or did not mind: this ends it.
			r.send(0, &wire.ConnectionClose{ReplyCode: 200})
			r.send(0, &wire.ConnectionCloseOk{})
			r.expectEnd(patience)
		}
		r := connect(t, b)
		r.write([]byte("GET / HTTP/1.1\r\nHost: broker\r\n\r\n"))
		if got := string(r.expectEnd(patience)); got != wire.ProtocolHeader {
			t.Errorf("answer to HTTP: %q", got)
		}
	})
}

// TestWrongFrames sends frames that break one rule each.
func TestWrongFrames(t *testing.T) {
	frame := func(typ byte, channel uint16, size uint32, payload string, end byte) []byte {
		return append(append(wire.AppendFrameHeader(nil, typ, channel, size), payload...), end)
	}
	publish := wire.AppendPublish(nil, 1, "", "q", false)
	declare := func(arguments []byte) []byte {
		payload := binary.BigEndian.AppendUint32(nil, uint32(wire.KeyQueueDeclare))
		payload = append(payload, 0, 0, 1, 'q', 0) // ticket, name, bits
		payload = append(payload, arguments...)
		return frame(wire.FrameMethod, 1, uint32(len(payload)), string(payload), wire.FrameEnd)
	}
	tests := []struct {
		name  string
		bytes []byte
		codes []wire.ReplyCode
	}{
		{"largest frame announced", frame(wire.FrameBody, 1, 1<<32-1, "", 0), []wire.ReplyCode{wire.FrameError}},
		{"frame above frame_max", frame(wire.FrameBody, 1, 200_000, "", 0), []wire.ReplyCode{wire.FrameError}},
		{"wrong end octet", frame(wire.FrameMethod, 1, 4, "\x00\x3c\x00\x0a", 0), []wire.ReplyCode{wire.FrameError}},
		{"unknown frame type", frame(7, 1, 3, "abc", wire.FrameEnd), []wire.ReplyCode{wire.FrameError}},
		{"heartbeat with payload", frame(wire.FrameHeartbeat, 0, 2, "ab", wire.FrameEnd), []wire.ReplyCode{wire.FrameError}},
		{"heartbeat on a channel", frame(wire.FrameHeartbeat, 1, 0, "", wire.FrameEnd), []wire.ReplyCode{wire.UnexpectedFrame}},
		{"method of two bytes", frame(wire.FrameMethod, 1, 2, "\x00\x3c", wire.FrameEnd), []wire.ReplyCode{wire.FrameError}},
		{"body without publish", wire.AppendBody(nil, 1, []byte("x"), 0), []wire.ReplyCode{wire.UnexpectedFrame}},
		{"method instead of header", append(bytes.Clone(publish), publish...), []wire.ReplyCode{wire.UnexpectedFrame}},
		{"channel that is not open", wire.AppendMethod(nil, 9, &wire.QueueDeclare{Queue: "q"}), []wire.ReplyCode{wire.ChannelError}},
		{"channel opened twice", wire.AppendMethod(nil, 1, &wire.ChannelOpen{}), []wire.ReplyCode{wire.ChannelError}},
		{"arguments cut off", frame(wire.FrameMethod, 1, 9, "\x00\x32\x00\x0a\x00\x00\x05ab", wire.FrameEnd), []wire.ReplyCode{wire.FrameError}},
		{"deeply nested tables", declare(nestedTables(10_000)), []wire.ReplyCode{wire.SyntaxError, wire.FrameError}},
		{"deeply nested arrays", declare(nestedArrays(20_000)), []wire.ReplyCode{wire.SyntaxError, wire.FrameError}},
		{"table longer than its frame", declare([]byte{0xff, 0xff, 0xff, 0xff, 1, 'a', 'V'}), []wire.ReplyCode{wire.SyntaxError, wire.FrameError}},
		{"string longer than its table", declare([]byte{0, 0, 0, 9, 1, 'a', 'S', 0x7f, 0xff, 0xff, 0xff, 'x', 'y'}), []wire.ReplyCode{wire.SyntaxError, wire.FrameError}},
	}
	hostile(t, func(t *testing.T, b *broker) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				r := openRawChannel(t, b)
				r.write(test.bytes)
				r.expectClose(test.codes...)
				_ = r.conn.Close() // a broken stream has no way to carry close-ok
			})
		}
		t.Run("wide table", func(t *testing.T) { // legal, only large
			var fields []byte
			for i := range 10_000 {
				fields = append(append(fields, 5), fmt.Sprintf("%05dV", i)...)
			}
			r := openRawChannel(t, b)
			for range 20 {
				r.write(declare(append(binary.BigEndian.AppendUint32(nil, uint32(len(fields))), fields...)))
				r.expect(wire.KeyQueueDeclareOk)
			}
		})
		t.Run("large frame before login", func(t *testing.T) {
			r := connect(t, b)
			r.write([]byte(wire.ProtocolHeader))
			r.expect(wire.KeyConnectionStart)
			r.write(wire.AppendFrameHeader(nil, wire.FrameMethod, 0, 1<<30))
			r.expectEnd(patience)
		})
	})
}

// nestedTables returns an encoded table with tables in it, depth levels deep.
func nestedTables(depth int) []byte {
	const level = 7 // name, type, length
	var b []byte
	for i := depth; i > 0; i-- {
		b = binary.BigEndian.AppendUint32(b, uint32((i-1)*level))
		if i > 1 {
			b = append(b, 1, 'a', 'F')
		}
	}
	return b
}

// nestedArrays returns an encoded table with arrays in it, depth levels deep.
func nestedArrays(depth int) []byte {
	const level = 5 // type, length
	b := binary.BigEndian.AppendUint32(nil, uint32(3+4+(depth-1)*level))
	b = append(b, 1, 'a', 'A')
	for i := depth; i > 0; i-- {
		b = binary.BigEndian.AppendUint32(b, uint32((i-1)*level))
		if i > 1 {
			b = append(b, 'A')
		}
	}
	return b
}

// TestUnfinishedHandshake leaves connections at different points of the handshake, silent or very slow. All have to be gone
// soon after the handshake timeout.
func TestUnfinishedHandshake(t *testing.T) {
	hostile(t, func(t *testing.T, b *broker) {
		const each = 50
		begin := time.Now()
		var waiting []*raw
		for range each {
			waiting = append(waiting, connect(t, b)) // says nothing
			half := connect(t, b)
			half.write([]byte(wire.ProtocolHeader[:5]))
			waiting = append(waiting, half)
			login := connect(t, b)
			login.write([]byte(wire.ProtocolHeader))
			login.expect(wire.KeyConnectionStart)
			waiting = append(waiting, login)
			tune := connect(t, b)
			tune.write([]byte(wire.ProtocolHeader))
			tune.expect(wire.KeyConnectionStart)
			tune.send(0, startOk())
			tune.expect(wire.KeyConnectionTune)
			waiting = append(waiting, tune)
		}
		slow := connect(t, b)
		stop := make(chan struct{})
		defer close(stop)
		go func() { // one byte at a time, for much longer than the timeout
			handshake := wire.AppendMethod([]byte(wire.ProtocolHeader), 0, startOk())
			for _, c := range handshake {
				if _, err := slow.conn.Write([]byte{c}); err != nil {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Millisecond):
				}
			}
		}()
		for _, r := range append(waiting, slow) {
			r.expectEnd(patience)
		}
		took := time.Since(begin)
		t.Logf("%d connections gone after %s", len(waiting)+1, took.Round(time.Millisecond))
		if took > handshakeTimeout+5*time.Second && !*race {
			t.Errorf("they were there for %s, with a handshake timeout of %s", took, handshakeTimeout)
		}
	})
}

// TestIdleConnections opens many connections that do nothing.
func TestIdleConnections(t *testing.T) {
	hostile(t, func(t *testing.T, b *broker) {
		count := size(1000, 5000)
		before := b.memory()
		begin := time.Now()
		for range count {
			open(t, b)
		}
		after := b.memory()
		t.Logf("%d connections opened in %s; %.1f KiB each", count, time.Since(begin).Round(time.Millisecond),
			float64(after.rss-before.rss)/kib/float64(count))
		if each := (after.rss - before.rss) / int64(count); each > 50*kib && !*race {
			t.Errorf("an idle connection takes %d KiB", each/kib)
		}
	})
}

// TestDeadConsumer has a consumer without prefetch limit that never reads its socket, on a queue with much more than fits into
// memory. What it was sent must be there for others when it is gone.
func TestDeadConsumer(t *testing.T) {
	hostile(t, func(t *testing.T, b *broker) {
		const messages, length = 4000, 100 * kib
		dead := openRawChannel(t, b)
		declare(t, b.channel(), "dead")
		dead.send(1, &wire.BasicConsume{Queue: "dead", ConsumerTag: "dead"})
		dead.expect(wire.KeyBasicConsumeOk)
		p := newConfirmer(t, b.dial(), 100)
		body := make([]byte, length)
		for range messages {
			p.publish("dead", body)
		}
		p.flush()
		ready := depth(t, p.ch, "dead")
		t.Logf("%d of %d messages of %d KiB are ready beside the dead consumer; %s", ready, messages, length/kib, b.memory())
		if ready < messages*8/10 {
			t.Errorf("the broker holds %d messages for a consumer that does not read", messages-ready)
		}
		_ = dead.conn.Close() // as a crash would
		eventually(t, patience, "all messages ready again", func() bool { return depth(t, p.ch, "dead") == messages })
		if purged, err := p.ch.QueuePurge("dead", false); err != nil || purged != messages {
			t.Errorf("purged %d messages, %v", purged, err)
		}
	})
}

// TestHugeBodies announces bodies and does not send them.
func TestHugeBodies(t *testing.T) {
	header := func(channel uint16, size uint64) []byte {
		return wire.AppendContentHeader(wire.AppendPublish(nil, channel, "", "q", false), channel, wire.ClassBasic, size, nil)
	}
	hostile(t, func(t *testing.T, b *broker) {
		// One byte too many: refused with the last byte at the latest.
		r := openRawChannel(t, b)
		r.write(header(1, 16*mib+1))
		r.write(wire.AppendBody(nil, 1, make([]byte, 16*mib+1), 128*kib))
		closed := r.expect(wire.KeyChannelClose).(*wire.ChannelClose)
		want := fmt.Sprintf("PRECONDITION_FAILED - message size %d is larger than configured max size %d", 16*mib+1, 16*mib)
		if closed.ReplyCode != wire.PreconditionFailed || closed.ReplyText != want {
			t.Errorf("got %d %s, want %s", closed.ReplyCode, closed.ReplyText, want)
		}
		// Absurd sizes: refused at once or discarded as they come, but not kept.
		for _, size := range []uint64{1 << 40, 1<<64 - 1} {
			r := openRawChannel(t, b)
			r.write(header(1, size))
			frames := wire.AppendBody(nil, 1, make([]byte, mib), 128*kib)
			for range 400 {
				r.write(frames)
			}
		}
		for range 20 { // 2,000 channels that each wait for 16 MiB
			r := openRawChannel(t, b)
			r.write(header(1, 16*mib))
			for channel := range uint16(99) {
				r.send(channel+2, &wire.ChannelOpen{})
				r.expect(wire.KeyChannelOpenOk)
				r.write(header(channel+2, 16*mib))
			}
		}
	})
}

// TestFloods opens more channels, consumers and queues than anyone needs.
func TestFloods(t *testing.T) {
	hostile(t, func(t *testing.T, b *broker) {
		t.Run("channels", func(t *testing.T) {
			r := open(t, b)
			for channel := range uint16(2047) {
				r.send(channel+1, &wire.ChannelOpen{})
				r.expect(wire.KeyChannelOpenOk)
			}
			r.send(2048, &wire.ChannelOpen{})
			r.expectClose(wire.NotAllowed)
		})
		t.Run("consumers", func(t *testing.T) {
			r := openRawChannel(t, b)
			r.send(1, &wire.QueueDeclare{Queue: "consumers", Exclusive: true})
			r.expect(wire.KeyQueueDeclareOk)
			count := size(5000, 20_000)
			for n := range count {
				r.send(1, &wire.BasicConsume{Queue: "consumers", ConsumerTag: fmt.Sprint(n), NoAck: true})
				r.expect(wire.KeyBasicConsumeOk)
			}
			r.write(wire.AppendPublish(nil, 1, "", "consumers", false))
			r.write(wire.AppendContentHeader(nil, 1, wire.ClassBasic, 0, nil))
			r.expect(wire.KeyBasicDeliver)
		})
		t.Run("queues", func(t *testing.T) {
			r := openRawChannel(t, b)
			count := size(2000, 20_000)
			begin := time.Now()
			for n := range count {
				r.send(1, &wire.QueueDeclare{Queue: fmt.Sprintf("flood-%d", n), Exclusive: true, NoWait: true})
			}
			r.send(1, &wire.QueueDeclare{Queue: "flood-0", Passive: true})
			r.expect(wire.KeyQueueDeclareOk)
			t.Logf("%d exclusive queues in %s; %s", count, time.Since(begin).Round(time.Millisecond), b.memory())
			r.send(0, &wire.ConnectionClose{ReplyCode: 200})
			begin = time.Now()
			r.expect(wire.KeyConnectionCloseOk)
			t.Logf("deleted with their connection in %s", time.Since(begin).Round(time.Millisecond))
			probe := openRawChannel(t, b)
			probe.send(1, &wire.QueueDeclare{Queue: fmt.Sprintf("flood-%d", count-1), Passive: true})
			if closed := probe.expect(wire.KeyChannelClose).(*wire.ChannelClose); closed.ReplyCode != wire.NotFound {
				t.Errorf("an exclusive queue after its connection: %d %s", closed.ReplyCode, closed.ReplyText)
			}
		})
		t.Run("connections", func(t *testing.T) {
			for range size(2000, 20_000) {
				conn, err := net.DialTimeout("tcp", b.addr, 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(conn, wire.ProtocolHeader)
				_ = conn.Close() // at once, with the answer under way
			}
		})
		t.Run("methods of a channel without reading", func(t *testing.T) {
			r := openRawChannel(t, b)
			declares := bytes.Repeat(wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "same", Exclusive: true}), 1000)
			_ = r.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
			for range 500 { // the broker may stop reading, but not keep all the answers
				if _, err := r.conn.Write(declares); err != nil {
					break
				}
			}
			t.Log(b.memory())
		})
	})
}
