package queue

import (
	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
)

// Letters are messages that the queue gives up, on their way to the dead-letter exchange. They are gone from the queue, but the
// log keeps them until Done, or until what Source returns is stored together with them.
type Letters struct {
	Reason  deadletter.Reason
	Records []Letter
	// Done must be called once, from any goroutine, when the letters are safe elsewhere, or nobody wants them. It never blocks.
	Done func()

	queue *Queue
	at    []run // of each of Records
}

// Source returns what removes the given ones of Records, by ascending index, from the queue's log: for the Publication that alone
// makes them safe. It must only be called while Options.DeadLetter runs.
func (l *Letters) Source(indexes []int) (ops []*block.Op) {
	if l.queue == nil {
		return nil
	}
	var runs []run // in one block
	for _, i := range indexes {
		r := l.at[i]
		switch n := len(runs); {
		case n > 0 && runs[n-1].blk != r.blk:
			ops = append(ops, l.queue.removal(runs)...)
			runs = []run{r}
		case n > 0 && runs[n-1].hi+1 == r.lo:
			runs[n-1].hi = r.hi
		default:
			runs = append(runs, r)
		}
	}
	if len(runs) > 0 {
		ops = append(ops, l.queue.removal(runs)...)
	}
	return ops
}

// Letter is one encoded record; see block.Parse. Its bytes stay valid and unchanged.
type Letter struct{ Record, Tail []byte }

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
	l := &Letters{Reason: reason, queue: q}
	for _, r := range runs {
		pos := r.blk.position(r.lo)
		for i := r.lo; i <= r.hi; i++ {
			n := block.RecordLen(r.blk.buf[pos:])
			end := min(pos+n, len(r.blk.buf))
			l.Records = append(l.Records, Letter{r.blk.buf[pos:end:end], r.blk.tail})
			l.at = append(l.at, run{r.blk, i, i})
			pos += n
		}
		q.vanish(r)
	}
	l.Done = func() { q.post(&item{fn: func() { q.died(runs) }}) }
	q.opts.DeadLetter(l)
}

// removal returns the ops that make runs, which are in one block, gone in the log.
func (q *Queue) removal(runs []run) (ops []*block.Op) {
	b := runs[0].blk
	for _, s := range b.segs {
		var gone bitset
		for _, r := range runs {
			lo, hi := max(r.lo, s.first), min(r.hi, s.first+s.n-1)
			if lo <= hi {
				gone.setRange(lo-s.first, hi-s.first, s.n)
			}
		}
		if gone == nil {
			continue
		}
		ops = append(ops, &q.tell(s, gone).op)
		s.marked = true
		if b.open == s { // its description must not change any more
			s.close()
			b.open = nil
		}
	}
	return ops
}

// vanish takes the records of r out of the queue, without a trace in the log so far.
func (q *Queue) vanish(r run) {
	b := r.blk
	b.goneN += b.gone.setRange(r.lo, r.hi, b.count)
	b.dying.setRange(r.lo, r.hi, b.count)
	b.dyingN += int(r.hi - r.lo + 1)
	q.dyingN++
}

// died is called when the records are safe elsewhere.
func (q *Queue) died(runs []run) {
	if q.dyingN -= len(runs); q.dyingN == 0 && q.drained != nil {
		close(q.drained)
		q.drained = nil
	}
	if q.over() {
		return
	}
	for _, r := range runs {
		b := r.blk
		b.dying.clearRange(r.lo, r.hi)
		b.dyingN -= int(r.hi - r.lo + 1)
		if b.dyingN > 0 {
			q.markDirty(b)
			continue
		}
		b.dying = nil
		if b.goneN == b.count {
			q.bury(b)
			continue
		}
		q.markDirty(b)
		q.merge(b)
		q.pageOut(b)
	}
}

// drop is records that wait to be given up.
type drop struct {
	Range
	reason deadletter.Reason
}

// drop gives up r, which is neither ready nor unacknowledged any more: at once if nobody wants to see it, else when it is in
// memory.
func (q *Queue) drop(r Range, reason deadletter.Reason) {
	if !q.set.DeadLetters {
		q.of(r.First).eachBlock(r, q.settleIn)
		return
	}
	if n := len(q.drops); n > 0 && q.drops[n-1].reason == reason && q.drops[n-1].Last+1 == r.First {
		q.drops[n-1].Last = r.Last
		return
	}
	q.drops = append(q.drops, drop{r, reason})
}

// serveDrops gives up what waits for it, as far as it is in memory.
func (q *Queue) serveDrops() {
	for len(q.drops) > 0 {
		d := q.drops[0]
		l := q.of(d.First)
		var runs []run
		var missing *memBlock
		l.eachLive(d.Range, func(b *memBlock, lo, hi uint32) {
			switch {
			case missing != nil:
			case b.resident() || !q.set.DeadLetters:
				runs = append(runs, run{b, lo, hi})
			default:
				missing = b
			}
		})
		if missing != nil {
			q.drops[0].First = max(d.First, missing.base)
		} else {
			q.drops = q.drops[1:]
		}
		q.giveUp(d.reason, runs)
		if missing != nil {
			if !l.loading {
				l.startLoad(missing, 1)
			}
			return
		}
	}
	q.drops = nil
}
