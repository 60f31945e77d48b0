package queue

import "slices"

// Consume implements Handle.
func (q *Queue) Consume(c *Consumer) (err error) {
	heir := q.ask(true, func() {
		if q.state != stateOpen {
			err = ErrGone
			return
		}
		if len(q.consumers) > 0 && (c.Exclusive || q.consumers[0].Exclusive) || c.Exclusive && q.opts.SingleActive {
			err = ErrExclusiveUse
			return
		}
		q.attach(c, 0)
		q.touch()
	})
	if heir != nil {
		return heir.Consume(c)
	}
	return err
}

// attach adds a consumer that has so many unsettled deliveries.
func (q *Queue) attach(c *Consumer, unacked int) {
	q.joined++
	c.joined = q.joined
	c.attached, c.unacked, c.blocked, c.waiting, c.place = true, unacked, false, false, len(q.consumers)
	q.consumers = append(q.consumers, c)
	q.used = true
	if q.opts.SingleActive && q.active == nil {
		q.active = c
	}
	q.readmit(c)
}

// readmit puts c in line for messages if it may have some.
func (q *Queue) readmit(c *Consumer) {
	if c.attached && !c.blocked && c.credit() > 0 && (q.active == nil || q.active == c) {
		q.ready.add(c)
	}
}

// Cancel implements Handle.
func (q *Queue) Cancel(c *Consumer) {
	var left chan struct{}
	heir := q.ask(false, func() {
		if q.state == stateMoving && q.heir != nil { // c is on its way
			left = q.left
			return
		}
		if !c.attached {
			return
		}
		c.attached = false
		q.ready.remove(c)
		last := len(q.consumers) - 1
		moved := q.consumers[last]
		q.consumers[c.place], moved.place = moved, c.place
		q.consumers = slices.Delete(q.consumers, last, last+1)
		if len(q.consumers) == 0 {
			q.touch()
		}
		if q.active == c {
			q.promote()
		}
		q.checkUnused()
	})
	switch {
	case left != nil:
		<-left
		q.Cancel(c)
	case heir != nil:
		heir.Cancel(c)
	}
}

// promote makes the consumer that came first the active one.
func (q *Queue) promote() {
	q.active = nil
	for _, c := range q.consumers {
		if q.active == nil || c.joined < q.active.joined {
			q.active = c
		}
	}
	if q.active != nil {
		q.readmit(q.active)
	}
}

// checkUnused reports an auto-delete queue that has lost its last consumer.
func (q *Queue) checkUnused() {
	if len(q.consumers) == 0 && q.used && q.opts.AutoDelete && q.state == stateOpen && q.opts.OnUnused != nil {
		q.opts.OnUnused()
	}
}
