package peer

import (
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// remote is the handle of a queue that another node leads.
type remote struct {
	links   *Links
	node    string
	id      uint64
	link    atomic.Pointer[link]
	gone    atomic.Bool // the queue is deleted
	touched atomic.Bool // a touch is in line
	used    atomic.Bool // something was asked of the leader

	mu sync.Mutex
	// gets are the messages of Get that are not settled. They are known by numbers of their own instead of their offsets, because
	// the same offset may be got again over a later link.
	gets    map[uint64]got
	lastGet uint64
}

type got struct {
	session *session
	offset  uint64
}

var _ queue.Handle = (*remote)(nil)

// session returns the life of the link to the leader, nil while there is none.
func (h *remote) session() *session {
	if !h.used.Load() { // the caller is about to
		h.used.Store(true)
	}
	return h.link.Load().session.Load()
}

// ID implements queue.Handle.
func (h *remote) ID() uint64 { return h.id }

// Publish implements queue.Handle. A publication with a Source is refused: no transaction goes across nodes.
func (h *remote) Publish(p *queue.Publication) {
	switch {
	case len(p.Source) > 0:
		refuse(p)
	case h.gone.Load():
		taken(p)
	default:
		if s := h.session(); s == nil || !s.push(entry{h: h, pub: p}) {
			refuse(p)
		}
	}
}

// Settle implements queue.Handle. Deliveries of a link that was lost cannot be settled any more: the queue has them back.
func (h *remote) Settle(v *queue.Settlement) {
	s := h.session()
	if s == nil || h.gone.Load() || !s.settle(h, v) {
		if v.Consumer == nil {
			h.resolve(nil, v.Ranges)
		}
		if v.Done != nil {
			v.Done()
		}
	}
}

// settle puts a settlement in line. It returns false when there is nothing to settle.
func (s *session) settle(h *remote, v *queue.Settlement) bool {
	e := entry{h: h, settle: v}
	n := int64(0)
	if v.Consumer == nil {
		ranges := h.resolve(s, v.Ranges)
		if len(ranges) == 0 {
			return false
		}
		e.settle = &queue.Settlement{Outcome: v.Outcome, Ranges: ranges, Done: v.Done}
	} else {
		for _, r := range v.Ranges {
			n += int64(r.Last - r.First + 1)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	var c *consumer
	if v.Consumer != nil {
		if c = s.consumerOf(h, v.Consumer); c == nil {
			return false
		}
		e.consumer = c.id
	}
	if v.Done != nil {
		s.id++
		e.id = s.id
		s.settles[e.id] = v.Done
	}
	s.pushLocked(e)
	if c != nil {
		c.settled(n)
	}
	return true
}

// resolve forgets messages of Get and returns the offsets of those that came over s.
func (h *remote) resolve(s *session, ranges []queue.Range) (list []queue.Range) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range ranges {
		for n := r.First; n <= r.Last; n++ {
			g, ok := h.gets[n]
			delete(h.gets, n)
			if ok && g.session == s {
				list = append(list, queue.Range{First: g.offset, Last: g.offset})
			}
		}
	}
	return list
}

// Consume implements queue.Handle. A Consumer is good for one Consume.
func (h *remote) Consume(c *queue.Consumer) error {
	if h.gone.Load() {
		return queue.ErrGone
	}
	s := h.session()
	if s == nil {
		return queue.ErrUnavailable
	}
	k := &consumer{s: s, h: h, c: c}
	question := &call{s: s, h: h, give: make(chan *peerv1.Reply, 1)}
	question.early = func(r *peerv1.Reply) { // the end of the queue may be the next thing that comes
		if r.Failure == peerv1.Failure_FAILURE_NONE {
			k.mu.Lock()
			k.began = !k.ended
			k.mu.Unlock()
		}
	}
	s.mu.Lock()
	s.id++
	k.id = s.id
	ok := s.start(question, &peerv1.Call{Method: peerv1.Method_METHOD_CONSUME, Consume: consumerMessage(k.id, c)})
	if ok {
		s.byID[k.id], s.consumers[c] = k, k
	}
	s.mu.Unlock()
	if !ok {
		return queue.ErrUnavailable
	}
	_, err := s.wait(question)
	if err == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.began { // it has got something: it is told of the end if there was one
		return nil
	}
	k.ended = true
	s.remove(k)
	k.signal(peerv1.SignalKind_SIGNAL_KIND_ABANDON)
	return err
}

// Cancel implements queue.Handle.
func (h *remote) Cancel(c *queue.Consumer) {
	s := h.session()
	if s == nil {
		return // the end of the session has ended c
	}
	s.mu.Lock()
	k := s.consumerOf(h, c)
	question := &call{s: s, h: h, give: make(chan *peerv1.Reply, 1)}
	if k != nil {
		question.early = func(*peerv1.Reply) { k.detach() }
	}
	ok := k != nil && s.start(question, &peerv1.Call{Method: peerv1.Method_METHOD_CANCEL, Consumer: k.id})
	s.mu.Unlock()
	if !ok {
		return
	}
	_, _ = s.wait(question)
	k.detach() // unless the answer has come
}

// Wake implements queue.Handle.
func (h *remote) Wake(c *queue.Consumer) {
	s := h.session()
	if s == nil {
		return
	}
	s.mu.Lock()
	k := s.consumerOf(h, c)
	if k != nil && !k.woken {
		k.woken = true
		s.woken = append(s.woken, k)
	}
	s.mu.Unlock()
	if k != nil {
		signal(s.stir)
	}
}

// Get implements queue.Handle. The offset of the piece is a number that is only good for Settle.
func (h *remote) Get(noAck bool) (piece queue.Piece, remaining int, ok bool, err error) {
	s, r, err := h.fetch(noAck)
	if err != nil {
		return queue.Piece{}, 0, false, err
	}
	piece, ok = pieceOf(r)
	if ok && !noAck {
		h.mu.Lock()
		if h.gets == nil {
			h.gets = make(map[uint64]got)
		}
		h.lastGet++
		piece.First = h.lastGet
		h.gets[h.lastGet] = got{s, r.Piece.First}
		h.mu.Unlock()
	}
	return piece, int(r.Count), ok, nil
}

// fetch asks the leader for a message.
func (h *remote) fetch(noAck bool) (*session, *peerv1.Reply, error) {
	return h.ask(&peerv1.Call{Method: peerv1.Method_METHOD_GET, NoAck: noAck}, func(s *session, r *peerv1.Reply) {
		h.giveBack(s, r, noAck) // nobody waits for it any more
	})
}

// giveBack returns a message that was got to the queue.
func (h *remote) giveBack(s *session, r *peerv1.Reply, noAck bool) {
	if r.Piece != nil && !noAck {
		s.push(entry{h: h, settle: &queue.Settlement{Outcome: queue.Return,
			Ranges: []queue.Range{{First: r.Piece.First, Last: r.Piece.First}}}})
	}
}

// pieceOf returns the message in the answer to a get.
func pieceOf(r *peerv1.Reply) (queue.Piece, bool) {
	d := r.Piece
	if d == nil {
		return queue.Piece{}, false
	}
	return queue.Piece{Records: d.Records, Tail: d.Tail, First: d.First, Count: 1, Bytes: len(d.Records) + len(d.Tail),
		Redelivered: d.Redelivered, Failures: d.Failures}, true
}

// Purge implements queue.Handle.
func (h *remote) Purge() (int, error) {
	_, r, err := h.ask(&peerv1.Call{Method: peerv1.Method_METHOD_PURGE}, nil)
	if err != nil {
		return 0, err
	}
	return int(r.Count), nil
}

// Touch implements queue.Handle.
func (h *remote) Touch() {
	if s := h.session(); s != nil && h.touched.CompareAndSwap(false, true) && !s.signal(h, peerv1.SignalKind_SIGNAL_KIND_TOUCH) {
		h.touched.Store(false)
	}
}

func (s *session) signal(h *remote, kind peerv1.SignalKind) bool {
	return s.push(entry{h: h, key: h.id, op: &peerv1.Operation{Signal: &peerv1.Signal{Kind: kind, Queue: h.id}}})
}

// Status implements queue.Handle.
func (h *remote) Status() (queue.Status, error) {
	_, r, err := h.ask(&peerv1.Call{Method: peerv1.Method_METHOD_STATUS}, nil)
	if err != nil {
		return queue.Status{}, err
	}
	s := r.GetStatus()
	return queue.Status{Ready: int(s.GetReady()), Unacked: int(s.GetUnacked()), Consumers: int(s.GetConsumers()),
		Resident: s.GetResident()}, nil
}

// PrepareDelete implements queue.Handle.
func (h *remote) PrepareDelete(ifUnused, ifEmpty bool) (int, error) {
	m := &peerv1.Call{Method: peerv1.Method_METHOD_PREPARE_DELETE, IfUnused: ifUnused, IfEmpty: ifEmpty}
	_, r, err := h.ask(m, func(s *session, r *peerv1.Reply) {
		if r.Failure == peerv1.Failure_FAILURE_NONE { // nobody will delete it
			s.signal(h, peerv1.SignalKind_SIGNAL_KIND_RESUME)
		}
	})
	if err != nil {
		return 0, err
	}
	return int(r.Count), nil
}

// Resume implements queue.Handle.
func (h *remote) Resume() {
	if s := h.session(); s != nil {
		s.signal(h, peerv1.SignalKind_SIGNAL_KIND_RESUME)
	}
}

// Drop implements queue.Handle: the handle is that of a deleted queue from now on. The leader drops the queue by itself.
func (h *remote) Drop() {
	if h.gone.Swap(true) {
		return
	}
	h.links.forget(h)
	if !h.used.Load() {
		return // nothing waits
	}
	if s := h.session(); s != nil {
		s.drop(h)
	}
	h.mu.Lock()
	h.gets = nil
	h.mu.Unlock()
}

// drop answers everything that waits for the queue of h. What is in line is answered when its turn comes.
func (s *session) drop(h *remote) {
	var publications []answered
	var calls []*call
	var consumers []*consumer
	s.mu.Lock()
	for id, p := range s.sent {
		if p.h == h {
			publications = append(publications, answered{p, p.confirm, p.release})
			delete(s.sent, id)
		}
	}
	for id, c := range s.calls {
		if c.h == h {
			calls = append(calls, c)
			delete(s.calls, id)
		}
	}
	for _, c := range s.byID {
		if c.h == h {
			consumers = append(consumers, c)
		}
	}
	s.mu.Unlock()
	for _, a := range publications {
		if a.confirm {
			a.sent.refused = nil
		}
		a.sent.answer(a.confirm, a.release)
	}
	for _, c := range consumers {
		c.cancelled()
		c.signal(peerv1.SignalKind_SIGNAL_KIND_ABANDON)
	}
	for _, c := range calls {
		c.answer(&peerv1.Reply{Failure: peerv1.Failure_FAILURE_GONE})
	}
	s.signal(h, peerv1.SignalKind_SIGNAL_KIND_FORGET)
}
