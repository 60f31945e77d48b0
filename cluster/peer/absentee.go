package peer

import (
	"context"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// task is something for a queue to do; exactly one field is set.
type task struct {
	publish *inbound
	call    *peerv1.Call
}

// absentee is a queue that this node does not lead, or does not know yet that it does. What comes for it waits until that is
// clear, in order, while everything else goes on.
type absentee struct {
	tasks []task
}

const (
	// maxParked bounds the bytes of publications of a link that wait for absent queues. More are refused.
	maxParked = 64 << 20
	// maxCalls bounds the calls of a link that are under way. More are answered with queue.ErrUnavailable.
	maxCalls = 1 << 15
)

// to gives t to the queue, or has it wait for the queue. It is called by the reader.
func (s *serving) to(id uint64, t task) {
	s.mu.Lock()
	if a := s.absent[id]; a != nil {
		s.park(a, t)
		return
	}
	s.mu.Unlock()
	h := s.svc.opts.Queue(id)
	if h != nil || s.svc.opts.Await == nil {
		s.do(h, queue.ErrGone, t)
		return
	}
	a := &absentee{}
	s.mu.Lock()
	s.absent[id] = a
	s.park(a, t)
	s.svc.work.Go(func() { s.await(id, a) })
}

// park has t wait. It releases mu, which must be held.
func (s *serving) park(a *absentee, t task) {
	size := 0
	if t.publish != nil {
		size = t.publish.size
	}
	if s.parked+size > maxParked || len(a.tasks) >= maxCalls {
		s.mu.Unlock()
		s.do(nil, queue.ErrUnavailable, t)
		return
	}
	s.parked += size
	a.tasks = append(a.tasks, t)
	s.mu.Unlock()
}

// await waits for a queue and then does what waits for it. While there is something left more may join it, so that the order stays.
func (s *serving) await(id uint64, a *absentee) {
	ctx, cancel := context.WithTimeout(s.ctx, awaitTime)
	defer cancel()
	missing := queue.ErrGone
	h, err := s.svc.opts.Await(ctx, id)
	if err != nil {
		missing = queue.ErrUnavailable
	}
	for {
		s.mu.Lock()
		tasks := a.tasks
		a.tasks = nil
		if len(tasks) == 0 {
			delete(s.absent, id)
			s.mu.Unlock()
			return
		}
		for _, t := range tasks {
			if t.publish != nil {
				s.parked -= t.publish.size
			}
		}
		ended := s.ended
		s.mu.Unlock()
		if ended {
			return // the other node has refused them
		}
		for _, t := range tasks {
			s.do(h, missing, t)
		}
	}
}

// do has the queue do t; if h is nil, t is answered with missing.
func (s *serving) do(h queue.Handle, missing error, t task) {
	switch {
	case t.publish != nil && h != nil:
		h.Publish(&t.publish.pub)
	case t.publish != nil:
		t.publish.refuse()
	case h == nil:
		s.reply(t.call, &peerv1.Reply{Failure: failureOf(missing)})
	case s.calls.Add(1) > maxCalls:
		s.calls.Add(-1)
		s.reply(t.call, &peerv1.Reply{Failure: peerv1.Failure_FAILURE_UNAVAILABLE})
	default:
		s.svc.work.Go(func() {
			defer s.calls.Add(-1)
			s.call(h, t.call)
		})
	}
}

// reply answers a call, behind what was delivered for the same queue.
func (s *serving) reply(m *peerv1.Call, r *peerv1.Reply) {
	r.Id = m.Id
	s.out.push(outgoing{event: &peerv1.Event{Reply: r}, key: m.Queue})
}

// call does m, which may wait, and answers it.
func (s *serving) call(h queue.Handle, m *peerv1.Call) {
	r := &peerv1.Reply{}
	var err error
	var n int
	switch m.Method {
	case peerv1.Method_METHOD_CONSUME:
		err = s.consume(h, m.Consume)
	case peerv1.Method_METHOD_CANCEL:
		if sub := s.sub(m.Consumer); sub != nil {
			sub.cancel()
		}
	case peerv1.Method_METHOD_GET:
		r.Piece, n, err = s.get(h, m)
	case peerv1.Method_METHOD_PURGE:
		n, err = h.Purge()
	case peerv1.Method_METHOD_STATUS:
		var st queue.Status
		if st, err = h.Status(); err == nil {
			r.Status = &peerv1.Status{Ready: int64(st.Ready), Unacked: int64(st.Unacked), Consumers: int64(st.Consumers),
				Resident: st.Resident}
		}
	case peerv1.Method_METHOD_PREPARE_DELETE:
		n, err = s.prepare(h, m)
	case peerv1.Method_METHOD_BARRIER:
		err = queue.ErrUnavailable
		if b, ok := h.(interface{ Barrier(context.Context) error }); ok {
			err = b.Barrier(s.ctx)
		}
	case peerv1.Method_METHOD_ADOPT:
		r.Estate, err = s.adopt(m)
	default:
		err = queue.ErrUnavailable // of a version to come
	}
	r.Count, r.Failure = int64(n), failureOf(err)
	s.reply(m, r)
}

// get takes a message, which is the link's until it is settled.
func (s *serving) get(h queue.Handle, m *peerv1.Call) (*peerv1.Deliver, int, error) {
	p, remaining, ok, err := h.Get(m.NoAck)
	if err != nil || !ok {
		return nil, remaining, err
	}
	if !m.NoAck {
		r := queue.Range{First: p.First, Last: p.First}
		s.mu.Lock()
		if s.ended {
			s.mu.Unlock()
			h.Settle(&queue.Settlement{Handle: h, Outcome: queue.Return, Ranges: []queue.Range{r}})
			return nil, 0, errEnded
		}
		f := s.gets[m.Queue]
		if f == nil {
			f = &fetched{h: h}
			s.gets[m.Queue] = f
		}
		f.set.add(r)
		s.mu.Unlock()
	}
	return message(0, &p), remaining, nil
}

// prepare holds the queue still until resume or forget, or the end of the link.
func (s *serving) prepare(h queue.Handle, m *peerv1.Call) (int, error) {
	n, err := h.PrepareDelete(m.IfUnused, m.IfEmpty)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.prepared[m.Queue] = h
	}
	s.mu.Unlock()
	if ended {
		h.Resume()
		return 0, errEnded
	}
	return n, nil
}
