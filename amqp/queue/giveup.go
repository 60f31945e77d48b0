package queue

import (
	"slices"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
)

// Letters are messages that the queue gives up, on their way to the dead-letter exchange. They are gone from the queue, but the
// log keeps them until Done, or until Source is stored together with them.
type Letters struct {
	Reason  deadletter.Reason
	Records []Letter
	// Source removes them from this queue's log. It may be given to one Publication, if that alone makes them safe.
	Source []*block.Op
	// Done must be called once, from any goroutine, when the letters are safe elsewhere, or nobody wants them. It never blocks.
	Done func()
}

// Letter is one encoded record; see block.Parse. Its bytes stay valid and unchanged.
type Letter struct{ Record, Tail []byte }

// dying is records of one block that are on their way to the dead-letter exchange.
type dying struct {
	blk  *memBlock
	gone bitset
}

// run is the records [lo, hi] of a block.
type run struct {
	blk    *memBlock
	lo, hi uint32
}

// giveUp ends the records of runs, which are neither ready nor unacknowledged any more. They go to the dead-letter exchange if
// there is one; their blocks must be in memory then.
func (q *Queue) giveUp(reason deadletter.Reason, runs []run) {
	if len(runs) == 0 {
		return
	}
	if !q.set.DeadLetters || q.opts.DeadLetter == nil {
		for _, r := range runs {
			if !r.blk.dead {
				q.settleIn(r.blk, r.lo, r.hi)
			}
		}
		return
	}
	l := &Letters{Reason: reason}
	var list []*dying
	of := make(map[*memBlock]*dying)
	for _, r := range runs {
		d := of[r.blk]
		if d == nil {
			d = &dying{blk: r.blk}
			list = append(list, d)
			of[r.blk] = d
		}
		pos := r.blk.position(r.lo)
		for i := r.lo; i <= r.hi; i++ {
			n := block.RecordLen(r.blk.buf[pos:])
			end := min(pos+n, len(r.blk.buf))
			l.Records = append(l.Records, Letter{r.blk.buf[pos:end:end], r.blk.tail})
			pos += n
		}
		d.gone.setRange(r.lo, r.hi, r.blk.count)
	}
	for _, d := range list {
		l.Source = append(l.Source, q.removal(d)...)
		q.vanish(d)
	}
	l.Done = func() { q.post(&item{fn: func() { q.died(list) }}) }
	q.opts.DeadLetter(l)
}

// removal returns the ops that make the records of d gone in the log, and nothing else that is still on its way.
func (q *Queue) removal(d *dying) (ops []*block.Op) {
	b := d.blk
	for _, s := range b.segs {
		if d.gone.countRange(s.first, s.first+s.n-1) == 0 {
			continue
		}
		gone := b.gone.slice(s.first, s.n)
		for _, o := range b.dying {
			for i := range s.n {
				if o.gone.has(s.first + i) {
					gone[i>>6] &^= 1 << (i & 63)
				}
			}
		}
		for i := range s.n {
			if d.gone.has(s.first + i) {
				gone[i>>6] |= 1 << (i & 63)
			}
		}
		ops = append(ops, &block.Op{Kind: block.OpGone, Queue: q.opts.ID, Desc: s.desc, Gone: b.appendFailures(gone, s), Lazy: true})
		s.marked = true
		if b.open == s { // its description must not change any more
			s.close()
			b.open = nil
		}
	}
	return ops
}

// vanish takes the records of d out of the queue, without a trace in the log so far.
func (q *Queue) vanish(d *dying) {
	b := d.blk
	b.dying = append(b.dying, d)
	q.dyingN++
	for i := range b.count {
		if d.gone.has(i) {
			b.goneN += b.gone.setRange(i, i, b.count)
		}
	}
	if b == b.lane.tail {
		b.lane.seal()
	}
}

// died is called when the records are safe elsewhere.
func (q *Queue) died(list []*dying) {
	if q.dyingN -= len(list); q.dyingN == 0 && q.drained != nil {
		close(q.drained)
		q.drained = nil
	}
	for _, d := range list {
		b := d.blk
		b.dying = slices.DeleteFunc(b.dying, func(o *dying) bool { return o == d })
		if b.dead || q.state == stateGone || q.state == stateStopped {
			continue
		}
		if b.goneN == b.count && len(b.dying) == 0 {
			q.bury(b)
		} else {
			q.markDirty(b)
		}
	}
}

// rejected gives up what a consumer does not want.
func (q *Queue) rejected(r Range) {
	if !q.set.DeadLetters {
		q.of(r.First).eachBlock(r, q.settleIn)
		return
	}
	q.drops = append(q.drops, r)
}

// serveDrops dead-letters what was rejected, as far as it is in memory.
func (q *Queue) serveDrops() {
	for len(q.drops) > 0 {
		r := q.drops[0]
		l := q.of(r.First)
		var runs []run
		var missing *memBlock
		l.eachLive(r, func(b *memBlock, lo, hi uint32) {
			switch {
			case missing != nil:
			case b.resident() || !q.set.DeadLetters:
				runs = append(runs, run{b, lo, hi})
			default:
				missing = b
			}
		})
		if missing == nil {
			q.drops = q.drops[1:]
		} else if len(runs) > 0 {
			q.drops[0].First = missing.base
		}
		q.giveUp(deadletter.Rejected, runs)
		if missing != nil {
			l.load(missing)
			return
		}
	}
	q.drops = nil
}
