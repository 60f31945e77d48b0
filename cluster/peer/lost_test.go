package peer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
)

func TestLostLink(t *testing.T) {
	for _, how := range []string{"cut", "silent"} {
		t.Run(how, func(t *testing.T) {
			l := newLeader(t, func(o *ServiceOptions) { o.LinkTimeout = 400 * time.Millisecond })
			q := l.declare(queue.Options{ID: 1})
			u := newUser(t, l, "user", func(o *Options) { o.LinkTimeout = 400 * time.Millisecond })
			h := u.queue(1)
			_, answered := publish(h, 0, 10, 16, false, nil)
			within(t, "confirm", answered)
			c := newSink(h, -1)
			c.Prefetch = 5
			c.consume(t)
			c.want(t, span(0, 5))
			p, _, ok, err := h.Get(false)
			if !ok || err != nil || !slices.Equal(ids(p), []uint64{5}) {
				t.Fatalf("get: %v, %v, %v; want message 5", ids(p), ok, err)
			}
			old := u.links.session(leaderName)
			flow := &budget{}
			if how == "silent" {
				u.proxy.stall()
			} else {
				_, _ = q.PrepareDelete(false, false) // nothing is answered any more
			}
			batch, answered := publish(h, 100, 103, 16, false, flow)
			if how == "silent" {
				until(t, "loss of the link", func() bool { return u.links.session(leaderName) != old })
			} else {
				u.cut()
				q.Resume()
			}
			within(t, "answer to a publication over a lost link", answered)
			if r := batch.Refused(); !slices.Equal(r, span(100, 103)) {
				t.Errorf("refused %v, want all", r)
			}
			until(t, "cancel", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.cancelled == 1 })
			if n := flow.left(); n != 0 {
				t.Errorf("%d bytes of flow are not given back", n)
			}
			u.proxy.cut()
			u.wait()
			// What came over the old link cannot be settled over the new one, the same offsets neither.
			var again queue.Piece
			until(t, "the link is there for good", func() bool {
				again, _, ok, err = h.Get(false)
				return err != queue.ErrUnavailable
			})
			if !ok || err != nil || !again.Redelivered {
				t.Fatalf("get over the new link: redelivered %v, %v, %v; want a requeued message", again.Redelivered, ok, err)
			}
			if p.First == again.First {
				t.Fatalf("two messages of Get have the number %d", p.First)
			}
			done := make(chan struct{})
			c.settle(queue.Ack, 0, 5)
			h.Settle(&queue.Settlement{Handle: h, Ranges: []queue.Range{{First: p.First, Last: p.First}}, Done: func() { close(done) }})
			within(t, "void settlement", done)
			wantHeld(t, q, 1)
			if s, _ := q.Status(); s.Ready < 9 { // what was refused may have come to the queue all the same
				t.Errorf("%d messages are ready, want 9", s.Ready)
			}
			h.Settle(&queue.Settlement{Handle: h, Ranges: []queue.Range{{First: again.First, Last: again.First}}})
			wantHeld(t, q, 0)
		})
	}
}

// wantHeld waits until so many messages of q are unacknowledged, and nobody consumes.
func wantHeld(t testing.TB, q *queue.Queue, unacked int) {
	t.Helper()
	var s queue.Status
	until(t, "end of the old consumer and messages", func() bool {
		s, _ = q.Status()
		return s.Unacked == unacked && s.Consumers == 0
	})
}

func TestLinkDown(t *testing.T) {
	l := newLeader(t)
	l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user")
	h := u.queue(1)
	u.links.Disconnect(leaderName)
	c := newSink(h, -1)
	if err := h.Consume(&c.Consumer); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("consume without a link: %v, want %v", err, queue.ErrUnavailable)
	}
	if _, err := h.PrepareDelete(false, false); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("delete without a link: %v, want %v", err, queue.ErrUnavailable)
	}
	h.Cancel(&c.Consumer)
	h.Wake(&c.Consumer)
	h.Touch()
	h.Resume()
	u.links.Connect(leaderName)
	u.wait()
	c.consume(t)
	_, answered := publish(h, 0, 3, 16, false, nil)
	within(t, "confirm", answered)
	c.want(t, span(0, 3))
	u.mu.Lock()
	defer u.mu.Unlock()
	if !slices.Equal(u.changes, []bool{true, false, true}) {
		t.Errorf("changes of the link: %v, want up, down, up", u.changes)
	}
}

