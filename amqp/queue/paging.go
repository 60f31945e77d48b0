package queue

import (
	"errors"

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
	if !b.sealed || b.dead || !b.resident() {
		return
	}
	stored, unstored := q.mem.share()
	if q.resident <= stored || q.near(b) {
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
func (q *Queue) near(b *memBlock) bool {
	if b == q.cur && q.curOff < b.end() {
		return true
	}
	if b.end() <= q.curOff {
		return !q.requeued.empty() && q.requeued[0].First >= b.base && q.requeued[0].First < b.end()
	}
	d := q.idx.find(b.base) - q.idx.find(q.curOff)
	return d >= 0 && d < aheadBlocks && b.size < aheadBytes/2
}

// spillOut writes b to the log only to free its memory.
func (q *Queue) spillOut(b *memBlock) {
	s := &segment{q: q, blk: b, n: b.count, state: segmentClosed}
	s.op = block.Op{
		Kind:  block.OpPut,
		Queue: q.opts.ID,
		Desc: block.Desc{Base: b.base, Count: b.count, Persistent: b.persistent, Size: uint32(b.size),
			Bodies: uint32(b.bodies), Spill: true},
		Records: b.buf,
		Tail:    b.tail,
		Owner:   s,
	}
	b.spill = s
	b.inflight++
	q.spilling++
	q.opts.Log.Submit(&s.op)
}

// trim pages out everything that is over the queue's share, newest blocks first.
func (q *Queue) trim() {
	for i := q.idx.len() - 1; i >= 0; i-- {
		if stored, _ := q.mem.share(); q.resident <= stored {
			return
		}
		q.pageOut(q.idx.at(i))
	}
}

type loadResult struct {
	blk  *memBlock
	buf  []byte
	err  error
	last bool
}

// readAhead loads the blocks behind b that are not in memory, before consumers come to them.
func (q *Queue) readAhead(b *memBlock) {
	if q.loading {
		return
	}
	i := q.idx.find(b.base)
	for j := i; j < min(i+aheadBlocks/2, q.idx.len()); j++ {
		if n := q.idx.at(j); !n.resident() && !n.dead {
			q.startLoad(n)
			return
		}
	}
}

// load brings b, and some blocks behind it, into memory; take stalls until it is there.
func (q *Queue) load(b *memBlock) {
	q.stalled = true
	if !q.loading {
		q.startLoad(b)
	}
}

func (q *Queue) startLoad(b *memBlock) {
	type job struct {
		blk   *memBlock
		descs []block.Desc
	}
	var jobs []job
	bytes := 0
	for i := q.idx.find(b.base); i < q.idx.len() && len(jobs) < aheadBlocks && bytes < aheadBytes; i++ {
		n := q.idx.at(i)
		if n.resident() || n.dead {
			continue
		}
		j := job{blk: n}
		if n.spill != nil {
			j.descs = []block.Desc{n.spill.op.Desc}
		} else {
			for _, s := range n.segs {
				j.descs = append(j.descs, s.op.Desc)
			}
		}
		jobs = append(jobs, j)
		bytes += n.size
		n.loading = true
	}
	q.loading = true
	go func() {
		for i, j := range jobs {
			r := &loadResult{blk: j.blk, last: i == len(jobs)-1}
			for _, d := range j.descs {
				var records []byte
				if records, r.err = q.opts.Log.Load(q.opts.ID, d); r.err != nil {
					break
				}
				if len(j.descs) == 1 {
					r.buf = records
				} else {
					r.buf = append(r.buf, records...)
				}
			}
			q.post(&item{loaded: r})
		}
	}()
}

func (q *Queue) blockLoaded(r *loadResult) {
	if r.last {
		q.loading = false
	}
	b := r.blk
	b.loading = false
	if b.dead || b.resident() || q.state == stateGone || q.state == stateStopped {
		return
	}
	if r.err == nil && len(r.buf) != b.size {
		r.err = errors.New("stored block has another size than its key says")
	}
	if r.err != nil {
		q.lose(b, r.err)
		return
	}
	b.buf = r.buf
	q.account(int64(b.size))
}

// lose gives up a block that cannot be read: it is reported, and the rest goes on. Deliveries that are out stay valid.
func (q *Queue) lose(b *memBlock, err error) {
	q.logError("messages lost: a stored block cannot be read", b, err)
	if b.end() > q.curOff {
		from := max(b.base, q.curOff)
		n := uint32(b.end() - from)
		q.readyN -= int(n - b.gone.countRange(uint32(from-b.base), b.count-1))
	}
	var keep rangeHeap
	for !q.requeued.empty() {
		r := q.requeued.pop()
		if r.Last < b.base || r.First >= b.end() {
			keep.push(r)
			continue
		}
		q.readyN -= int(min(r.Last, b.end()-1) - max(r.First, b.base) + 1)
		if r.First < b.base {
			keep.push(Range{r.First, b.base - 1})
		}
		if r.Last >= b.end() {
			keep.push(Range{b.end(), r.Last})
		}
	}
	q.requeued = keep
	q.bury(b)
}
