package server

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// sink is a socket that takes everything.
type sink struct {
	net.Conn
	bytes atomic.Int64
}

func (s *sink) Write(b []byte) (int, error) {
	s.bytes.Add(int64(len(b)))
	return len(b), nil
}
func (s *sink) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (s *sink) LocalAddr() net.Addr              { return s.RemoteAddr() }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Close() error                     { return nil }

const body16 = "0123456789abcdef"

// publishWith returns the frames of a message with properties.
func publishWith(channel uint16, exchange, key, body string, mandatory bool, props wire.Properties) []byte {
	b := wire.AppendPublish(nil, channel, exchange, key, mandatory)
	b = wire.AppendContentHeader(b, channel, basicClass, uint64(len(body)), props.Append(nil))
	return wire.AppendBody(b, channel, []byte(body), 131072)
}

// paths are the ways of a small message from the read buffer to the inbox of its queue: whether the arguments and properties are
// the same as before, so that the memo is hit, or not.
var paths = []struct {
	name    string
	confirm bool
	message func(i int) []byte
}{
	{"hit", false, func(int) []byte { return publish(1, "", "q", body16) }},
	{"hit, confirms", true, func(int) []byte { return publish(1, "", "q", body16) }},
	{"8 keys", false, func(i int) []byte { return publish(1, "", fmt.Sprintf("q%d", i%8), body16) }},
	{"8 keys, confirms", true, func(i int) []byte { return publish(1, "", fmt.Sprintf("q%d", i%8), body16) }},
	{"8 keys, topic", false, func(i int) []byte { return publish(1, "amq.topic", fmt.Sprintf("k.%d", i%8), body16) }},
	{"other properties", false, func(i int) []byte {
		return publishWith(1, "", "q", body16, false, wire.Properties{DeliveryMode: 2, ContentType: "text/plain",
			MessageID: fmt.Sprintf("%08d", i), Timestamp: uint64(1e9 + i)})
	}},
}

// publishPath returns a function that handles one read chunk of n messages.
func publishPath(tb testing.TB, confirm bool, message func(int) []byte) (run func(), n int) {
	r := newRig(tb, &sink{})
	h := &takingQueue{}
	r.queue("q", h)
	r.exchange("amq.topic", "topic")
	for i := range 8 {
		name := fmt.Sprintf("q%d", i)
		r.queue(name, h)
		r.bind("amq.topic", name, fmt.Sprintf("k.%d", i))
	}
	ch := r.open(1)
	if confirm {
		ch.pub.selectConfirm()
	}
	var chunk []byte
	for ; len(chunk) < 60<<10; n++ {
		chunk = append(chunk, message(n)...)
	}
	return func() { r.feed(chunk) }, n
}

// raceEnabled says that the race detector is on. It makes pools forget at random, so that allocations mean nothing.
var raceEnabled bool

// perMessage is what allocations of a chunk may come to for one of its messages.
const perMessage = 0.1

func TestPublishAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random under the race detector")
	}
	for _, p := range paths {
		run, n := publishPath(t, p.confirm, p.message)
		run()
		if allocs := testing.AllocsPerRun(100, run) / float64(n); allocs > perMessage {
			t.Errorf("%s: %.3f allocations per message", p.name, allocs)
		}
	}
}

func BenchmarkPublishPath(b *testing.B) {
	for _, p := range paths {
		b.Run(strings.ReplaceAll(p.name, " ", "_"), func(b *testing.B) {
			run, n := publishPath(b, p.confirm, p.message)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				run()
			}
		})
	}
}

