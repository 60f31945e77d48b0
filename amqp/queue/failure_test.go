package queue

import (
	"errors"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
)

// refuseKind makes a log fail for ops of one kind, and one queue if that is not 0.
func refuseKind(kind block.OpKind, queue uint64) func(*block.Op) error {
	return func(op *block.Op) error {
		if op.Kind == kind && (queue == 0 || op.Queue == queue) {
			return errDisk
		}
		return nil
	}
}

// A purge is answered when no crash can bring the messages back, those of partly acknowledged blocks included.
func TestPurgeIsDurable(t *testing.T) {
	l := newScriptLog()
	q := newQueue(l, nil)
	c := &Consumer{Receiver: newSink(), Prefetch: 2}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	publish(q, 0, 5, 16, true) // two of them stay out
	l.flush(q)
	for id := uint64(5); id < 9; id++ {
		publish(q, id, id+1, 20<<10, true)
	}
	l.flush(q)
	answered := make(chan error, 1)
	n := 0
	go func() {
		var err error
		n, err = q.Purge()
		answered <- err
	}()
	until(t, "the purge is with the log", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.pending) > 0 && l.pending[len(l.pending)-1].Kind == block.OpBarrier
	})
	select {
	case <-answered:
		t.Fatal("answered before it was stored")
	default:
	}
	l.claim(100)
	l.finish()
	if err := <-answered; err != nil || n != 7 {
		t.Fatalf("purged %d, %v; want 7", n, err)
	}
	again := New(Options{ID: 1, Durable: true, Log: l, Recovered: l.recovered(false)}) // after a crash
	if s := status(t, again); s.Ready != 2 {
		t.Fatalf("%d messages after a crash, want the 2 that were out", s.Ready)
	}
}

// A purge that the log did not take is not taken for done, but tried again.
func TestPurgeFails(t *testing.T) {
	for _, kind := range []block.OpKind{block.OpDelete, block.OpGone, block.OpBarrier} {
		l := newScriptLog()
		q := newQueue(l, nil)
		c := &Consumer{Receiver: newSink(), Prefetch: 1}
		if err := q.Consume(c); err != nil {
			t.Fatal(err)
		}
		publish(q, 0, 2, 16, true)
		publish(q, 2, 3, 40<<10, true)
		l.flush(q)
		l.mu.Lock()
		l.fail = refuseKind(kind, 0)
		l.mu.Unlock()
		answered := make(chan error, 1)
		if n, err := q.purgeThen(func(err error) { answered <- err }); n != 2 || err != nil {
			t.Fatalf("purged %d, %v; want 2", n, err)
		}
		l.claim(100)
		l.finish()
		if err := <-answered; err == nil {
			t.Errorf("no error though op %d failed", kind)
		}
		l.mu.Lock()
		l.fail = nil
		l.mu.Unlock()
		until(t, "it is tried again", func() bool {
			l.flush(q)
			r := l.recovered(false)
			return len(r.Blocks) == 1 && bitset(r.Gone[r.Blocks[0].Base]).has(1)
		})
		q.Stop()
		l.claim(100)
		l.finish()
	}
}

// A settlement of tx.commit says when the log did not take it.
func TestSettlementFails(t *testing.T) {
	for _, kind := range []block.OpKind{block.OpDelete, block.OpMark} { // the second has nothing to do with it
		l := newScriptLog()
		q := newQueue(l, nil)
		c := &Consumer{Receiver: newSink()}
		if err := q.Consume(c); err != nil {
			t.Fatal(err)
		}
		publish(q, 0, 1, 16, true)
		l.flush(q)
		l.mu.Lock()
		l.fail = refuseKind(kind, 0)
		l.mu.Unlock()
		var failed error
		done := make(chan struct{})
		q.Settle(&Settlement{Consumer: c, Ranges: []Range{{0, 0}}, Done: func() { close(done) }, Failed: func(err error) { failed = err }})
		settled(q)
		l.claim(100)
		l.finish()
		within(t, "answer", func() { <-done })
		if want := kind == block.OpDelete; errors.Is(failed, errNotWritten) != want {
			t.Errorf("op %d failed: the settlement says %v", kind, failed)
		}
		l.mu.Lock()
		l.fail = nil
		l.mu.Unlock()
		q.Stop()
		l.claim(100)
		l.finish()
	}
}

// A dead letter that its target could not store stays in the log of its source, whatever else is written about the block it is in.
func TestLetterThatIsNotStored(t *testing.T) {
	l := newPairLog(sourceID, targetID)
	target := New(Options{ID: targetID, Durable: true, Log: l})
	var unkept bool
	source := New(Options{ID: sourceID, Durable: true, Log: l, Settings: Settings{MessageTTL: None, Expires: None, MaxLength: None,
		MaxBytes: None, DeliveryLimit: None, DeadLetters: true}, DeadLetter: func(x *Letters) {
		b := &Batch{First: 1, Last: 1, Complete: func(b *Batch) {
			if unkept = b.Unkept(); !unkept {
				x.Done()
			}
		}}
		p := &Publication{Batch: b, Letters: true, Source: x.Source([]int{0})}
		var r block.Record
		if _, err := block.Parse(x.Records[0].Record, x.Records[0].Tail, &r); err != nil {
			t.Error(err)
		}
		p.Block.Append(&r)
		b.Add()
		target.Publish(p)
	}})
	rest := func() {
		for range 3 {
			settled(source)
			settled(target)
		}
	}
	commit := func() {
		rest()
		l.claim(100)
		l.finish()
		rest()
	}
	c := &Consumer{Receiver: newSink()}
	if err := source.Consume(c); err != nil {
		t.Fatal(err)
	}
	publish(source, 0, 3, 16, true)
	commit()
	l.fail = refuseKind(block.OpPut, targetID)
	source.Settle(&Settlement{Consumer: c, Outcome: Drop, Ranges: []Range{{0, 0}}})
	rest()
	ack(source, c, 1, 1)
	rest()
	source.call(source.flushGone) // in the same commit
	commit()
	if !unkept {
		t.Error("the failure was not told")
	}
	l.fail = nil
	until(t, "the bitmap is written again", func() bool {
		commit()
		source.call(source.flushGone)
		gone := bitset(l.of[sourceID].recovered(false).Gone[0])
		return gone.has(1) && !gone.has(0)
	})
	again := New(Options{ID: sourceID, Durable: true, Log: l, Recovered: l.of[sourceID].recovered(false)})
	if s := status(t, again); s.Ready != 2 {
		t.Errorf("%d messages after a crash, want the letter and the one that is out", s.Ready)
	}
	if s := status(t, target); s.Ready != 1 {
		t.Errorf("%d messages in the target, want 1: it stays in memory", s.Ready)
	}
	source.Stop()
	target.Stop()
	commit()
}
