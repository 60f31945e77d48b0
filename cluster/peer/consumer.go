package peer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

const (
	// windowMessages and windowBytes bound what is on its way to a consumer, or kept there because its receiver refuses it. One
	// message may be larger.
	windowMessages = 4096
	windowBytes    = 256 << 10
	// smallWindow is the window in bytes while over a link as a whole more than manyBytes are on their way.
	smallWindow = 32 << 10
	manyBytes   = 32 << 20
	// creditMessages and creditBytes are what a receiver takes until the leader must be told. They are less than the smallest window.
	creditMessages = windowMessages / 16
	creditBytes    = smallWindow / 2
	// stallTime is how long refused deliveries are kept at least before they are returned.
	stallTime = 50 * time.Millisecond
)

// consumer is a consumer of a queue of another node, as this node sees it.
type consumer struct {
	s  *session
	h  *remote
	c  *queue.Consumer
	id uint64

	// open is the number of deliveries that the receiver has and that are not settled; over is set, with session.mu held, when
	// no more can come. Then the one that brings open to zero takes the consumer out of the session.
	open atomic.Int64
	over bool

	woken bool // it is in session.woken; guarded by session.mu

	mu      sync.Mutex // held while the receiver is called
	ended   bool       // the receiver is not called any more
	began   bool       // the receiver has got something, or Consume has returned: it must be told of the end
	blocked bool       // Reserve has refused something; Wake will come
	kept    []queue.Piece
	stalls  int  // how often kept was looked at since the receiver refused it
	watched bool // it is in session.stalled
	flow    flowState

	// taken since the leader was told
	messages, bytes atomic.Int64
	crediting       atomic.Bool // it is in session.crediting
}

// flowState says whether the leader sends. From pausing on, until the leader has said that nothing more is on its way, everything
// that comes is returned, so that nothing overtakes what was returned before.
type flowState uint8

const (
	flowOpen    flowState = iota
	flowPausing           // the leader was asked to pause
	flowPaused            // it has paused
)

// deliver takes what has come for the consumer.
func (c *consumer) deliver(pieces []queue.Piece) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended, c.flow != flowOpen:
		c.putBack(pieces)
	case c.blocked:
		c.began = true
		c.kept = append(c.kept, pieces...)
	default:
		c.began = true
		c.offer(pieces)
	}
}

// offer gives pieces to the receiver and keeps what it refuses. mu is held, kept is empty or pieces.
func (c *consumer) offer(pieces []queue.Piece) {
	n := 0
	for i := range pieces {
		n += pieces[i].Count
	}
	granted := c.c.Receiver.Reserve(c.c, n)
	if granted >= n {
		c.kept = nil
		c.hand(pieces, n)
		return
	}
	c.blocked, c.stalls = true, 0
	var give, keep []queue.Piece
	left := max(granted, 0)
	for i, p := range pieces {
		if p.Count > left {
			if left > 0 {
				var head queue.Piece
				head, p = split(p, left)
				give = append(give, head)
			}
			keep = append(append(keep, p), pieces[i+1:]...)
			break
		}
		give = append(give, p)
		left -= p.Count
	}
	c.kept = keep
	if len(give) > 0 {
		c.hand(give, granted)
	}
	if !c.c.NoAck && !c.watched {
		c.watched = true
		c.s.stall(c)
	}
}

// hand delivers n messages. mu is held.
func (c *consumer) hand(pieces []queue.Piece, n int) {
	bytes := 0
	for i := range pieces {
		bytes += pieces[i].Bytes
	}
	if !c.c.NoAck {
		c.open.Add(int64(n))
	}
	c.c.Receiver.Deliver(c.c, pieces)
	c.credit(n, bytes)
}

// credit notes that deliveries were taken. The leader learns of it with whatever is sent next, and at once when it is much.
func (c *consumer) credit(n, bytes int) {
	messages, size := c.messages.Add(int64(n)), c.bytes.Add(int64(bytes))
	if !c.crediting.Swap(true) {
		c.s.mu.Lock()
		if !c.s.ended {
			c.s.crediting = append(c.s.crediting, c)
		}
		c.s.mu.Unlock()
	}
	if messages >= creditMessages || size >= creditBytes {
		c.s.poke()
	}
}

// creditTaken returns what was taken since the last call, nil if that is nothing.
func (c *consumer) creditTaken() *peerv1.Operation {
	messages, bytes := c.messages.Swap(0), c.bytes.Swap(0)
	if messages == 0 {
		return nil
	}
	return &peerv1.Operation{Credit: &peerv1.Credit{Consumer: c.id, Messages: uint32(messages), Bytes: uint64(bytes)}}
}

