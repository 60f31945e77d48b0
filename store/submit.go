package store

import (
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/block"
)

// Internal ops. They go through the committer so that there is one writer; none needs a sync.
const (
	opInternal block.OpKind = 200 + iota
	// opRaw deletes the keys of its owner, a *rawDelete.
	opRaw
	// opPad fills the memtable up, so that it is flushed and its deletions are compacted. The filling is tombstones of long
	// keys, which no compaction keeps.
	opPad
	// opMove writes blocks again that are still as they were, see moving.
	opMove
)

// rawDelete deletes keys as they stand. It is the owner of its op.
type rawDelete struct {
	keys [][]byte
	done chan error // has room for one
}

func (r *rawDelete) Claim(*block.Op) bool        { return true }
func (r *rawDelete) Done(_ *block.Op, err error) { r.done <- err }
func (r *rawDelete) op() *block.Op               { return &block.Op{Kind: opRaw, Owner: r} }
func newRawDelete(keys [][]byte) *rawDelete      { return &rawDelete{keys: keys, done: make(chan error, 1)} }

// intake is a lock-free stack with many pushers and one taker, who takes all of it at once.
//
// A pusher writes op.Next before its compare-and-swap publishes op, and the taker reads it after its swap: the pair orders
// them. Since the taker removes everything in one swap and never a single node, a node that comes back at the head between
// a pusher's load and its swap (ABA) is still the right successor. Ops of one goroutine are pushed in its order, and
// reversing the stack restores it.
type intake struct {
	head atomic.Pointer[block.Op]
	wake chan struct{} // has room for one
}

// push adds op. It wakes the taker only when the stack was empty: whoever found it so has a wake-up on its way, and the taker
// always takes everything.
func (q *intake) push(op *block.Op) {
	for {
		old := q.head.Load()
		op.Next = old
		if q.head.CompareAndSwap(old, op) {
			if old == nil {
				select {
				case q.wake <- struct{}{}:
				default:
				}
			}
			return
		}
	}
}

// take removes everything and returns it in the order of submission, linked by Next.
func (q *intake) take() *block.Op {
	op := q.head.Swap(nil)
	var first *block.Op
	for op != nil {
		next := op.Next
		op.Next = first
		first, op = op, next
	}
	return first
}

// opList is a FIFO of ops, linked by Next.
type opList struct{ first, last *block.Op }

func (l *opList) append(op *block.Op) {
	op.Next = nil
	if l.last == nil {
		l.first = op
	} else {
		l.last.Next = op
	}
	l.last = op
}

func (l *opList) pop() *block.Op {
	op := l.first
	if op == nil {
		return nil
	}
	l.first = op.Next
	if l.first == nil {
		l.last = nil
	}
	op.Next = nil
	return op
}
