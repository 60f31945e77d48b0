package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// serving is a link of another node to this one.
type serving struct {
	svc    *Service
	node   string
	stream peerv1.Queues_LinkServer
	out    *outbox
	ctx    context.Context // ends with the link
	stop   context.CancelFunc
	over   chan struct{} // closed when nothing is left of the link
	heard  atomic.Bool
	calls  atomic.Int32 // under way
	onWay  atomic.Int64 // bytes delivered and not credited

	// reading is held while a request is handled.
	reading sync.Mutex
	asm     assembler // reading

	mu       sync.Mutex // guards what follows; no queue is called with it held
	ended    bool       // nothing new may begin
	subs     map[uint64]*subscription
	gets     map[uint64]*fetched // by queue
	prepared map[uint64]queue.Handle
	bequests map[uint64]*estate // by queue; not adopted yet
	estates  map[uint64]*estate // by id
	// lastEstate is the last id of an estate.
	lastEstate uint64
	absent     map[uint64]*absentee
	parked     int // bytes of publications in absent
}

// fetched is the messages of Get that are not settled.
type fetched struct {
	h   queue.Handle
	set offsets
}

func newServing(v *Service, node string, stream peerv1.Queues_LinkServer) *serving {
	s := &serving{svc: v, node: node, stream: stream, over: make(chan struct{}),
		subs: make(map[uint64]*subscription), gets: make(map[uint64]*fetched), prepared: make(map[uint64]queue.Handle),
		bequests: make(map[uint64]*estate), estates: make(map[uint64]*estate),
		absent: make(map[uint64]*absentee)}
	s.ctx, s.stop = context.WithCancel(v.ctx)
	s.out = newOutbox(s)
	return s
}

// serve runs the link until the stream breaks or it is stopped, and then gives back to the queues what is not settled.
func (s *serving) serve() error {
	defer s.stop()
	s.out.push(outgoing{event: &peerv1.Event{Welcome: &peerv1.Welcome{Protocol: protocol}}})
	failed := make(chan error, 2)
	s.svc.work.Go(func() { failed <- s.read() }) // ends when this function's caller has returned
	s.svc.work.Go(func() { failed <- s.out.write() })
	err := watch(s.ctx, s.svc.opts.LinkTimeout, failed, &s.heard, &s.out.spoke, s.out.poke)
	s.stop()
	s.out.close()
	s.reading.Lock()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.reading.Unlock()
	s.giveBack()
	return err
}

// giveBack ends consumers and deletions, and requeues what is not settled as if the channels had died.
func (s *serving) giveBack() {
	s.mu.Lock()
	subs, gets, prepared, estates, bequests := s.subs, s.gets, s.prepared, s.estates, s.bequests
	s.subs, s.gets, s.prepared, s.estates, s.bequests = nil, nil, nil, nil, nil
	s.mu.Unlock()
	for _, h := range prepared {
		h.Resume()
	}
	for _, sub := range subs {
		sub.end()
	}
	for _, f := range gets {
		f.h.Settle(&queue.Settlement{Handle: f.h, Outcome: queue.Requeue, Ranges: f.set.take()})
	}
	for _, e := range estates {
		e.give()
	}
	for _, e := range bequests {
		e.give()
	}
}

var errEnded = errors.New("link has ended")

func (s *serving) read() error {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		s.heard.Store(true)
		if err := s.handle(m); err != nil {
			return err
		}
		s.heard.Store(true)
	}
}

func (s *serving) handle(m *peerv1.LinkRequest) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended {
		return errEnded
	}
	for _, o := range m.Operations {
		if err := s.operate(o); err != nil {
			return fmt.Errorf("bad message from node %s: %w", s.node, err)
		}
	}
	return nil
}

