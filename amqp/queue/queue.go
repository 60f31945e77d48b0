package queue

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/block"
)

// Options make a Queue.
type Options struct {
	ID         uint64
	Name       string // for logs
	Durable    bool   // persistent messages survive a restart
	AutoDelete bool   // OnUnused is called when the last consumer has left
	// Log keeps the messages. It must not be nil: transient messages are written to it to free memory.
	Log block.Log
	// Recovered is what Log holds of the queue from before, nil for a new queue.
	Recovered *block.Recovered
	Memory    *Memory
	// OnUnused is called from the runner each time the last consumer of an AutoDelete queue has left. It must not block.
	OnUnused func()
	Logger   *slog.Logger
}

// Queue is a queue led by this node. See the package comment for its concurrency.
type Queue struct {
	opts Options
	mem  *Memory
	in   inbox
	// running is 1 while a runner goroutine exists. A pusher that changes it from 0 to 1 starts one; the runner sets it to 0
	// and then looks into the inbox once more, so that an item pushed in between is seen by one of the two.
	running atomic.Int32
	// ending tells loading goroutines, which loads counts, that nobody needs their blocks any more.
	ending atomic.Bool
	loads  sync.WaitGroup

	// Everything below is the runner's.

	idx      index
	tail     *memBlock // last block of idx, while it takes records
	next     uint64    // offset of the next record
	readyN   int
	unackedN int

	// Fresh messages, those never delivered, start at curOff; cur is its block (nil: look it up) and curPos its byte position.
	curOff   uint64
	cur      *memBlock
	curPos   int
	requeued rangeHeap // delivered before, ready again; all below curOff

	consumers []*Consumer
	ready     ready
	gets      []*getCall // waiting for a block to be loaded
	stalled   bool       // take had to stop: a block is not in memory, or the delivered mark is too low

	resident int64
	held     []waiter // publishers of unstored messages kept waiting while memory is short
	loading  bool
	loaded   int // times that loading began
	spilling int

	mark        uint64 // durable: records below it count as delivered before after a crash
	markPending bool
	markWindow  uint64
	markTime    int64
	redelivered uint64 // records below it, found at start, count as delivered before

	deletes   []block.Desc
	undeleted []block.Desc // the log failed to delete them; a timer runs
	dirty     []*memBlock
	ticking   bool

	state  state
	parked *item // newest first, while state is statePrepared
	used   bool  // had a consumer
}

type state uint8

const (
	stateOpen state = iota
	statePrepared
	stateGone    // deleted
	stateStopped // node is going down
)

var _ Handle = (*Queue)(nil)

// New makes a queue engine. It starts no goroutine until something reaches the queue.
func New(o Options) *Queue {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Memory == nil {
		o.Memory = NewMemory(0, 0)
	}
	q := &Queue{opts: o, mem: o.Memory, markWindow: minMarkWindow, mark: implicitMark}
	if r := o.Recovered; r != nil {
		q.recover(r)
	}
	q.mem.queues.Store(q, struct{}{})
	return q
}

// recover places what the log holds.
func (q *Queue) recover(r *block.Recovered) {
	for _, d := range r.Blocks {
		b := &memBlock{base: d.Base, count: d.Count, size: int(d.Size), bodies: int64(d.Bodies), sealed: true,
			persistent: d.Persistent, covered: d.Count}
		s := &segment{q: q, blk: b, n: d.Count, desc: d, stored: true, state: segmentClaimed}
		b.segs = []*segment{s}
		if g := r.Gone[d.Base]; len(g) > 0 {
			b.gone = append(make(bitset, 0, (d.Count+63)/64), g...)
			b.goneN = b.gone.countRange(0, d.Count-1)
		}
		q.idx.push(b)
		q.readyN += int(b.live())
		q.next = b.end()
		if b.live() == 0 {
			q.bury(b)
		}
	}
	if q.idx.len() > 0 {
		q.curOff = q.idx.at(0).base
	} else {
		q.curOff = q.next
	}
	switch {
	case r.Mark > 0:
		q.mark = r.Mark
		q.redelivered = r.Mark
	case !r.Clean:
		q.redelivered = implicitMark
	default:
		q.mark = 0
	}
	q.redelivered = min(q.redelivered, max(q.next, r.Mark))
	// Offsets below the mark must never be used again: messages that were consumed had them.
	if q.next < q.redelivered && r.Mark > 0 {
		q.next = r.Mark
		if q.readyN == 0 {
			q.curOff = q.next
		}
	}
}

// ID implements Handle.
func (q *Queue) ID() uint64 { return q.opts.ID }

// Publish implements Handle.
func (q *Queue) Publish(p *Publication) { q.post(&item{pub: p}) }

// Settle implements Handle.
func (q *Queue) Settle(s *Settlement) { q.post(&item{settle: s}) }