func (c *consumer) signal(kind peerv1.SignalKind) {
	c.s.push(entry{h: c.h, key: c.h.id, op: &peerv1.Operation{Signal: &peerv1.Signal{Kind: kind, Queue: c.h.id, Consumer: c.id}}})
}

// putBack returns pieces, which the receiver has not seen, to the queue. What needs no acknowledgement has left the queue and
// is lost, as with any consumer that goes. mu is held.
func (c *consumer) putBack(pieces []queue.Piece) {
	if len(pieces) == 0 {
		return
	}
	n, bytes := 0, 0
	var ranges []queue.Range
	for i := range pieces {
		p := &pieces[i]
		n += p.Count
		bytes += p.Bytes
		ranges = append(ranges, queue.Range{First: p.First, Last: p.First + uint64(p.Count) - 1})
	}
	if !c.c.NoAck {
		c.s.push(entry{h: c.h, consumer: c.id, settle: &queue.Settlement{Outcome: queue.Return, Ranges: ranges}})
	}
	c.credit(n, bytes)
}

// stall has giveBack called in a while.
func (s *session) stall(c *consumer) {
	s.mu.Lock()
	if !s.ended {
		s.stalled = append(s.stalled, c)
	}
	s.mu.Unlock()
	signal(s.stir)
}

// giveBack returns what is kept if the receiver has refused it for a while: others may want it.
func (c *consumer) giveBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched = false
	if !c.blocked || c.ended || c.flow != flowOpen {
		return
	}
	if c.stalls++; c.stalls < 2 {
		c.watched = true
		c.s.stall(c)
		return
	}
	c.flow = flowPausing
	c.signal(peerv1.SignalKind_SIGNAL_KIND_PAUSE)
	c.putBack(c.kept)
	c.kept = nil
}

// paused notes that nothing is on its way any more.
func (c *consumer) paused() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.flow != flowPausing {
		return
	}
	c.flow = flowPaused
	if !c.blocked {
		c.pull()
	}
}

// pull asks for deliveries again. mu is held.
func (c *consumer) pull() {
	c.flow = flowOpen
	c.signal(peerv1.SignalKind_SIGNAL_KIND_PULL)
}

// resume goes on after Wake.
func (c *consumer) resume() {
	c.s.mu.Lock()
	c.woken = false
	c.s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.blocked = false
	if c.flow == flowPaused {
		c.pull()
	}
	if len(c.kept) > 0 {
		c.offer(c.kept)
	}
}

// close ends the receiver's part. With lost the deliveries that need no acknowledgement are given to it whatever it says, because
// the queue does not have them any more; others are left to the leader, or returned if back is set. It reports whether the
// receiver is to be told of the end. mu is held.
func (c *consumer) close(back bool) (tell bool) {
	if c.ended {
		return false
	}
	c.ended = true
	kept := c.kept
	c.kept = nil
	switch {
	case len(kept) == 0:
	case c.c.NoAck:
		n := 0
		for i := range kept {
			n += kept[i].Count
		}
		c.hand(kept, n)
	case back:
		c.putBack(kept)
	}
	return c.began
}

// cancelled handles the end of the queue.
func (c *consumer) cancelled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.remove(c)
	if c.close(false) {
		c.c.Receiver.Cancelled(c.c)
	}
}

// lost handles the end of the session.
func (c *consumer) lost() { c.cancelled() }

// detach handles the answer to Cancel, behind which nothing comes: what the receiver has not taken goes back.
func (c *consumer) detach() {
	c.mu.Lock()
	c.close(true)
	c.mu.Unlock()
	c.s.mu.Lock()
	c.over = true
	if c.open.Load() == 0 {
		c.s.removeLocked(c)
	}
	c.s.mu.Unlock()
}

// settled notes that n deliveries are settled. session.mu is held.
func (c *consumer) settled(n int64) {
	if c.open.Add(-n) == 0 && c.over {
		c.s.removeLocked(c)
	}
}

// remove takes c out of the session: its deliveries cannot be settled any more.
func (s *session) remove(c *consumer) {
	s.mu.Lock()
	s.removeLocked(c)
	s.mu.Unlock()
}

func (s *session) removeLocked(c *consumer) {
	if s.consumers[c.c] == c {
		delete(s.consumers, c.c)
	}
	delete(s.byID, c.id)
}
