package queue

import (
	"sync"

	"github.com/brokerd/brokerd/amqp/block"
)

// segment is a run of records of one memBlock that goes to the log as one stored block. Until the log claims it, it grows
// with the block; when all its records are settled before that, it is cancelled and never written.
//
// op is the log's from Submit to Done; the log may look at it at any time, so that the runner must not touch it in between.
// What the segment holds is kept beside it, and becomes part of op when the log claims it.
//
// mu guards the fields that the runner and the log's goroutine both touch before the claim: state, desc, records, waiters.
// The runner alone changes them, so it reads them without the lock. After the claim nobody changes them; waiters are then
// only read, by Done. Everything below the comment is the runner's.
type segment struct {
	mu      sync.Mutex
	state   segmentState
	desc    block.Desc
	records []byte
	waiters []waiter
	with    []*block.Op
	keys    *segmentKeys // to be remembered with the records, nil if there are none
	op      block.Op

	// runner
	q      *Queue
	blk    *memBlock
	first  uint32 // index of the first record in blk
	pos    int    // its byte position
	n      uint32
	stored bool
	marked bool // an OpGone for it was submitted
	log    *goneLog
	err    error
	// merged holds the segments that this one replaces, until it is stored.
	merged []*segment
}

type segmentState uint8

const (
	segmentOpen segmentState = iota // growing, not claimed
	segmentClaimed
	segmentCancelled
	segmentClosed // not claimed, but must not grow any more
)

// waiter is a publication that waits for a segment to be safe.
type waiter struct {
	batch *Batch
	seqs  []uint64 // to refuse if the log fails; nil means the whole batch
	flow  Flow
	bytes int
	// source is stored in one transaction with the publication, see Publication.Source.
	source []*block.Op
}

func (w *waiter) waits() bool { return w.batch != nil || w.flow != nil }

func (w *waiter) done(err error) {
	if w.batch != nil {
		if err != nil {
			w.batch.unkept.Store(true)
			if w.seqs != nil {
				w.batch.Refuse(w.seqs...)
			} else {
				w.batch.refuseAll()
			}
		}
		w.batch.Done()
	}
	if w.flow != nil {
		w.flow.Done(w.bytes)
	}
}

// submit hands the segment to the log as an op of the given kind.
func (s *segment) submit(kind block.OpKind, remove []block.Desc) {
	s.op = block.Op{
		Kind: kind, Queue: s.q.opts.LogID, Desc: s.desc, Records: s.records, Tail: s.blk.tail, Remove: remove, Owner: s,
	}
	s.q.opts.Log.Submit(&s.op)
}

// Claim implements block.OpOwner.
func (s *segment) Claim(op *block.Op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == segmentCancelled {
		return false
	}
	s.state = segmentClaimed
	op.Desc, op.Records = s.desc, s.records
	for _, w := range s.with {
		if w.Owner == nil || w.Owner.Claim(w) {
			op.With = append(op.With, w)
		}
	}
	if s.keys != nil {
		op.With = append(op.With, s.q.seen.journal.Op(s.keys.record, s.keys.entries))
	}
	return true
}

// Done implements block.OpOwner. Publishers are answered from here, without waiting for the runner.
func (s *segment) Done(op *block.Op, err error) {
	if err != nil {
		for _, w := range op.With {
			if o, ok := w.Owner.(*goneOp); ok {
				o.undo()
				o.Done(w, err)
			}
		}
	}
	for i := range s.waiters {
		s.waiters[i].done(err)
	}
	s.err = err
	s.q.post(&item{seg: s})
}

// extend adds the records that were appended to blk since the segment was made. It returns false if the segment can grow no
// more.
func (s *segment) extend(added, persistent uint32, bodies int64, minDeadline int64, records []byte, w waiter,
	fresh *freshKeys) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != segmentOpen {
		return false
	}
	s.n += added
	d := &s.desc
	d.Count += added
	d.Persistent += persistent
	d.Bodies += uint32(bodies)
	d.Size = uint32(len(records))
	if minDeadline != 0 && (d.MinDeadline == 0 || minDeadline < d.MinDeadline) {
		d.MinDeadline = minDeadline
	}
	s.records = records
	s.with = append(s.with, w.source...)
	if w.waits() {
		s.waiters = append(s.waiters, w)
	}
	if fresh != nil {
		s.remember(fresh)
	}
	return true
}

// close keeps the segment from growing.
func (s *segment) close() {
	s.mu.Lock()
	if s.state == segmentOpen {
		s.state = segmentClosed
	}
	s.mu.Unlock()
}

// cancel takes the segment back from the log if it was not claimed yet, and answers its publishers: their messages are
// settled. Not so if there are keys to be remembered with it.
func (s *segment) cancel() bool { return s.keys == nil && s.end() }

// end is cancel whatever there is to be remembered.
func (s *segment) end() bool {
	s.mu.Lock()
	if s.state == segmentClaimed || s.state == segmentCancelled {
		s.mu.Unlock()
		return false
	}
	s.state = segmentCancelled
	s.records = nil
	s.mu.Unlock()
	for i := range s.waiters {
		s.waiters[i].done(nil)
	}
	if s.keys != nil {
		s.keys.answer(nil)
	}
	return true
}

// live returns how many records of the segment are not settled.
func (s *segment) live() uint32 {
	return s.n - s.blk.gone.countRange(s.first, s.first+s.n-1)
}
