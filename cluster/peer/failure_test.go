package peer

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
)

// failingLog is an instantLog that fails while it is broken.
type failingLog struct {
	instantLog
	broken atomic.Bool
}

func (l *failingLog) Submit(op *block.Op) {
	var err error
	if l.broken.Load() {
		err = errors.New("disk is gone")
	}
	if op.Owner != nil && op.Owner.Claim(op) {
		op.Owner.Done(op, err)
	}
}

// at returns where the i-th message that came is in its queue.
func (s *sink) at(i int) queue.Range {
	s.mu.Lock()
	defer s.mu.Unlock()
	return queue.Range{First: s.offsets[i], Last: s.offsets[i]}
}

// TestFailedLog has the leader's log fail: whoever publishes must keep its messages, whoever settles must hear of it.
func TestFailedLog(t *testing.T) {
	l := newLeader(t)
	log := &failingLog{}
	q := l.declare(queue.Options{ID: 1, Durable: true, Log: log, Memory: queue.NewMemory(1<<40, 1<<40)})
	h := newUser(t, l, "user").queue(1)
	safe, answered := publish(h, 0, 3, 16, true, nil)
	within(t, "confirm", answered)
	if safe.Unkept() || len(safe.Refused()) > 0 {
		t.Errorf("a healthy log: unkept %v, refused %v", safe.Unkept(), safe.Refused())
	}
	c := newSink(h, -1)
	c.consume(t)
	c.want(t, span(0, 3))
	want := func(what string, failed error, from, to int) {
		t.Helper()
		var got error
		done := make(chan struct{})
		v := &queue.Settlement{Handle: h, Consumer: &c.Consumer, Done: func() { close(done) }, Failed: func(err error) { got = err }}
		for i := from; i < to; i++ {
			v.Ranges = append(v.Ranges, c.at(i))
		}
		h.Settle(v)
		within(t, what, done)
		if !errors.Is(got, failed) {
			t.Errorf("%s: %v, want %v", what, got, failed)
		}
	}
	want("settlement with a healthy log", nil, 0, 1)
	log.broken.Store(true)
	want("settlement with a broken log", errNotStored, 1, 3)
	unsafe, answered := publish(h, 10, 13, 16, true, nil)
	within(t, "refusal", answered)
	refused := unsafe.Refused()
	slices.Sort(refused)
	if !unsafe.Unkept() || unsafe.Lost() || !slices.Equal(slices.Compact(refused), span(10, 13)) {
		t.Errorf("a broken log: unkept %v, lost %v, refused %v; want true, false, all", unsafe.Unkept(), unsafe.Lost(), refused)
	}
	until(t, "delivery of what is not stored", func() bool { return c.count() == 6 })
	wantStatus(t, q, 0, 3, 1)
}

// TestVoidSettlements settles what came over a link that was lost, before and after another one is up, and over one that is lost
// meanwhile.
func TestVoidSettlements(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user")
	h := u.queue(1)
	_, answered := publish(h, 0, 4, 16, false, nil)
	within(t, "confirm", answered)
	c := newSink(h, -1)
	c.Prefetch = 2
	c.consume(t)
	c.want(t, span(0, 2))
	p, _, ok, err := h.Get(false)
	if !ok || err != nil {
		t.Fatalf("get: %v, %v", ok, err)
	}
	settle := func(v queue.Settlement) (*error, chan struct{}) {
		failed, done := new(error), make(chan struct{})
		v.Handle, v.Failed, v.Done = h, func(err error) { *failed = err }, func() { close(done) }
		h.Settle(&v)
		return failed, done
	}
	want := func(what string, failed *error, done chan struct{}) {
		t.Helper()
		within(t, what, done)
		if !errors.Is(*failed, queue.ErrUnavailable) {
			t.Errorf("%s: %v, want %v", what, *failed, queue.ErrUnavailable)
		}
	}
	if _, err := q.PrepareDelete(false, false); err != nil { // so that nothing is answered
		t.Fatal(err)
	}
	underWay, done := settle(queue.Settlement{Consumer: &c.Consumer, Ranges: []queue.Range{c.at(0)}})
	u.cut()
	want("under way when the link was lost", underWay, done)
	q.Resume()
	u.wait()
	failed, done := settle(queue.Settlement{Consumer: &c.Consumer, Ranges: []queue.Range{c.at(1)}})
	want("of a consumer of a lost link", failed, done)
	again, _, ok, err := h.Get(false)
	if !ok || err != nil {
		t.Fatalf("get: %v, %v", ok, err)
	}
	failed, done = settle(queue.Settlement{Ranges: []queue.Range{{First: p.First, Last: p.First}, {First: again.First, Last: again.First}}})
	want("of a message of a lost link beside another one", failed, done)
	u.links.Disconnect(leaderName)
	failed, done = settle(queue.Settlement{Ranges: []queue.Range{{First: again.First, Last: again.First}}})
	want("without a link", failed, done)
	h.Drop()
	failed, done = settle(queue.Settlement{Ranges: []queue.Range{{First: again.First, Last: again.First}}})
	within(t, "of a deleted queue", done)
	if *failed != nil {
		t.Errorf("of a deleted queue: %v, want no failure", *failed)
	}
}

// TestNotLed publishes to a queue that the other node does not lead: the messages are lost on the way, not refused by the queue.
func TestNotLed(t *testing.T) {
	l := newLeader(t, func(o *ServiceOptions) { o.Await = nil })
	h := newUser(t, l, "user").queue(7)
	b, answered := publish(h, 0, 2, 16, true, nil)
	within(t, "refusal", answered)
	if !b.Lost() || b.Unkept() || len(b.Refused()) != 2 {
		t.Errorf("lost %v, unkept %v, refused %v; want true, false, all", b.Lost(), b.Unkept(), b.Refused())
	}
}
