package peer

import (
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// Adopter is a queue that has moved to this node and waits for the consumers that it had before; *queue.Queue is one.
type Adopter interface {
	queue.Handle
	// Adopt is queue.Queue.Adopt, Begin queue.Queue.Begin.
	Adopt(list []*queue.Consumer, unacked []int) error
	Begin()
}

// estate is the deliveries of a queue that were made on the node that led it before, and that are not settled: they are the link's of
// that node. Settlements name the estate, because a queue that moves to and fro leaves several.
type estate struct {
	id  uint64 // on the link
	h   Adopter
	set offsets
	// patience ends the wait for the adoption of the consumers; it belongs to those in bequests.
	patience *time.Timer
}

// give requeues what is not settled, and has the queue begin if it waits.
func (e *estate) give() {
	if ranges := e.set.take(); len(ranges) > 0 {
		e.h.Settle(&queue.Settlement{Handle: e.h, Outcome: queue.Requeue, Ranges: ranges})
	}
	e.h.Begin()
}

// Bequeath says that a queue has moved here from node, where the given deliveries were made: they are settled over the link of that
// node, or requeued when that ends, or at once if there is none. The queue begins when node has its consumers adopted. It does not
// wait.
func (v *Service) Bequeath(node string, h Adopter, unsettled []queue.Range) {
	e := &estate{h: h}
	for _, r := range unsettled {
		e.set.add(r)
	}
	v.mu.Lock()
	s := v.links[node]
	v.mu.Unlock()
	if s == nil || !s.bequeath(e) {
		e.give()
	}
}

// bequeath keeps e until it is adopted. It returns false if the link has ended.
func (s *serving) bequeath(e *estate) bool {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return false
	}
	old := s.bequests[e.h.ID()]
	s.bequests[e.h.ID()] = e
	e.patience = time.AfterFunc(adoptTimeout, func() { s.disinherit(e) })
	s.mu.Unlock()
	if old != nil {
		old.give()
	}
	return true
}

// adoptTimeout is how long a queue that has moved here waits for its consumers. The other node has them adopted as soon as it knows of
// the move; but it may have tried that already, over a link that was lost before this node knew.
const adoptTimeout = 3 * time.Second

// disinherit has the queue of e go on without the consumers that it had before, unless they have been adopted.
func (s *serving) disinherit(e *estate) {
	s.mu.Lock()
	waits := s.bequests[e.h.ID()] == e
	if waits {
		delete(s.bequests, e.h.ID())
	}
	s.mu.Unlock()
	if waits {
		e.give()
	}
}

// adopt attaches the consumers that the other node had when it led the queue. It returns the id of the estate.
func (s *serving) adopt(m *peerv1.Call) (uint64, error) {
	list := make([]*queue.Consumer, len(m.Adopt))
	unacked := make([]int, len(m.Adopt))
	s.mu.Lock()
	e := s.bequests[m.Queue]
	if e == nil || s.ended {
		s.mu.Unlock()
		return 0, queue.ErrGone
	}
	delete(s.bequests, m.Queue)
	e.patience.Stop()
	s.lastEstate++
	e.id = s.lastEstate
	s.estates[e.id] = e
	for i, c := range m.Adopt {
		sub := newSubscription(s, e.h, c)
		s.subs[c.Id] = sub
		list[i], unacked[i] = &sub.c, int(c.Unacked)
	}
	s.mu.Unlock()
	err := e.h.Adopt(list, unacked)
	if err != nil {
		s.mu.Lock()
		for _, c := range m.Adopt {
			delete(s.subs, c.Id)
		}
		s.mu.Unlock()
		s.renounce(e.id, 0)
	}
	return e.id, err
}

// inherited splits ranges into what belongs to an estate, which is nil if there is none with this id, and the rest. It takes the
// former as settled.
func (s *serving) inherited(id uint64, ranges []queue.Range) (e *estate, found, rest []queue.Range) {
	if id == 0 {
		return nil, nil, ranges
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e = s.estates[id]; e == nil {
		return nil, nil, ranges
	}
	for _, r := range ranges {
		for _, f := range e.set.remove([]queue.Range{r}) {
			if f.First > r.First {
				rest = append(rest, queue.Range{First: r.First, Last: f.First - 1})
			}
			found = append(found, f)
			r.First = f.Last + 1
		}
		if r.First <= r.Last {
			rest = append(rest, r)
		}
	}
	if e.set.n == 0 {
		delete(s.estates, id)
	}
	return e, found, rest
}

// renounce requeues what the other node does not settle: of an estate, or of a queue whose consumers it has not had adopted.
func (s *serving) renounce(id, queue uint64) {
	s.mu.Lock()
	e, b := s.estates[id], s.bequests[queue]
	delete(s.estates, id)
	delete(s.bequests, queue)
	s.mu.Unlock()
	if e != nil {
		e.give()
	}
	if b != nil {
		b.give()
	}
}
