package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// recorder is a socket that keeps what is written to it.
type recorder struct {
	sink
	mu  sync.Mutex
	got []byte
	err error
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	r.got = append(r.got, b...)
	return len(b), nil
}

func (r *recorder) taken() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

// deliveryFrames is the bytes of one delivery, encoded by the book.
func deliveryFrames(b []byte, channel uint16, tag string, deliveryTag uint64, redelivered bool, r *block.Record, frameMax uint32) []byte {
	b = wire.AppendMethod(b, channel, &wire.BasicDeliver{ConsumerTag: tag, DeliveryTag: deliveryTag, Redelivered: redelivered,
		Exchange: string(r.Exchange), RoutingKey: string(r.RoutingKey)})
	b = wire.AppendContentHeader(b, channel, basicClass, uint64(len(r.Body)), r.Properties)
	return wire.AppendBody(b, channel, r.Body, frameMax)
}

// TestOutboxStream sends methods, answers and deliveries of all sizes through a socket and compares every byte.
func TestOutboxStream(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	rapid.Check(t, func(t *rapid.T) {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		nc, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		got := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(client)
			got <- b
		}()
		frameMax := rapid.SampledFrom([]uint32{4096, 20_000, 131_072, 1 << 20}).Draw(t, "frame max")
		out := newOutbox(nc, func() uint32 { return frameMax }, 1<<20)
		var want []byte
		text := func(label string, n int) []byte {
			return bytes.Repeat([]byte{byte('a' + len(want)%26)}, rapid.IntRange(0, n).Draw(t, label))
		}
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				m := &wire.QueueDeclareOk{Queue: string(text("name", 255)), MessageCount: uint32(i)}
				out.sendMethod(1, m)
				want = wire.AppendMethod(want, 1, m)
			case 1:
				b := text("raw", 3*chunkSize)
				out.sendRaw(b)
				want = append(want, b...)
			default:
				size := rapid.SampledFrom([]int{20, 5000, shareBody - 1, shareBody, 40_000, 300_000}).Draw(t, "body size")
				var b block.Block
				n := 1
				if size < block.LargeBody {
					n = rapid.IntRange(1, 10).Draw(t, "count")
				}
				first := uint64(len(want))
				for j := range n {
					r := block.Record{Exchange: text("exchange", 255), RoutingKey: text("key", 255), Body: text("body", size),
						Properties: append([]byte{0x80, 0}, append([]byte{byte(j)}, bytes.Repeat([]byte{'p'}, j)...)...)}
					if size >= block.LargeBody {
						r.Body = bytes.Repeat([]byte{'L'}, size)
					}
					b.Append(&r)
					want = deliveryFrames(want, 7, "tag", first+uint64(j), i%2 == 0, &r, frameMax)
				}
				out.mu.Lock()
				out.queuePiece(7, "tag", first, &queue.Piece{Records: b.Records, Tail: b.Tail, Count: n, Redelivered: i%2 == 0})
				out.unlockAndWrite()
			}
		}
		out.close(5 * time.Second)
		if out.pending != 0 || out.owed != 0 || out.writing || out.chunk != nil || len(out.sealed) != 0 {
			t.Fatalf("left over: %d bytes, %d owed", out.pending, out.owed)
		}
		_ = nc.Close()
		if b := <-got; !bytes.Equal(b, want) {
			i := 0
			for i < min(len(b), len(want)) && b[i] == want[i] {
				i++
			}
			t.Fatalf("got %d bytes, want %d; the first difference is at %d", len(b), len(want), i)
		}
	})
}

// TestOutboxOrder sends from many goroutines: the frames of each come in its order, and whole.
func TestOutboxOrder(t *testing.T) {
	const senders, each = 8, 500
	s := &recorder{}
	out := newOutbox(s, func() uint32 { return 4096 }, 1<<20)
	body := bytes.Repeat([]byte{'x'}, 20_000)
	var wg sync.WaitGroup
	for id := range senders {
		wg.Go(func() {
			for i := range each {
				if i%50 == 0 {
					out.mu.Lock()
					out.appendDeliver(uint16(id), fmt.Sprint(i), uint64(i), false, &block.Record{Properties: []byte{0, 0}, Body: body})
					out.unlockAndWrite()
					continue
				}
				out.sendMethod(uint16(id), &wire.BasicCancelOk{ConsumerTag: fmt.Sprint(i)})
			}
		})
	}
	wg.Wait()
	out.close(5 * time.Second)
	next := make([]int, senders)
	inBody := make([]int, senders)
	for rest := s.taken(); len(rest) > 0; {
		f, n, err := wire.ParseFrame(rest, 4096)
		if n == 0 {
			t.Fatalf("%d bytes are no frame: %v", len(rest), err)
		}
		rest = rest[n:]
		id := f.Channel
		if f.Type != wire.FrameMethod {
			if inBody[id] == 0 {
				t.Fatalf("channel %d: content without a method", id)
			}
			if f.Type == wire.FrameBody {
				inBody[id] -= len(f.Payload)
			}
			continue
		}
		m, err := wire.ParseMethod(f.Payload)
		if err != nil || inBody[id] != 0 {
			t.Fatalf("%v, %d bytes of a body missing", err, inBody[id])
		}
		tag := ""
		switch m := m.(type) {
		case *wire.BasicCancelOk:
			tag = m.ConsumerTag
		case *wire.BasicDeliver:
			tag, inBody[id] = m.ConsumerTag, len(body)
		}
		if tag != fmt.Sprint(next[id]) {
			t.Fatalf("channel %d: got %s, want %d", id, tag, next[id])
		}
		next[id]++
	}
	for id, n := range next {
		if n != each {
			t.Errorf("channel %d: %d of %d", id, n, each)
		}
	}
}

