package queue

import (
	"slices"
	"sync"

	"github.com/brokerd/brokerd/amqp/block"
)

// What is gone of a stored segment is written in full each time, and by several: by the queue itself, and together with dead
// letters by the queues that take those (see Publication.Source). None of them may take back what another one wrote, in whatever
// order they get to the log. So each adds its own part to what was written so far at the moment when the log claims it.

// goneLog is what the log was told, or is being told, about a segment.
type goneLog struct {
	mu       sync.Mutex
	gone     bitset   // claimed by the log; all words of the segment
	failures []uint64 // the latest, see appendFailures; not changed afterwards
}

// goneOp is the owner of an OpGone, which may go with another op. It is written again if the log fails.
type goneOp struct {
	q    *Queue
	blk  *memBlock
	log  *goneLog
	gone bitset // to be added
	news bitset // of gone, what the log was not told before; set by Claim
	op   block.Op
}

// tell returns an op that adds gone, which it keeps, to what the log holds about s.
func (q *Queue) tell(s *segment, gone bitset) *goneOp {
	if s.log == nil {
		s.log = &goneLog{gone: make(bitset, len(gone))}
	}
	failures := s.blk.appendFailures(nil, s)
	s.log.mu.Lock()
	s.log.failures = failures
	s.log.mu.Unlock()
	o := &goneOp{q: q, blk: s.blk, log: s.log, gone: gone}
	o.op = block.Op{Kind: block.OpGone, Queue: q.opts.LogID, Desc: s.desc, Lazy: true, Owner: o}
	return o
}

// Claim implements block.OpOwner.
func (o *goneOp) Claim(op *block.Op) bool {
	if o.q.dropped.Load() {
		return false
	}
	o.log.mu.Lock()
	defer o.log.mu.Unlock()
	o.news = make(bitset, len(o.gone))
	for i, w := range o.gone {
		o.news[i] = w &^ o.log.gone[i]
		o.log.gone[i] |= w
	}
	op.Gone = append(slices.Clone(o.log.gone), o.log.failures...)
	return true
}

// undo takes back what Claim added: the op that this one went with failed, and the records are still where they were. Another op
// may have written it meanwhile, so Done must follow, which has everything written again.
func (o *goneOp) undo() {
	o.log.mu.Lock()
	defer o.log.mu.Unlock()
	for i, w := range o.news {
		o.log.gone[i] &^= w
	}
}

// Done implements block.OpOwner.
func (o *goneOp) Done(_ *block.Op, err error) {
	if err == nil {
		return
	}
	o.q.failures.Add(1)
	o.q.post(&item{fn: func() {
		if !o.q.over() {
			o.q.markDirty(o.blk)
		}
	}})
}

// flushGone writes which records of partly acknowledged blocks are gone, and how often records have failed. Records on their way
// to the dead-letter exchange are left out until they are safe.
func (q *Queue) flushGone() {
	for _, b := range q.dirty {
		b.dirty = false
		if b.dead {
			continue
		}
		for _, s := range b.segs {
			gone := b.gone.slice(s.first, s.n)
			if b.dyingN > 0 {
				for i, w := range b.dying.slice(s.first, s.n) {
					gone[i] &^= w
				}
			}
			if gone.countRange(0, s.n-1) == 0 && !b.failed(s) {
				continue
			}
			q.opts.Log.Submit(&q.tell(s, gone).op)
			s.marked = true
			if b.open == s { // its description must not change any more
				s.close()
				b.open = nil
			}
		}
	}
	clear(q.dirty)
	q.dirty = q.dirty[:0]
}

// The bitmap of a segment is followed by the failed deliveries of its records, one word each: the index in the segment in the
// upper half, the count in the lower.

func (b *memBlock) appendFailures(words []uint64, s *segment) []uint64 {
	for i, n := range b.failures {
		if i >= s.first && i < s.first+s.n && !b.gone.has(i) {
			words = append(words, uint64(i-s.first)<<32|uint64(n))
		}
	}
	return words
}

// failed reports whether a record of s has failed deliveries.
func (b *memBlock) failed(s *segment) bool {
	for i := range b.failures {
		if i >= s.first && i < s.first+s.n && !b.gone.has(i) {
			return true
		}
	}
	return false
}

// restore takes what the log holds about the only segment of a block that was found in it.
func (b *memBlock) restore(words []uint64) {
	s := b.segs[0]
	n := int(b.count+63) / 64
	b.gone = append(make(bitset, 0, n), words[:min(n, len(words))]...)
	b.goneN = b.gone.countRange(0, b.count-1)
	s.marked = true
	s.log = &goneLog{gone: b.gone.slice(0, b.count)}
	for _, w := range words[min(n, len(words)):] {
		if i := uint32(w >> 32); i < b.count {
			if b.failures == nil {
				b.failures = make(map[uint32]uint32)
			}
			b.failures[i] = uint32(w)
		}
	}
}
