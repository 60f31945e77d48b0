package server

import (
	"errors"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
)

// Consumers whose queue's node cannot be reached any more get basic.cancel. A client that does not understand that
// would wait for ever, so its consumers come back by themselves as soon as the queue does (DESIGN section 7).
//
// A queue may have moved to another node after a consumer was attached; its deliveries go on by way of the first node. When that goes
// down the client is not bothered with it: its consumer is attached to the queue where that is now.

const (
	// comebackPause is the time between attempts.
	comebackPause = 500 * time.Millisecond
	// rehomeTime bounds how long a consumer is attached to a queue that has moved, rehomePause the time between attempts.
	rehomeTime  = 10 * time.Second
	rehomePause = 50 * time.Millisecond
)

// comeBack begins to start c anew. It returns false if that is of no use: a queue of this node ends consumers only when it is deleted.
// mu is held, and c stays in d.consumers: its tag is in use.
func (d *deliveries) comeBack(c *consumer) bool {
	if d.ended || c.returning {
		return c.returning
	}
	switch _, local := c.handle.(*queue.Queue); {
	case d.c.access.Elsewhere(c.handle):
		c.returning = true
		d.returning.Go(func() { d.rehome(c) })
	case local || d.c.caps.consumerCancelNotify:
		return false
	default:
		c.returning = true
		d.returning.Go(func() { d.restart(c) })
	}
	return true
}

// rehome attaches c to its queue on the node that leads it now. If that does not succeed, c ends as others do.
func (d *deliveries) rehome(c *consumer) {
	for began := time.Now(); time.Since(began) < rehomeTime; {
		h, err := d.c.access.QueueForRead(c.queue)
		if err != nil || h.ID() != c.handle.ID() {
			break
		}
		next, ok := d.replace(c, h)
		if !ok {
			return
		}
		c = next
		if err = h.Consume(&c.Consumer); err == nil {
			d.reconcile(c)
			return
		}
		// The queue may not know yet that the exclusive consumer before is gone: that was c.
		if !errors.Is(err, queue.ErrExclusiveUse) && !errors.Is(err, queue.ErrUnavailable) || !d.rest(rehomePause) {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.consumers[c.Tag] != c {
		return
	}
	if !d.c.caps.consumerCancelNotify && !d.ended {
		d.returning.Go(func() { d.restart(c) })
		return
	}
	d.end(c)
}

// replace puts a consumer for h in the place of c. It returns false if c was cancelled.
func (d *deliveries) replace(c *consumer, h queue.Handle) (*consumer, bool) {
	next := &consumer{handle: h, queue: c.queue, del: d, announced: true, timeout: c.timeout, every: c.every,
		arguments: c.arguments}
	next.Consumer = queue.Consumer{Tag: c.Tag, NoAck: c.NoAck, Exclusive: c.Exclusive, Priority: c.Priority, Prefetch: c.Prefetch,
		Receiver: next}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.consumers[c.Tag] != c {
		return nil, false
	}
	d.consumers[c.Tag] = next
	return next, true
}

// rest waits for so long; it returns false if nobody wants a consumer any more.
func (d *deliveries) rest(pause time.Duration) bool {
	select {
	case <-d.closing:
	case <-d.c.interrupt:
	case <-time.After(pause):
		return true
	}
	return false
}

// restart starts c anew until it succeeds, the queue is gone, or nobody wants it any more.
func (d *deliveries) restart(c *consumer) {
	id := c.handle.ID()
	for pause := time.Duration(0); d.rest(pause); pause = comebackPause {
		h, err := d.c.access.QueueForRead(c.queue)
		if err == nil && h.ID() != id {
			err = queue.ErrGone // another one has the name now
		}
		if err != nil { // deleted, or forbidden
			d.forget(c)
			return
		}
		next, ok := d.replace(c, h)
		if !ok {
			return
		}
		c = next
		err = h.Consume(&c.Consumer)
		switch {
		case err == nil:
			d.reconcile(c)
			return
		case !errors.Is(err, queue.ErrUnavailable):
			d.forget(c)
			return
		}
	}
}

// forget frees the tag of c.
func (d *deliveries) forget(c *consumer) {
	d.mu.Lock()
	if d.consumers[c.Tag] == c {
		delete(d.consumers, c.Tag)
	}
	d.mu.Unlock()
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