// Wake implements Handle.
func (q *Queue) Wake(c *Consumer) { q.post(&item{wake: c}) }

func (q *Queue) post(it *item) {
	q.in.push(it)
	if q.running.CompareAndSwap(0, 1) {
		go q.run()
	}
}

// call runs fn on the runner and waits for it.
func (q *Queue) call(fn func()) {
	done := make(chan struct{})
	q.post(&item{fn: func() { fn(); close(done) }})
	<-done
}

// callOpen is call for what must wait while the queue is held still: it may be gone afterwards.
func (q *Queue) callOpen(fn func()) {
	done := make(chan struct{})
	q.post(&item{fn: func() { fn(); close(done) }, waits: true})
	<-done
}

// run is the runner.
func (q *Queue) run() {
	for {
		for spins := 0; ; {
			it := q.in.drain()
			if it == nil {
				// Others may be about to push: let them, once, before this goroutine ends.
				if spins++; spins > 1 {
					break
				}
				runtime.Gosched()
				continue
			}
			for it != nil {
				next := it.next
				it.next = nil
				q.handle(it)
				it = next
			}
			q.settleDown()
		}
		q.running.Store(0)
		if q.in.empty() || !q.running.CompareAndSwap(0, 1) {
			return
		}
	}
}

// settleDown does what is due once after a run of items.
func (q *Queue) settleDown() {
	if q.state == stateOpen {
		q.dispatch()
		q.serveGets()
	}
	q.flushDeletes()
	q.releaseHeld()
}

func (q *Queue) handle(it *item) {
	if q.state == statePrepared && (it.pub != nil || it.settle != nil || it.waits) {
		it.next = q.parked
		q.parked = it
		return
	}
	switch {
	case it.pub != nil:
		q.publish(it.pub)
	case it.settle != nil:
		q.settle(it.settle)
	case it.seg != nil:
		q.segmentDone(it.seg)
	case it.wake != nil:
		c := it.wake
		c.blocked = false
		q.readmit(c)
	case it.loaded != nil:
		q.blockLoaded(it.loaded)
	case it.fn != nil:
		it.fn()
	}
}

// Consume implements Handle.
func (q *Queue) Consume(c *Consumer) (err error) {
	q.callOpen(func() {
		if q.state != stateOpen {
			err = ErrGone
			return
		}
		if len(q.consumers) > 0 && (c.Exclusive || q.consumers[0].Exclusive) {
			err = ErrExclusiveUse
			return
		}
		c.attached, c.unacked, c.blocked, c.waiting, c.place = true, 0, false, false, len(q.consumers)
		q.consumers = append(q.consumers, c)
		q.used = true
		q.readmit(c)
	})
	return err
}

// readmit puts c in line for messages if it may have some.
func (q *Queue) readmit(c *Consumer) {
	if c.attached && !c.blocked && c.credit() > 0 {
		q.ready.add(c)
	}
}

// Cancel implements Handle.
func (q *Queue) Cancel(c *Consumer) {
	q.call(func() {
		if !c.attached {
			return
		}
		c.attached = false
		q.ready.remove(c)
		last := len(q.consumers) - 1
		moved := q.consumers[last]
		q.consumers[c.place], moved.place = moved, c.place
		q.consumers = slices.Delete(q.consumers, last, last+1)
		q.checkUnused()
	})
}

// checkUnused reports an auto-delete queue that has lost its last consumer.
func (q *Queue) checkUnused() {
	if len(q.consumers) == 0 && q.used && q.opts.AutoDelete && q.state == stateOpen && q.opts.OnUnused != nil {
		q.opts.OnUnused()
	}
}

type getCall struct {
	noAck     bool
	piece     Piece
	remaining int
	ok        bool
	err       error
	done      chan struct{}
}

// Get implements Handle.
func (q *Queue) Get(noAck bool) (Piece, int, bool, error) {
	g := &getCall{noAck: noAck, done: make(chan struct{})}
	q.post(&item{fn: func() {
		q.gets = append(q.gets, g)
		if q.state == stateGone || q.state == stateStopped {
			q.failGets()
		}
	}})
	<-g.done
	return g.piece, g.remaining, g.ok, g.err
}

func (q *Queue) serveGets() {
	for len(q.gets) > 0 {
		g := q.gets[0]
		if q.readyN > 0 {
			c := Consumer{NoAck: g.noAck}
			q.stalled = false
			if q.take(&c, 1) == 0 {
				if q.stalled {
					return // again when the block is here
				}
			} else {
				g.piece, g.ok = c.batch[0], true
			}
		}
		g.remaining = q.readyN
		close(g.done)
		q.gets = q.gets[1:]
	}
	q.gets = nil
}

func (q *Queue) failGets() {
	for _, g := range q.gets {
		g.err = ErrGone
		close(g.done)
	}
	q.gets = nil
}