// TestOutboxMemory sends a large body in small frames to a peer that does not read, and looks at what it takes.
func TestOutboxMemory(t *testing.T) {
	nc, peer := net.Pipe()
	defer peer.Close()
	out := newOutbox(nc, func() uint32 { return 4096 }, 1<<20)
	out.sendHeartbeat() // the writer is stuck with it
	eventually(t, "taken", func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return out.chunk == nil
	})
	const size = 4 << 20
	out.mu.Lock()
	out.appendContent(1, []byte{0, 0}, make([]byte, size))
	memory := cap(out.chunk)
	for _, s := range out.sealed {
		memory += cap(s.chunk)
	}
	out.unlockAndWrite()
	if memory > size+size/8 {
		t.Errorf("%d bytes of chunks for a body of %d", memory, size)
	}
	_ = nc.Close()
	out.close(time.Second)
}

// TestOutboxStuckPeer closes an outbox whose peer does not read.
func TestOutboxStuckPeer(t *testing.T) {
	nc, peer := net.Pipe()
	defer peer.Close()
	out := newOutbox(nc, func() uint32 { return 4096 }, 1000)
	for range 100 {
		out.sendRaw(make([]byte, 100))
	}
	woken := make(chan struct{})
	if out.hasRoom(&consumer{handle: &roomWaiter{woken: woken}}) {
		t.Error("there is room")
	}
	start := time.Now()
	out.close(10 * time.Millisecond)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("closing took %v", d)
	}
	select {
	case <-out.fail():
	default:
		t.Error("the write that was broken off did not fail")
	}
	out.sendHeartbeat()
	if out.pending != 0 || out.writing {
		t.Error("something was taken after close")
	}
}

// TestOutboxRoom sees that whoever was refused is woken once there is room, by a write that fails, too.
func TestOutboxRoom(t *testing.T) {
	for _, broken := range []bool{false, true} {
		nc, peer := net.Pipe()
		out := newOutbox(nc, func() uint32 { return 4096 }, 1000)
		waiter := func() (*consumer, chan struct{}) {
			w := make(chan struct{})
			return &consumer{handle: &roomWaiter{woken: w}}, w
		}
		out.sendRaw(make([]byte, 999))
		c, _ := waiter()
		if !out.hasRoom(c) {
			t.Fatal("no room where one byte is left")
		}
		out.sendRaw(make([]byte, 1))
		c, woken := waiter()
		if out.hasRoom(c) {
			t.Fatal("room where there is none")
		}
		if broken {
			_ = peer.Close()
		} else {
			go func() { _, _ = io.Copy(io.Discard, peer) }()
		}
		select {
		case <-woken:
		case <-time.After(5 * time.Second):
			t.Fatalf("broken %v: not woken", broken)
		}
		out.close(time.Second)
		_ = nc.Close()
	}
}

// TestOutboxOwed lets a client publish what nobody takes until it is owed too much.
func TestOutboxOwed(t *testing.T) {
	nc, peer := net.Pipe()
	r := newRig(t, nc)
	r.open(1)
	returned := publishWith(1, "", "nowhere", string(make([]byte, 100_000)), true, wire.Properties{})
	const messages = 2 * maxOwed / 100_000
	var fed atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range messages {
			r.feed(returned)
			fed.Add(1)
		}
	}()
	eventually(t, "held up", func() bool { return r.c.paused.Load() > 0 })
	if n := fed.Load(); n < maxOwed/100_200-1 || n > maxOwed/100_000+1 {
		t.Errorf("%d messages were returned to a client that does not read", n)
	}
	got := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, peer)
		got <- n
	}()
	<-done
	r.c.out.close(5 * time.Second)
	if r.c.out.owed != 0 {
		t.Errorf("%d bytes are owed at the end", r.c.out.owed)
	}
	_ = nc.Close()
	if n := <-got; n < messages*100_000 {
		t.Errorf("got %d bytes", n)
	}
}
