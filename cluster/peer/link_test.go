package peer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
)

func span(from, to uint64) (list []uint64) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func (s *sink) want(t testing.TB, want []uint64) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for s.count() < len(want) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.got, want) {
		t.Fatalf("got %d messages %v, want %d %v", len(s.got), s.got[:min(40, len(s.got))], len(want), want[:min(40, len(want))])
	}
}

func wantStatus(t testing.TB, h queue.Handle, ready, unacked, consumers int) {
	t.Helper()
	var s queue.Status
	var err error
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if s, err = h.Status(); err == nil && s.Ready == ready && s.Unacked == unacked && s.Consumers == consumers {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("status %+v, %v; want %d ready, %d unacked, %d consumers", s, err, ready, unacked, consumers)
}

func TestPublishConsumeAck(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1, Durable: true})
	h := newUser(t, l, "user").queue(1)
	flow := &budget{}
	for i := range uint64(100) {
		b, answered := publish(h, i*10, i*10+10, 16, i%2 == 0, flow)
		if i == 99 {
			within(t, "confirm", answered)
			if len(b.Refused()) > 0 {
				t.Fatalf("refused: %v", b.Refused())
			}
		}
	}
	c := newSink(h, -1)
	c.consume(t)
	c.want(t, span(0, 1000))
	wantStatus(t, h, 0, 1000, 1)
	done := make(chan struct{})
	h.Settle(&queue.Settlement{Handle: h, Consumer: &c.Consumer, Ranges: []queue.Range{{First: 0, Last: 899}}, Done: func() { close(done) }})
	within(t, "durable settlement", done)
	wantStatus(t, q, 0, 100, 1)
	c.settle(queue.Requeue, 900, 1000)
	c.want(t, append(span(0, 1000), span(900, 1000)...))
	if c.again[999] || !c.again[1000] {
		t.Fatalf("redelivered: first %v, second %v; want false, true", c.again[999], c.again[1000])
	}
	h.Cancel(&c.Consumer)
	wantStatus(t, q, 0, 100, 0)
	c.settle(queue.Drop, 1000, 1100)
	wantStatus(t, q, 0, 0, 0)
	until(t, "flow", func() bool { return flow.left() == 0 })
	if s := h.(*remote).session(); len(s.consumers)+len(s.byID)+len(s.sent)+len(s.settles) > 0 {
		t.Fatalf("left over: %d consumers, %d publications, %d settlements", len(s.byID), len(s.sent), len(s.settles))
	}
}

func TestErrors(t *testing.T) {
	l := newLeader(t)
	l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user")
	h := u.queue(1)
	a, b := newSink(h, -1), newSink(h, -1)
	a.Exclusive = true
	a.consume(t)
	if err := h.Consume(&b.Consumer); !errors.Is(err, queue.ErrExclusiveUse) {
		t.Errorf("second consumer: %v, want %v", err, queue.ErrExclusiveUse)
	}
	if _, err := h.PrepareDelete(true, false); !errors.Is(err, queue.ErrInUse) {
		t.Errorf("delete if unused: %v, want %v", err, queue.ErrInUse)
	}
	h.Cancel(&a.Consumer)
	_, answered := publish(h, 1, 4, 16, false, nil)
	within(t, "confirm", answered)
	if _, err := h.PrepareDelete(true, true); !errors.Is(err, queue.ErrNotEmpty) {
		t.Errorf("delete if empty: %v, want %v", err, queue.ErrNotEmpty)
	}
	if n, err := h.Purge(); n != 3 || err != nil {
		t.Errorf("purge: %d, %v; want 3", n, err)
	}
	if _, _, ok, err := h.Get(true); ok || err != nil {
		t.Errorf("get: %v, %v; want nothing", ok, err)
	}
	if u.queue(1) != h {
		t.Error("another handle for the same queue")
	}
	u.links.Drop(1)
	if u.queue(1) == h {
		t.Error("the same handle after Drop")
	}
	if _, err := h.Status(); !errors.Is(err, queue.ErrGone) {
		t.Errorf("status after Drop: %v, want %v", err, queue.ErrGone)
	}
	far := u.links.Queue("elsewhere", 1)
	if _, err := far.Purge(); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("purge at a node without a link: %v, want %v", err, queue.ErrUnavailable)
	}
	batch, answered := publish(far, 1, 4, 16, false, nil)
	within(t, "confirm", answered)
	if r := batch.Refused(); !slices.Equal(r, span(1, 4)) {
		t.Errorf("refused at a node without a link: %v, want all", r)
	}
}
