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

// admit takes out of p what the queue has no room for, if it refuses new messages then. It returns false if nothing is left.
func (q *Queue) admit(p *Publication) bool {
	if q.set.Overflow == DropHead || !q.limited() || !q.full(p.Block.Count, p.Block.Bodies) {
		return true
	}
	q.dispatch() // consumers may take some of what is there
	if !q.full(p.Block.Count, p.Block.Bodies) {
		return true
	}
	b := &p.Block
	var kept, refused block.Block
	var seqs []uint64 // of kept
	var letters []Letter
	var rec block.Record
	pos := 0
	for i := range b.Count {
		n, err := block.Parse(b.Records[pos:], b.Tail, &rec)
		if err != nil {
			break // cannot be: the publisher encoded it
		}
		raw := b.Records[pos:min(pos+n, len(b.Records))]
		pos += n
		if !q.full(kept.Count+1, kept.Bodies+int64(len(rec.Body))) {
			kept.Append(&rec)
			if p.Batch != nil {
				seqs = append(seqs, p.seq(i))
			}
			continue
		}
		refused.Count++
		if p.Batch != nil {
			p.Batch.Refuse(p.seq(i))
		}
		letters = append(letters, Letter{slices.Clone(raw), b.Tail})
	}
	if p.Flow != nil {
		p.Flow.Done(b.Size() - kept.Size())
	}
	p.Block, p.Seqs = kept, seqs
	if q.set.Overflow == RejectPublishDLX && q.set.DeadLetters && q.opts.DeadLetter != nil {
		q.opts.DeadLetter(&Letters{Reason: deadletter.MaxLen, Records: letters, Done: func() {}})
	}
	if kept.Count == 0 && p.Batch != nil {
		p.Batch.Done()
	}
	return kept.Count > 0
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
	if !q.limited() || q.set.Overflow != DropHead {
		return
	}
	q.stalled = false
	for q.readyN > 0 && q.full(0, 0) && !q.stalled {
		n := 1
		if q.set.MaxLength >= 0 {
			n = max(1, q.readyN-int(q.set.MaxLength))
		}
		if q.set.MaxBytes >= 0 {
			n = 1 // bodies differ
		}
		var c Consumer
		if q.take(&c, n) == 0 {
			return
		}
		var runs []run
		for _, p := range c.batch {
			q.unackedN -= p.Count
			q.of(p.First).eachBlock(Range{p.First, p.First + uint64(p.Count) - 1}, func(b *memBlock, lo, hi uint32) {
				runs = append(runs, run{b, lo, hi})
			})
		}
		q.giveUp(deadletter.MaxLen, runs)
	}
}
