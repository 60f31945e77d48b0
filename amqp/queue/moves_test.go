package queue

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
)

// pairLog is one log for several queues, scripted like scriptLog: ops of all queues are claimed and become effective in order,
// with everything that goes with them.
type pairLog struct {
	scriptLog
	of map[uint64]*scriptLog
}

func newPairLog(ids ...uint64) *pairLog {
	l := &pairLog{scriptLog: *newScriptLog(), of: map[uint64]*scriptLog{}}
	for _, id := range ids {
		l.of[id] = newScriptLog()
	}
	return l
}

func (l *pairLog) Load(queue uint64, d block.Desc) ([]byte, error) { return l.of[queue].Load(queue, d) }
func (l *pairLog) DropQueue(queue uint64)                          { l.of[queue].DropQueue(queue) }

// finish makes what is claimed effective.
func (l *pairLog) finish() {
	l.mu.Lock()
	ops := l.claimed
	l.claimed = nil
	l.mu.Unlock()
	errs := make([]error, len(ops))
	for i, op := range ops {
		if l.fail != nil {
			if errs[i] = l.fail(op); errs[i] != nil {
				continue
			}
		}
		for _, o := range append([]*block.Op{op}, op.With...) {
			sub := l.of[o.Queue]
			sub.mu.Lock()
			one := *o
			one.With = nil // each goes to its own queue
			sub.apply(&one)
			sub.mu.Unlock()
		}
	}
	for i, op := range ops {
		if op.Owner != nil {
			op.Owner.Done(op, errs[i])
		}
	}
}

const (
	sourceID = 1
	targetID = 2
)

// moved is a message of the model of two queues.
type moved struct {
	id         uint64
	persistent bool
	priority   uint8
	confirmed  bool
	consumed   bool
	refused    bool
	gone       bool // refused, or lost with a crash as it may be
	out        *mover
	outOf      uint64 // queue
	off        uint64
	back       bool // was returned as if it had not been delivered
	fails      int
	vague      bool // fails is an upper bound
}

// moves is a queue and its dead-letter queue on one log. What one gives up must be in the other: at any time every message is in
// exactly one place.
type moves struct {
	t        *rapid.T
	log      *pairLog
	mem      *Memory
	set      Settings
	single   bool
	priority uint8 // highest of both queues
	clock    atomic.Int64
	q        [2]*Queue // source, target

	mu       sync.Mutex
	msgs     []*moved
	batches  map[*Batch][]*moved
	movers   []*mover
	fresh    map[[2]uint64]uint64 // next offset not delivered by queue and lane
	failures []string
}

type mover struct {
	Consumer
	w *moves
	q *Queue
}

func (c *mover) Reserve(_ *Consumer, n int) int { return n }
func (c *mover) Unreserve(*Consumer, int)       {}
func (c *mover) Cancelled(*Consumer)            {}
func (c *mover) Deliver(_ *Consumer, pieces []Piece) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.q == c.w.q[0] && c.w.single {
		for _, o := range c.w.movers {
			if o.q == c.q && o.attached && o.joined < c.joined {
				c.w.failf("delivery to a consumer that is not the first")
			}
		}
	}
	for _, p := range pieces {
		c.w.taken(c.q, c, p, c.NoAck)
	}
}

func (w *moves) failf(format string, args ...any) {
	if len(w.failures) < 5 {
		w.t.Logf(format, args...)
	}
	w.failures = append(w.failures, format)
}

