package queue

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/store"
)

var byID = &dedup.Options{Header: "message_id"}

// marked is rec with a message id.
func marked(id uint64, messageID string, persistent bool) *block.Record {
	r := rec(id, 8, persistent)
	if messageID != "" {
		r.Properties = (&wire.Properties{MessageID: messageID}).Append(nil)
	}
	return r
}

// answered is what became of a batch.
type answered struct {
	batch *Batch
	done  atomic.Bool
}

// put publishes records as one batch, numbered from 1.
func put(q *Queue, records ...*block.Record) *answered {
	a := &answered{}
	p := &Publication{Batch: &Batch{First: 1, Last: uint64(len(records)), Complete: func(*Batch) { a.done.Store(true) }}}
	a.batch = p.Batch
	for _, r := range records {
		p.Block.Append(r)
	}
	p.Batch.Add()
	q.Publish(p)
	return a
}

// confirmed fails the test unless exactly these of the batch are refused.
func (a *answered) confirmed(t *testing.T, refused ...uint64) {
	t.Helper()
	until(t, "the answer", a.done.Load)
	set := map[uint64]bool{}
	for _, s := range a.batch.Refused() {
		set[s] = true
	}
	if len(set) != len(refused) {
		t.Fatalf("refused %v, want %v", a.batch.Refused(), refused)
	}
	for _, s := range refused {
		if !set[s] {
			t.Fatalf("refused %v, want %v", a.batch.Refused(), refused)
		}
	}
}

// drain takes what is ready.
func drain(t *testing.T, q *Queue) (list []uint64) {
	t.Helper()
	for {
		p, _, ok, err := q.Get(true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return list
		}
		list = append(list, ids(p)...)
	}
}

func TestRepetitionsAreDropped(t *testing.T) {
	for _, durable := range []bool{false, true} {
		for _, priority := range []uint8{0, 3} {
			t.Run(fmt.Sprintf("durable %t, priority %d", durable, priority), func(t *testing.T) {
				l := newScriptLog()
				q := New(Options{ID: 1, Durable: durable, Log: l, Deduplication: byID, MaxPriority: priority})
				first := put(q, marked(1, "a", true), marked(2, "b", true), marked(3, "a", true), marked(4, "", true), marked(5, "", true))
				settled(q)
				again := put(q, marked(6, "b", true), marked(7, "c", true), marked(8, "a", false))
				only := put(q, marked(9, "a", true))
				settled(q)
				if durable && (first.done.Load() || again.done.Load() || only.done.Load()) {
					t.Fatal("answered before the message was stored")
				}
				l.flush(q)
				first.confirmed(t)
				again.confirmed(t)
				only.confirmed(t)
				put(q, marked(10, "c", true)).confirmed(t)
				equal(t, "taken", drain(t, q), []uint64{1, 2, 4, 5, 7})
				l.flush(q)
				put(q, marked(11, "a", true)).confirmed(t)
				equal(t, "taken later", drain(t, q), nil)
			})
		}
	}
}

// What was not stored is not known, and its repetitions fare no better.
func TestRepetitionOfFailure(t *testing.T) {
	l := newScriptLog()
	q := New(Options{ID: 1, Durable: true, Log: l, Deduplication: byID})
	first := put(q, marked(1, "a", true), marked(2, "a", true))
	settled(q)
	again := put(q, marked(3, "b", false), marked(4, "a", true))
	settled(q)
	l.fail = func(*block.Op) error { return errDisk }
	l.flush(q)
	l.fail = nil
	first.confirmed(t, 1, 2)
	again.confirmed(t, 2)
	third := put(q, marked(5, "a", true), marked(6, "b", true))
	l.flush(q)
	third.confirmed(t)
	equal(t, "taken", drain(t, q), []uint64{1, 3, 5})
}

