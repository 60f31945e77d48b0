package queue

import (
	"errors"
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
)

// settle applies a channel's settlement.
func (q *Queue) settle(s *Settlement) {
	if q.state == stateMoved {
		q.inheritance.Settle(s)
		return
	}
	if q.state != stateOpen {
		if s.Done != nil {
			s.Done()
		}
		return
	}
	n := 0
	for _, r := range s.Ranges {
		k := int(r.Last - r.First + 1)
		n += k
		switch s.Outcome {
		case Ack:
			q.of(r.First).eachBlock(r, q.settleIn)
		case Drop:
			q.drop(r, deadletter.Rejected)
		case Requeue:
			q.requeue(r, true)
		case Return:
			q.requeue(r, false)
		}
	}
	q.unackedN -= n
	if c := s.Consumer; c != nil {
		c.unacked -= n
		q.readmit(c)
	}
	if s.Done != nil {
		q.commit(func(err error) {
			if err != nil && s.Failed != nil {
				s.Failed(err)
			}
			s.Done()
		})
	}
}

// commit writes which records are gone, and calls done from any goroutine when that is durable, or with the reason why it may not be.
func (q *Queue) commit(done func(error)) {
	q.flushGone()
	q.flushDeletes()
	b := &barrier{q: q, before: q.failures.Load(), done: done}
	q.opts.Log.Submit(&block.Op{Kind: block.OpBarrier, Queue: q.opts.LogID, Owner: b})
}

// barrier calls done when everything submitted before is durable. The log is done with the ops of a queue in order, so failures
// has counted by then what failed of them.
type barrier struct {
	q      *Queue
	before int64 // failures when it was submitted
	done   func(error)
}

// errNotWritten says that a deletion failed, which is tried again.
var errNotWritten = errors.New("not all deletions are stored")

func (b *barrier) Claim(*block.Op) bool { return true }

func (b *barrier) Done(_ *block.Op, err error) {
	if err == nil && b.q.failures.Load() != b.before {
		err = errNotWritten
	}
	b.done(err)
}

// requeue makes r ready again, at its old position. failed says that it counts as a failed delivery. Records that were lost
// meanwhile stay lost; those that have failed too often, or are too old, are given up.
func (q *Queue) requeue(r Range, failed bool) {
	l := q.of(r.First)
	var exhausted []Range
	l.eachLive(r, func(b *memBlock, lo, hi uint32) {
		if failed {
			b.redelivered.setRange(lo, hi, b.count)
		}
		if failed && q.set.DeliveryLimit >= 0 {
			exhausted = append(exhausted, q.countFailures(b, lo, hi)...)
			return
		}
		l.pushRequeued(b, lo, hi)
	})
	for _, r := range exhausted {
		q.drop(r, deadletter.DeliveryLimit)
	}
}

// countFailures counts one more failed delivery of each record and requeues it, unless the limit is passed: those are returned.
func (q *Queue) countFailures(b *memBlock, lo, hi uint32) (exhausted []Range) {
	if b.failures == nil {
		b.failures = make(map[uint32]uint32)
	}
	for i := lo; i <= hi; i++ {
		b.failures[i]++
		if int64(b.failures[i]) <= q.set.DeliveryLimit {
			b.lane.pushRequeued(b, i, i)
			continue
		}
		off := b.base + uint64(i)
		if n := len(exhausted); n > 0 && exhausted[n-1].Last+1 == off {
			exhausted[n-1].Last = off
		} else {
			exhausted = append(exhausted, Range{off, off})
		}
	}
	q.markDirty(b)
	return exhausted
}

func (l *lane) pushRequeued(b *memBlock, lo, hi uint32) {
	l.requeued.push(Range{b.base + uint64(lo), b.base + uint64(hi)})
	l.addReady(b, lo, int(hi-lo+1))
	if b.mayExpire {
		b.back.setRange(lo, hi, b.count)
	}
	if !b.resident() {
		if b.mayExpire && !b.overdue {
			l.q.watch(b, 1) // look when it is here
		}
		return
	}
	if b.mayExpire {
		pos := b.position(lo)
		for i := lo; i <= hi; i++ {
			l.q.watch(b, block.DeadlineOf(b.buf[pos:]))
			pos += block.RecordLen(b.buf[pos:])
		}
	}
}

// settleIn marks the records [lo, hi] of b as gone.
func (q *Queue) settleIn(b *memBlock, lo, hi uint32) {
	if lo == 0 && hi == b.count-1 && b.dyingN == 0 {
		b.goneN = b.count
	} else {
		b.goneN += b.gone.setRange(lo, hi, b.count)
	}
	if b.goneN == b.count && b.dyingN == 0 {
		q.bury(b)
		return
	}
	if b.inflight > 0 && b.dyingN == 0 {
		q.cancelSettled(b, lo, hi)
	}
	q.markDirty(b)
}

