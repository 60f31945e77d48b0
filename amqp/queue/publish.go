package queue

import (
	"github.com/brokerd/brokerd/amqp/block"
)

// publish takes the records of p into the queue.
func (q *Queue) publish(p *Publication) {
	b := &p.Block
	switch {
	case q.state == stateMoved:
		q.forward(p)
		return
	case q.state == stateStopped && p.Letters:
		return // they stay where they are
	case q.state == stateStopped:
		w := p.waiter()
		w.done(ErrGone)
		return
	case q.state != stateOpen || b.Count == 0: // a deleted queue counts as having taken the message
		w := p.waiter()
		w.done(nil)
		return
	}
	if q.seen != nil && q.refuses() && !q.seen.filter(q, p, q.seen.now(), false) {
		return // a repetition needs no room; what is refused must not be remembered
	}
	if q.refuses() && q.full(b.Count, b.Bodies) {
		q.admit(p)
	} else {
		q.accept(p)
	}
}

// accept takes in all of p.
func (q *Queue) accept(p *Publication) {
	if q.seen != nil && !q.seen.filter(q, p, q.seen.now(), true) {
		return
	}
	q.stamp(&p.Block)
	if q.opts.Delays {
		date(&p.Block)
	}
	if len(q.lanes) == 1 {
		q.append(q.lanes[0], p)
		return
	}
	if len(p.Source) > 0 {
		// What was published together with p before must not get to the log after Source, as it would as part of a segment of another
		// lane; so p goes behind all that was submitted.
		for _, l := range q.lanes {
			if t := l.tail; t != nil && t.open != nil {
				t.open.close()
				t.open = nil
			}
		}
	}
	for _, part := range q.byLane(p) {
		q.append(q.lanes[part.lane], part.pub)
	}
}

func (p *Publication) waiter() waiter {
	return waiter{batch: p.Batch, seqs: p.Seqs, flow: p.Flow, bytes: p.Block.Size(), source: p.Source}
}

// append puts the records of p at the end of a lane.
func (q *Queue) append(l *lane, p *Publication) {
	b := &p.Block
	w := p.waiter()
	n, bodies, deadline, persistent := b.Count, b.Bodies, b.MinDeadline, b.Persistent
	blk, first, pos := l.place(b)
	l.count(n)
	if q.countBytes {
		q.readyBytes += bodies
	}
	q.account(int64(w.bytes))
	q.watch(blk, deadline)
	if q.opts.Durable && persistent > 0 {
		q.submit(blk, first, pos, b, w, p.fresh)
	} else {
		q.answer(w)
	}
	if blk.sealed {
		q.pageOut(blk)
	}
}

// part is the records for one lane.
type part struct {
	lane int
	pub  *Publication
}

// laneOf returns the number of the lane for the record at the start of b. Priorities above the queue's highest count as that.
func (q *Queue) laneOf(b []byte, now int64) int {
	if q.opts.Delays {
		return delayLane(block.DeadlineOf(b), now)
	}
	return min(int(block.PriorityOf(b)), len(q.lanes)-1)
}

// byLane splits p, so that each part is for one lane.
func (q *Queue) byLane(p *Publication) []part {
	b := &p.Block
	now := int64(0)
	if q.opts.Delays {
		now = q.opts.Now()
	}
	first, same := q.laneOf(b.Records, now), true
	for pos := 0; same && b.Count > 1 && pos < len(b.Records); pos += block.RecordLen(b.Records[pos:]) {
		same = q.laneOf(b.Records[pos:], now) == first
	}
	if same {
		return []part{{first, p}}
	}
	var parts []part
	at := make(map[int]int)
	var rec block.Record
	for i, pos := 0, 0; i < b.Count; i++ {
		n, err := block.Parse(b.Records[pos:], b.Tail, &rec)
		if err != nil {
			break // cannot be: the publisher encoded it
		}
		to := q.laneOf(b.Records[pos:], now)
		pos += n
		k, ok := at[to]
		if !ok {
			k = len(parts)
			at[to] = k
			parts = append(parts, part{to, &Publication{Batch: p.Batch, Flow: p.Flow, Letters: p.Letters}})
			if p.Batch != nil {
				p.Batch.Add()
			}
		}
		parts[k].pub.Block.Append(&rec)
		if p.fresh != nil {
			parts[k].pub.fresh = parts[k].pub.fresh.move(p.fresh, i, parts[k].pub.Block.Count-1)
		}
		if p.Batch != nil {
			parts[k].pub.Seqs = append(parts[k].pub.Seqs, p.seq(i))
		}
	}
	block.PutArena(b.Records)
	last := len(parts) - 1 // they are submitted in this order, those with something to store
	for last > 0 && parts[last].pub.Block.Persistent == 0 {
		last--
	}
	parts[last].pub.Source = p.Source
	if p.Batch != nil {
		p.Batch.Done() // the parts were counted on their own
	}
	return parts
}

// submit hands the records [first, first+b.Count) of blk to the log, within the segment that is still open if there is one.
func (q *Queue) submit(blk *memBlock, first uint32, pos int, b *block.Block, w waiter, fresh *freshKeys) {
	n := uint32(b.Count)
	blk.covered += n
	if s := blk.open; s != nil && s.first+s.n == first &&
		s.extend(n, uint32(b.Persistent), b.Bodies, b.MinDeadline, blk.buf[s.pos:], w, fresh) {
		return
	}
	s := &segment{q: q, blk: blk, first: first, pos: pos, n: n, records: blk.buf[pos:], with: w.source}
	s.desc = block.Desc{
		Base: blk.base + uint64(first), Count: n, Persistent: uint32(b.Persistent),
		Size: uint32(b.Size()), Bodies: uint32(b.Bodies), MinDeadline: b.MinDeadline,
	}
	if w.waits() {
		s.waiters = append(s.waiters, w)
	}
	if fresh != nil {
		s.remember(fresh)
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