// What a full queue refuses is not known, and a repetition needs no room.
func TestRepetitionAndLimit(t *testing.T) {
	set := NoSettings
	set.MaxLength, set.Overflow = 2, RejectPublish
	q := New(Options{ID: 1, Log: newScriptLog(), Deduplication: byID, Settings: set})
	put(q, marked(1, "a", false), marked(2, "b", false), marked(3, "c", false), marked(4, "c", false)).confirmed(t, 3, 4)
	put(q, marked(5, "a", false), marked(6, "b", false)).confirmed(t)
	equal(t, "taken", drain(t, q), []uint64{1, 2})
	put(q, marked(7, "c", false)).confirmed(t)
	equal(t, "taken", drain(t, q), []uint64{7})
}

// After a crash a queue knows exactly what it has stored, even if it was consumed before.
func TestRepetitionAfterCrash(t *testing.T) {
	l := newScriptLog()
	q := New(Options{ID: 1, Durable: true, Log: l, Deduplication: byID})
	stored := put(q, marked(1, "a", true), marked(2, "t", false))
	equal(t, "taken before it is stored", drain(t, q), []uint64{1, 2})
	l.flush(q)
	stored.confirmed(t)
	lost := put(q, marked(3, "b", true))
	settled(q)
	l.mu.Lock()
	l.off, l.pending = true, nil
	l.mu.Unlock()
	if lost.done.Load() {
		t.Fatal("confirmed before it was stored")
	}
	q.Stop()
	l.off = false
	q = New(Options{ID: 1, Durable: true, Log: l, Deduplication: byID, Recovered: l.recovered(false)})
	p := put(q, marked(4, "a", true), marked(5, "b", true), marked(6, "t", false))
	l.flush(q)
	p.confirmed(t)
	equal(t, "taken after the crash", drain(t, q), []uint64{5, 6})
}

func TestRepetitionAfterTime(t *testing.T) {
	q := New(Options{ID: 1, Log: newScriptLog(), Deduplication: &dedup.Options{Header: "message_id", TTL: 1000}})
	var now atomic.Int64
	q.call(func() { q.seen.now = now.Load })
	for i, at := range []int64{1, 1000, 1001, 2000, 2001} {
		now.Store(at)
		put(q, marked(uint64(i), "a", false)).confirmed(t)
	}
	equal(t, "taken", drain(t, q), []uint64{0, 2, 4})
}

// TestDeduplicationOnStore repeats messages over restarts with the real store, with enough records that they are merged.
func TestDeduplicationOnStore(t *testing.T) {
	opt := store.Options{Dir: t.TempDir(), Sync: store.SyncOS, MinFree: 32 << 20}
	const window, each = 3000, 2000
	next := uint64(1)
	for round := range 3 {
		s, err := store.Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		q := New(Options{ID: 3, Durable: true, Log: s, Recovered: s.Recovered()[3],
			Deduplication: &dedup.Options{Header: "message_id", Size: window}})
		if known := next - 1; known > 0 {
			n := 0
			for id := max(1, int(known)-window+1); id <= int(known); id++ {
				put(q, marked(0, fmt.Sprint(id), true)).confirmed(t)
				n++
			}
			if got := drain(t, q); len(got) != 0 {
				t.Fatalf("round %d: %d of %d repetitions were taken", round, len(got), n)
			}
		}
		var last *answered
		for range each {
			last = put(q, marked(next, fmt.Sprint(next), true))
			next++
			if next%7 == 0 {
				last.confirmed(t)
			}
		}
		last.confirmed(t)
		if got := drain(t, q); len(got) != each {
			t.Fatalf("round %d: %d messages, want %d", round, len(got), each)
		}
		q.Stop()
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Recovered()[3].States); n > 256 {
		t.Errorf("%d records for a window of %d", n, window)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkDeduplicate is a transient message with a new id through the window: the cost over a plain publish.
func BenchmarkDeduplicate(b *testing.B) {
	q := New(Options{ID: 1, Log: newScriptLog(), Deduplication: byID})
	r := marked(1, "12345678", false)
	p := &Publication{}
	p.Block.Append(r)
	at := len(r.Properties) - 8
	props := p.Block.Records[block.PrefixLen+len(r.RoutingKey):][:len(r.Properties)]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint64(props[at:], uint64(i))
		if !q.seen.filter(q, p, int64(i), true) {
			b.Fatal("dropped")
		}
	}
}
