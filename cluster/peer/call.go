package peer

import (
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// call is a question to the leader that somebody waits for.
type call struct {
	s    *session
	h    *remote
	give chan *peerv1.Reply // holds one; nil for a session that has ended
	// early is called by the reader before whoever waits goes on, late when nobody waits any more. They may be nil.
	early, late func(*peerv1.Reply)
	abandoned   bool // nobody waits any more; guarded by session.mu
}

// answer gives the call its answer, nil when the session has ended. It is called once.
func (c *call) answer(r *peerv1.Reply) {
	if c.early != nil && r != nil {
		c.early(r)
	}
	c.s.mu.Lock()
	abandoned := c.abandoned
	if !abandoned {
		c.give <- r
	}
	c.s.mu.Unlock()
	if abandoned && c.late != nil && r != nil {
		c.late(r)
	}
}

// start puts a call in line. mu is held.
func (s *session) start(c *call, m *peerv1.Call) bool {
	s.id++
	m.Id, m.Queue = s.id, c.h.id
	if !s.pushLocked(entry{h: c.h, key: c.h.id, op: &peerv1.Operation{Call: m}}) {
		return false
	}
	s.calls[m.Id] = c
	return true
}

// wait waits for the answer to a call that was started.
func (s *session) wait(c *call) (*peerv1.Reply, error) {
	timer := time.NewTimer(s.link.links.opts.CallTimeout)
	defer timer.Stop()
	select {
	case r := <-c.give:
		return outcome(r)
	case <-timer.C:
	}
	if r, ok := s.abandon(c); ok {
		return outcome(r)
	}
	return nil, queue.ErrUnavailable
}

// abandon says that nobody waits for the answer to c any more. ok is true if it came just now.
func (s *session) abandon(c *call) (r *peerv1.Reply, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case r = <-c.give:
		return r, true
	default:
	}
	c.abandoned = true
	return nil, false
}

func outcome(r *peerv1.Reply) (*peerv1.Reply, error) {
	if r == nil {
		return nil, queue.ErrUnavailable
	}
	return r, errorOf(r.Failure)
}

// ask makes a call and waits for the answer.
func (h *remote) ask(m *peerv1.Call, late func(*session, *peerv1.Reply)) (*session, *peerv1.Reply, error) {
	if h.gone.Load() {
		return nil, nil, queue.ErrGone
	}
	s := h.session()
	if s == nil {
		return nil, nil, queue.ErrUnavailable
	}
	c := &call{s: s, h: h, give: make(chan *peerv1.Reply, 1)}
	if late != nil {
		c.late = func(r *peerv1.Reply) { late(s, r) }
	}
	s.mu.Lock()
	ok := s.start(c, m)
	s.mu.Unlock()
	if !ok {
		return nil, nil, queue.ErrUnavailable
	}
	r, err := s.wait(c)
	return s, r, err
}