func (w *moves) taken(q *Queue, c *mover, p Piece, noAck bool) {
	rest := p.Records
	for i := range uint64(p.Count) {
		var r block.Record
		n, err := block.Parse(rest, p.Tail, &r)
		if err != nil {
			w.failf("a piece cannot be parsed: %v", err)
			return
		}
		rest = rest[min(n, len(rest)):]
		m := w.msgs[binary.BigEndian.Uint64(r.Body)-1]
		off := p.First + i
		lane := [2]uint64{q.opts.ID, off >> laneShift}
		switch {
		case m.out != nil:
			w.failf("message %d delivered by queue %d, it is out to a consumer of %d", m.id, q.opts.ID, m.outOf)
		case m.consumed:
			w.failf("message %d delivered by queue %d, it was consumed", m.id, q.opts.ID)
		case m.gone:
			w.failf("message %d delivered by queue %d, it is gone", m.id, q.opts.ID)
		case lane[1] != uint64(min(m.priority, w.priority)):
			w.failf("message %d of priority %d in lane %d", m.id, m.priority, lane[1])
		case r.Deadline != 0 && r.Deadline < w.clock.Load() && r.Deadline != r.Arrived:
			w.failf("message %d delivered at %d, its deadline was %d", m.id, w.clock.Load(), r.Deadline)
		case !p.Redelivered && !m.back && off < w.fresh[lane]:
			w.failf("message %d at %#x delivered after %#x", m.id, off, w.fresh[lane])
		}
		if q == w.q[0] && w.set.DeliveryLimit >= 0 {
			if int64(p.Failures) > w.set.DeliveryLimit || int(p.Failures) > m.fails || !m.vague && int(p.Failures) != m.fails {
				w.failf("message %d has %d failures, want %d", m.id, p.Failures, m.fails)
			}
			m.fails, m.vague = int(p.Failures), false
		}
		if !p.Redelivered && !m.back {
			w.fresh[lane] = off + 1
		}
		m.consumed = noAck
		if !noAck {
			m.out, m.outOf, m.off = c, q.opts.ID, off
		}
	}
}

// deadLetter publishes what the source gives up to the target, as the cluster does.
func (w *moves) deadLetter(l *Letters) {
	b := &Batch{First: 1, Last: 1, Complete: func(*Batch) { l.Done() }}
	var pubs []*Publication
	var letters [][]int
	priority := uint8(0)
	for i, letter := range l.Records {
		var r block.Record
		if _, err := block.Parse(letter.Record, letter.Tail, &r); err != nil {
			w.mu.Lock()
			w.failf("a letter cannot be parsed: %v", err)
			w.mu.Unlock()
			continue
		}
		r.Arrived, r.Deadline = w.clock.Load(), 0
		n := len(pubs) - 1
		if n < 0 || pubs[n].Block.Tail != nil || len(r.Body) >= block.LargeBody || pubs[n].Block.Size()+r.Len() > 8000 ||
			r.Priority != priority {
			pubs, letters = append(pubs, &Publication{Batch: b, Letters: true}), append(letters, nil)
			priority = r.Priority
			n++
		}
		pubs[n].Block.Append(&r)
		letters[n] = append(letters[n], i)
	}
	b.Add()
	for i, p := range pubs {
		p.Source = l.Source(letters[i])
		b.Add()
		w.q[1].Publish(p)
	}
	b.Done()
}

func (w *moves) start(recovered [2]*block.Recovered) {
	w.fresh = map[[2]uint64]uint64{}
	w.movers = nil
	for i, id := range []uint64{targetID, sourceID} { // the source needs its target
		o := Options{ID: id, Durable: true, Log: w.log, Memory: w.mem, MaxPriority: w.priority, Now: w.clock.Load,
			Recovered: recovered[1-i]}
		if id == sourceID {
			o.Settings, o.SingleActive, o.DeadLetter = w.set, w.single, w.deadLetter
		}
		w.q[1-i] = New(o)
	}
}

// rest waits until both queues have nothing to do but what needs the log.
func (w *moves) rest() {
	for range 3 {
		settled(w.q[0])
		settled(w.q[1])
	}
}

func (w *moves) flush() {
	for {
		w.rest()
		w.log.mu.Lock()
		n := len(w.log.pending) + len(w.log.claimed)
		w.log.mu.Unlock()
		if n == 0 {
			return
		}
		w.log.claim(n)
		w.log.finish()
	}
}

