package queue

import (
	"fmt"
	"sync"

	"github.com/brokerd/brokerd/amqp/block"
)

// Arrival takes in a queue that comes from another node: it writes everything to the log, where it stays until the cluster has agreed
// on the new leader. Then it makes the queue (Options.Arrival), or else it is abandoned. Memory is bounded by what is on its way to
// the log and a description of each block. It is for one goroutine.
type Arrival struct {
	log     block.Log
	id      uint64 // in the log
	durable bool

	blocks []*arrived
	moved  MovedQueue
	states []block.State
	// unsettled is set when the queue is made.
	unsettled []Range

	mu      sync.Mutex
	changed sync.Cond // L is mu; broadcast when inflight falls
	// inflight is the bytes on their way to the log, ops the number of ops; err is the first error.
	inflight, ops int
	err           error
}

// arrived is a block that has arrived.
type arrived struct {
	desc              block.Desc
	gone, redelivered bitset
	failures          []uint64
}

// maxArriving bounds the bytes on their way to the log. A single block may be larger.
const maxArriving = 8 << 20

// ReservedState is the name of a state that queues do not use themselves: see NewArrival.
const ReservedState = ^uint64(0)

// NewArrival returns an arrival for a queue that the log is to have under id, which it has never had anything under. If identity is
// not empty it is stored as the state ReservedState, so that whoever opens the log later knows what id stands for.
func NewArrival(log block.Log, id uint64, durable bool, identity []byte) *Arrival {
	a := &Arrival{log: log, id: id, durable: durable}
	a.changed.L = &a.mu
	if len(identity) > 0 {
		a.submit(&block.Op{Kind: block.OpState, Desc: block.Desc{Base: ReservedState, Size: uint32(len(identity))}, Records: identity})
	}
	return a
}

// arriving is the owner of an op of an arrival.
type arriving struct {
	a     *Arrival
	bytes int
}

// Claim implements block.OpOwner.
func (o *arriving) Claim(*block.Op) bool { return true }

// Done implements block.OpOwner.
func (o *arriving) Done(_ *block.Op, err error) {
	a := o.a
	a.mu.Lock()
	a.inflight -= o.bytes
	a.ops--
	if a.err == nil {
		a.err = err
	}
	a.changed.Broadcast()
	a.mu.Unlock()
}

// submit hands op to the log. It waits while too much is on its way.
func (a *Arrival) submit(op *block.Op) {
	bytes := len(op.Records)
	a.mu.Lock()
	for a.inflight > 0 && a.inflight+bytes > maxArriving {
		a.changed.Wait()
	}
	a.inflight += bytes
	a.ops++
	a.mu.Unlock()
	op.Queue, op.Owner = a.id, &arriving{a, bytes}
	a.log.Submit(op)
}

