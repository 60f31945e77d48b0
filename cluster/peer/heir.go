package peer

import (
	"context"
	"math"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

var _ queue.Heir = (*remote)(nil)

// Heir returns the handle of Queue for the engine that led the queue before.
func (l *Links) Heir(node string, id uint64) queue.Heir { return l.Queue(node, id).(*remote) }

// Barrier implements queue.Heir. It waits as long as the link is up, because what is given to another handle meanwhile must not
// overtake what is on its way.
func (h *remote) Barrier(ctx context.Context) error {
	if h.gone.Load() {
		return queue.ErrGone
	}
	s := h.session()
	if s == nil {
		return queue.ErrUnavailable
	}
	c := &call{s: s, h: h, give: make(chan *peerv1.Reply, 1)}
	s.mu.Lock()
	ok := s.start(c, &peerv1.Call{Method: peerv1.Method_METHOD_BARRIER})
	s.mu.Unlock()
	if !ok {
		return queue.ErrUnavailable
	}
	select {
	case r := <-c.give:
		_, err := outcome(r)
		return err
	case <-ctx.Done():
		s.abandon(c)
		return queue.ErrUnavailable
	}
}

// Adopt implements queue.Heir.
func (h *remote) Adopt(list []*queue.Consumer, unacked []int) (queue.Inheritance, error) {
	if h.gone.Load() {
		return nil, queue.ErrGone
	}
	s := h.session()
	if s == nil {
		return nil, queue.ErrUnavailable
	}
	question := &call{s: s, h: h, give: make(chan *peerv1.Reply, 1)}
	consumers := make([]*consumer, len(list))
	m := &peerv1.Call{Method: peerv1.Method_METHOD_ADOPT}
	s.mu.Lock()
	for i, c := range list {
		s.id++
		k := &consumer{s: s, h: h, c: c, id: s.id}
		k.open.Store(int64(unacked[i]))
		consumers[i] = k
		a := consumerMessage(k.id, c)
		a.Unacked = uint64(max(unacked[i], 0))
		m.Adopt = append(m.Adopt, a)
	}
	question.early = func(r *peerv1.Reply) { // the end of the queue may be the next thing that comes
		if r.Failure != peerv1.Failure_FAILURE_NONE {
			return
		}
		for _, k := range consumers {
			k.mu.Lock()
			k.began = !k.ended
			k.mu.Unlock()
		}
	}
	ok := s.start(question, m)
	if ok {
		for _, k := range consumers {
			s.byID[k.id], s.consumers[k.c] = k, k
		}
	}
	s.mu.Unlock()
	if !ok {
		return nil, queue.ErrUnavailable
	}
	question.late = func(r *peerv1.Reply) { s.renounce(h, r.Estate) }
	r, err := s.wait(question)
	if err == nil {
		return &inheritance{h, s, r.Estate}, nil
	}
	for _, k := range consumers {
		k.mu.Lock()
		k.ended = true
		k.mu.Unlock()
		s.remove(k)
		k.signal(peerv1.SignalKind_SIGNAL_KIND_ABANDON)
	}
	s.renounce(h, 0)
	return nil, err
}

// renounce says that nothing from before will be settled.
func (s *session) renounce(h *remote, estate uint64) {
	s.push(entry{h: h, key: h.id, op: &peerv1.Operation{Signal: &peerv1.Signal{
		Kind: peerv1.SignalKind_SIGNAL_KIND_RENOUNCE, Queue: h.id, Estate: estate}}})
}

func consumerMessage(id uint64, c *queue.Consumer) *peerv1.Consumer {
	return &peerv1.Consumer{
		Id: id, Tag: c.Tag, NoAck: c.NoAck, Exclusive: c.Exclusive, Priority: c.Priority,
		Prefetch: uint32(min(max(c.Prefetch, 0), math.MaxInt32)),
	}
}

// inheritance implements queue.Inheritance over the session in which the consumers were adopted.
type inheritance struct {
	h      *remote
	s      *session
	estate uint64
}

// Settle implements queue.Inheritance.
func (n *inheritance) Settle(v *queue.Settlement) {
	switch now := n.h.session(); {
	case n.h.gone.Load():
	case now == n.s && now != nil && n.settle(v):
		return
	case now != n.s && v.Consumer != nil: // it was attached over a later link
		n.h.Settle(v)
		return
	}
	if v.Done != nil {
		v.Done()
	}
}

// settle puts a settlement in line. It returns false when the session has ended.
func (n *inheritance) settle(v *queue.Settlement) bool {
	s := n.s
	e := entry{h: n.h, estate: n.estate, settle: &queue.Settlement{Outcome: v.Outcome, Ranges: v.Ranges, Done: v.Done}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	var c *consumer
	if v.Consumer != nil {
		if c = s.consumerOf(n.h, v.Consumer); c != nil {
			e.consumer = c.id
		} // else it was cancelled before the queue moved
	}
	if v.Done != nil {
		s.id++
		e.id = s.id
		s.settles[e.id] = v.Done
	}
	s.pushLocked(e)
	if c != nil {
		k := int64(0)
		for _, r := range v.Ranges {
			k += int64(r.Last - r.First + 1)
		}
		c.settled(k)
	}
	return true
}

// Get implements queue.Inheritance.
func (n *inheritance) Get(noAck bool) (piece queue.Piece, remaining int, ok bool, err error) {
	if n.h.session() != n.s {
		return queue.Piece{}, 0, false, queue.ErrUnavailable
	}
	s, r, err := n.h.fetch(noAck)
	switch {
	case err != nil:
		return queue.Piece{}, 0, false, err
	case r.Piece != nil && s != n.s: // it cannot be settled
		n.h.giveBack(s, r, noAck)
		return queue.Piece{}, 0, false, queue.ErrUnavailable
	}
	piece, ok = pieceOf(r)
	return piece, int(r.Count), ok, nil
}
