package server

import (
	"errors"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
)

// Consumers whose queue's node cannot be reached any more get basic.cancel. A client that does not understand that
// would wait for ever, so its consumers come back by themselves as soon as the queue does (DESIGN section 7).

// comebackPause is the time between attempts.
const comebackPause = 500 * time.Millisecond

// comeBack begins to start c anew. It returns false if that is of no use: a queue of this node ends consumers only when it is deleted.
// mu is held, and c stays in d.consumers: its tag is in use.
func (d *deliveries) comeBack(c *consumer) bool {
	if _, local := c.handle.(*queue.Queue); local || d.ended {
		return false
	}
	d.returning.Go(func() { d.restart(c) })
	return true
}

// restart starts c anew until it succeeds, the queue is gone, or nobody wants it any more.
func (d *deliveries) restart(c *consumer) {
	id := c.handle.ID()
	for pause := time.Duration(0); ; pause = comebackPause {
		select {
		case <-d.closing:
			return
		case <-d.c.interrupt:
			return
		case <-time.After(pause):
		}
		h, err := d.c.access.QueueForRead(c.queue)
		if err == nil && h.ID() != id {
			err = queue.ErrGone // another one has the name now
		}
		next := &consumer{handle: h, queue: c.queue, del: d, announced: true, timeout: c.timeout, every: c.every}
		next.Consumer = queue.Consumer{Tag: c.Tag, NoAck: c.NoAck, Exclusive: c.Exclusive, Priority: c.Priority, Prefetch: c.Prefetch,
			Receiver: next}
		d.mu.Lock()
		switch {
		case d.consumers[c.Tag] != c: // cancelled
			d.mu.Unlock()
			return
		case err != nil: // deleted, or forbidden
			delete(d.consumers, c.Tag)
			d.mu.Unlock()
			return
		}
		d.consumers[c.Tag] = next
		d.mu.Unlock()
		err = h.Consume(&next.Consumer)
		switch {
		case err == nil:
			d.reconcile(next)
			return
		case !errors.Is(err, queue.ErrUnavailable):
			d.mu.Lock()
			if d.consumers[c.Tag] == next {
				delete(d.consumers, c.Tag)
			}
			d.mu.Unlock()
			return
		}
		c = next
	}
}

// reconcile ends c again if its tag was cancelled while it was being started, when there was nothing to cancel yet.
func (d *deliveries) reconcile(c *consumer) {
	d.mu.Lock()
	wanted := d.consumers[c.Tag] == c
	d.mu.Unlock()
	if !wanted {
		c.handle.Cancel(&c.Consumer)
	}
}
