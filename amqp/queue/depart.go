package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/dedup"
)

// A queue moves to another node in these steps. Its engine is held still (Depart), so that everything that arrives waits. Its
// messages and their states are sent (Send), and the other node makes them durable. The cluster agrees on the new leader; if it does
// not, the engine goes on (Stay). Then the consumers go over, and what has waited is passed on, in the order in which it came
// (Leave). From then on the engine has no messages, and forwards what still comes to it.

// Departure is a queue that is held still in order to move. It must be ended with Stay or Leave, and is for one goroutine.
type Departure struct{ q *Queue }

// ErrMoving says that a queue cannot be moved, because it is being moved or was moved already.
var ErrMoving = errors.New("queue is on its way to another node")

// quietTime bounds the wait for dead letters to be safe elsewhere.
var quietTime = 5 * time.Second

// Depart holds the queue still and waits until the messages that it has given up are safe elsewhere. If that does not come
// about the queue goes on, and the error says why. Errors: ErrGone, ErrMoving, that of ctx.
func (q *Queue) Depart(ctx context.Context) (*Departure, error) {
	var quiet chan struct{}
	var err error
	heir := q.ask(true, func() {
		if q.state != stateOpen {
			err = ErrGone
			return
		}
		q.state = stateMoving
		quiet = make(chan struct{})
		q.quiet, q.left = quiet, make(chan struct{})
	})
	switch {
	case heir != nil:
		return nil, ErrMoving
	case err != nil:
		return nil, err
	}
	d := &Departure{q}
	limit := time.NewTimer(quietTime)
	defer limit.Stop()
	select {
	case <-quiet:
		return d, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-limit.C:
		err = fmt.Errorf("its dead letters were not taken by their targets within %v", quietTime)
	}
	d.Stay()
	return nil, err
}

// calm is settleDown for a queue that waits for its dead letters.
func (q *Queue) calm() {
	if q.state == stateMoving && len(q.drops) > 0 {
		q.serveDrops()
	}
	if q.state != stateMoving || q.dyingN == 0 && len(q.drops) == 0 {
		close(q.quiet)
		q.quiet = nil
	}
}

// Stay ends the departure: the queue goes on as if nothing had been.
func (d *Departure) Stay() {
	q := d.q
	q.post(&item{fn: func() {
		if q.state == stateMoving && q.heir == nil {
			q.depart()
			q.reopen()
		}
	}})
}

// depart ends stateMoving.
func (q *Queue) depart() {
	if q.quiet != nil {
		close(q.quiet)
		q.quiet = nil
	}
	close(q.left)
	q.left = nil
}

// MovedBlock is a run of messages of a queue on its way to another node.
type MovedBlock struct {
	Base    uint64 // offset of the first
	Count   uint32
	Records []byte // with all bodies
	// Gone and Redelivered are bitmaps: bit i of word i/64 is message Base+i.
	Gone, Redelivered []uint64
	// Failures are the failed deliveries of messages: the index in the upper half, the count in the lower.
	Failures []uint64
}

// MovedLane is the messages of one priority: which of them are fresh, and which are ready again. Others that are not gone are
// delivered and not settled.
type MovedLane struct {
	Number   int
	Next     uint64 // offset of the next message to come
	Fresh    uint64 // offset of the first message that was never delivered
	Requeued []Range
}

// MovedQueue is what there is to know of a queue beside its messages.
type MovedQueue struct {
	Lanes       []MovedLane
	Redelivered uint64 // serial numbers below count as delivered before
	Mark        uint64 // delivered mark
	Unacked     int    // deliveries that are not settled
	Used        bool   // it had a consumer
	// Keys are what its messages are compared with, encoded as in dedup.AppendEntry, oldest first, in pieces.
	Keys [][]byte
}

// Send gives all messages to emit, by lane and offset, and returns the rest. It reads what is not in memory from the log, block by
// block. Emit's block is its own; an error ends Send. Other errors: ErrGone, and that of the log.
func (d *Departure) Send(ctx context.Context, emit func(*MovedBlock) error) (*MovedQueue, error) {
	q := d.q
	var blocks []*memBlock
	if err := d.see(func() {
		for _, l := range q.lanes {
			for i := range l.idx.len() {
				blocks = append(blocks, l.idx.at(i))
			}
		}
	}); err != nil {
		return nil, err
	}
	for _, b := range blocks {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		m, err := d.block(b)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		if err := emit(m); err != nil {
			return nil, err
		}
	}
	var m *MovedQueue
	err := d.see(func() { m = q.describe() })
	return m, err
}

// see runs fn on the runner if the queue is still held.
func (d *Departure) see(fn func()) error {
	err := ErrGone
	d.q.call(func() {
		if d.q.state == stateMoving {
			err = nil
			fn()
		}
	})
	return err
}

