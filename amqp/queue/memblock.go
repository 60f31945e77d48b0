package queue

import (
	"github.com/brokerd/brokerd/amqp/block"
)

// memBlock is a block in its place in the queue: offsets [base, base+count). It is owned by the runner. The bytes in buf are
// appended to but never changed, so pieces that point into them can be read by connection writers and the log meanwhile.
type memBlock struct {
	lane   *lane
	base   uint64
	count  uint32
	size   int   // bytes of all records, tail included
	bodies int64 // bytes of all bodies

	buf  []byte // records; nil when paged out
	tail []byte // body of the only record, see block.Block

	// sealed blocks take no more records. Only the last block of a queue may be unsealed.
	sealed bool
	// dead blocks have no live record left; they stay in the index until they reach its front or it is compacted.
	dead bool

	gone        bitset // settled, or void
	goneN       uint32
	redelivered bitset // delivered before and requeued
	// failures counts the failed deliveries of records, while the queue has a delivery limit. Most are missing: 0.
	failures map[uint32]uint32

	// minDeadline is the earliest deadline of the records that may expire, Unix milliseconds, 0 for none; heapAt is the position
	// in the queue's deadline heap, from 1.
	minDeadline int64
	heapAt      int
	mayExpire   bool    // some record has a deadline
	back        bitset  // requeued and ready; kept only if mayExpire
	timed       []timed // records that may expire, by deadline; nil: not known
	immediate   bool    // one of them may expire at its arrival
	overdue     bool    // to be looked at when it is in memory, see Queue.overdue
	// dying is the records, dyingN of them, that were given up and are not yet safe elsewhere. They are gone here, but not in the
	// log.
	dying  bitset
	dyingN int

	persistent uint32 // records that must survive a restart
	segs       []*segment
	open       *segment // the last of segs, while it may grow
	inflight   int      // segments (spill included) submitted and not done
	covered    uint32   // records that are in a segment
	spill      *segment // the whole block, written to free memory
	dirty      bool     // gone changed since it was written to the log

	// Where the last look-up by index ended, to make runs of look-ups cheap.
	hintIdx uint32
	hintPos int
}

func (b *memBlock) end() uint64    { return b.base + uint64(b.count) }
func (b *memBlock) resident() bool { return b.buf != nil }
func (b *memBlock) live() uint32   { return b.count - b.goneN }

// missing reports whether b has something to deliver that must be loaded first.
func (b *memBlock) missing() bool { return !b.dead && !b.resident() }

// position returns the byte position of record i in buf, which must be resident.
func (b *memBlock) position(i uint32) int {
	idx, pos := uint32(0), 0
	if b.hintIdx <= i {
		idx, pos = b.hintIdx, b.hintPos
	}
	for ; idx < i; idx++ {
		pos += block.RecordLen(b.buf[pos:])
	}
	b.hintIdx, b.hintPos = idx, pos
	return pos
}

// stored reports whether the log holds every live record of b, so that its memory can be dropped.
func (b *memBlock) stored() bool {
	if b.spill != nil && b.spill.stored {
		return true
	}
	if b.covered < b.count {
		return false
	}
	for _, s := range b.segs {
		if !s.stored {
			return false
		}
	}
	return len(b.segs) > 0
}

// index is the blocks of a queue in order of offset.
type index struct {
	blocks []*memBlock
	off    int // blocks before off are gone
	dead   int // dead ones behind off
}

func (x *index) len() int           { return len(x.blocks) - x.off }
func (x *index) at(i int) *memBlock { return x.blocks[x.off+i] }
func (x *index) push(b *memBlock)   { x.blocks = append(x.blocks, b) }

// find returns the position of the block that holds offset, or of the first one behind it.
func (x *index) find(offset uint64) int {
	n := x.len()
	if n > 0 && offset < x.at(0).end() {
		return 0
	}
	lo, hi := 0, n
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if x.at(mid).end() <= offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// buried notes that one block died, and drops dead ones from the front, or everywhere once they are the majority.
func (x *index) buried() {
	x.dead++
	for x.len() > 0 && x.at(0).dead {
		x.blocks[x.off] = nil
		x.off++
		x.dead--
	}
	switch {
	case x.dead > 64 && x.dead > x.len()/2:
		keep := make([]*memBlock, 0, x.len()-x.dead)
		for i := range x.len() {
			if b := x.at(i); !b.dead {
				keep = append(keep, b)
			}
		}
		x.blocks, x.off, x.dead = keep, 0, 0
	case x.off > 64 && x.off > len(x.blocks)/2:
		n := copy(x.blocks, x.blocks[x.off:])
		clear(x.blocks[n:])
		x.blocks, x.off = x.blocks[:n], 0
	}
}
