package peer

import (
	"slices"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
)

// TestRefusedMessages has a full queue refuse messages of publications that were joined on the way.
func TestRefusedMessages(t *testing.T) {
	l := newLeader(t)
	set := queue.NoSettings
	set.MaxLength, set.Overflow = 10, queue.RejectPublish
	q := l.declare(queue.Options{ID: 1, Settings: set})
	h := newUser(t, l, "user").queue(1)
	if _, err := q.PrepareDelete(false, false); err != nil { // so that they all come to a queue that is full at the same point
		t.Fatal(err)
	}
	type sent struct {
		b        *queue.Batch
		answered chan struct{}
		seqs     []uint64
	}
	var all []sent
	for i := range uint64(8) { // 3 messages each: with numbers in sequence, and without
		s := sent{answered: make(chan struct{}), seqs: []uint64{100 * i, 100*i + 1, 100*i + 2}}
		s.b = &queue.Batch{First: 100 * i, Last: 100*i + 2, Complete: func(*queue.Batch) { close(s.answered) }}
		p := &queue.Publication{Batch: s.b}
		if i%2 == 1 {
			s.seqs = []uint64{100*i + 2, 100*i + 5, 100*i + 9}
			p.Seqs, s.b.Last = s.seqs, 100*i+9
		}
		for _, seq := range s.seqs {
			p.Block.Append(rec(seq, 16, false))
		}
		s.b.Add()
		h.Publish(p)
		all = append(all, s)
	}
	q.Resume()
	for i, s := range all {
		within(t, "answer", s.answered)
		want := s.seqs
		switch {
		case i < 3:
			want = nil
		case i == 3:
			want = s.seqs[1:]
		}
		got := s.b.Refused()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("publication %d: refused %v, want %v", i, got, want)
		}
	}
	wantStatus(t, q, 10, 0, 0)
}

func TestSourceIsRefused(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	h := newUser(t, l, "user").queue(1)
	done := make(chan struct{})
	flow := &budget{}
	b := &queue.Batch{First: 4, Last: 4, Complete: func(*queue.Batch) { close(done) }}
	p := &queue.Publication{Batch: b, Flow: flow, Letters: true, Source: []*block.Op{{}}}
	p.Block.Append(rec(1, 16, true))
	flow.add(p.Block.Size())
	b.Add()
	h.Publish(p)
	within(t, "answer", done)
	if !slices.Equal(b.Refused(), []uint64{4}) || flow.left() != 0 {
		t.Errorf("refused %v, %d bytes left; want 4, 0", b.Refused(), flow.left())
	}
	wantStatus(t, q, 0, 0, 0)
}

// TestCrowd has more deliveries for many consumers than may wait for a link that is stuck for a moment.
func TestCrowd(t *testing.T) {
	const consumers, each, size = 80, 20, 30 << 10
	l := newLeader(t, func(o *ServiceOptions) { o.LinkTimeout = 20 * time.Second })
	u := newUser(t, l, "user", func(o *Options) { o.LinkTimeout = 20 * time.Second })
	var all []*sink
	for i := range uint64(consumers) {
		l.declare(queue.Options{ID: i + 1})
		c := newSink(u.queue(i+1), -1)
		c.consume(t)
		all = append(all, c)
	}
	u.proxy.stall()
	for i := range uint64(consumers) {
		for j := range uint64(each) {
			publish(l.queue(i+1), j, j+1, size, false, nil)
		}
	}
	l.svc.mu.Lock()
	s := l.svc.links["user"]
	l.svc.mu.Unlock()
	crowding := func() bool { s.out.mu.Lock(); defer s.out.mu.Unlock(); return len(s.out.crowding) > 0 }
	until(t, "consumers that wait for the link", crowding)
	s.out.mu.Lock()
	if s.out.unsent > 2*maxUnsent {
		t.Errorf("%d bytes wait for the link, want about %d at most", s.out.unsent, maxUnsent)
	}
	s.out.mu.Unlock()
	u.proxy.resume()
	for _, c := range all {
		c.want(t, span(0, each))
		c.settle(queue.Ack, 0, each)
	}
	for i := range uint64(consumers) {
		wantStatus(t, l.queue(i+1), 0, 0, 1)
	}
	until(t, "nothing is on its way", func() bool { return s.onWay.Load() < consumers*creditBytes*2 })
}

// TestTouch keeps a queue that expires when it is unused.
func TestTouch(t *testing.T) {
	l := newLeader(t)
	l.declare(queue.Options{ID: 1})
	h := newUser(t, l, "user").queue(1).(*remote)
	for range 3 {
		h.Touch()
		until(t, "touch", func() bool { return !h.touched.Load() })
	}
	if h.ID() != 1 {
		t.Errorf("id %d, want 1", h.ID())
	}
}

// TestLateCancel has deliveries come for a consumer whose Cancel has not waited for them.
func TestLateCancel(t *testing.T) {
	l := newLeader(t, func(o *ServiceOptions) { o.LinkTimeout = 20 * time.Second })
	q := l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user", func(o *Options) { o.LinkTimeout, o.CallTimeout = 20*time.Second, 100*time.Millisecond })
	h := u.queue(1)
	c := newSink(h, -1)
	c.consume(t)
	u.proxy.stall()
	_, answered := publish(q, 0, 10, 16, false, nil)
	within(t, "confirm", answered)
	wantStatus(t, q, 0, 10, 1)
	h.Cancel(&c.Consumer)
	u.proxy.resume()
	wantStatus(t, q, 10, 0, 0)
	if n := c.count(); n > 0 {
		t.Errorf("%d messages came after Cancel", n)
	}
}
