package queue

import (
	"cmp"
	"slices"

	"github.com/brokerd/brokerd/amqp/block"
)

// PeekOrder says in which direction Peek goes.
type PeekOrder uint8

const (
	// PeekForward goes from the message that is delivered next to the newest.
	PeekForward PeekOrder = iota
	// PeekBackward goes from the newest message to the one that is delivered next.
	PeekBackward
)

// PeekFrom is where Peek starts or goes on. The zero value is the beginning in forward order.
type PeekFrom struct {
	Order PeekOrder
	// At is the offset to start at, if it is set; else Peek starts at the head, or at the tail in backward order. An offset without a
	// ready message stands for the next one in the order.
	At *uint64
}

// Peeked is a ready message.
type Peeked struct {
	Offset      uint64
	Priority    uint8 // of the queue's lane
	Record      block.Record
	Redelivered bool
	Failures    uint32 // failed deliveries, see Piece.Failures
}

// Bounds of Peek.
const (
	// MaxPeek is the most messages of one call.
	MaxPeek = 1000
	// maxPeekBytes is how many bytes of records one call gathers, but for the message that exceeds it.
	maxPeekBytes = 4 << 20
	// peekAttempts is how often a block is looked for again that was moved in the log while it was being read.
	peekAttempts = 5
)

// Peek returns up to n ready messages (at most MaxPeek) and leaves the queue exactly as it is: order, counts, marks and what is in
// memory. next is where to go on; it is nil at the end of the queue. The records must not be written to.
//
// The runner is asked once for each block and only copies references and indexes; blocks that are not in memory are read by the
// caller's goroutine, for itself alone. So the result is no picture of one moment: what is consumed meanwhile may or may not be in
// it. Errors: ErrGone, and what the log says about a block that cannot be read.
func (q *Queue) Peek(from PeekFrom, n int) (list []Peeked, next *uint64, err error) {
	n = min(n, MaxPeek)
	bytes, failed := 0, 0
	at := from.At
	for len(list) < n && bytes < maxPeekBytes {
		var v *peekView
		if !q.peekCall(func() { v = q.view(from.Order, at) }) {
			return nil, nil, ErrGone
		}
		if v == nil {
			return list, nil, nil
		}
		if err := v.load(q); err != nil {
			// Blocks are merged and deleted all the time: what was to be read may be elsewhere now, or consumed.
			if failed++; failed < peekAttempts {
				continue
			}
			return nil, nil, err
		}
		failed = 0
		at = v.each(from.Order, func(m Peeked) bool {
			list = append(list, m)
			bytes += m.Record.Len()
			return len(list) < n && bytes < maxPeekBytes
		})
		if at == nil {
			return list, nil, nil
		}
	}
	return list, at, nil
}

// peekCall runs fn on the runner, also while the queue is held still; false means that the queue is gone.
func (q *Queue) peekCall(fn func()) (ok bool) {
	q.call(func() {
		if ok = !q.over(); ok {
			fn()
		}
	})
	return ok
}

// peekView is the ready messages of one block, as Peek takes them from the runner.
type peekView struct {
	base     uint64
	priority uint8
	count    uint32
	buf      []byte // nil: job has to be run
	tail     []byte
	job      *loadJob    // of a block that is not in memory
	lost     [][2]uint32 // pairs of first and last index
	ready    []Range     // of indexes, in order
	again    bitset      // delivered before
	failures map[uint32]uint32
	// after is where the order goes on behind this block, nil: nowhere.
	after *uint64
}

// view returns the ready messages of the first block in the order that has some at or beyond at; nil if there are none.
func (q *Queue) view(order PeekOrder, at *uint64) *peekView {
	lanes := len(q.lanes)
	for i := range lanes {
		l := q.lanes[lanes-1-i] // the highest priority is next to be delivered
		if order == PeekBackward {
			l = q.lanes[i]
		}
		from := (*uint64)(nil)
		if at != nil {
			mine, theirs := q.laneNumber(l), *at>>laneShift
			if order == PeekForward && mine > theirs || order == PeekBackward && mine < theirs {
				continue // passed
			}
			if mine == theirs {
				from = at
			}
		}
		if l.ready == 0 {
			continue
		}
		if v := l.view(order, from); v != nil {
			return v
		}
	}
	return nil
}

func (q *Queue) laneNumber(l *lane) uint64 { return uint64(slices.Index(q.lanes, l)) }

// view is Queue.view within a lane.
func (l *lane) view(order PeekOrder, from *uint64) *peekView {
	start := uint64(0)
	if order == PeekBackward {
		start = ^uint64(0)
	}
	if from != nil {
		start = *from
	}
	for {
		r, ok := l.nearest(order, start)
		if !ok {
			return nil
		}
		off := r.First
		if order == PeekBackward {
			off = r.Last
		}
		i := l.idx.find(off)
		if i == l.idx.len() || l.idx.at(i).base > off {
			// The range holds nothing here any more: go on with the next block in the order.
			if order == PeekForward {
				if i == l.idx.len() || l.idx.at(i).base > r.Last {
					start = r.Last + 1
				} else {
					start = l.idx.at(i).base
				}
				continue
			}
			if i == 0 {
				if r.First == 0 {
					return nil
				}
				start = r.First - 1
				continue
			}
			start = max(l.idx.at(i-1).end(), 1) - 1
			if start < r.First {
				if r.First == 0 {
					return nil
				}
				start = r.First - 1
			}
			continue
		}
		b := l.idx.at(i)
		v := l.viewOf(b, order, start)
		if len(v.ready) > 0 {
			return v
		}
		if v.after == nil {
			return nil
		}
		start = *v.after
	}
}

