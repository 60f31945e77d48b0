package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/dedup"
)

// Options make a Queue.
type Options struct {
	ID         uint64
	Name       string // for logs
	LogID      uint64 // under which Log has the queue; ID if 0
	Durable    bool   // persistent messages survive a restart
	AutoDelete bool   // OnUnused is called when the last consumer has left
	// Log keeps the messages. It must not be nil: transient messages are written to it to free memory.
	Log block.Log
	// Recovered is what Log holds of the queue from before, nil for a new queue.
	Recovered *block.Recovered
	// Arrival is what came from the node that led the queue before; then Recovered is not looked at, and the queue is held still
	// until Adopt. Nil for a queue that does not come from elsewhere.
	Arrival *Arrival
	Memory  *Memory
	// OnUnused is called from the runner each time the last consumer of an AutoDelete queue has left. It must not block.
	OnUnused func()
	// MaxPriority is the highest priority of messages; 0 for a queue without priorities. At most 255.
	MaxPriority uint8
	// SingleActive has one consumer at a time get messages: the one that came first.
	SingleActive bool
	// Deduplication has the queue drop messages that it has had before; nil to take all.
	Deduplication *dedup.Options
	// Delays says that messages only wait for their deadlines: they are given up in that order, those of one deadline in the order
	// of their arrival. Such a queue has no priorities.
	Delays bool
	// Settings are those at the start; the zero value stands for NoSettings.
	Settings Settings
	// DeadLetter takes messages that the queue gives up while Settings.DeadLetters is set. It is called from the runner and must
	// not block; it may publish to any queue.
	DeadLetter func(*Letters)
	// Forward publishes dead letters of other queues to the new leader of a queue that has moved, until it has them for good. It is
	// called from the runner and must not block. Nil stands for trying once.
	Forward func(to Handle, p *Publication)
	// OnExpired is called from the runner when the queue was unused for Settings.Expires. It must not block.
	OnExpired func()
	// Now is the clock, in Unix milliseconds; nil for the system's. Timers are always the system's: they only wake the queue.
	Now    func() int64
	Logger *slog.Logger
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
	// dropped tells the log that nothing more is to be written for the queue.
	dropped  atomic.Bool
	counters counters
	// failures counts the deletions and bitmaps that the log could not write. The log adds to it.
	failures atomic.Int64

	// Everything below is the runner's.

	lanes    []*lane // by priority; with Options.Delays by the time when messages are due
	readyN   int
	unackedN int

	set        Settings
	countBytes bool // readyBytes is kept
	readyBytes int64
	deadlines  deadlines
	heldUp     bool          // with Options.Delays: something is due that is not in memory
	dyingN     int           // dying in all blocks
	draining   bool          // nothing is given up any more, see drain
	drained    chan struct{} // closed when nothing is dying any more; nil: nobody waits
	lookedAt   int64         // with Options.Delays: time of the last look at what is due, Unix milliseconds
	expiring   bool          // that look is under way: blocks must stay in memory, unpaged are those that need not afterwards
	unpaged    []*memBlock
	alarm      *time.Timer // for the next deadline
	alarmAt    int64
	idle       *time.Timer // for the queue's own expiry
	expires    atomic.Bool // Touch matters
	drops      []drop      // to be given up once they are in memory
	overdue    []*memBlock // not in memory; some record may have expired
	pinned     bool        // pageOut does nothing

	seen *seen // what messages are compared with, nil to take all

	consumers []*Consumer
	ready     ready
	active    *Consumer  // of a queue with a single active consumer
	joined    uint64     // consumers so far
	gets      []*getCall // waiting for a block to be loaded
	stalled   bool       // take had to stop: a block is not in memory, or the delivered mark is too low

	resident int64
	held     []waiter // publishers of unstored messages kept waiting while memory is short
	loaded   int      // times that loading began
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
	parked *item // newest first, while the queue is held still
	used   bool  // had a consumer

	// Of a queue that moves, see Departure. quiet is closed when nothing is being given up any more; left when the queue has moved, or
	// does not after all. heir is set when consumers begin to move, and inheritance once they have.
	quiet, left chan struct{}
	heir        Heir
	inheritance Inheritance
}