func (w *moves) check() {
	w.rest()
	var stalled, marking, dropping bool
	for _, q := range w.q {
		q.call(func() {
			stalled, marking = stalled || q.stalled, marking || q.markPending
			dropping = dropping || len(q.drops)+len(q.overdue) > 0
		})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers()
	var sum, out, live int
	for _, q := range w.q {
		w.mu.Unlock()
		s, err := q.Status()
		w.mu.Lock()
		if err != nil {
			w.t.Fatal(err)
		}
		sum, out = sum+s.Ready+s.Unacked, out+s.Unacked
		if q == w.q[0] && !(stalled && marking) && w.set.Overflow == DropHead {
			if w.set.MaxLength >= 0 && int64(s.Ready) > w.set.MaxLength {
				w.failf("%d messages ready, the limit is %d", s.Ready, w.set.MaxLength)
			}
		}
	}
	outModel := 0
	for _, m := range w.msgs {
		if !m.gone && !m.consumed {
			live++
		}
		if m.out != nil {
			outModel++
		}
	}
	if !dropping && (sum != live || out != outModel) {
		w.failf("%d messages in the queues, %d of them unacknowledged; want %d, %d", sum, out, live, outModel)
	}
	if len(w.failures) > 0 {
		w.t.Fatalf("%d failures", len(w.failures))
	}
}

// answers takes the confirms and refusals so far.
func (w *moves) answers() {
	for b, msgs := range w.batches {
		refused := b.Refused()
		for _, m := range msgs {
			if slices.Contains(refused, m.id) && !m.refused { // by the settings of now
				m.refused, m.gone = true, m.gone || w.set.Overflow != RejectPublishDLX
			}
			m.confirmed = b.Completed && !m.refused
		}
		if b.Completed {
			delete(w.batches, b)
		}
	}
}

func (w *moves) doPublish(t *rapid.T) {
	w.check() // refusals so far belong to the settings so far
	n := rapid.IntRange(1, 30).Draw(t, "n")
	size := rapid.SampledFrom([]int{8, 100, 3000, 40 << 10}).Draw(t, "size")
	ttl := rapid.SampledFrom([]int64{-1, -1, 0, 5, 40, 300}).Draw(t, "ttl")
	transient := rapid.IntRange(0, 4).Draw(t, "transient") == 0
	if size > block.LargeBody {
		n = 1
	}
	p := &Publication{}
	w.mu.Lock()
	first := uint64(len(w.msgs)) + 1
	b := &Batch{First: first, Last: first + uint64(n) - 1}
	b.Complete = func(b *Batch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if b.Completed {
			w.failf("a batch is answered twice")
		}
		b.Completed = true
	}
	for i := range n {
		m := &moved{id: first + uint64(i), persistent: !transient || i%2 == 0,
			priority: uint8(rapid.IntRange(0, int(w.priority)+1).Draw(t, "priority"))}
		w.msgs = append(w.msgs, m)
		w.batches[b] = append(w.batches[b], m)
		r := rec(m.id, size, m.persistent)
		r.Arrived, r.Priority = w.clock.Load(), m.priority
		if ttl >= 0 {
			r.Deadline = r.Arrived + ttl*int64(i%3+1)
		}
		p.Block.Append(r)
	}
	w.mu.Unlock()
	p.Batch = b
	b.Add()
	w.q[0].Publish(p)
}

func (w *moves) doConsume(t *rapid.T) {
	c := &mover{w: w, q: w.q[rapid.IntRange(0, 1).Draw(t, "queue")]}
	c.Receiver, c.NoAck = c, rapid.IntRange(0, 4).Draw(t, "noAck") == 0
	c.Prefetch = rapid.SampledFrom([]int{1, 7, 100}).Draw(t, "prefetch")
	w.mu.Lock()
	w.movers = append(w.movers, c)
	w.mu.Unlock()
	if err := c.q.Consume(&c.Consumer); err != nil {
		t.Fatal(err)
	}
}

func (w *moves) doCancel(t *rapid.T) {
	for i, c := range w.movers {
		if rapid.Bool().Draw(t, "this") {
			c.q.Cancel(&c.Consumer)
			w.mu.Lock()
			w.movers = slices.Delete(w.movers, i, i+1)
			w.mu.Unlock()
			return
		}
	}
}

func (w *moves) doGet(t *rapid.T) {
	q := w.q[rapid.IntRange(0, 1).Draw(t, "queue")]
	done := make(chan struct{})
	var p Piece
	var ok bool
	go func() { p, _, ok, _ = q.Get(false); close(done) }()
	for over := false; !over; {
		w.rest()
		select {
		case <-done:
			over = true
		default:
			w.flush()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		w.taken(q, &mover{w: w, q: q}, p, false)
	}
}

func (w *moves) doSettle(t *rapid.T) {
	every := rapid.IntRange(1, 3).Draw(t, "every")
	outcome := rapid.SampledFrom([]Outcome{Ack, Ack, Drop, Requeue, Requeue, Return}).Draw(t, "outcome")
	w.mu.Lock()
	var list []*Settlement
	var queues []*Queue
	for i, m := range w.msgs {
		if m.out == nil || i%every != 0 || outcome == Drop && m.outOf == targetID {
			continue
		}
		s := &Settlement{Outcome: outcome, Ranges: []Range{{m.off, m.off}}}
		if m.out.Receiver != nil {
			s.Consumer = &m.out.Consumer
		}
		list, queues = append(list, s), append(queues, m.out.q)
		m.out = nil
		m.consumed = outcome == Ack
		m.back = outcome == Return
		if outcome == Requeue && m.outOf == sourceID {
			m.fails++
		}
	}
	w.mu.Unlock()
	for i, s := range list {
		queues[i].Settle(s)
	}
}

func (w *moves) doAdvance(t *rapid.T) {
	w.rest() // nobody is between a look at the clock and a delivery
	w.clock.Add(rapid.SampledFrom([]int64{1, 3, 20, 200}).Draw(t, "ms"))
	for _, q := range w.q {
		q.call(func() {})
	}
}

func (w *moves) doConfigure(t *rapid.T) {
	w.check()
	set := w.set
	w.drawSettings(t)
	w.set.DeliveryLimit = set.DeliveryLimit
	w.q[0].Configure(w.set)
}

func (w *moves) drawSettings(t *rapid.T) {
	w.set = NoSettings
	w.set.DeadLetters = true
	w.set.MessageTTL = rapid.SampledFrom([]int64{None, None, 10, 100}).Draw(t, "queue ttl")
	w.set.MaxLength = rapid.SampledFrom([]int64{None, None, 0, 3, 50}).Draw(t, "max length")
	w.set.MaxBytes = rapid.SampledFrom([]int64{None, None, None, 100, 50000}).Draw(t, "max bytes")
	w.set.Overflow = rapid.SampledFrom([]Overflow{DropHead, DropHead, RejectPublish, RejectPublishDLX}).Draw(t, "overflow")
}

func (w *moves) doCommit(t *rapid.T) {
	w.log.claim(rapid.IntRange(0, 40).Draw(t, "claim"))
	if rapid.IntRange(0, 2).Draw(t, "finish") > 0 {
		w.log.finish()
	}
}

// doCrash loses everything that the log has not finished, or stops in order.
func (w *moves) doCrash(t *rapid.T) {
	w.rest()
	clean := rapid.Bool().Draw(t, "clean")
	if clean {
		order := rapid.IntRange(0, 1).Draw(t, "first")
		w.q[order].Stop()
		w.q[1-order].Stop()
		w.log.claim(1 << 30)
		w.log.finish()
	} else {
		w.log.finish()
		w.log.mu.Lock()
		w.log.off = true
		w.log.pending, w.log.claimed = nil, nil
		w.log.mu.Unlock()
		w.mu.Lock()
		w.answers()
		w.mu.Unlock()
		w.q[0].Stop()
		w.q[1].Stop()
		w.log.off = false
	}
	if n := w.mem.Resident(); n != 0 {
		w.failf("%d bytes resident after the end", n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if clean {
		w.answers()
	}
	w.batches = map[*Batch][]*moved{}
	found := map[uint64]uint64{}
	var recovered [2]*block.Recovered
	for i, id := range []uint64{sourceID, targetID} {
		l := w.log.of[id]
		r := l.recovered(clean)
		r.Mark = l.mark
		recovered[i] = r
		for _, d := range r.Blocks {
			_, records, err := block.ParseStored(l.blocks[d])
			if err != nil {
				t.Fatal(err)
			}
			for j := range d.Count {
				var rc block.Record
				n, _ := block.Parse(records, nil, &rc)
				records = records[n:]
				if bitset(r.Gone[d.Base]).has(j) {
					continue
				}
				m := binary.BigEndian.Uint64(rc.Body)
				if at, ok := found[m]; ok {
					w.failf("message %d is in queue %d and in %d after a crash", m, at, id)
				}
				found[m] = id
			}
		}
	}
	for _, m := range w.msgs {
		_, ok := found[m.id]
		switch {
		case ok && m.consumed && clean && m.outOf == found[m.id]:
			w.failf("message %d is back after a clean restart, it was consumed", m.id)
		case !ok && m.persistent && m.confirmed && !m.consumed && !m.gone:
			w.failf("message %d is lost, it was confirmed", m.id)
		}
		m.out = nil
		m.gone = !ok && !m.consumed
		if ok {
			m.consumed, m.gone = false, false
		}
		m.vague, m.back = true, false
	}
	w.start(recovered)
}

// drain takes everything out of both queues, and looks whether something is left of it.
func (w *moves) drain(t *rapid.T) {
	for _, c := range w.movers {
		c.q.Cancel(&c.Consumer)
	}
	w.movers = nil
	w.flush()
	w.mu.Lock()
	var settle []func()
	for _, m := range w.msgs {
		if m.out != nil {
			q, s := m.out.q, &Settlement{Ranges: []Range{{m.off, m.off}}}
			settle = append(settle, func() { q.Settle(s) })
			m.out, m.consumed = nil, true
		}
	}
	w.mu.Unlock()
	for _, fn := range settle {
		fn()
	}
	for _, q := range w.q {
		c := &mover{w: w, q: q}
		c.Receiver, c.NoAck = c, true
		w.mu.Lock()
		w.movers = append(w.movers, c)
		w.mu.Unlock()
		if err := q.Consume(&c.Consumer); err != nil {
			t.Fatal(err)
		}
	}
	w.flush()
	for _, q := range w.q {
		q.call(q.flushGone)
	}
	w.flush()
	w.check()
	for _, m := range w.msgs {
		if !m.gone && !m.consumed {
			w.failf("message %d was not delivered by any queue", m.id)
		}
	}
	for _, q := range w.q {
		l := w.log.of[q.opts.ID]
		if len(l.blocks)+len(l.gone) > 0 {
			w.failf("%d blocks, %d bitmaps of queue %d are left", len(l.blocks), len(l.gone), q.opts.ID)
		}
		q.call(func() {
			if len(q.deadlines)+len(q.overdue)+len(q.drops) > 0 || q.readyBytes != 0 || q.resident != 0 {
				w.failf("left in queue %d: %d deadlines, %d overdue, %d drops, %d ready bytes, %d resident", q.opts.ID,
					len(q.deadlines), len(q.overdue), len(q.drops), q.readyBytes, q.resident)
			}
			for _, lane := range q.lanes {
				if lane.idx.len() > 0 {
					w.failf("%d blocks are left in queue %d", lane.idx.len(), q.opts.ID)
				}
			}
		})
		q.Stop()
	}
	if len(w.failures) > 0 {
		t.Fatalf("%d failures", len(w.failures))
	}
}

// TestMoves lets a queue give up messages in every way, at random, and follows each of them.
func TestMoves(t *testing.T) {
	for _, v := range []struct {
		name     string
		memory   func() *Memory
		priority uint8
		single   bool
		crash    bool
	}{
		{"plain", func() *Memory { return NewMemory(0, 0) }, 0, false, false},
		{"tiny memory", tiny, 0, false, false},
		{"priorities tiny memory", tiny, 5, true, false},
		{"crash", func() *Memory { return NewMemory(0, 0) }, 0, true, true},
		{"crash priorities tiny memory", tiny, 5, false, true},
	} {
		t.Run(v.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := &moves{t: t, log: newPairLog(sourceID, targetID), mem: v.memory(), priority: v.priority, single: v.single,
					batches: map[*Batch][]*moved{}}
				w.clock.Store(1000)
				w.drawSettings(t)
				w.set.DeliveryLimit = rapid.SampledFrom([]int64{None, 0, 2}).Draw(t, "delivery limit")
				w.start([2]*block.Recovered{})
				acts := map[string]func(*rapid.T){
					"":          func(*rapid.T) { w.check() },
					"publish":   w.doPublish,
					"publish2":  w.doPublish,
					"consume":   w.doConsume,
					"cancel":    w.doCancel,
					"get":       w.doGet,
					"settle":    w.doSettle,
					"settle2":   w.doSettle,
					"advance":   w.doAdvance,
					"configure": w.doConfigure,
					"commit":    w.doCommit,
					"commit2":   w.doCommit,
					"flush":     func(*rapid.T) { w.flush() },
					"trim":      func(*rapid.T) { w.mem.Trim() },
					"bitmaps": func(*rapid.T) {
						for _, q := range w.q {
							q.call(q.flushGone)
						}
					},
				}
				if v.crash {
					acts["crash"] = w.doCrash
				}
				t.Repeat(acts)
				w.drain(t)
			})
		})
	}
}