// block returns b, nil if nothing of it is left.
func (d *Departure) block(b *memBlock) (m *MovedBlock, err error) {
	var job *loadJob
	err = d.see(func() {
		if b.dead || b.live() == 0 {
			return
		}
		m = &MovedBlock{Base: b.base, Count: b.count, Gone: slices.Clone(b.gone), Redelivered: slices.Clone(b.redelivered)}
		for i, n := range b.failures {
			if !b.gone.has(i) {
				m.Failures = append(m.Failures, uint64(i)<<32|uint64(n))
			}
		}
		if !b.resident() {
			job = newLoadJob(b)
			return
		}
		m.Records = b.buf[:len(b.buf):len(b.buf)]
		if b.tail != nil {
			m.Records = slices.Concat(b.buf, b.tail)
		}
	})
	if err != nil || job == nil {
		return m, err
	}
	job.run(d.q.opts.Log, d.q.opts.LogID)
	if job.err != nil {
		return nil, fmt.Errorf("messages from offset %d cannot be read: %w", b.base, job.err)
	}
	if m.Records = job.buf; job.damage == nil {
		return m, nil
	}
	d.q.logError("a stored block is damaged, messages may be lost", b, job.damage)
	for _, r := range job.lost {
		(*bitset)(&m.Gone).setRange(r[0], r[1], m.Count)
	}
	if m.Records == nil || bitset(m.Gone).countRange(0, m.Count-1) == m.Count {
		return nil, nil
	}
	return m, nil
}

// describe returns what there is to know beside the messages.
func (q *Queue) describe() *MovedQueue {
	m := &MovedQueue{Redelivered: q.redelivered, Mark: q.mark, Unacked: q.unackedN, Used: q.used}
	for i, l := range q.lanes {
		if l.next&serialMask > 0 || l.idx.len() > 0 {
			m.Lanes = append(m.Lanes, MovedLane{Number: i, Next: l.next, Fresh: l.curOff, Requeued: slices.Clone(l.requeued)})
		}
	}
	if q.seen != nil {
		m.Keys = q.seen.keys()
	}
	return m
}

// keysPerPiece bounds the keys in one piece of MovedQueue.Keys.
const keysPerPiece = 4096

// keys returns the window, encoded.
func (d *seen) keys() (pieces [][]byte) {
	n := 0
	d.window.Each(func(e dedup.Entry) {
		if n%keysPerPiece == 0 {
			pieces = append(pieces, nil)
		}
		n++
		last := &pieces[len(pieces)-1]
		*last = dedup.AppendEntry(*last, e)
	})
	return pieces
}

// Leave makes heir, which leads the queue by now, take the consumers, and then passes on what has waited. It waits for heir. If that
// cannot be reached any more, the consumers are told so.
func (d *Departure) Leave(heir Heir) {
	q := d.q
	var list []*Consumer
	var unacked []int
	err := d.see(func() {
		q.heir = heir
		list = slices.Clone(q.consumers)
		slices.SortFunc(list, func(a, b *Consumer) int { return cmp.Compare(a.joined, b.joined) })
		for _, c := range list {
			unacked = append(unacked, c.unacked)
		}
	})
	if err != nil {
		return
	}
	inheritance, err := heir.Adopt(list, unacked)
	q.call(func() {
		if q.state != stateMoving {
			return
		}
		if err != nil {
			q.opts.Logger.Warn("consumers of a queue could not move with it", "queue", q.opts.Name, "error", err)
			inheritance = void{}
		}
		q.state, q.inheritance = stateMoved, inheritance
		q.depart()
		q.ending.Store(true)
		q.dropped.Store(true)
		q.consumers, q.ready, q.active = nil, ready{}, nil
		q.failGets()
		q.answerAll() // the new leader has the messages for good
		q.release()
		q.unpark()
		q.opts.Log.DropQueue(q.opts.LogID)
		for _, c := range list {
			c.attached = false
			if err != nil {
				c.Receiver.Cancelled(c)
			}
		}
	})
}

// forward passes a publication on to the new leader. Dead letters stay with the queue that they come from until they are safe, so that
// nothing is lost when they are not removed from there in the same transaction.
func (q *Queue) forward(p *Publication) {
	p.Source = nil
	if p.Letters && q.opts.Forward != nil {
		q.opts.Forward(q.heir, p)
		return
	}
	q.heir.Publish(p)
}

// Barrier returns when everything that reached the inbox before the call is in the queue, wherever that is by now; see
// Heir.Barrier.
func (q *Queue) Barrier(ctx context.Context) (err error) {
	done := make(chan struct{})
	var heir Heir
	q.post(&item{fn: func() {
		switch {
		case q.state == stateMoved:
			heir = q.heir
		case q.over():
			err = ErrGone
		}
		close(done)
	}, waits: true})
	select {
	case <-done:
	case <-ctx.Done():
		return ErrUnavailable
	}
	if heir != nil {
		return heir.Barrier(ctx)
	}
	return err
}

// void is the inheritance after the link was lost.
type void struct{}

// Settle implements Inheritance.
func (void) Settle(s *Settlement) {
	if s.Done != nil {
		s.Done()
	}
}

// Get implements Inheritance.
func (void) Get(bool) (Piece, int, bool, error) { return Piece{}, 0, false, ErrUnavailable }
