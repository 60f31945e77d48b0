package peer

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// TestOrder has one consumer whose receiver refuses at random, and several publishers: everything comes once, in order, and nothing as
// redelivered, though much of it goes back to the queue in between.
func TestOrder(t *testing.T) {
	for _, noAck := range []bool{false, true} {
		t.Run(fmt.Sprintf("noAck=%v", noAck), func(t *testing.T) {
			l := newLeader(t)
			q := l.declare(queue.Options{ID: 1})
			h := newUser(t, l, "user").queue(1)
			c := newSink(h, 0)
			c.NoAck = noAck
			c.consume(t)
			const each, publishers = 20000, 3
			flow := &budget{}
			for p := range uint64(publishers) {
				go func() {
					r := rand.New(rand.NewPCG(1, p))
					for i := uint64(0); i < each; {
						n := min(each-i, 1+r.Uint64N(50))
						_, answered := publish(h, p<<32+i, p<<32+i+n, 16+r.IntN(200), false, flow)
						if r.IntN(10) == 0 {
							<-answered
						}
						i += n
					}
				}()
			}
			r := rand.New(rand.NewPCG(2, 3))
			acked := 0
			stalls := 0
			deadline := time.Now().Add(60 * time.Second)
			for c.count() < each*publishers {
				if time.Now().After(deadline) {
					s, err := h.Status()
					t.Fatalf("%d of %d messages came; %+v, %v", c.count(), each*publishers, s, err)
				}
				before := c.count()
				c.give(r.IntN(3000))
				if stalls < 5 && r.IntN(10) == 0 { // long enough for what is kept to be returned
					stalls++
					if !noAck {
						until(t, "a stalled receiver's messages go back", func() bool {
							s, _ := q.Status()
							return s.Unacked <= c.count()-acked+1
						})
					}
				}
				for i := 0; c.count() == before && i < 100; i++ {
					time.Sleep(10 * time.Microsecond)
				}
				if n := c.count(); !noAck && n > acked {
					c.settle(queue.Ack, acked, n)
					acked = n
				}
			}
			var next [publishers]uint64
			for i, id := range c.got {
				if p := id >> 32; id&(1<<32-1) != next[p] {
					t.Fatalf("message %d of publisher %d came at %d, want %d", id&(1<<32-1), p, i, next[p])
				} else if next[p]++; c.again[i] {
					t.Fatalf("message %d of publisher %d is redelivered", id, p)
				}
			}
			if !noAck {
				c.settle(queue.Ack, acked, c.count())
			}
			wantStatus(t, q, 0, 0, 1)
			until(t, "flow", func() bool { return flow.left() == 0 })
		})
	}
}

// TestStalledReceiver shows that one whose client does not read holds up nothing that another one could have.
func TestStalledReceiver(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user")
	h := u.queue(1)
	stuck := newSink(h, 3)
	stuck.consume(t)
	_, answered := publish(h, 0, 100, 16, false, nil)
	within(t, "confirm", answered)
	stuck.want(t, span(0, 3))
	wantStatus(t, q, 97, 3, 1)
	other := newSink(h, -1)
	other.consume(t)
	other.want(t, span(3, 100))
	stuck.give(5)
	next := uint64(100) // until it is back in line all go to the other one
	until(t, "messages for the one that was stuck", func() bool {
		publish(h, next, next+1, 16, false, nil)
		next++
		return stuck.count() > 3
	})
	_, answered = publish(h, next, next+1, 16, false, nil)
	within(t, "confirm", answered)
	h.Cancel(&other.Consumer)
	h.Cancel(&stuck.Consumer)
	wantStatus(t, q, 0, stuck.count()+other.count(), 0)
}

func TestPrefetch(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	h := newUser(t, l, "user").queue(1)
	c := newSink(h, -1)
	c.Prefetch = 7
	c.consume(t)
	_, answered := publish(h, 0, 100, 16, false, nil)
	within(t, "confirm", answered)
	for i := 7; i < 100; i += 7 {
		c.want(t, span(0, uint64(i)))
		wantStatus(t, q, 100-i, 7, 1)
		c.settle(queue.Ack, i-7, i)
	}
	c.want(t, span(0, 100))
}

// TestLargeBodies sends bodies in chunks, both ways, with small messages for another queue between them.
func TestLargeBodies(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	l.declare(queue.Options{ID: 2})
	u := newUser(t, l, "user")
	large, small := u.queue(1), u.queue(2)
	sizes := []int{20 << 20, 16, 40 << 10, chunkBytes, chunkBytes + 1, 16, 3*chunkBytes + 5}
	a, b := newSink(large, -1), newSink(small, -1)
	a.consume(t)
	b.consume(t)
	var all []chan struct{}
	total := 0
	for i, size := range sizes {
		_, answered := publish(large, uint64(i), uint64(i)+1, size, false, nil)
		all = append(all, answered)
		r := rec(0, size, false)
		total += r.Len()
		_, answered = publish(small, uint64(i), uint64(i)+1, 16, false, nil)
		all = append(all, answered)
	}
	a.want(t, span(0, uint64(len(sizes))))
	b.want(t, span(0, uint64(len(sizes))))
	for _, c := range all {
		within(t, "confirm", c)
	}
	a.mu.Lock()
	if a.sizes != total {
		t.Errorf("%d bytes came, want %d", a.sizes, total)
	}
	a.mu.Unlock()
	large.Cancel(&a.Consumer)
	a.settle(queue.Requeue, 0, len(sizes))
	wantStatus(t, q, len(sizes), 0, 0)
	p, n, ok, err := large.Get(true)
	if err != nil || !ok || n != len(sizes)-1 || len(p.Tail) != 20<<20 || !slices.Equal(ids(p), []uint64{0}) {
		t.Errorf("get: %d bytes, %d remaining, %v, %v", p.Bytes, n, ok, err)
	}
}

