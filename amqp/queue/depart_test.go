package queue

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
	"github.com/brokerd/brokerd/amqp/dedup"
)

// newLeader is the queue at its new leader as the old one sees it, without a link between them.
type newLeader struct{ *Queue }

func (n newLeader) Adopt(list []*Consumer, unacked []int) (Inheritance, error) {
	return n.Queue, n.Queue.Adopt(list, unacked)
}

// carry has everything of a queue that is held still arrive in another log.
func carry(d *Departure, log *scriptLog, durable bool) (*Arrival, error) {
	done := make(chan error, 1)
	a := NewArrival(log, 99, durable, []byte("identity"))
	go func() {
		m, err := d.Send(context.Background(), a.Put)
		if err == nil {
			err = a.Finish(m)
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			return a, err
		default:
			log.claim(1 << 30)
			log.finish()
			runtime.Gosched()
		}
	}
}

// doMove moves the queue to another log, or nearly does. What reaches it meanwhile waits.
func (w *world) doMove(t *rapid.T) {
	d, err := w.q.Depart(t.Context())
	if err != nil {
		t.Fatalf("depart: %v", err)
	}
	w.mu.Lock()
	var out []uint64
	for _, m := range w.msgs {
		if m.state == msgOut {
			out = append(out, m.off)
		}
	}
	w.mu.Unlock()
	w.doPublish(t)
	w.doSettle(t)
	w.doCommit(t)
	log := newScriptLog()
	a, err := carry(d, log, w.durable)
	if err != nil {
		t.Fatalf("carry: %v", err)
	}
	if rapid.IntRange(0, 2).Draw(t, "stay") == 0 {
		a.Abandon()
		d.Stay()
		settled(w.q)
		if !log.dropped {
			t.Fatal("what has arrived is still there")
		}
		return
	}
	q := New(Options{ID: 7, LogID: a.LogID(), Name: "moved", Durable: w.durable, Log: log, Memory: w.mem, Arrival: a})
	var unsettled []uint64
	for _, r := range a.Unsettled() {
		for off := r.First; off <= r.Last; off++ {
			unsettled = append(unsettled, off)
		}
	}
	slices.Sort(out)
	if !slices.Equal(unsettled, out) {
		t.Fatalf("unsettled offsets %v, want %v", unsettled, out)
	}
	old, oldLog := w.q, w.log
	w.q, w.log = q, log
	d.Leave(newLeader{q})
	if err := old.Barrier(t.Context()); err != nil {
		t.Fatalf("barrier: %v", err)
	}
	oldLog.claim(1 << 30)
	oldLog.finish()
	if !oldLog.dropped {
		t.Fatal("the old log still has the queue")
	}
}

// TestDepartures feeds random events to a queue that moves from log to log, and compares it with a list of messages.
func TestDepartures(t *testing.T) {
	for _, v := range []struct {
		name    string
		durable bool
		memory  func() *Memory
	}{
		{"durable", true, func() *Memory { return NewMemory(0, 0) }},
		{"durable tiny memory", true, tiny},
		{"transient tiny memory", false, tiny},
	} {
		t.Run(v.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(t, v.durable, v.memory())
				acts := w.actions(false)
				acts["move"], acts["move2"] = w.doMove, w.doMove
				acts[""] = func(*rapid.T) { w.check() }
				t.Repeat(acts)
				w.drain()
				if len(w.failures) > 0 {
					t.Fatalf("%d failures, first: %s", len(w.failures), w.failures[0])
				}
			})
		})
	}
}

// TestForward uses a queue by way of the engine that led it before.
func TestForward(t *testing.T) {
	q := New(Options{ID: 1, Log: newScriptLog(), AutoDelete: true})
	publish(q, 1, 4, 16, false)
	d, err := q.Depart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log := newScriptLog()
	a, err := carry(d, log, false)
	if err != nil {
		t.Fatal(err)
	}
	next := New(Options{ID: 1, Log: log, Arrival: a})
	d.Leave(newLeader{next})
	publish(q, 4, 6, 16, false)
	s := newSink()
	c := &Consumer{Receiver: s, Prefetch: 2}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	settled(next)
	equal(t, "delivered", s.taken(), span(1, 3))
	ack(q, c, 0, 0)
	settled(q)
	settled(next)
	equal(t, "delivered", s.taken(), span(1, 4))
	p, left, ok, err := q.Get(false)
	if err != nil || !ok || left != 1 {
		t.Fatalf("get: %v %v %d", err, ok, left)
	}
	equal(t, "got", ids(p), span(4, 5))
	if st := status(t, q); st.Ready != 1 || st.Unacked != 3 || st.Consumers != 1 {
		t.Errorf("status %+v", st)
	}
	if n, err := q.Purge(); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if _, err := q.PrepareDelete(true, false); !errors.Is(err, ErrInUse) {
		t.Errorf("prepare: %v", err)
	}
	q.Cancel(c)
	if n, err := q.PrepareDelete(true, true); n != 0 || err != nil {
		t.Errorf("prepare: %d %v", n, err)
	}
	q.Resume()
	if _, err := q.Depart(t.Context()); !errors.Is(err, ErrMoving) {
		t.Errorf("departed again: %v", err)
	}
	next.Drop()
	q.Drop()
	if b := publish(q, 6, 7, 16, false); len(b.Refused()) > 0 {
		t.Error("a deleted queue refuses")
	}
	settled(q)
}

