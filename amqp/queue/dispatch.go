package queue

import (
	"github.com/brokerd/brokerd/amqp/block"
)

const (
	// maxTurn bounds the bytes that a consumer gets in one turn, so that what Receiver.Reserve sees is never far behind.
	maxTurn = 128 << 10
	// maxRun bounds how many messages one consumer gets in one turn while others wait. Turns are single messages until a
	// backlog has built up.
	maxRun = 64
)

// dispatch gives ready messages to consumers until one of them runs out.
func (q *Queue) dispatch() {
	q.stalled = false
	for q.readyN > 0 && !q.stalled {
		c, waiting := q.ready.next()
		if c == nil {
			break
		}
		want := min(c.credit(), q.readyN)
		if waiting > 1 {
			want = min(want, max(1, min(maxRun, q.readyN/(16*waiting))))
		}
		if want <= 0 {
			continue // settling puts it back in line
		}
		granted := c.Receiver.Reserve(c, want)
		c.blocked = granted < want
		if granted > 0 {
			got := q.take(c, granted)
			if got < granted {
				c.Receiver.Unreserve(c, granted-got)
			}
			q.handBatch(c) // turn by turn, so that consumers of one channel see messages in the queue's order
			if got == 0 {
				q.readmit(c)
				break
			}
		}
		q.readmit(c)
	}
}

func (q *Queue) handBatch(c *Consumer) {
	if len(c.batch) == 0 {
		return
	}
	c.Receiver.Deliver(c, c.batch)
	clear(c.batch)
	c.batch = c.batch[:0]
	c.batchBytes = 0
}

// take moves up to n ready messages, lowest offset first, to c.batch and returns how many. It stops early after maxTurn
// bytes, and with q.stalled set when the next message is not in memory or may not be delivered yet.
func (q *Queue) take(c *Consumer, n int) (got int) {
	for got < n && c.batchBytes < maxTurn {
		if !q.requeued.empty() {
			k, ok := q.takeRequeued(c, n-got)
			if !ok {
				break
			}
			got += k
			continue
		}
		b := q.current()
		if b == nil {
			break
		}
		k := q.takeFresh(c, b, n-got)
		if k == 0 {
			break
		}
		got += k
	}
	return got
}

// takeRequeued takes from the lowest requeued range. ok is false when it has to wait for its block.
func (q *Queue) takeRequeued(c *Consumer, n int) (k int, ok bool) {
	r := q.requeued.popRun(n)
	b := q.idx.at(q.idx.find(r.First))
	if !b.resident() {
		q.requeued.push(r)
		q.load(b)
		return 0, false
	}
	i := uint32(r.First - b.base)
	again := q.wasDelivered(b, i)
	k = 1
	for k < n && r.First+uint64(k) <= min(r.Last, b.end()-1) && q.wasDelivered(b, i+uint32(k)) == again {
		k++
	}
	if rest := r.First + uint64(k); rest <= r.Last {
		q.requeued.push(Range{rest, r.Last})
	}
	pos := b.position(i)
	q.emit(c, b, i, k, pos, runLen(b, pos, k), again)
	if q.requeued.empty() || q.requeued[0].First >= b.end() {
		q.pageOut(b)
	}
	return k, true
}

// current returns the block of the next fresh message, with cur, curOff and curPos at that message; nil if there is none or
// it is not in memory.
func (q *Queue) current() *memBlock {
	for q.curOff < q.next {
		b := q.cur
		if b == nil || q.curOff >= b.end() {
			if b != nil {
				q.pageOut(b)
			}
			at := q.idx.find(q.curOff)
			if at == q.idx.len() { // the rest was lost
				q.curOff, q.cur = q.next, nil
				return nil
			}
			b = q.idx.at(at)
			q.cur, q.curPos = b, 0
			if q.curOff <= b.base {
				q.curOff = b.base
			} else {
				q.curPos = -1 // in the middle: find it when the block is in memory
			}
			q.readAhead(b)
		}
		if b.dead {
			q.curOff = b.end()
			continue
		}
		if !b.resident() {
			q.load(b)
			return nil
		}
		i := uint32(q.curOff - b.base)
		if q.curPos < 0 {
			q.curPos = b.position(i)
		}
		if b.goneN > 0 && b.gone.has(i) {
			q.curPos += recordLen(b, q.curPos)
			q.curOff++
			continue
		}
		return b
	}
	return nil
}

// takeFresh takes up to n messages from b, which current returned.
func (q *Queue) takeFresh(c *Consumer, b *memBlock, n int) int {
	i := uint32(q.curOff - b.base)
	k := int(min(uint64(n), b.end()-q.curOff))
	if q.opts.Durable && b.persistent > 0 {
		q.raiseMark()
		if q.curOff >= q.mark {
			q.stalled = true
			return 0
		}
		k = int(min(uint64(k), q.mark-q.curOff))
	}
	if q.curOff < q.redelivered {
		k = int(min(uint64(k), q.redelivered-q.curOff))
	}
	if b.goneN > 0 {
		for j := 1; j < k; j++ {
			if b.gone.has(i + uint32(j)) {
				k = j
				break
			}
		}
	}
	var size int
	if i+uint32(k) == b.count {
		size = len(b.buf) - q.curPos + len(b.tail)
	} else {
		size = runLen(b, q.curPos, k)
	}
	if c.batchBytes+size > maxTurn && k > 1 { // only as much as fits
		k, size = runWithin(b, q.curPos, k, maxTurn-c.batchBytes)
	}
	pos := q.curPos
	q.curPos += size
	q.curOff += uint64(k)
	q.emit(c, b, i, k, pos, size, q.curOff <= q.redelivered)
	return k
}

// emit adds a piece to c.batch and does the counting.
func (q *Queue) emit(c *Consumer, b *memBlock, i uint32, k, pos, size int, redelivered bool) {
	c.batch = append(c.batch, Piece{
		Records: b.buf[pos:], Tail: b.tail, First: b.base + uint64(i), Count: k, Bytes: size, Redelivered: redelivered,
	})
	c.batchBytes += size
	q.readyN -= k
	if c.NoAck {
		q.settleIn(b, i, i+uint32(k)-1)
	} else {
		q.unackedN += k
		c.unacked += k
	}
}

func (q *Queue) wasDelivered(b *memBlock, i uint32) bool {
	return b.base+uint64(i) < q.redelivered || b.redelivered.has(i)
}

// recordLen returns how many bytes the record at pos takes in b, its shared body included.
func recordLen(b *memBlock, pos int) int { return block.RecordLen(b.buf[pos:]) }

// runLen returns how many bytes the k records from pos take.
func runLen(b *memBlock, pos, k int) int {
	if b.tail != nil {
		return b.size
	}
	start := pos
	for range k {
		pos += block.RecordLen(b.buf[pos:])
	}
	return pos - start
}

// runWithin returns the longest run of at most k records from pos that takes at most limit bytes, at least one record.
func runWithin(b *memBlock, pos, k, limit int) (n, size int) {
	for n < k {
		l := block.RecordLen(b.buf[pos:])
		if n > 0 && size+l > limit {
			break
		}
		size += l
		pos += l
		n++
	}
	return n, size
}