// nearest returns the part at or beyond start of the ready range that is the first in the order.
func (l *lane) nearest(order PeekOrder, start uint64) (near Range, ok bool) {
	look := func(r Range) {
		if order == PeekForward {
			if r.Last < start {
				return
			}
			r.First = max(r.First, start)
			if !ok || r.First < near.First {
				near, ok = r, true
			}
			return
		}
		if r.First > start {
			return
		}
		r.Last = min(r.Last, start)
		if !ok || r.Last > near.Last {
			near, ok = r, true
		}
	}
	for _, r := range l.requeued {
		look(r)
	}
	if l.curOff < l.next {
		look(Range{l.curOff, l.next - 1})
	}
	return near, ok
}

// viewOf gathers what is ready in b at or beyond start.
func (l *lane) viewOf(b *memBlock, order PeekOrder, start uint64) *peekView {
	q := l.q
	v := &peekView{base: b.base, priority: uint8(q.laneNumber(l)), count: b.count}
	if order == PeekForward {
		v.after = offset(b.end())
	} else if b.base > q.laneNumber(l)<<laneShift {
		v.after = offset(b.base - 1)
	} else if q.laneNumber(l)+1 < uint64(len(q.lanes)) {
		v.after = offset((q.laneNumber(l)+2)<<laneShift - 1)
	}
	if b.dead {
		return v
	}
	add := func(r Range) {
		if order == PeekForward {
			r.First = max(r.First, start)
		} else {
			r.Last = min(r.Last, start)
		}
		r.First, r.Last = max(r.First, b.base), min(r.Last, b.end()-1)
		for off := r.First; off <= r.Last && off >= r.First; off++ {
			i := uint32(off - b.base)
			if b.goneN > 0 && b.gone.has(i) {
				continue
			}
			if n := len(v.ready); n > 0 && v.ready[n-1].Last+1 == uint64(i) {
				v.ready[n-1].Last++
			} else {
				v.ready = append(v.ready, Range{uint64(i), uint64(i)})
			}
		}
	}
	for _, r := range l.requeued {
		add(r)
	}
	if l.curOff < l.next {
		add(Range{l.curOff, l.next - 1})
	}
	if len(v.ready) == 0 {
		return v
	}
	slices.SortFunc(v.ready, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	for _, r := range v.ready {
		for i := r.First; i <= r.Last; i++ {
			if q.wasDelivered(b, uint32(i)) {
				v.again.setRange(uint32(i), uint32(i), b.count)
			}
			if n := b.failures[uint32(i)]; n > 0 && q.set.DeliveryLimit >= 0 {
				if v.failures == nil {
					v.failures = make(map[uint32]uint32)
				}
				v.failures[uint32(i)] = n
			}
		}
	}
	if b.resident() {
		// Bytes are appended behind these and never changed.
		v.buf, v.tail = b.buf, b.tail
	} else {
		v.job = newLoadJob(b)
	}
	return v
}

func offset(o uint64) *uint64 { return &o }

// load reads the block if it is not in memory.
func (v *peekView) load(q *Queue) error {
	if v.job == nil {
		return nil
	}
	v.job.run(q.opts.Log, q.opts.ID)
	if v.job.err != nil {
		return v.job.err
	}
	v.buf, v.lost = v.job.buf, v.job.lost
	if v.buf == nil {
		return v.job.damage // nothing is left of it: perhaps because it was deleted meanwhile
	}
	return nil
}

// each calls visit for the messages in the order until it returns false. It returns the offset to go on at, nil for the end.
func (v *peekView) each(order PeekOrder, visit func(Peeked) bool) *uint64 {
	positions := make([]int, 0, v.count)
	for pos := 0; pos < len(v.buf) && len(positions) < int(v.count); {
		positions = append(positions, pos)
		pos += block.RecordLen(v.buf[pos:])
	}
	one := func(i uint64) bool {
		m := Peeked{Offset: v.base + i, Priority: v.priority, Redelivered: v.again.has(uint32(i)), Failures: v.failures[uint32(i)]}
		for _, l := range v.lost {
			if uint32(i) >= l[0] && uint32(i) <= l[1] {
				return true
			}
		}
		if int(i) >= len(positions) {
			return true
		}
		if _, err := block.Parse(v.buf[positions[i]:], v.tail, &m.Record); err != nil {
			return true // damaged: the queue says so when it comes to it
		}
		return visit(m)
	}
	if order == PeekForward {
		for _, r := range v.ready {
			for i := r.First; i <= r.Last; i++ {
				if !one(i) {
					return offset(v.base + i + 1)
				}
			}
		}
		return v.after
	}
	for _, r := range slices.Backward(v.ready) {
		for i := r.Last + 1; i > r.First; i-- {
			if !one(i - 1) {
				if off := v.base + i - 1; off&serialMask > 0 {
					return offset(off - 1)
				}
				return v.after
			}
		}
	}
	return v.after
}
