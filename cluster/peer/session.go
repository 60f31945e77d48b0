package peer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

var errEOF = io.EOF

// session is one life of a link. What refers to a session that has ended is void.
type session struct {
	link   *link
	stream peerv1.Queues_LinkClient
	cancel context.CancelFunc
	heard  atomic.Bool   // something came since the last look
	spoke  atomic.Bool   // something was sent since the last look
	wake   chan struct{} // holds one when there is something to write
	stir   chan struct{} // holds one when a consumer was woken or stalls

	mu        sync.Mutex // guards what follows; nothing is called with it held
	ended     bool
	pending   []entry
	noticed   int    // bytes of notices in pending
	id        uint64 // last one given to a call, consumer or settlement
	sent      map[uint64]*sent
	calls     map[uint64]*call
	settles   map[uint64]settling
	consumers map[*queue.Consumer]*consumer
	byID      map[uint64]*consumer
	woken     []*consumer
	stalled   []*consumer
	crediting []*consumer // have something to tell with the next message

	// The reader's:
	asm      assembler
	pieces   []queue.Piece
	answered []answered
	durable  []settling
}

// entry is something to be sent; exactly one of pub, settle and op is set.
type entry struct {
	h        *remote // nil for notices and what belongs to a consumer alone
	pub      *queue.Publication
	settle   *queue.Settlement
	consumer uint64 // of settle
	estate   uint64 // of settle
	id       uint64 // of settle, if it is to be answered
	op       *peerv1.Operation
	key      uint64 // of op
}

// maxNotices bounds the notices that wait to be sent, in bytes. A single one may have more.
const maxNotices = 16 << 20

func newSession(k *link, stream peerv1.Queues_LinkClient, cancel context.CancelFunc) *session {
	return &session{
		link: k, stream: stream, cancel: cancel,
		wake: make(chan struct{}, 1), stir: make(chan struct{}, 1),
		sent: make(map[uint64]*sent), calls: make(map[uint64]*call), settles: make(map[uint64]settling),
		consumers: make(map[*queue.Consumer]*consumer), byID: make(map[uint64]*consumer),
	}
}

// serve runs the session until the stream breaks, or nothing is heard for too long, or ctx ends. When it returns everything is
// answered.
func (s *session) serve(ctx context.Context) error {
	var wg sync.WaitGroup
	failed := make(chan error, 2)
	done := make(chan struct{})
	wg.Go(func() { failed <- s.read() })
	wg.Go(func() { failed <- s.write(done) })
	wg.Go(func() { s.tend(done) })
	err := watch(ctx, s.link.links.opts.LinkTimeout, failed, &s.heard, &s.spoke, s.poke)
	s.link.session.CompareAndSwap(s, nil)
	s.cancel()
	close(done)
	s.end()
	wg.Wait()
	return err
}

// watch returns when a goroutine has failed or nothing was heard for timeout. Silence is counted in looks, not read from a clock, so that
// a node that was stopped for a while does not take its own silence for that of others.
func watch(ctx context.Context, timeout time.Duration, failed <-chan error, heard, spoke *atomic.Bool, poke func()) error {
	const looks = 4 // in timeout
	ticker := time.NewTicker(timeout / looks)
	defer ticker.Stop()
	for silent := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-ticker.C:
		}
		if silent++; heard.Swap(false) {
			silent = 0
		}
		if silent > looks {
			return fmt.Errorf("%w for %v", errSilent, timeout)
		}
		if !spoke.Swap(false) {
			poke() // an empty message says that this node is alive
		}
	}
}

func (s *session) poke() { signal(s.wake) }

// signal leaves one in c, which holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push puts e in line. It returns false when the session has ended.
func (s *session) push(e entry) bool {
	s.mu.Lock()
	ok := s.pushLocked(e)
	s.mu.Unlock()
	return ok
}

// pushLocked is push with mu held.
func (s *session) pushLocked(e entry) bool {
	if s.ended {
		return false
	}
	s.pending = append(s.pending, e)
	if len(s.pending) == 1 {
		s.poke()
	}
	return true
}

func (s *session) notify(n *peerv1.Notice) bool {
	size := noticeSize(n)
	n = ownNotice(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noticed > 0 && s.noticed+size > maxNotices {
		return false
	}
	if !s.pushLocked(entry{op: &peerv1.Operation{Notice: n}, key: noticeKey}) {
		return false
	}
	s.noticed += size
	return true
}

// consumerOf returns the session's consumer for c, nil if it has none. mu is held.
func (s *session) consumerOf(h *remote, c *queue.Consumer) *consumer {
	if k := s.consumers[c]; k != nil && k.h == h {
		return k
	}
	return nil
}

// end answers everything that waits for the other node. It is called once, when nothing comes from there any more.
func (s *session) end() {
	s.mu.Lock()
	s.ended = true
	pending, sent, calls, settles, consumers := s.pending, s.sent, s.calls, s.settles, s.byID
	s.pending, s.sent, s.calls, s.settles, s.byID = nil, nil, nil, nil, nil
	s.consumers, s.woken, s.stalled, s.crediting = nil, nil, nil, nil
	s.mu.Unlock()
	for _, p := range sent {
		p.refuse()
	}
	for i := range pending {
		pending[i].fail()
	}
	for _, w := range settles {
		w.failed = !w.h.gone.Load()
		w.answer(queue.ErrUnavailable)
	}
	for _, c := range consumers {
		c.lost()
	}
	for _, c := range calls {
		c.answer(nil)
	}
}

// fail answers an entry that was not sent.
func (e *entry) fail() {
	switch {
	case e.pub != nil && e.h.gone.Load():
		taken(e.pub)
	case e.pub != nil:
		refuse(e.pub)
	case e.op != nil && e.op.Signal != nil && e.op.Signal.Kind == peerv1.SignalKind_SIGNAL_KIND_TOUCH:
		e.h.touched.Store(false)
	}
}

// tend looks after consumers whose receivers refuse deliveries until done is closed: it goes on when they are woken, and returns
// what they keep if they are not.
func (s *session) tend(done <-chan struct{}) {
	var timer <-chan time.Time
	for {
		select {
		case <-done:
			return
		case <-s.stir:
		case <-timer:
			timer = nil
			s.mu.Lock()
			list := s.stalled
			s.stalled = nil
			s.mu.Unlock()
			for _, c := range list {
				c.giveBack()
			}
		}
		s.mu.Lock()
		list := s.woken
		s.woken = nil
		s.mu.Unlock()
		for _, c := range list {
			c.resume()
		}
		s.mu.Lock()
		if timer == nil && len(s.stalled) > 0 {
			timer = time.After(stallTime)
		}
		s.mu.Unlock()
	}
}