// TestPrepared ends a link while a deletion is prepared over it.
func TestPrepared(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user", func(o *Options) { o.CallTimeout = 300 * time.Millisecond })
	h := u.queue(1)
	if _, err := h.PrepareDelete(false, false); err != nil {
		t.Fatal(err)
	}
	c := newSink(h, -1)
	if err := h.Consume(&c.Consumer); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("consume while the queue is held still: %v, want %v", err, queue.ErrUnavailable)
	}
	u.cut()
	_, answered := publish(q, 0, 3, 16, false, nil)
	within(t, "the queue goes on after the loss of the link", answered)
	wantStatus(t, q, 3, 0, 0)
	u.wait()
	if _, err := h.PrepareDelete(false, false); err != nil {
		t.Fatal(err)
	}
	h.Resume()
	_, answered = publish(h, 3, 5, 16, false, nil)
	within(t, "the queue goes on after Resume", answered)
	c2 := newSink(h, -1)
	c2.consume(t)
	if _, err := h.PrepareDelete(false, false); err != nil {
		t.Fatal(err)
	}
	_, answered = publish(h, 5, 6, 16, false, nil)
	q.Drop()
	within(t, "a deleted queue counts as having taken the message", answered)
	until(t, "cancel", func() bool { c2.mu.Lock(); defer c2.mu.Unlock(); return c2.cancelled == 1 })
	if _, err := h.Purge(); !errors.Is(err, queue.ErrGone) {
		t.Errorf("purge: %v, want %v", err, queue.ErrGone)
	}
	h.Drop()
	until(t, "forgotten deletion", func() bool {
		l.svc.mu.Lock()
		s := l.svc.links["user"]
		l.svc.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.prepared)+len(s.subs) == 0
	})
}

// TestLateQueue uses a queue before its leader knows of it.
func TestLateQueue(t *testing.T) {
	l := newLeader(t)
	l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user")
	late, here := u.queue(2), u.queue(1)
	var all []chan struct{}
	for i := range uint64(50) {
		b, answered := publish(late, i, i+1, 16, false, nil)
		all = append(all, answered)
		defer func() {
			if len(b.Refused()) > 0 {
				t.Errorf("refused: %v", b.Refused())
			}
		}()
	}
	c := newSink(late, -1)
	consumed := make(chan error, 1)
	go func() { consumed <- late.Consume(&c.Consumer) }()
	_, answered := publish(here, 0, 3, 16, false, nil)
	within(t, "a queue that is there", answered)
	l.declare(queue.Options{ID: 2})
	if err := <-consumed; err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		within(t, "confirm", a)
	}
	c.want(t, span(0, 50))
	// A leader that cannot tell whether a queue is its own does not say that it is gone.
	unsure := newLeader(t)
	unsure.clueless = errors.New("nobody knows")
	if _, err := newUser(t, unsure, "user").queue(2).Status(); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("status of a queue that its leader does not know of yet: %v, want %v", err, queue.ErrUnavailable)
	}
	// A queue that does not come.
	b, answered := publish(u.queue(3), 0, 3, 16, false, nil)
	if _, err := u.queue(3).Status(); !errors.Is(err, queue.ErrGone) {
		t.Errorf("status of a queue that is not there: %v, want %v", err, queue.ErrGone)
	}
	within(t, "answer", answered)
	if r := b.Refused(); !slices.Equal(r, span(0, 3)) {
		t.Errorf("refused %v, want all", r)
	}
}