type state uint8

const (
	stateOpen state = iota
	statePrepared
	stateArriving // comes from another node, until Adopt
	stateMoving   // see Departure
	stateMoved    // another node leads it
	stateGone     // deleted
	stateStopped  // node is going down
)

// held says that what arrives waits.
func (s state) held() bool { return s == statePrepared || s == stateArriving || s == stateMoving }

// over says that the engine has no messages any more.
func (q *Queue) over() bool {
	return q.state == stateMoved || q.state == stateGone || q.state == stateStopped
}

var _ Handle = (*Queue)(nil)

// New makes a queue engine. It starts no goroutine until something reaches the queue.
func New(o Options) *Queue {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = func() int64 { return time.Now().UnixMilli() }
	}
	if o.Memory == nil {
		o.Memory = NewMemory(0, 0)
	}
	if o.LogID == 0 {
		o.LogID = o.ID
	}
	q := &Queue{opts: o, mem: o.Memory, markWindow: minMarkWindow, mark: implicitMark}
	if o.Settings == (Settings{}) {
		o.Settings = NoSettings
	}
	lanes := int(o.MaxPriority) + 1
	if o.Delays {
		lanes = wheelLanes
	}
	for i := range lanes {
		q.lanes = append(q.lanes, newLane(q, i))
	}
	if o.Deduplication != nil {
		q.seen = newSeen(&q.opts)
	}
	if o.Arrival != nil {
		q.arrive(o.Arrival)
	} else if r := o.Recovered; r != nil {
		q.recover(r)
	}
	q.configure(o.Settings)
	q.counters.publish(q) // before there may be a runner
	if len(q.deadlines) > 0 || q.limited() {
		q.post(&item{fn: func() {}})
	}
	q.mem.queues.Store(q, struct{}{})
	return q
}