func (s *serving) operate(o *peerv1.Operation) error {
	switch {
	case o.Publish != nil:
		m := o.Publish
		tail, err := s.asm.body(m.Tail, m.TailBefore)
		if err != nil {
			return err
		}
		b, err := blockOf(m.Records, tail, int(m.Count))
		if err != nil {
			return fmt.Errorf("publication for queue %d: %w", m.Queue, err)
		}
		in := newInbound(s, m, b)
		s.to(m.Queue, task{publish: in})
	case o.Settle != nil:
		s.settle(o.Settle)
	case o.Credit != nil:
		if sub := s.sub(o.Credit.Consumer); sub != nil {
			sub.credit(int(o.Credit.Messages), int64(o.Credit.Bytes))
		}
	case o.Call != nil:
		s.to(o.Call.Queue, task{call: o.Call})
	case o.Signal != nil:
		s.signal(o.Signal)
	case o.Chunk != nil:
		return s.asm.add(o.Chunk)
	case o.Notice != nil:
		if r := o.Notice.Reply; r != nil {
			var err error
			if r.Tail, err = s.asm.body(r.Tail, r.TailBefore); err != nil {
				return err
			}
		}
		if fn := s.svc.opts.OnNotice; fn != nil {
			fn(s.node, o.Notice)
		}
	}
	return nil
}

func (s *serving) sub(id uint64) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs[id]
}

// settle gives a settlement to the queue, as far as the deliveries came over this link and are not settled.
func (s *serving) settle(m *peerv1.Settle) {
	var done func()
	if m.Id != 0 {
		id := m.Id
		done = func() { s.out.settled(id) }
	}
	v := &queue.Settlement{Outcome: queue.Outcome(m.Outcome), Ranges: rangesOf(m.Ranges), Done: done}
	if v.Outcome > queue.Return {
		v.Outcome = queue.Requeue // of a version to come
	}
	e, inherited, rest := s.inherited(m.Estate, v.Ranges)
	v.Ranges = rest
	if sub := s.sub(m.Consumer); sub != nil {
		sub.settle(v, inherited)
		return
	}
	s.mu.Lock()
	if f := s.gets[m.Queue]; f != nil && m.Consumer == 0 {
		v.Handle, v.Ranges = f.h, f.set.remove(v.Ranges)
		if f.set.n == 0 {
			delete(s.gets, m.Queue)
		}
	} else {
		v.Ranges = nil
	}
	s.mu.Unlock()
	if len(inherited) > 0 {
		v.Handle, v.Ranges = e.h, append(inherited, v.Ranges...)
	}
	switch {
	case v.Handle != nil && len(v.Ranges) > 0:
		v.Handle.Settle(v)
	case done != nil:
		done()
	}
}

func (s *serving) signal(m *peerv1.Signal) {
	switch m.Kind {
	case peerv1.SignalKind_SIGNAL_KIND_TOUCH:
		if h := s.svc.opts.Queue(m.Queue); h != nil {
			h.Touch()
		}
	case peerv1.SignalKind_SIGNAL_KIND_RESUME, peerv1.SignalKind_SIGNAL_KIND_FORGET:
		s.mu.Lock()
		h := s.prepared[m.Queue]
		delete(s.prepared, m.Queue)
		s.mu.Unlock()
		if h != nil && m.Kind == peerv1.SignalKind_SIGNAL_KIND_RESUME {
			h.Resume()
		}
	case peerv1.SignalKind_SIGNAL_KIND_ABANDON:
		s.mu.Lock()
		sub := s.subs[m.Consumer]
		delete(s.subs, m.Consumer)
		s.mu.Unlock()
		if sub != nil {
			s.svc.work.Go(sub.end)
		}
	case peerv1.SignalKind_SIGNAL_KIND_RENOUNCE:
		s.renounce(m.Estate, m.Queue)
	case peerv1.SignalKind_SIGNAL_KIND_PAUSE:
		if sub := s.sub(m.Consumer); sub != nil {
			sub.pause()
		}
	case peerv1.SignalKind_SIGNAL_KIND_PULL:
		if sub := s.sub(m.Consumer); sub != nil {
			sub.pull()
		}
	}
}
