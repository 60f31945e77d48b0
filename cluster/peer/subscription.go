package peer

import (
	"sync"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// subscription is a consumer of another node, as the queue sees it. It is the receiver of its queue.Consumer: it takes what the
// window allows and sends it on.
type subscription struct {
	s  *serving
	h  queue.Handle
	id uint64
	c  queue.Consumer

	crowding bool // it is in the outbox's list of that name; guarded by the outbox's mu

	mu       sync.Mutex // nothing but the outbox is called with it held
	reserved int        // granted to the queue and not delivered
	messages int        // on their way, or kept by the other node
	bytes    int64
	blocked  bool // the queue waits for Wake
	paused   bool
	owed     bool    // the answer to pause, once nothing is reserved
	detached bool    // cancelled: it is forgotten with its last delivery
	gone     bool    // the queue is
	ended    bool    // nothing more may come
	out      offsets // delivered and not settled
}

var _ queue.Receiver = (*subscription)(nil)

// consume attaches a consumer of the other node.
func (s *serving) consume(h queue.Handle, m *peerv1.Consumer) error {
	if m == nil {
		return queue.ErrUnavailable
	}
	sub := newSubscription(s, h, m)
	s.mu.Lock()
	if s.ended || s.subs[m.Id] != nil {
		s.mu.Unlock()
		return errEnded
	}
	s.subs[m.Id] = sub
	s.mu.Unlock()
	if err := h.Consume(&sub.c); err != nil {
		s.remove(sub)
		return err
	}
	sub.mu.Lock()
	ended, gone := sub.ended, sub.gone
	sub.mu.Unlock()
	if gone {
		return queue.ErrGone
	}
	if ended { // meanwhile: end found nothing to cancel yet
		sub.end()
		return errEnded
	}
	return nil
}

func newSubscription(s *serving, h queue.Handle, m *peerv1.Consumer) *subscription {
	sub := &subscription{s: s, h: h, id: m.Id}
	sub.c = queue.Consumer{Tag: m.Tag, NoAck: m.NoAck, Exclusive: m.Exclusive, Priority: m.Priority, Prefetch: int(m.Prefetch),
		Receiver: sub}
	return sub
}

func (s *serving) remove(sub *subscription) {
	s.mu.Lock()
	if s.subs[sub.id] == sub {
		delete(s.subs, sub.id)
	}
	s.mu.Unlock()
}

// room returns how many more messages may come, as far as that depends on what is on its way. mu is held.
func (b *subscription) room() int {
	limit := int64(windowBytes)
	if b.s.onWay.Load() > manyBytes {
		limit = smallWindow
	}
	if b.paused || b.ended || b.bytes >= limit {
		return 0
	}
	return max(windowMessages-b.messages-b.reserved, 0)
}

// Reserve implements queue.Receiver.
func (b *subscription) Reserve(_ *queue.Consumer, n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	granted := min(n, b.room())
	if granted > 0 && b.s.out.crowded(b) {
		granted = 0 // the outbox calls unblock
	}
	b.blocked = granted < n
	b.reserved += granted
	return granted
}

// Unreserve implements queue.Receiver.
func (b *subscription) Unreserve(_ *queue.Consumer, n int) {
	b.mu.Lock()
	b.reserved -= n
	b.answerPause()
	b.mu.Unlock()
}

// Deliver implements queue.Receiver.
func (b *subscription) Deliver(_ *queue.Consumer, pieces []queue.Piece) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes := 0, 0
	for i := range pieces {
		p := &pieces[i]
		n += p.Count
		bytes += p.Bytes
		if !b.c.NoAck {
			b.out.add(queue.Range{First: p.First, Last: p.First + uint64(p.Count) - 1})
		}
	}
	b.reserved -= n
	b.messages += n
	b.bytes += int64(bytes)
	b.s.onWay.Add(int64(bytes))
	b.s.out.deliver(b, pieces, bytes)
	b.answerPause()
}

// answerPause tells the other node that nothing more is on its way, if it waits for that. mu is held.
func (b *subscription) answerPause() {
	if b.owed && b.reserved <= 0 {
		b.owed = false
		b.s.out.push(outgoing{event: &peerv1.Event{Paused: &peerv1.Paused{Consumer: b.id}}, key: b.h.ID()})
	}
}

// Cancelled implements queue.Receiver.
func (b *subscription) Cancelled(*queue.Consumer) {
	b.s.remove(b)
	b.mu.Lock()
	b.gone, b.ended = true, true
	b.forgetWay()
	b.out = offsets{}
	b.s.out.push(outgoing{event: &peerv1.Event{Cancelled: &peerv1.Cancelled{Consumer: b.id}}, key: b.h.ID()})
	b.mu.Unlock()
}

// forgetWay takes what is on its way out of the link's sum. mu is held.
func (b *subscription) forgetWay() {
	b.s.onWay.Add(-b.bytes)
	b.bytes, b.messages = 0, 0
}

// credit notes that the receiver has taken messages.
func (b *subscription) credit(messages int, bytes int64) {
	b.mu.Lock()
	bytes = min(bytes, b.bytes)
	b.messages = max(b.messages-messages, 0)
	b.bytes -= bytes
	b.s.onWay.Add(-bytes)
	b.unblockLocked()
}

// unblock has the queue ask again if it waits and there is room.
func (b *subscription) unblock() {
	b.mu.Lock()
	b.unblockLocked()
}

// unblockLocked is unblock with mu held, which it releases.
func (b *subscription) unblockLocked() {
	wake := b.blocked && b.room() > 0
	if wake {
		b.blocked = false
	}
	b.mu.Unlock()
	if wake {
		b.h.Wake(&b.c)
	}
}

// pause lets nothing more come, and answers when nothing is on its way to the outbox any more.
func (b *subscription) pause() {
	b.mu.Lock()
	b.paused, b.owed = true, true
	b.answerPause()
	b.mu.Unlock()
}

// pull ends pause.
func (b *subscription) pull() {
	b.mu.Lock()
	b.paused = false
	b.unblockLocked()
}

// settle gives a settlement to the queue, as far as the deliveries are not settled. inherited are further ones.
func (b *subscription) settle(v *queue.Settlement, inherited []queue.Range) {
	b.mu.Lock()
	v.Handle, v.Consumer, v.Ranges = b.h, &b.c, append(inherited, b.out.remove(v.Ranges)...)
	last := b.detached && b.out.n == 0
	b.mu.Unlock()
	if len(v.Ranges) > 0 {
		b.h.Settle(v)
	} else if v.Done != nil {
		v.Done()
	}
	if last {
		b.s.remove(b)
	}
}

// cancel detaches the consumer; what is delivered stays so.
func (b *subscription) cancel() {
	b.h.Cancel(&b.c)
	b.mu.Lock()
	b.detached = true
	b.forgetWay()
	last := b.out.n == 0
	b.mu.Unlock()
	if last {
		b.s.remove(b)
	}
}

// end detaches the consumer and requeues what is not settled, as if its channel had died. It may be called again.
func (b *subscription) end() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.h.Cancel(&b.c)
	b.mu.Lock()
	b.forgetWay()
	ranges := b.out.take()
	b.mu.Unlock()
	if len(ranges) > 0 {
		b.h.Settle(&queue.Settlement{Handle: b.h, Consumer: &b.c, Outcome: queue.Requeue, Ranges: ranges})
	}
}
