package queue

import (
	"slices"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
)

// full reports whether the queue holds more than it may, with extra messages of so many body bytes.
func (q *Queue) full(extra int, bytes int64) bool {
	s := &q.set
	return s.MaxLength >= 0 && int64(q.readyN+extra) > s.MaxLength || s.MaxBytes >= 0 && q.readyBytes+bytes > s.MaxBytes
}

func (q *Queue) limited() bool { return q.set.MaxLength >= 0 || q.set.MaxBytes >= 0 }

// refuses reports whether a full queue refuses new messages.
func (q *Queue) refuses() bool { return q.limited() && q.set.Overflow != DropHead }

// admit takes in of p what the queue has room for, and refuses the rest. Consumers may make room meanwhile.
func (q *Queue) admit(p *Publication) {
	if len(q.deadlines) > 0 {
		q.expire(q.opts.Now() - 1)
	}
	q.dispatch()
	b := &p.Block
	if !q.full(b.Count, b.Bodies) {
		q.accept(p)
		return
	}
	kept := &Publication{Batch: p.Batch, Flow: p.Flow, Letters: p.Letters}
	acceptKept := func() {
		if p.Batch != nil {
			p.Batch.Add()
		}
		q.accept(kept)
		kept = &Publication{Batch: p.Batch, Flow: p.Flow, Letters: p.Letters}
	}
	var letters []Letter
	var rec block.Record
	refused, pos := 0, 0 // bytes
	for i := range b.Count {
		n, err := block.Parse(b.Records[pos:], b.Tail, &rec)
		if err != nil {
			break // cannot be: the publisher encoded it
		}
		raw := b.Records[pos:min(pos+n, len(b.Records))]
		pos += n
		if kept.Block.Count > 0 && q.full(kept.Block.Count+1, kept.Block.Bodies+int64(len(rec.Body))) {
			acceptKept()
			q.dispatch()
		}
		if !q.full(kept.Block.Count+1, kept.Block.Bodies+int64(len(rec.Body))) {
			kept.Block.Append(&rec)
			if p.Batch != nil {
				kept.Seqs = append(kept.Seqs, p.seq(i))
			}
			continue
		}
		refused += n
		if p.Batch != nil {
			p.Batch.Refuse(p.seq(i))
		}
		letters = append(letters, Letter{slices.Clone(raw), b.Tail})
	}
	if kept.Block.Count > 0 {
		kept.Source = p.Source
		acceptKept()
	}
	if p.Flow != nil && refused > 0 {
		p.Flow.Done(refused)
	}
	if len(letters) > 0 && q.set.Overflow == RejectPublishDLX && q.set.DeadLetters && q.opts.DeadLetter != nil {
		q.opts.DeadLetter(&Letters{Reason: deadletter.MaxLen, Records: letters, Done: func() {}})
	}
	if p.Batch != nil {
		p.Batch.Done() // what was kept was counted on its own
	}
}

// seq returns the publish sequence number of record i.
func (p *Publication) seq(i int) uint64 {
	if p.Seqs != nil {
		return p.Seqs[i]
	}
	return p.Batch.First + uint64(i)
}

// enforce gives up messages from the head until the queue is within its limits.
func (q *Queue) enforce() {
	if !q.limited() || q.set.Overflow != DropHead || !q.full(0, 0) {
		return
	}
	q.stalled = false
	for q.readyN > 0 && q.full(0, 0) && !q.stalled {
		var c Consumer
		q.pinned = true // what is given up must be in memory
		for q.readyN > 0 && q.full(0, 0) {
			n := 1
			if q.set.MaxBytes < 0 { // else bodies differ
				n = q.readyN - int(q.set.MaxLength)
			}
			if q.take(&c, n) == 0 {
				break
			}
		}
		var runs []run
		for _, p := range c.batch {
			q.unackedN -= p.Count
			q.of(p.First).eachBlock(Range{p.First, p.First + uint64(p.Count) - 1}, func(b *memBlock, lo, hi uint32) {
				runs = append(runs, run{b, lo, hi})
			})
		}
		q.giveUp(deadletter.MaxLen, runs)
		q.pinned = false
		for _, r := range runs {
			q.pageOut(r.blk)
		}
		if len(runs) == 0 {
			return
		}
	}
}
