package queue

import "github.com/brokerd/brokerd/amqp/block"

// PrepareDelete implements Handle.
func (q *Queue) PrepareDelete(ifUnused, ifEmpty bool) (n int, err error) {
	heir := q.ask(true, func() {
		switch {
		case q.state != stateOpen:
			err = ErrGone
		case ifUnused && len(q.consumers) > 0:
			err = ErrInUse
		case ifEmpty && q.readyN > 0:
			err = ErrNotEmpty
		default:
			q.state = statePrepared
			n = q.readyN
		}
	})
	if heir != nil {
		return heir.PrepareDelete(ifUnused, ifEmpty)
	}
	return n, err
}

// Resume implements Handle.
func (q *Queue) Resume() {
	q.post(&item{fn: func() {
		switch q.state {
		case statePrepared:
			q.reopen()
		case stateMoved:
			q.heir.Resume()
		}
	}})
}

// reopen ends the time in which the queue is held still.
func (q *Queue) reopen() {
	q.state = stateOpen
	q.touch() // its time may have passed meanwhile
	q.unpark()
	if len(q.dirty) > 0 {
		q.tick()
	}
	if q.state == stateOpen {
		q.checkUnused()
	}
}

// unpark handles what arrived while the queue was held still.
func (q *Queue) unpark() {
	var first *item
	for it := q.parked; it != nil; {
		next := it.next
		it.next = first
		first, it = it, next
	}
	q.parked = nil
	for it := first; it != nil; {
		next := it.next
		it.next = nil
		q.handle(it)
		it = next
	}
}

// Drop implements Handle.
func (q *Queue) Drop() {
	q.post(&item{fn: func() {
		moved := q.state == stateMoved
		if q.over() && !moved {
			return
		}
		q.state = stateGone
		if moved {
			return // the new leader drops the rest
		}
		if q.left != nil {
			q.depart()
		}
		q.ending.Store(true)
		q.dropped.Store(true)
		q.unpark()
		q.failGets()
		for _, c := range q.consumers {
			c.attached = false
			c.Receiver.Cancelled(c)
		}
		q.consumers, q.ready = nil, ready{}
		q.answerAll() // the queue's end counts as taken (SEMANTICS 10.4)
		q.release()
		q.opts.Log.DropQueue(q.opts.LogID)
	}})
}

// answerAll gives the publishers that wait for the log their answer, as far as the log has not claimed their messages.
func (q *Queue) answerAll() {
	for _, l := range q.lanes {
		for i := range l.idx.len() {
			for _, s := range l.idx.at(i).segs {
				s.end()
			}
		}
	}
}

// release forgets all messages in memory.
func (q *Queue) release() {
	for i := range q.held {
		q.held[i].done(nil)
	}
	q.held = nil
	q.account(-q.resident)
	for i, l := range q.lanes {
		q.lanes[i] = newLane(q, i)
		q.lanes[i].next, q.lanes[i].curOff = l.next, l.next
	}
	q.dirty, q.deletes, q.undeleted, q.deadlines, q.drops, q.overdue = nil, nil, nil, nil, nil, nil
	q.readyN, q.unackedN, q.readyBytes = 0, 0, 0
	if q.alarm != nil {
		q.alarm.Stop()
	}
	q.touch()
	q.mem.queues.Delete(q)
}

// Stop ends the engine and leaves its messages in the log: acknowledgements are written, and what was delivered is marked.
// It returns when that is handed to the log (which is flushed by closing it) and nothing is being loaded from it any more.
// Consumers are not told.
func (q *Queue) Stop() {
	if q.opts.Delays {
		q.drain()
	}
	q.call(func() {
		if q.over() {
			return
		}
		for q.state == statePrepared || q.state == stateArriving { // what is parked may prepare once more
			q.state = stateOpen
			q.unpark()
		}
		q.failGets()
		if q.opts.Durable {
			q.flushGone()
			q.deleteAgain()
			q.flushDeletes()
			if mark, used := q.deliveredTo(); used {
				q.opts.Log.Submit(&block.Op{Kind: block.OpMark, Queue: q.opts.LogID, Mark: mark})
			}
		}
		q.state = stateStopped
		q.ending.Store(true)
		for _, c := range q.consumers {
			c.attached = false
		}
		q.consumers, q.ready = nil, ready{}
		q.release()
		if q.left != nil {
			q.depart()
		}
		q.unpark() // of a queue that is about to move, perhaps: it is refused, for it may belong to the new leader
	})
	q.loads.Wait()
}

// deliveredTo returns the exact delivered mark: the lowest serial number that is not, and above which nothing is, delivered. used
// is false for a queue that never had a message.
func (q *Queue) deliveredTo() (mark uint64, used bool) {
	for _, l := range q.lanes {
		used = used || l.idx.len() > 0 || l.next&serialMask > 0
		mark = max(mark, l.curOff&serialMask, min(q.redelivered, l.next&serialMask))
	}
	return mark, used
}
