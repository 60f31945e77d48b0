package queue

import "github.com/brokerd/brokerd/amqp/block"

// lane is the messages of one priority, in order. A queue without priorities has one lane, number 0. Offsets are unique in the
// queue: the number of the lane is above laneShift, a serial number below it.
type lane struct {
	q       *Queue
	idx     index
	tail    *memBlock // last block of idx, while it takes records
	next    uint64    // offset of the next record
	ready   int
	loading bool

	// Fresh messages, those never delivered, start at curOff; cur is its block (nil: look it up) and curPos its byte position.
	curOff   uint64
	cur      *memBlock
	curPos   int
	requeued rangeHeap // delivered before, ready again; all below curOff
	offered  uint64    // consumers had the chance to get messages below; kept while there are deadlines
}

const (
	laneShift  = 56
	serialMask = 1<<laneShift - 1
)

func newLane(q *Queue, number int) *lane {
	start := uint64(number) << laneShift
	return &lane{q: q, next: start, curOff: start}
}

// of returns the lane of an offset.
func (q *Queue) of(offset uint64) *lane { return q.lanes[offset>>laneShift] }

// addReady counts k records of b from index lo on as ready; unready undoes that.
func (l *lane) addReady(b *memBlock, lo uint32, k int) {
	l.count(k)
	if l.q.countBytes {
		l.q.readyBytes += bodiesOf(b, lo, k)
	}
}

func (l *lane) unready(b *memBlock, lo uint32, k int) {
	l.count(-k)
	if l.q.countBytes {
		l.q.readyBytes -= bodiesOf(b, lo, k)
		if l.q.readyN == 0 {
			l.q.readyBytes = 0 // estimates leave no trace
		}
	}
}

func (l *lane) count(n int) {
	l.ready += n
	l.q.readyN += n
}

// bodiesOf returns the bytes of the bodies of k records from index lo on; an estimate if b is not in memory.
func bodiesOf(b *memBlock, lo uint32, k int) (n int64) {
	switch {
	case k == int(b.count):
		return b.bodies
	case !b.resident():
		return b.bodies * int64(k) / int64(b.count)
	}
	pos := b.position(lo)
	for range k {
		n += int64(block.BodyLenOf(b.buf[pos:]))
		pos += block.RecordLen(b.buf[pos:])
	}
	return n
}

// place puts the records of b at the end of the lane. Small blocks are copied into the open tail block and their arena goes
// back to the pool; others are taken as they are.
func (l *lane) place(b *block.Block) (blk *memBlock, first uint32, pos int) {
	small := b.Tail == nil && len(b.Records) < block.TargetLen/2
	if t := l.tail; t != nil && (!small || len(t.buf)+len(b.Records) > block.TargetLen) {
		l.seal()
	}
	if small {
		if l.tail == nil {
			l.tail = &memBlock{lane: l, base: l.next}
			l.idx.push(l.tail)
		}
		blk = l.tail
		first, pos = blk.count, len(blk.buf)
		blk.buf = append(blk.buf, b.Records...)
		block.PutArena(b.Records)
	} else {
		blk = &memBlock{lane: l, base: l.next, buf: b.Records, tail: b.Tail, sealed: true}
		l.idx.push(blk)
	}
	blk.count += uint32(b.Count)
	blk.size += b.Size()
	blk.bodies += b.Bodies
	blk.persistent += uint32(b.Persistent)
	l.next = blk.end()
	return blk, first, pos
}

// seal closes the tail block.
func (l *lane) seal() {
	t := l.tail
	l.tail = nil
	t.sealed = true
	if t.open != nil {
		t.open.close()
		t.open = nil
	}
	l.q.merge(t)
	l.q.pageOut(t)
}

// eachBlock calls fn for every block that still holds records of r, with the record indexes of r in it.
func (l *lane) eachBlock(r Range, fn func(b *memBlock, lo, hi uint32)) {
	for off := r.First; off <= r.Last; {
		i := l.idx.find(off)
		if i == l.idx.len() {
			return
		}
		b := l.idx.at(i)
		off = max(off, b.base) // blocks in between are dead and dropped
		if off > r.Last {
			return
		}
		end := b.end()
		if !b.dead {
			fn(b, uint32(off-b.base), uint32(min(r.Last, end-1)-b.base))
		}
		off = end
	}
}

// eachLive calls fn for every run of records of r that are not gone.
func (l *lane) eachLive(r Range, fn func(b *memBlock, lo, hi uint32)) {
	l.eachBlock(r, func(b *memBlock, lo, hi uint32) {
		for b.goneN > 0 && lo <= hi && b.gone.countRange(lo, hi) > 0 {
			n := uint32(0)
			for lo+n <= hi && !b.gone.has(lo+n) {
				n++
			}
			if n > 0 {
				fn(b, lo, lo+n-1)
				if b.dead {
					return
				}
			}
			lo += n + 1
		}
		if lo <= hi {
			fn(b, lo, hi)
		}
	})
}

// purge settles all ready messages.
func (l *lane) purge() {
	for !l.requeued.empty() {
		l.eachBlock(l.requeued.pop(), l.q.settleIn)
	}
	if l.curOff < l.next {
		l.eachBlock(Range{l.curOff, l.next - 1}, l.q.settleIn)
		l.curOff, l.cur = l.next, nil
	}
	l.count(-l.ready)
}
