package queue

import (
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

const (
	// aheadBlocks and aheadBytes bound how much is loaded ahead of the next fresh message.
	aheadBlocks = 8
	aheadBytes  = 1 << 20
	// maxSpills bounds the spilled blocks on their way to the log.
	maxSpills = 32
)

// pageOut drops b from memory if the queue is over its share and the log has b, or writes b out so that it can be dropped.
// Blocks that consumers will need next stay.
func (q *Queue) pageOut(b *memBlock) {
	if q.expiring {
		q.unpaged = append(q.unpaged, b)
		return
	}
	if !b.sealed || b.dead || !b.resident() || q.pinned {
		return
	}
	stored, unstored := q.mem.share()
	if q.resident <= stored || b.lane.near(b) || q.countBytes && b.end() <= b.lane.curOff {
		return
	}
	switch {
	case b.stored():
		b.buf, b.tail = nil, nil
		q.account(-int64(b.size))
	case q.resident > unstored && b.inflight == 0 && b.spill == nil && q.spilling < maxSpills:
		q.spillOut(b)
	}
}

// near reports whether b is the block of the next fresh message or among those read ahead.
func (l *lane) near(b *memBlock) bool {
	if l.q.opts.Delays {
		return b.minDeadline != 0 && b.minDeadline <= l.q.lookedAt+readLead
	}
	if b == l.cur && l.curOff < b.end() {
		return true
	}
	if b.end() <= l.curOff {
		return !l.requeued.empty() && l.requeued[0].First >= b.base && l.requeued[0].First < b.end()
	}
	d := l.idx.find(b.base) - l.idx.find(l.curOff)
	return d >= 0 && d < aheadBlocks && b.size < aheadBytes/2
}

// spillOut writes b to the log only to free its memory.
func (q *Queue) spillOut(b *memBlock) {
	s := &segment{q: q, blk: b, n: b.count, state: segmentClosed, records: b.buf}
	s.desc = block.Desc{Base: b.base, Count: b.count, Persistent: b.persistent, Size: uint32(b.size),
		Bodies: uint32(b.bodies), Spill: true}
	b.spill = s
	b.inflight++
	q.spilling++
	s.submit(block.OpPut, nil)
}

// trim pages out everything that is over the queue's share, newest blocks first.
func (q *Queue) trim() {
	for _, l := range q.lanes {
		for i := l.idx.len() - 1; i >= 0; i-- {
			if stored, _ := q.mem.share(); q.resident <= stored {
				return
			}
			q.pageOut(l.idx.at(i))
		}
	}
}

// readAhead loads the blocks behind b that are not in memory, before consumers come to them.
func (l *lane) readAhead(b *memBlock) {
	if l.loading {
		return
	}
	i := l.idx.find(b.base)
	for j := i; j < min(i+aheadBlocks/2, l.idx.len()); j++ {
		if n := l.idx.at(j); n.missing() {
			l.startLoad(n, aheadBlocks)
			return
		}
	}
}

// load brings b, and some blocks behind it, into memory; take stalls until it is there.
func (l *lane) load(b *memBlock) {
	l.q.stalled = true
	if !l.loading {
		l.startLoad(b, aheadBlocks)
	}
}

// startLoad loads b and the blocks behind it that are next in line, at most n blocks.
func (l *lane) startLoad(b *memBlock, n int) {
	var jobs []*loadJob
	bytes := 0
	i := l.idx.find(b.base)
	for last := min(i+n, l.idx.len()); i < last && bytes < aheadBytes; i++ {
		n := l.idx.at(i)
		if !n.missing() || n != b && n.end() <= l.curOff { // delivered and not settled: nobody asks for it
			continue
		}
		jobs = append(jobs, newLoadJob(n))
		bytes += n.size
	}
	l.loading = true
	l.q.loaded++
	l.q.loads.Add(1)
	go l.q.loadAll(jobs)
}

// loadAll carries the jobs out on a goroutine of its own. Stop waits for it.
func (q *Queue) loadAll(jobs []*loadJob) {
	defer q.loads.Done()
	for i, j := range jobs {
		if !q.ending.Load() {
			j.run(q.opts.Log, q.opts.LogID)
		}
		j.last = i == len(jobs)-1 || j.err != nil
		q.post(&item{loaded: j})
		if j.last {
			return
		}
	}
}

func (q *Queue) blockLoaded(j *loadJob) {
	b := j.blk
	l := b.lane
	if q.over() {
		l.loading = false
		return
	}
	if j.err != nil {
		q.logError("stored messages cannot be read for the moment, trying again", b, j.err)
		time.AfterFunc(retryDelay, func() { q.post(&item{fn: func() { l.loading = false }}) })
		return
	}
	l.loading = !j.last
	if !b.missing() {
		return
	}
	if j.spillLost {
		q.dropSpill(b)
	}
	b.buf = j.buf
	if b.buf != nil {
		q.account(int64(b.size))
		if b.overdue {
			q.deadlines.set(b, 1) // looked at before the next delivery
		}
	}
	b.overdue = false
	if j.damage == nil {
		return
	}
	q.logError("a stored block is damaged, messages may be lost", b, j.damage)
	// Filling has not the lengths of what it stands for.
	b.hintIdx, b.hintPos = 0, 0
	if b == l.cur {
		l.curPos = -1
	}
	for _, r := range j.lost {
		if !b.dead {
			l.lose(b, r[0], r[1])
		}
	}
}

// lose gives up the records [lo, hi] of b, which cannot be read. Deliveries of them that are out stay valid.
func (l *lane) lose(b *memBlock, lo, hi uint32) {
	first, last := b.base+uint64(lo), b.base+uint64(hi)
	if last >= l.curOff {
		from := uint32(max(first, l.curOff) - b.base)
		l.count(-int(hi - from + 1 - b.gone.countRange(from, hi)))
	}
	var keep rangeHeap
	for !l.requeued.empty() {
		r := l.requeued.pop()
		if r.Last < first || r.First > last {
			keep.push(r)
			continue
		}
		from, to := uint32(max(r.First, first)-b.base), uint32(min(r.Last, last)-b.base)
		l.count(-int(to - from + 1 - b.gone.countRange(from, to)))
		if r.First < first {
			keep.push(Range{r.First, first - 1})
		}
		if r.Last > last {
			keep.push(Range{last + 1, r.Last})
		}
	}
	l.requeued = keep
	l.q.settleIn(b, lo, hi)
	l.q.countReadyBytes()
}
