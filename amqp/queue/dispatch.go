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
				c.blocked = false // there is room left: a turn has its limits
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

// take moves up to n ready messages to c.batch and returns how many: highest priority first, then lowest offset. It stops early
// after maxTurn bytes, and with q.stalled set when the next message is not in memory or may not be delivered yet.
func (q *Queue) take(c *Consumer, n int) (got int) {
	for i := len(q.lanes) - 1; i >= 0 && got < n && !q.stalled; i-- {
		if l := q.lanes[i]; l.ready > 0 {
			got += l.take(c, n-got)
		}
	}
	return got
}

func (l *lane) take(c *Consumer, n int) (got int) {
	for got < n && c.batchBytes < maxTurn {
		if !l.requeued.empty() {
			k, ok := l.takeRequeued(c, n-got)
			if !ok {
				break
			}
			got += k
			continue
		}
		b := l.current()
		if b == nil {
			break
		}
		k := l.takeFresh(c, b, n-got)
		if k == 0 {
			break
		}
		got += k
	}
	return got
}

// takeRequeued takes from the lowest requeued range. ok is false when it has to wait for its block.
func (l *lane) takeRequeued(c *Consumer, n int) (k int, ok bool) {
	r := l.requeued.popRun(n)
	at := l.idx.find(r.First)
	if at == l.idx.len() || l.idx.at(at).base > r.Last {
		return 0, true // expired or lost, and forgotten
	}
	b := l.idx.at(at)
	r.First = max(r.First, b.base)
	for b.goneN > 0 && r.First <= r.Last && r.First < b.end() && (b.dead || b.gone.has(uint32(r.First-b.base))) {
		r.First++
	}
	if r.First > r.Last || r.First == b.end() {
		if r.First <= r.Last {
			l.requeued.push(r)
		}
		return 0, true
	}
	if !b.resident() {
		l.requeued.push(r)
		l.load(b)
		return 0, false
	}
	i := uint32(r.First - b.base)
	again := l.q.wasDelivered(b, i)
	count := b.failures[i]
	k = 1
	for k < n && r.First+uint64(k) <= min(r.Last, b.end()-1) && l.q.wasDelivered(b, i+uint32(k)) == again &&
		b.failures[i+uint32(k)] == count && (b.goneN == 0 || !b.gone.has(i+uint32(k))) {
		k++
	}
	if rest := r.First + uint64(k); rest <= r.Last {
		l.requeued.push(Range{rest, r.Last})
	}
	pos := b.position(i)
	b.back.clearRange(i, i+uint32(k)-1)
	l.emit(c, b, i, k, pos, runLen(b, pos, k), again, count)
	if l.requeued.empty() || l.requeued[0].First >= b.end() {
		l.q.pageOut(b)
	}
	return k, true
}

// current returns the block of the next fresh message, with cur, curOff and curPos at that message; nil if there is none or
// it is not in memory.
func (l *lane) current() *memBlock {
	for l.curOff < l.next {
		b := l.cur
		if b == nil || l.curOff >= b.end() {
			if b != nil {
				l.q.pageOut(b)
			}
			at := l.idx.find(l.curOff)
			if at == l.idx.len() { // the rest was lost
				l.curOff, l.cur = l.next, nil
				return nil
			}
			b = l.idx.at(at)
			l.cur, l.curPos = b, 0
			if l.curOff <= b.base {
				l.curOff = b.base
			} else {
				l.curPos = -1 // in the middle: find it when the block is in memory
			}
			l.readAhead(b)
		}
		if b.dead {
			l.curOff = b.end()
			continue
		}
		if !b.resident() {
			l.load(b)
			return nil
		}
		i := uint32(l.curOff - b.base)
		if l.curPos < 0 {
			l.curPos = b.position(i)
		}
		if b.goneN > 0 && b.gone.has(i) {
			l.curPos += recordLen(b, l.curPos)
			l.curOff++
			continue
		}
		return b
	}
	return nil
}

// takeFresh takes up to n messages from b, which current returned.
func (l *lane) takeFresh(c *Consumer, b *memBlock, n int) int {
	q := l.q
	i := uint32(l.curOff - b.base)
	k := int(min(uint64(n), b.end()-l.curOff))
	serial := l.curOff & serialMask
	if q.opts.Durable && b.persistent > 0 {
		q.raiseMark(serial)
		if serial >= q.mark {
			q.stalled = true
			return 0
		}
		k = int(min(uint64(k), q.mark-serial))
	}
	if serial < q.redelivered {
		k = int(min(uint64(k), q.redelivered-serial))
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
		size = len(b.buf) - l.curPos + len(b.tail)
	} else {
		size = runLen(b, l.curPos, k)
	}
	if c.batchBytes+size > maxTurn && k > 1 { // only as much as fits
		k, size = runWithin(b, l.curPos, k, maxTurn-c.batchBytes)
	}
	pos := l.curPos
	l.curPos += size
	l.curOff += uint64(k)
	count := b.failures[i]
	if len(b.failures) > 0 { // counts from before a restart
		for j := 1; j < k; j++ {
			if b.failures[i+uint32(j)] != count {
				l.curPos -= size
				l.curOff -= uint64(k)
				k, size = j, runLen(b, l.curPos, j)
				l.curPos += size
				l.curOff += uint64(k)
				break
			}
		}
	}
	l.emit(c, b, i, k, pos, size, serial < q.redelivered, count)
	return k
}

// emit adds a piece to c.batch and does the counting.
func (l *lane) emit(c *Consumer, b *memBlock, i uint32, k, pos, size int, redelivered bool, failures uint32) {
	q := l.q
	p := Piece{
		Records: b.buf[pos:], Tail: b.tail, First: b.base + uint64(i), Count: k, Bytes: size, Redelivered: redelivered,
	}
	if q.set.DeliveryLimit >= 0 {
		p.Failures = failures
	}
	c.batch = append(c.batch, p)
	c.batchBytes += size
	l.unready(b, i, k)
	if c.NoAck {
		q.settleIn(b, i, i+uint32(k)-1)
	} else {
		q.unackedN += k
		c.unacked += k
	}
}

func (q *Queue) wasDelivered(b *memBlock, i uint32) bool {
	return (b.base+uint64(i))&serialMask < q.redelivered || b.redelivered.has(i)
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