func (a *Arrival) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Put takes a block, which is the arrival's from then on. Blocks come in the order of their offsets. It may wait for the log. Errors:
// block.ErrCorrupt, that of the log.
func (a *Arrival) Put(m *MovedBlock) error {
	d := block.Desc{Base: m.Base, Count: m.Count, Size: uint32(len(m.Records))}
	words := int(m.Count+63) / 64
	if n := len(a.blocks); n > 0 && a.blocks[n-1].desc.Base+uint64(a.blocks[n-1].desc.Count) > m.Base || m.Count == 0 ||
		len(m.Gone) > words || len(m.Redelivered) > words || m.Base>>laneShift != (m.Base+uint64(m.Count)-1)>>laneShift {
		return fmt.Errorf("%w: %d messages at offset %d do not follow what came before", block.ErrCorrupt, m.Count, m.Base)
	}
	rest := m.Records
	var r block.Record
	for i := range m.Count {
		n, err := block.Parse(rest, nil, &r)
		if err != nil {
			return fmt.Errorf("message at offset %d: %w", m.Base+uint64(i), err)
		}
		rest = rest[n:]
		d.Bodies += uint32(len(r.Body))
		if r.Flags&block.Persistent != 0 {
			d.Persistent++
		}
		if r.Deadline != 0 && (d.MinDeadline == 0 || r.Deadline < d.MinDeadline) {
			d.MinDeadline = r.Deadline
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes behind the messages at offset %d", block.ErrCorrupt, len(rest), m.Base)
	}
	d.Spill = !a.durable || d.Persistent == 0
	a.submit(&block.Op{Kind: block.OpPut, Desc: d, Records: m.Records})
	b := &arrived{desc: d, gone: m.Gone, redelivered: m.Redelivered, failures: m.Failures}
	if !d.Spill && (len(m.Gone) > 0 || len(m.Failures) > 0) {
		gone := make([]uint64, words, words+len(m.Failures))
		copy(gone, m.Gone)
		a.submit(&block.Op{Kind: block.OpGone, Desc: d, Gone: append(gone, m.Failures...)})
	}
	a.blocks = append(a.blocks, b)
	return a.failure()
}

// Finish takes the rest, and returns when everything is durable. Errors: block.ErrCorrupt, that of the log.
func (a *Arrival) Finish(m *MovedQueue) error {
	for i := range m.Lanes {
		l := &m.Lanes[i]
		lane := uint64(l.Number) << laneShift
		if l.Number < 0 || l.Number > 255 || l.Next&^serialMask != lane || l.Fresh&^serialMask != lane || l.Fresh > l.Next {
			return fmt.Errorf("%w: lane %d from offset %d to %d", block.ErrCorrupt, l.Number, l.Fresh, l.Next)
		}
		for _, r := range l.Requeued {
			if r.First > r.Last || r.Last >= l.Fresh || r.First < lane {
				return fmt.Errorf("%w: requeued offsets %d to %d, fresh ones from %d", block.ErrCorrupt, r.First, r.Last, l.Fresh)
			}
		}
	}
	a.moved = *m
	for i, k := range m.Keys {
		d := block.Desc{Base: uint64(i) + 1, Size: uint32(len(k))}
		a.states = append(a.states, block.State{Desc: d, Value: k})
		if a.durable {
			a.submit(&block.Op{Kind: block.OpState, Desc: d, Records: k})
		}
	}
	if a.durable && m.Mark > 0 {
		a.submit(&block.Op{Kind: block.OpMark, Mark: m.Mark})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.ops > 0 {
		a.changed.Wait()
	}
	return a.err
}

// Abandon deletes what has arrived. It does not wait. The arrival must not be used any more.
func (a *Arrival) Abandon() { a.log.DropQueue(a.id) }

// LogID returns the id under which the log has the queue.
func (a *Arrival) LogID() uint64 { return a.id }

// arrive places what has arrived.
func (q *Queue) arrive(a *Arrival) {
	m := &a.moved
	for _, l := range m.Lanes {
		for l.Number >= len(q.lanes) {
			q.lanes = append(q.lanes, newLane(q, len(q.lanes)))
		}
		to := q.lanes[l.Number]
		to.next, to.curOff = l.Next, l.Fresh
		for _, r := range l.Requeued {
			to.requeued.push(r)
		}
	}
	for _, ab := range a.blocks {
		d := ab.desc
		if int(d.Base>>laneShift) >= len(q.lanes) {
			continue // cannot be: its lane was described
		}
		b := &memBlock{lane: q.of(d.Base), base: d.Base, count: d.Count, size: int(d.Size), bodies: int64(d.Bodies), sealed: true,
			persistent: d.Persistent, gone: ab.gone, redelivered: ab.redelivered}
		s := &segment{q: q, blk: b, n: d.Count, desc: d, stored: true, state: segmentClaimed}
		if d.Spill {
			b.spill = s
		} else {
			b.segs, b.covered = []*segment{s}, d.Count
		}
		b.goneN = b.gone.countRange(0, b.count-1)
		for _, w := range ab.failures {
			if i := uint32(w >> 32); i < b.count {
				if b.failures == nil {
					b.failures = make(map[uint32]uint32)
				}
				b.failures[i] = uint32(w)
			}
		}
		if !d.Spill && (b.goneN > 0 || len(b.failures) > 0) {
			s.marked = true
			s.log = &goneLog{gone: b.gone.slice(0, b.count)}
		}
		b.lane.idx.push(b)
		if b.live() == 0 {
			q.bury(b)
			continue
		}
		q.watch(b, d.MinDeadline)
	}
	a.blocks = nil
	for _, l := range q.lanes {
		l.eachReady(func(b *memBlock, lo, hi uint32) {
			l.count(int(hi - lo + 1))
			if b.mayExpire && b.base+uint64(lo) < l.curOff {
				b.back.setRange(lo, hi, b.count)
			}
		})
	}
	q.redelivered, q.mark, q.unackedN, q.used = m.Redelivered, m.Mark, m.Unacked, m.Used
	q.state = stateArriving
	a.unsettled = q.unsettled()
}

// Unsettled returns the offsets that were delivered before the queue moved and are not settled. It is for after New.
func (a *Arrival) Unsettled() []Range { return a.unsettled }

func (q *Queue) unsettled() (list []Range) {
	for _, l := range q.lanes {
		ready := make(map[*memBlock]bitset)
		for _, r := range l.requeued {
			l.eachBlock(r, func(b *memBlock, lo, hi uint32) {
				s := ready[b]
				s.setRange(lo, hi, b.count)
				ready[b] = s
			})
		}
		for i := range l.idx.len() {
			b := l.idx.at(i)
			if b.dead || b.base >= l.curOff {
				continue
			}
			waits := ready[b]
			for i := uint32(0); i < uint32(min(b.end(), l.curOff)-b.base); i++ {
				if b.gone.has(i) || waits.has(i) {
					continue
				}
				off := b.base + uint64(i)
				if n := len(list); n > 0 && list[n-1].Last+1 == off {
					list[n-1].Last = off
				} else {
					list = append(list, Range{off, off})
				}
			}
		}
	}
	return list
}

// Adopt attaches the consumers that the queue had before it moved here, each with so many unsettled deliveries, and has the queue
// begin. It returns ErrGone if it has begun already.
func (q *Queue) Adopt(list []*Consumer, unacked []int) (err error) {
	q.call(func() {
		if q.state != stateArriving {
			err = ErrGone
			return
		}
		for i, c := range list {
			q.attach(c, unacked[i])
		}
		q.reopen()
	})
	return err
}

// Begin is Adopt for a queue whose consumers have not come along. It does not wait.
func (q *Queue) Begin() {
	q.post(&item{fn: func() {
		if q.state == stateArriving {
			q.reopen()
		}
	}})
}
