package queue

import (
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

// segmentDone is the runner's part of a segment's commit; its publishers were answered by Done.
func (q *Queue) segmentDone(s *segment) {
	b := s.blk
	b.inflight--
	if s.desc.Spill {
		q.spilling--
	}
	if s.keys != nil {
		q.seen.segmentDone(q, s)
	}
	if b.dead || q.over() {
		return
	}
	if b.open == s {
		b.open = nil
	}
	switch {
	case s.err == nil:
		s.stored = true
		s.merged = nil
		s.waiters, s.records = nil, nil
		s.op = block.Op{}
	case s.desc.Spill:
		b.spill = nil
		q.logError("a block could not be written out to free memory", b, s.err)
		return
	case s.merged != nil: // the log still has the segments that it should have replaced
		b.replace(s, s.merged)
		q.markDirty(b) // their bitmaps are still the old ones
		q.logError("small blocks could not be merged", b, s.err)
		q.pageOut(b)
		return
	default:
		b.replace(s, nil)
		q.logError("messages could not be stored; they stay in memory and their publishers were told", b, s.err)
		return
	}
	q.merge(b)
	q.pageOut(b)
}

// replace puts others in the place of s.
func (b *memBlock) replace(s *segment, others []*segment) {
	if i := slices.Index(b.segs, s); i >= 0 {
		b.segs = slices.Replace(b.segs, i, i+1, others...)
	}
	b.covered -= s.n
	for _, o := range others {
		b.covered += o.n
	}
}

// markDirty has the bitmaps of b written soon.
func (q *Queue) markDirty(b *memBlock) {
	if (b.goneN > 0 || len(b.failures) > 0) && len(b.segs) > 0 && !b.dirty {
		b.dirty = true
		q.dirty = append(q.dirty, b)
		q.tick()
	}
}

// maxSegments is how many stored segments a block may have before they are merged into one.
const maxSegments = 64

// merge replaces the stored segments of b by one when there are many of them, so that a backlog that came in slowly costs
// the log no more than one that came in fast.
func (q *Queue) merge(b *memBlock) {
	if b.inflight > 0 || !b.resident() || b.tail != nil || b.dyingN > 0 {
		return
	}
	if len(b.segs) < maxSegments && (!b.sealed || len(b.segs) < 2 || b.lane.near(b)) {
		return
	}
	first, last := b.segs[0], b.segs[len(b.segs)-1]
	n := last.first + last.n - first.first
	end := len(b.buf)
	if last.first+last.n < b.count {
		end = b.position(last.first + last.n)
	}
	s := &segment{q: q, blk: b, first: first.first, pos: first.pos, n: n, state: segmentClosed, merged: b.segs}
	s.records = b.buf[s.pos:end]
	s.desc = block.Desc{Base: b.base + uint64(s.first), Count: n, Size: uint32(end - s.pos)}
	for pos := s.pos; pos < end; pos += block.RecordLen(b.buf[pos:]) {
		r := b.buf[pos:]
		if block.FlagsOf(r)&block.Persistent != 0 {
			s.desc.Persistent++
		}
		s.desc.Bodies += uint32(block.BodyLenOf(r))
		if d := block.DeadlineOf(r); d != 0 && (s.desc.MinDeadline == 0 || d < s.desc.MinDeadline) {
			s.desc.MinDeadline = d
		}
	}
	remove := make([]block.Desc, len(b.segs))
	for i, o := range b.segs {
		remove[i] = o.desc
	}
	b.segs = []*segment{s}
	b.covered = n
	b.inflight++
	if gone := b.gone.slice(s.first, n); gone.countRange(0, n-1) > 0 || b.failed(s) {
		s.with = []*block.Op{&q.tell(s, gone).op} // the replaced bitmaps go with their blocks
		s.marked = true
	}
	s.submit(block.OpReplace, remove)
}

// The delivered mark. A crash forgets which messages were delivered and not acknowledged; they must come back with
// redelivered set. So the log holds a mark below which everything counts as delivered, and no persistent message at or above
// the stored mark is delivered. The mark is raised ahead of the deliveries, in windows that follow the rate.
const (
	minMarkWindow = 4 << 10
	maxMarkWindow = 4 << 20
	// implicitMark is the mark of a queue for which none was stored.
	implicitMark = 4 << 10
)

// raiseMark asks for a higher mark once half of the window is used.
func (q *Queue) raiseMark(serial uint64) {
	if q.markPending || serial+q.markWindow/2 < q.mark {
		return
	}
	now := time.Now().UnixMilli()
	if now-q.markTime < 1000 {
		q.markWindow = min(q.markWindow*2, maxMarkWindow)
	} else {
		q.markWindow = max(q.markWindow/2, minMarkWindow)
	}
	q.markTime = now
	q.markPending = true
	m := &markOp{q: q}
	m.op = block.Op{Kind: block.OpMark, Queue: q.opts.LogID, Mark: max(serial, q.mark) + q.markWindow, Owner: m}
	q.opts.Log.Submit(&m.op)
}

type markOp struct {
	q  *Queue
	op block.Op
}

func (m *markOp) Claim(*block.Op) bool { return true }

func (m *markOp) Done(_ *block.Op, err error) {
	q := m.q
	q.post(&item{fn: func() {
		q.markPending = false
		if err != nil {
			q.opts.Logger.Error("delivered mark could not be stored; deliveries go on", "queue", q.opts.Name, "error", err)
		}
		q.mark = max(q.mark, m.op.Mark)
	}})
}
