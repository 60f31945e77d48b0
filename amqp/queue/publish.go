package queue

import (
	"github.com/brokerd/brokerd/amqp/block"
)

// publish takes the records of p into the queue.
func (q *Queue) publish(p *Publication) {
	b := &p.Block
	w := waiter{batch: p.Batch, seqs: p.Seqs, flow: p.Flow, bytes: b.Size()}
	switch {
	case q.state == stateStopped:
		w.done(ErrGone)
		return
	case q.state != stateOpen || b.Count == 0: // a deleted queue counts as having taken the message
		w.done(nil)
		return
	}
	blk, first, pos := q.place(b)
	q.readyN += b.Count
	q.next = blk.end()
	q.account(int64(w.bytes))
	if q.opts.Durable && b.Persistent > 0 {
		q.submit(blk, first, pos, b, w)
	} else {
		q.answer(w)
	}
	if blk.sealed {
		q.pageOut(blk)
	}
}

// place puts the records of b at the end of the queue. Small blocks are copied into the open tail block and their arena
// goes back to the pool; others are taken as they are.
func (q *Queue) place(b *block.Block) (blk *memBlock, first uint32, pos int) {
	small := b.Tail == nil && len(b.Records) < block.TargetLen/2
	if t := q.tail; t != nil && (!small || len(t.buf)+len(b.Records) > block.TargetLen) {
		q.seal()
	}
	if small {
		if q.tail == nil {
			q.tail = &memBlock{base: q.next}
			q.idx.push(q.tail)
		}
		blk = q.tail
		first, pos = blk.count, len(blk.buf)
		blk.buf = append(blk.buf, b.Records...)
		block.PutArena(b.Records)
	} else {
		blk = &memBlock{base: q.next, buf: b.Records, tail: b.Tail, sealed: true}
		q.idx.push(blk)
	}
	blk.count += uint32(b.Count)
	blk.size += b.Size()
	blk.bodies += b.Bodies
	blk.persistent += uint32(b.Persistent)
	return blk, first, pos
}

// seal closes the tail block.
func (q *Queue) seal() {
	t := q.tail
	q.tail = nil
	t.sealed = true
	if t.open != nil {
		t.open.close()
		t.open = nil
	}
	q.merge(t)
	q.pageOut(t)
}

// submit hands the records [first, first+b.Count) of blk to the log, within the segment that is still open if there is one.
func (q *Queue) submit(blk *memBlock, first uint32, pos int, b *block.Block, w waiter) {
	n := uint32(b.Count)
	blk.covered += n
	if s := blk.open; s != nil && s.first+s.n == first &&
		s.extend(n, uint32(b.Persistent), b.Bodies, b.MinDeadline, blk.buf[s.pos:], w) {
		return
	}
	s := &segment{q: q, blk: blk, first: first, pos: pos, n: n, records: blk.buf[pos:]}
	s.desc = block.Desc{
		Base: blk.base + uint64(first), Count: n, Persistent: uint32(b.Persistent),
		Size: uint32(b.Size()), Bodies: uint32(b.Bodies), MinDeadline: b.MinDeadline,
	}
	if w.batch != nil || w.flow != nil {
		s.waiters = append(s.waiters, w)
	}
	blk.segs = append(blk.segs, s)
	blk.inflight++
	if !blk.sealed {
		blk.open = s
	} else {
		s.state = segmentClosed
	}
	s.submit(block.OpPut, nil)
}

// answer tells the publisher that the queue has its messages, which need no log. While memory is short its flow budget is
// withheld until messages have been written out.
func (q *Queue) answer(w waiter) {
	if w.flow != nil {
		if _, unstored := q.mem.share(); q.resident > unstored+unstored/2 {
			q.held = append(q.held, waiter{flow: w.flow, bytes: w.bytes})
			w.flow = nil
		}
	}
	w.done(nil)
}

// releaseHeld gives back withheld flow budgets once memory allows, or when nothing is under way that would free some.
func (q *Queue) releaseHeld() {
	if len(q.held) == 0 {
		return
	}
	if _, unstored := q.mem.share(); q.resident <= unstored || q.spilling == 0 {
		for i := range q.held {
			q.held[i].done(nil)
		}
		q.held = q.held[:0]
	}
}

func (q *Queue) account(bytes int64) {
	q.resident += bytes
	q.mem.resident.Add(bytes)
}