// deliverPath returns a function that delivers n small messages and, unless noAck is set, acknowledges them.
func deliverPath(tb testing.TB, noAck bool, body string, n int) (run func()) {
	r := newRig(tb, &sink{})
	ch := r.open(1)
	c := &consumer{handle: &takingQueue{}, del: ch.del, announced: true}
	c.Consumer = queue.Consumer{Tag: "ctag1.0123456789abcdef", NoAck: noAck, Receiver: c}
	rec := block.Record{RoutingKey: []byte("q"), Properties: []byte{0, 0}, Body: []byte(body)}
	var b block.Block
	for range n {
		b.Append(&rec)
	}
	pieces := []queue.Piece{{Records: b.Records, Tail: b.Tail, Count: n, Bytes: b.Size()}}
	return func() {
		pieces[0].First += uint64(n)
		c.Deliver(&c.Consumer, pieces)
		if !noAck {
			check(ch.del.ack(0, true))
			ch.del.flush()
		}
		r.c.waitForRoom()
	}
}

func TestDeliverAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random under the race detector")
	}
	for _, noAck := range []bool{true, false} {
		run := deliverPath(t, noAck, body16, 1000)
		run()
		if allocs := testing.AllocsPerRun(100, run) / 1000; allocs > perMessage {
			t.Errorf("noAck %v: %.3f allocations per message", noAck, allocs)
		}
	}
}

func BenchmarkDeliverPath(b *testing.B) {
	for _, bc := range []struct {
		name  string
		noAck bool
		size  int
		n     int
	}{{"no_ack", true, 16, 1000}, {"ack", false, 16, 1000}, {"1KiB", true, 1024, 60}, {"64KiB", true, 64 << 10, 1}} {
		b.Run(bc.name, func(b *testing.B) {
			run := deliverPath(b, bc.noAck, strings.Repeat("x", bc.size), bc.n)
			b.SetBytes(int64(bc.size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += bc.n {
				run()
			}
		})
	}
}

// BenchmarkAckPath measures single acknowledgements, from the read buffer to the inbox of the queue.
func BenchmarkAckPath(b *testing.B) {
	const n = 1000
	r := newRig(b, &sink{})
	d := r.open(1).del
	c := &consumer{handle: &takingQueue{}, del: d, announced: true}
	c.Consumer = queue.Consumer{Tag: "t", Receiver: c}
	var frames []byte
	b.ReportAllocs()
	for i := 0; i < b.N; i += n {
		b.StopTimer()
		tag := d.nextTag
		d.unacked.add(delivery{first: tag, n: n, left: n, offset: tag, handle: c.handle, consumer: c})
		d.nextTag += n
		frames = frames[:0]
		for ; tag < d.nextTag; tag++ {
			frames = wire.AppendAck(frames, 1, tag, false)
		}
		b.StartTimer()
		r.feed(frames)
	}
}

// BenchmarkMethodDispatch compares ways to tell methods apart (the server uses the first): one switch on class and method id as
// one number, and one on the class followed by one on the method.
func BenchmarkMethodDispatch(b *testing.B) {
	payloads := [][]byte{}
	for _, k := range []wire.MethodKey{wire.KeyBasicPublish, wire.KeyBasicAck, wire.KeyBasicPublish, wire.KeyBasicNack,
		wire.KeyBasicPublish, wire.KeyBasicReject, wire.KeyQueueDeclare, wire.KeyBasicPublish} {
		payloads = append(payloads, []byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k), 0, 0})
	}
	kinds := 0
	b.Run("one_switch", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			switch k, _ := wire.ParseMethodKey(payloads[i&7]); k {
			case wire.KeyBasicPublish:
				kinds++
			case wire.KeyBasicAck:
				kinds += 2
			case wire.KeyBasicNack:
				kinds += 3
			case wire.KeyBasicReject:
				kinds += 4
			case wire.KeyQueueDeclare:
				kinds += 5
			}
		}
	})
	b.Run("two_switches", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			p := payloads[i&7]
			class, method := uint16(p[0])<<8|uint16(p[1]), uint16(p[2])<<8|uint16(p[3])
			switch class {
			case 60:
				switch method {
				case 40:
					kinds++
				case 80:
					kinds += 2
				case 120:
					kinds += 3
				case 90:
					kinds += 4
				}
			case 50:
				if method == 10 {
					kinds += 5
				}
			}
		}
	})
	if kinds == 0 {
		b.Error("nothing was dispatched")
	}
}