// cancelSettled takes back segments of b within reach of [lo, hi] that hold nothing live and were not claimed by the log.
func (q *Queue) cancelSettled(b *memBlock, lo, hi uint32) {
	for i := 0; i < len(b.segs); i++ {
		s := b.segs[i]
		if s.stored || s.first > hi || s.first+s.n <= lo || s.live() > 0 || !s.cancel() {
			continue
		}
		q.discard(s, false)
		b.inflight--
		b.covered -= s.n
		if b.open == s {
			b.open = nil
		}
		b.segs = append(b.segs[:i], b.segs[i+1:]...)
		i--
	}
}

// bury ends a block whose records are all gone: its memory is released, what the log holds of it is deleted, what the log
// has not claimed yet is taken back.
func (q *Queue) bury(b *memBlock) {
	b.goneN = b.count
	b.dead = true
	b.sealed = true
	if b.lane.tail == b {
		b.lane.tail = nil
	}
	q.deadlines.set(b, 0)
	for _, s := range b.segs {
		q.discard(s, !s.cancel())
	}
	q.dropSpill(b)
	if b.resident() {
		q.account(-int64(b.size))
	}
	b.buf, b.tail, b.segs, b.open, b.spill, b.gone, b.redelivered, b.failures = nil, nil, nil, nil, nil, nil, nil, nil
	b.back, b.dying, b.timed = nil, nil, nil
	b.lane.idx.buried()
}

// discard has the log delete what it holds of s. A claimed segment is deleted after it was written: ops of a queue take effect
// in the order of submission. One that was taken back before leaves only its bitmap, and what it was to replace.
func (q *Queue) discard(s *segment, claimed bool) {
	if claimed || s.marked {
		q.deletes = append(q.deletes, s.desc)
	}
	for _, old := range s.merged {
		q.deletes = append(q.deletes, old.desc)
	}
}

// dropSpill gives up the copy of b that was written to free memory.
func (q *Queue) dropSpill(b *memBlock) {
	if b.spill == nil {
		return
	}
	if b.spill.cancel() {
		q.spilling-- // otherwise its completion counts it
		b.inflight--
	} else {
		q.deletes = append(q.deletes, b.spill.desc)
	}
	b.spill = nil
}

// maxDeletes bounds the blocks in one OpDelete.
const maxDeletes = 256

// flushDeletes hands the deletion of dead blocks to the log. Nobody waits for it.
func (q *Queue) flushDeletes() {
	for len(q.deletes) > 0 {
		n := min(len(q.deletes), maxDeletes)
		d := &deletion{q: q}
		d.op = block.Op{Kind: block.OpDelete, Queue: q.opts.LogID, Remove: slices.Clone(q.deletes[:n]), Lazy: true, Owner: d}
		q.deletes = q.deletes[n:]
		q.opts.Log.Submit(&d.op)
	}
	q.deletes = nil
}

// deletion is the owner of an OpDelete. What a full disk did not take is tried again, so that acknowledged messages do not come
// back with the next start.
type deletion struct {
	q  *Queue
	op block.Op
}

func (d *deletion) Claim(*block.Op) bool { return true }

func (d *deletion) Done(_ *block.Op, err error) {
	if err == nil {
		return
	}
	d.q.failures.Add(1)
	d.q.post(&item{fn: func() { d.q.retry(d.op.Remove) }})
}

// retryDelay is the time between attempts at what the log cannot do for the moment.
var retryDelay = time.Second

// retry has remove deleted after a while.
func (q *Queue) retry(remove []block.Desc) {
	if q.over() {
		return
	}
	q.undeleted = append(q.undeleted, remove...)
	if len(q.undeleted) > len(remove) {
		return // the timer runs
	}
	time.AfterFunc(retryDelay, func() { q.post(&item{fn: q.deleteAgain}) })
}

func (q *Queue) deleteAgain() {
	q.deletes = append(q.deletes, q.undeleted...)
	q.undeleted = nil
}

// goneDelay is how long acknowledgements of single messages stay in memory before they are written as bitmaps. Most blocks
// are acknowledged as a whole by then and are deleted instead.
const goneDelay = 200 * time.Millisecond

// tick arms one timer that ends in flushGone.
func (q *Queue) tick() {
	if q.ticking {
		return
	}
	q.ticking = true
	time.AfterFunc(goneDelay, func() {
		q.post(&item{fn: func() {
			q.ticking = false
			if q.state == stateOpen {
				q.flushGone()
			}
		}})
	})
}