// recover places what the log holds.
func (q *Queue) recover(r *block.Recovered) {
	for _, d := range r.Blocks {
		for int(d.Base>>laneShift) >= len(q.lanes) {
			q.lanes = append(q.lanes, newLane(q, len(q.lanes)))
		}
		l := q.of(d.Base)
		b := &memBlock{lane: l, base: d.Base, count: d.Count, size: int(d.Size), bodies: int64(d.Bodies), sealed: true,
			persistent: d.Persistent, covered: d.Count}
		s := &segment{q: q, blk: b, n: d.Count, desc: d, stored: true, state: segmentClaimed}
		b.segs = []*segment{s}
		if g := r.Gone[d.Base]; len(g) > 0 {
			b.restore(g)
		}
		l.idx.push(b)
		l.count(int(b.live()))
		l.next = b.end()
		if b.live() == 0 {
			q.bury(b)
			continue
		}
		q.watch(b, d.MinDeadline)
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
	found := uint64(0)
	for _, l := range q.lanes {
		found = max(found, l.next&serialMask)
	}
	q.redelivered = min(q.redelivered, max(found, r.Mark))
	for _, l := range q.lanes {
		l.curOff = l.next
		if l.idx.len() > 0 {
			l.curOff = l.idx.at(0).base
		}
		// Serial numbers below the mark must never be used again: messages that were consumed had them.
		if serial := l.next & serialMask; serial < q.redelivered && r.Mark > 0 {
			l.next += r.Mark - serial
			if l.ready == 0 {
				l.curOff = l.next
			}
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

// ask runs fn on the runner and waits for it; if waits is set, after the time in which the queue is held still. If the queue has
// moved, fn is not run: heir is to be asked instead, behind all that came here before.
func (q *Queue) ask(waits bool, fn func()) (heir Heir) {
	done := make(chan struct{})
	q.post(&item{fn: func() {
		if q.state == stateMoved {
			heir = q.heir
		} else {
			fn()
		}
		close(done)
	}, waits: waits})
	<-done
	return heir
}

// runnerLabels tells the time of runners from others' in CPU profiles.
var runnerLabels = pprof.WithLabels(context.Background(), pprof.Labels("subsystem", "queue"))

// run is the runner.
func (q *Queue) run() {
	pprof.SetGoroutineLabels(runnerLabels)
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
		if len(q.deadlines) > 0 {
			// Before deliveries, so that nothing expired is delivered; messages of this very millisecond have a chance first.
			q.expire(q.opts.Now() - 1)
		}
		q.dispatch()
		q.enforce()
		if len(q.deadlines)+len(q.overdue) > 0 {
			for _, l := range q.lanes {
				l.offered = l.next
			}
			now := q.opts.Now()
			q.expire(now)
			q.arm(now)
		}
		q.serveGets() // after that: a message with no time at all is for consumers only, and this may be the run that brought it
		if len(q.drops) > 0 {
			q.serveDrops()
		}
	}
	if q.quiet != nil {
		q.calm()
	}
	q.flushDeletes()
	q.releaseHeld()
	q.counters.publish(q)
}

func (q *Queue) handle(it *item) {
	if q.state.held() && (it.pub != nil || it.settle != nil || it.waits) {
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
		if q.heir != nil {
			q.heir.Wake(c)
			return
		}
		c.blocked = false
		q.readmit(c)
	case it.loaded != nil:
		q.blockLoaded(it.loaded)
	case it.fn != nil:
		it.fn()
	}
}

type getCall struct {
	noAck     bool
	piece     Piece
	remaining int
	ok        bool
	err       error
	moved     bool
	done      chan struct{}
}

// Get implements Handle.
func (q *Queue) Get(noAck bool) (Piece, int, bool, error) {
	g := &getCall{noAck: noAck, done: make(chan struct{})}
	q.post(&item{fn: func() {
		q.touch()
		q.gets = append(q.gets, g)
		if q.over() {
			q.failGets()
		}
	}})
	<-g.done
	if g.moved {
		return q.inheritance.Get(noAck)
	}
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
		g.err, g.moved = ErrGone, q.state == stateMoved
		close(g.done)
	}
	q.gets = nil
}

// Purge implements Handle.
func (q *Queue) Purge() (n int, err error) {
	stored := make(chan error, 1)
	if n, err = q.purgeThen(func(err error) { stored <- err }); err != nil {
		return n, err
	}
	if err = <-stored; err != nil {
		err = fmt.Errorf("%d messages are purged, but a restart may bring them back: %w", n, err)
	}
	return n, err
}

// purgeThen is Purge without waiting for the log: stored is called, from any goroutine, when no restart can undo it, or with the
// reason why one may. It is not called if there is an error.
func (q *Queue) purgeThen(stored func(error)) (n int, err error) {
	heir := q.ask(true, func() {
		if q.state != stateOpen {
			err = ErrGone
			return
		}
		if n = q.purge(); n == 0 || !q.opts.Durable {
			stored(nil)
			return
		}
		q.commit(stored)
	})
	if heir != nil {
		if n, err = heir.Purge(); err == nil {
			stored(nil)
		}
	}
	return n, err
}

func (q *Queue) purge() int {
	n := q.readyN
	for _, l := range q.lanes {
		l.purge()
	}
	q.readyBytes = 0
	return n
}

// Status implements Handle.
func (q *Queue) Status() (s Status, err error) {
	heir := q.ask(false, func() {
		if q.over() {
			err = ErrGone
			return
		}
		s = Status{Ready: q.readyN, Unacked: q.unackedN, Consumers: len(q.consumers), Resident: q.resident}
	})
	if heir != nil {
		return heir.Status()
	}
	return s, err
}

func (q *Queue) logError(msg string, b *memBlock, err error) {
	q.opts.Logger.Error(msg, "queue", q.opts.Name, "queue_id", q.opts.ID, "offset", b.base, "messages", b.live(), "error", err)
}

func (q *Queue) String() string { return fmt.Sprintf("queue %q (%d)", q.opts.Name, q.opts.ID) }