// TestSequencer checks that what is put in parts comes out whole, each key in its order, with at most one chunk at a time.
func TestSequencer(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 4*chunkBytes/16)
	rapid.Check(t, func(t *rapid.T) {
		s := sequencer[*peerv1.Operation]{
			body: func(o *peerv1.Operation) (*[]byte, *bool) {
				if o.Publish == nil {
					return nil, nil
				}
				return &o.Publish.Tail, &o.Publish.TailBefore
			},
			chunk: func(c *peerv1.Chunk) *peerv1.Operation { return &peerv1.Operation{Chunk: c} },
		}
		var asm assembler
		want, got := map[uint64][]int{}, map[uint64][]int{}
		take := func(out []*peerv1.Operation) {
			chunks := 0
			for _, o := range out {
				if o.Chunk != nil {
					chunks++
					if err := asm.add(o.Chunk); err != nil {
						t.Fatal(err)
					}
					continue
				}
				tail, err := asm.body(o.Publish.Tail, o.Publish.TailBefore)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(tail, body[:len(tail)]) {
					t.Fatal("a body has changed")
				}
				got[o.Publish.Queue] = append(got[o.Publish.Queue], int(o.Publish.Id)<<32+len(tail))
			}
			if chunks > 1 {
				t.Fatalf("%d chunks in one message", chunks)
			}
		}
		for i := range rapid.IntRange(1, 60).Draw(t, "items") {
			key := rapid.Uint64Range(0, 3).Draw(t, "key")
			size := rapid.SampledFrom([]int{0, 1, chunkBytes, chunkBytes + 1, 3*chunkBytes + 7}).Draw(t, "size")
			o := &peerv1.Operation{Publish: &peerv1.Publish{Id: uint64(i), Queue: key, Tail: body[:size]}}
			want[key] = append(want[key], i<<32+size)
			out := s.add(nil, key, o, size)
			if rapid.Bool().Draw(t, "send") {
				out = s.round(out)
			}
			take(out)
		}
		for len(s.late) > 0 {
			take(s.round(nil))
		}
		for k := range want {
			if !slices.Equal(got[k], want[k]) {
				t.Fatalf("key %d: %v, want %v", k, got[k], want[k])
			}
		}
		if len(s.keys) > 0 {
			t.Fatalf("left over: %v", s.keys)
		}
	})
}

// TestOffsets compares the set with a map.
func TestOffsets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o offsets
		model := map[uint64]bool{}
		offset := rapid.OneOf(rapid.Uint64Range(0, 2000), rapid.Uint64Range(1<<56, 1<<56+300))
		draw := func() queue.Range {
			first := offset.Draw(t, "first")
			return queue.Range{First: first, Last: first + rapid.Uint64Range(0, 700).Draw(t, "n")}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				r := draw()
				for i := r.First; i <= r.Last; i++ {
					if !model[i] {
						o.add(queue.Range{First: i, Last: min(i+2, r.Last)})
						for j := i; j <= min(i+2, r.Last); j++ {
							model[j] = true
						}
					}
				}
			},
			"remove": func(t *rapid.T) {
				ranges := []queue.Range{draw(), draw()}
				var want, got []uint64
				for _, r := range ranges {
					for i := r.First; i <= r.Last; i++ {
						if model[i] {
							want = append(want, i)
							delete(model, i)
						}
					}
				}
				for _, r := range o.remove(ranges) {
					for i := r.First; i <= r.Last; i++ {
						got = append(got, i)
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("removed %v, want %v", got, want)
				}
			},
			"": func(t *rapid.T) {
				n := 0
				for _, r := range o.all() {
					for i := r.First; i <= r.Last; i++ {
						if !model[i] {
							t.Fatalf("%d is in the set", i)
						}
						n++
					}
				}
				if n != len(model) || o.n != n {
					t.Fatalf("%d offsets, counted %d, want %d", n, o.n, len(model))
				}
			},
		})
	})
}

func TestBlockOf(t *testing.T) {
	var b block.Block
	for i := range uint64(3) {
		b.Append(rec(i, 20, i == 1))
	}
	got, err := blockOf(b.Records, nil, 3)
	if err != nil || got.Bodies != b.Bodies || got.Persistent != 1 || got.MinDeadline != 0 {
		t.Errorf("%+v, %v; want what Append counted", got, err)
	}
	for _, bad := range []struct {
		records, tail []byte
		count         int
	}{
		{b.Records, nil, 2}, {b.Records, nil, 4}, {b.Records[:len(b.Records)-1], nil, 3}, {b.Records[:10], nil, 1},
		{nil, nil, 1}, {b.Records, []byte("x"), 3}, {make([]byte, 64), nil, 2}, {bytes.Repeat([]byte{255}, 64), []byte("x"), 1},
	} {
		if _, err := blockOf(bad.records, bad.tail, bad.count); err == nil {
			t.Errorf("%d bytes, tail of %d, taken as %d records", len(bad.records), len(bad.tail), bad.count)
		}
	}
}