// Purge implements Handle.
func (q *Queue) Purge() (n int, err error) {
	q.callOpen(func() {
		if q.state != stateOpen {
			err = ErrGone
			return
		}
		n = q.purge()
	})
	return n, err
}

func (q *Queue) purge() int {
	n := q.readyN
	for !q.requeued.empty() {
		r := q.requeued.pop()
		q.settleRange(r)
	}
	if q.curOff < q.next {
		q.settleRange(Range{q.curOff, q.next - 1})
		q.curOff, q.cur = q.next, nil
	}
	q.readyN = 0
	return n
}

// Status implements Handle.
func (q *Queue) Status() (s Status, err error) {
	q.call(func() {
		if q.state == stateGone || q.state == stateStopped {
			err = ErrGone
			return
		}
		s = Status{Ready: q.readyN, Unacked: q.unackedN, Consumers: len(q.consumers), Resident: q.resident}
	})
	return s, err
}

// PrepareDelete implements Handle.
func (q *Queue) PrepareDelete(ifUnused, ifEmpty bool) (n int, err error) {
	q.callOpen(func() {
		switch {
		case q.state != stateOpen:
			err = ErrGone
		case ifUnused && len(q.consumers) > 0:
			err = ErrInUse
		case ifEmpty && q.readyN > 0:
			err = ErrNotEmpty
		default:
			q.state = statePrepared
			n = q.readyN
		}
	})
	return n, err
}

// Resume implements Handle.
func (q *Queue) Resume() {
	q.post(&item{fn: func() {
		if q.state == statePrepared {
			q.state = stateOpen
			q.unpark()
			if len(q.dirty) > 0 {
				q.tick()
			}
			if q.state == stateOpen {
				q.checkUnused()
			}
		}
	}})
}

// unpark handles what arrived while the queue was held still.
func (q *Queue) unpark() {
	var first *item
	for it := q.parked; it != nil; {
		next := it.next
		it.next = first
		first, it = it, next
	}
	q.parked = nil
	for it := first; it != nil; {
		next := it.next
		it.next = nil
		q.handle(it)
		it = next
	}
}

// Drop implements Handle.
func (q *Queue) Drop() {
	q.post(&item{fn: func() {
		if q.state == stateGone || q.state == stateStopped {
			return
		}
		q.state = stateGone
		q.ending.Store(true)
		q.unpark()
		q.failGets()
		for _, c := range q.consumers {
			c.attached = false
			c.Receiver.Cancelled(c)
		}
		q.consumers, q.ready = nil, ready{}
		// Publishers that wait for the log get their answer: the queue's end counts as taken (SEMANTICS 10.4).
		for i := range q.idx.len() {
			for _, s := range q.idx.at(i).segs {
				s.cancel()
			}
		}
		q.release()
		q.opts.Log.DropQueue(q.opts.ID)
	}})
}

// release forgets all messages in memory.
func (q *Queue) release() {
	for i := range q.held {
		q.held[i].done(nil)
	}
	q.held = nil
	q.account(-q.resident)
	q.idx, q.tail, q.cur, q.requeued, q.dirty, q.deletes, q.undeleted = index{}, nil, nil, nil, nil, nil, nil
	q.readyN, q.unackedN, q.curOff = 0, 0, q.next
	q.mem.queues.Delete(q)
}

// Stop ends the engine and leaves its messages in the log: acknowledgements are written, and what was delivered is marked.
// It returns when that is handed to the log (which is flushed by closing it) and nothing is being loaded from it any more.
// Consumers are not told.
func (q *Queue) Stop() {
	q.call(func() {
		if q.state == stateGone || q.state == stateStopped {
			return
		}
		for q.state == statePrepared { // what is parked may prepare once more
			q.state = stateOpen
			q.unpark()
		}
		q.failGets()
		if q.opts.Durable {
			q.flushGone()
			q.deleteAgain()
			q.flushDeletes()
			if q.idx.len() > 0 || q.next > 0 {
				q.opts.Log.Submit(&block.Op{Kind: block.OpMark, Queue: q.opts.ID, Mark: q.deliveredTo()})
			}
		}
		q.state = stateStopped
		q.ending.Store(true)
		for _, c := range q.consumers {
			c.attached = false
		}
		q.consumers, q.ready = nil, ready{}
		q.release()
	})
	q.loads.Wait()
}

// deliveredTo returns the exact delivered mark: the lowest offset that is not, and above which nothing is, delivered.
func (q *Queue) deliveredTo() uint64 { return max(q.curOff, min(q.redelivered, q.next)) }

func (q *Queue) logError(msg string, b *memBlock, err error) {
	q.opts.Logger.Error(msg, "queue", q.opts.Name, "queue_id", q.opts.ID, "offset", b.base, "messages", b.live(), "error", err)
}

func (q *Queue) String() string { return fmt.Sprintf("queue %q (%d)", q.opts.Name, q.opts.ID) }