// TestDepartWaitsForLetters does not move a queue whose dead letters are not safe.
func TestDepartWaitsForLetters(t *testing.T) {
	var letters *Letters
	o := Options{ID: 1, Log: newScriptLog(), DeadLetter: func(l *Letters) { letters = l }, Settings: NoSettings}
	o.Settings.DeadLetters = true
	q := New(o)
	publish(q, 1, 3, 16, false)
	p, _, _, err := q.Get(false)
	if err != nil {
		t.Fatal(err)
	}
	q.Settle(&Settlement{Outcome: Drop, Ranges: []Range{{p.First, p.First}}})
	settled(q)
	defer func(d time.Duration) { quietTime = d }(quietTime)
	quietTime = time.Millisecond
	if _, err := q.Depart(t.Context()); err == nil {
		t.Fatal("departed with a dead letter under way")
	}
	if letters == nil || letters.Reason != deadletter.Rejected {
		t.Fatalf("letters %+v", letters)
	}
	letters.Done()
	quietTime = time.Minute
	d, err := q.Depart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.Stay()
	if st := status(t, q); st.Ready != 1 {
		t.Errorf("status %+v", st)
	}
	q.Stop()
}

// TestStopWhileMoving refuses what waits: it may belong to the new leader.
func TestStopWhileMoving(t *testing.T) {
	log := newScriptLog()
	q := New(Options{ID: 1, Log: log, Durable: true})
	b := publish(q, 1, 2, 16, true)
	log.flush(q)
	if len(b.Refused()) > 0 {
		t.Fatal("refused")
	}
	if _, err := q.Depart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b = publish(q, 2, 3, 16, true)
	q.Stop()
	if r := b.Refused(); !slices.Equal(r, []uint64{2}) {
		t.Errorf("refused %v", r)
	}
	if r := log.recovered(true); len(r.Blocks) != 1 {
		t.Errorf("stored blocks %+v", r.Blocks)
	}
}

// TestArrivalRefuses takes nothing that does not fit together.
func TestArrivalRefuses(t *testing.T) {
	var r []byte
	r = block.AppendRecord(r, rec(1, 16, true))
	for name, list := range map[string][]MovedBlock{
		"count":    {{Base: 0, Count: 2, Records: r}},
		"none":     {{Base: 0, Records: r}},
		"rest":     {{Base: 0, Count: 1, Records: append(slices.Clone(r), 0)}},
		"overlap":  {{Base: 1, Count: 1, Records: r}, {Base: 1, Count: 1, Records: r}},
		"lanes":    {{Base: 1<<56 - 1, Count: 2, Records: append(slices.Clone(r), r...)}},
		"gone":     {{Base: 0, Count: 1, Records: r, Gone: []uint64{0, 0}}},
		"bad data": {{Base: 0, Count: 1, Records: r[:20]}},
	} {
		a := NewArrival(newScriptLog(), 5, true, nil)
		var err error
		for i := range list {
			err = a.Put(&list[i])
		}
		if !errors.Is(err, block.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, l := range map[string]MovedLane{
		"number":   {Number: 300},
		"lane":     {Number: 1, Next: 5, Fresh: 5},
		"fresh":    {Next: 5, Fresh: 6},
		"requeued": {Next: 5, Fresh: 3, Requeued: []Range{{2, 3}}},
		"order":    {Next: 5, Fresh: 3, Requeued: []Range{{2, 1}}},
	} {
		a := NewArrival(newScriptLog(), 5, true, nil)
		if err := a.Finish(&MovedQueue{Lanes: []MovedLane{l}}); !errors.Is(err, block.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysMove keeps what a queue has seen known where it moves.
func TestKeysMove(t *testing.T) {
	for _, durable := range []bool{false, true} {
		q := New(Options{ID: 1, Log: newScriptLog(), Durable: durable, Deduplication: &dedup.Options{}})
		q.call(func() {
			for i := range 5000 {
				q.seen.window.Add(dedup.Key{byte(i), byte(i >> 8), 1}, q.seen.now())
			}
		})
		d, err := q.Depart(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		log := newScriptLog()
		a, err := carry(d, log, durable)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(log.states); durable != (n == 3) { // with the identity
			t.Errorf("durable %v: %d states", durable, n)
		}
		next := New(Options{ID: 1, LogID: a.LogID(), Log: log, Durable: durable, Deduplication: &dedup.Options{}, Arrival: a})
		if n := next.seen.window.Len(); n != 5000 {
			t.Errorf("%d keys are known, want 5000", n)
		}
		d.Leave(newLeader{next})
		next.Stop()
	}
}
