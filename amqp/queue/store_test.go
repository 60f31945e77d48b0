package queue

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/store"
)

// TestOnStore runs the engine on the real store, with a budget that has most of it paged out, through several restarts.
func TestOnStore(t *testing.T) {
	opt := store.Options{Dir: t.TempDir(), Sync: store.SyncOS, MinFree: 32 << 20}
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []uint64 // persistent messages that are not acknowledged, in order
	seen := map[uint64]bool{}
	next := uint64(1)
	for round := range 4 {
		s, err := store.Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		m := tiny()
		q := New(Options{ID: 3, Durable: true, Log: s, Memory: m, Recovered: s.Recovered()[3]})
		if st := status(t, q); st.Ready != len(want) {
			t.Fatalf("round %d: %d messages came back, want %d", round, st.Ready, len(want))
		}
		var open atomic.Int64
		var transient []uint64
		for range 150 {
			n, size := uint64(rnd.IntN(30)+1), []int{16, 300, 5000}[rnd.IntN(3)]
			p := &Publication{Batch: &Batch{First: next, Last: next + n - 1}}
			p.Batch.Complete = func(b *Batch) {
				if len(b.Refused()) > 0 {
					t.Errorf("messages %v were refused", b.Refused())
				}
				open.Add(-1)
			}
			for ; n > 0; n-- {
				persistent := next%4 != 0
				if want = append(want, next); !persistent {
					transient = append(transient, next)
				}
				p.Block.Append(rec(next, size, persistent))
				next++
			}
			open.Add(1)
			p.Batch.Add()
			q.Publish(p)
		}
		until(t, "confirms", func() bool { return open.Load() == 0 })

		r := newSink()
		c := &Consumer{Receiver: r, Prefetch: len(want) / 2}
		if err := q.Consume(c); err != nil {
			t.Fatal(err)
		}
		until(t, "deliveries", func() bool { return len(r.taken()) == len(want)/2 })
		equal(t, "delivered", r.taken(), want[:len(want)/2])
		for i, id := range r.got {
			if seen[id] && !r.again[i] {
				t.Fatalf("message %d came again without the flag", id)
			}
			seen[id] = true
		}
		q.Cancel(c)
		var acked []uint64
		for i, id := range r.got {
			switch rnd.IntN(3) {
			case 0:
				q.Settle(&Settlement{Consumer: c, Outcome: Requeue, Ranges: []Range{{r.offsets[i], r.offsets[i]}}})
			case 1: // stays out
			default:
				acked = append(acked, id)
				q.Settle(&Settlement{Consumer: c, Outcome: Ack, Ranges: []Range{{r.offsets[i], r.offsets[i]}}})
			}
		}
		drop := func(list []uint64) {
			want = slices.DeleteFunc(want, func(id uint64) bool { _, ok := slices.BinarySearch(list, id); return ok })
		}
		drop(acked)
		drop(transient)
		if round == 3 {
			ready := status(t, q).Ready
			if n, err := q.Purge(); n != ready || err != nil {
				t.Fatalf("purged %d, %v; want %d", n, err, ready)
			}
			q.call(func() { q.lanes[0].eachBlock(Range{0, q.lanes[0].next - 1}, q.settleIn) }) // what is out
			want = nil
		}
		q.Stop()
		if m.Resident() != 0 {
			t.Fatalf("%d bytes resident after the stop", m.Resident())
		}
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Recovered()[3]; r != nil && len(r.Blocks)+len(r.Gone) != 0 {
		t.Errorf("%d blocks, %d bitmaps left in the store", len(r.Blocks), len(r.Gone))
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

var _ block.Log = (*store.Store)(nil)
