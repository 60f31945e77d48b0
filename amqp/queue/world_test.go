package queue

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
)

// msg is a message as the model knows it.
type msg struct {
	id         uint64
	off        uint64
	persistent bool
	state      msgState
	by         *receiver // who has it while it is out; nil: basic.get
	seen       bool      // delivered before: it must come with redelivered
	seenBefore bool      // seen before the delivery that is out
	maySeen    bool      // after a restart the engine may not know better
	refused    bool
	safe       bool // confirmed
	ended      bool // purged, and that is stored
	damaged    bool // its stored block is damaged: it may be lost
}

type msgState uint8

const (
	msgReady msgState = iota
	msgOut
	msgGone
)

// world is an engine together with the model that it must agree with. The model is a list of messages; everything that the
// engine does must be possible for a list.
type world struct {
	t       *rapid.T
	durable bool
	log     *scriptLog
	mem     *Memory
	q       *Queue

	mu        sync.Mutex // what receivers and batches touch
	msgs      []*msg     // by id
	byOff     map[uint64]*msg
	receivers []*receiver // attached
	left      []*receiver // cancelled, may have messages out
	completed []*batch    // since the last check
	open      map[*batch]bool
	flow      int // bytes that the engine owes to publishers
	kept      []keptPiece
	high      uint64 // above every offset delivered
	failures  []string
	pace      uint64 // of injected failures
	barriers  int    // settlements that wait for the log
	markLost  bool   // the log failed to store the delivered mark
}

type batch struct {
	Batch
	msgs []*msg
}

type keptPiece struct {
	p   Piece
	ids []uint64
}

// receiver is a consumer of the model.
type receiver struct {
	Consumer
	w     *world
	room  int
	short bool // Reserve could not grant what was asked for: the queue waits for Wake
	out   int
}

func newWorld(t *rapid.T, durable bool, m *Memory) *world {
	w := &world{t: t, durable: durable, log: newScriptLog(), mem: m, byOff: map[uint64]*msg{}, open: map[*batch]bool{}}
	w.start(nil)
	return w
}

func (w *world) start(r *block.Recovered) {
	w.q = New(Options{ID: 7, Name: "model", Durable: w.durable, Log: w.log, Memory: w.mem, Recovered: r})
}

func (w *world) failf(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

// Done implements Flow.
func (w *world) Done(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flow -= bytes
}

func (c *receiver) credit() int {
	if c.NoAck || c.Prefetch == 0 {
		return maxCredit
	}
	return c.Prefetch - c.out
}

// Reserve implements Receiver.
func (c *receiver) Reserve(_ *Consumer, n int) int {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if n <= 0 || n > c.credit() {
		c.w.failf("reserve of %d with a credit of %d", n, c.credit())
	}
	got := min(n, c.room)
	c.room -= got
	c.short = got < n
	return got
}

// Unreserve implements Receiver.
func (c *receiver) Unreserve(_ *Consumer, n int) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.room += n
}

// Cancelled implements Receiver.
func (c *receiver) Cancelled(*Consumer) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.receivers = slices.DeleteFunc(c.w.receivers, func(o *receiver) bool { return o == c })
}

// Deliver implements Receiver.
func (c *receiver) Deliver(_ *Consumer, pieces []Piece) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.receivers, c) {
		w.failf("delivery to a consumer that is not attached")
	}
	for _, o := range w.receivers {
		if o.Priority > c.Priority && o.credit() > 0 && !o.short {
			w.failf("delivery at priority %d while a consumer of priority %d has room", c.Priority, o.Priority)
		}
	}
	for _, p := range pieces {
		w.taken(p, c, c.NoAck)
	}
	if c.credit() < 0 {
		w.failf("prefetch of %d exceeded: %d out", c.Prefetch, c.out)
	}
}

// taken checks a piece that a consumer or a get was given.
func (w *world) taken(p Piece, c *receiver, noAck bool) {
	list := verify(w, p)
	w.kept = append(w.kept, keptPiece{p, list})
	for i, id := range list {
		if id == 0 || id > uint64(len(w.msgs)) {
			w.failf("message %d was never published", id)
			continue
		}
		m := w.msgs[id-1]
		for _, o := range w.msgs[:id-1] {
			if o.state == msgReady && o.off < m.off {
				if !o.damaged {
					w.failf("message %d delivered before %d", id, o.id)
				}
				o.state = msgGone
			}
		}
		switch off := p.First + uint64(i); {
		case m.state != msgReady:
			w.failf("message %d delivered in state %d", id, m.state)
		case m.off != off:
			w.failf("message %d delivered as offset %d, is %d", id, off, m.off)
		case m.seen && !p.Redelivered && !w.markLost:
			w.failf("message %d delivered again without the flag", id)
		case p.Redelivered && !m.seen && !m.maySeen:
			w.failf("message %d flagged as redelivered, it was never delivered", id)
		}
		m.seenBefore, m.seen = m.seen, true
		w.high = max(w.high, m.off+1)
		m.state, m.by = msgOut, c
		if noAck {
			m.state = msgGone
		} else if c != nil {
			c.out++
		}
	}
}

// verify checks the bytes of a piece and returns the ids in it.
func verify(w *world, p Piece) (list []uint64) {
	rest, bytes := p.Records, 0
	for range p.Count {
		var r block.Record
		n, err := block.Parse(rest, p.Tail, &r)
		if err != nil || len(r.Body) < 8 {
			w.failf("piece at %d: %v, body of %d bytes", p.First, err, len(r.Body))
			return list
		}
		id := binary.BigEndian.Uint64(r.Body)
		for _, x := range r.Body[8:] {
			if x != byte(id) {
				w.failf("message %d has a damaged body", id)
				break
			}
		}
		list = append(list, id)
		rest = rest[min(n, len(rest)):]
		bytes += n
	}
	if bytes != p.Bytes {
		w.failf("piece of %d bytes, described as %d", bytes, p.Bytes)
	}
	return list
}

// publish gives n messages of the given body size to the queue, in parts blocks of one batch.
func (w *world) publish(n, size, parts int, kind string) {
	w.mu.Lock()
	b := &batch{}
	b.First = uint64(len(w.msgs)) + 1
	b.Last = b.First + uint64(n) - 1
	b.Complete = func(*Batch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.open[b] {
			w.failf("batch %d to %d completed twice", b.First, b.Last)
		}
		delete(w.open, b)
		w.completed = append(w.completed, b)
	}
	w.open[b] = true
	var pubs []*Publication
	p := &Publication{}
	off := w.nextOffset()
	flush := func() {
		if p.Block.Count > 0 {
			pubs = append(pubs, p)
		}
		p = &Publication{}
	}
	for i := range n {
		m := &msg{id: b.First + uint64(i), off: off + uint64(i)}
		m.persistent = kind == "persistent" || kind == "mixed" && m.id%3 != 0
		w.msgs, b.msgs = append(w.msgs, m), append(b.msgs, m)
		w.byOff[m.off] = m
		r := rec(m.id, size, m.persistent)
		for j := range r.Body[8:] {
			r.Body[8+j] = byte(m.id)
		}
		if p.Block.Count > 0 && (p.Block.Size()+r.Len() > block.TargetLen || p.Block.Count >= (n+parts-1)/parts) {
			flush()
		}
		p.Block.Records = block.Grow(p.Block.Records, min(r.Len(), block.LargeBody+1000))
		p.Block.Append(r)
		p.Seqs = append(p.Seqs, m.id)
		if p.Block.Tail != nil {
			flush()
		}
	}
	flush()
	if len(pubs) == 1 {
		pubs[0].Seqs = nil
	}
	b.Add()
	for _, p := range pubs {
		p.Batch, p.Flow = &b.Batch, w
		b.Add()
		w.flow += p.Block.Size()
	}
	w.mu.Unlock()
	for _, p := range pubs {
		w.q.Publish(p)
	}
	b.Done()
}

// nextOffset returns where the next message goes; the queue is at rest. Messages that wait for Resume come first.
func (w *world) nextOffset() (off uint64) {
	w.mu.Unlock()
	w.q.call(func() {
		off = w.q.lanes[0].next
		for it := w.q.parked; it != nil; it = it.next {
			if it.pub != nil {
				off += uint64(it.pub.Block.Count)
			}
		}
	})
	w.mu.Lock()
	return off
}

// outTo returns what c has out, by offset; c nil means basic.get.
func (w *world) outTo(c *receiver) (list []*msg) {
	for _, m := range w.msgs {
		if m.state == msgOut && m.by == c {
			list = append(list, m)
		}
	}
	return list
}

// settle settles list, in its order.
func (w *world) settle(c *receiver, list []*msg, outcome Outcome) {
	w.mu.Lock()
	s := &Settlement{Outcome: outcome}
	if c != nil {
		s.Consumer = &c.Consumer
		c.out -= len(list)
	}
	for _, m := range list {
		switch outcome {
		case Ack, Drop:
			m.state = msgGone
		case Return:
			m.seen = m.seenBefore
			fallthrough
		case Requeue:
			m.state = msgReady
		}
		if n := len(s.Ranges); n > 0 && s.Ranges[n-1].Last+1 == m.off {
			s.Ranges[n-1].Last++
		} else {
			s.Ranges = append(s.Ranges, Range{m.off, m.off})
		}
	}
	if outcome == Ack && len(list)%2 == 0 {
		w.barriers++
		s.Done = func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.barriers--
		}
	}
	w.mu.Unlock()
	w.q.Settle(s)
}

// counts returns the ready messages that must be there, those that may, and the unacknowledged ones.
func (w *world) counts() (must, may, out int) {
	for _, m := range w.msgs {
		switch {
		case m.state == msgOut:
			out++
		case m.state == msgReady && m.damaged:
			may++
		case m.state == msgReady:
			must++
		}
	}
	return must, must + may, out
}

// check compares the engine at rest with the model.
func (w *world) check() {
	settled(w.q)
	s, err := w.q.Status()
	if err != nil {
		w.t.Fatalf("status: %v", err)
	}
	var stalled, marking bool
	w.q.call(func() { stalled, marking = w.q.stalled, w.q.markPending })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.completed {
		refused := b.Refused()
		for _, m := range b.msgs {
			m.refused = slices.Contains(refused, m.id)
			m.safe = !m.refused
			if m.safe && m.persistent && w.durable && m.state != msgGone && !w.log.holds(m.off) {
				w.failf("message %d confirmed, but it is neither stored nor settled", m.id)
			}
		}
	}
	w.completed = w.completed[:0]
	must, may, out := w.counts()
	if s.Ready < must || s.Ready > may || s.Unacked != out || s.Consumers != len(w.receivers) {
		w.failf("status %+v, want %d to %d ready, %d unacked, %d consumers", s, must, may, out, len(w.receivers))
	}
	if s.Resident != w.mem.Resident() || s.Resident < 0 {
		w.failf("%d bytes resident in the queue, %d in all", s.Resident, w.mem.Resident())
	}
	for _, c := range w.receivers {
		if s.Ready > 0 && c.credit() > 0 && !c.short && !(stalled && marking) {
			w.failf("%d messages ready and a consumer with room for %d", s.Ready, min(c.credit(), c.room))
		}
	}
	if len(w.failures) > 0 {
		w.t.Fatalf("%d failures, first: %s", len(w.failures), w.failures[0])
	}
}

// holds reports whether a block with this offset is stored for durability.
func (l *scriptLog) holds(off uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := range l.blocks {
		if !d.Spill && d.Base <= off && off < d.Base+uint64(d.Count) {
			return true
		}
	}
	return false
}

// reopen starts a new engine with what the log holds, and checks that it holds what it must.
func (w *world) reopen(clean bool) {
	r := w.log.recovered(clean)
	live := map[uint64]bool{}
	for _, d := range r.Blocks {
		_, records, err := block.ParseStored(w.log.blocks[d])
		for i := range d.Count {
			m := w.byOff[d.Base+uint64(i)]
			if err == nil {
				var rc block.Record
				n, _ := block.Parse(records, nil, &rc)
				m = w.msgs[binary.BigEndian.Uint64(rc.Body)-1]
				records = records[n:]
			}
			if bitset(r.Gone[d.Base]).has(i) {
				continue
			}
			live[m.id] = true
			m.damaged = err != nil
			m.off = d.Base + uint64(i)
		}
	}
	for _, m := range w.msgs {
		had := m.state != msgGone
		switch {
		case live[m.id] && clean && !had && !m.damaged:
			w.failf("message %d is back after a clean restart, it was settled", m.id)
		case live[m.id] && m.ended && !m.damaged:
			w.failf("message %d is back, it was purged for good", m.id)
		case !live[m.id] && had && m.persistent && m.safe && !m.damaged:
			w.failf("message %d is lost, it was confirmed", m.id)
		}
		m.maySeen = m.maySeen || !clean || m.off < w.high
		m.state = msgGone
		if live[m.id] {
			m.state = msgReady
		}
	}
	w.receivers, w.left = nil, nil
	w.start(r)
}

// restart ends the engine in order.
func (w *world) restart() {
	w.q.Stop()
	w.log.fail = nil
	w.log.claim(1 << 30)
	w.log.finish()
	if n := w.mem.Resident(); n != 0 {
		w.failf("%d bytes resident after the stop", n)
	}
	if len(w.open) > 0 {
		w.failf("%d batches are not answered after the stop", len(w.open))
	}
	w.confirmed()
	if w.flow != 0 || w.barriers != 0 {
		w.failf("%d bytes of flow, %d settlements are missing after the stop", w.flow, w.barriers)
	}
	w.reopen(true)
}

// confirmed notes answers without a check against the queue.
func (w *world) confirmed() {
	for _, b := range w.completed {
		for _, m := range b.msgs {
			m.refused = slices.Contains(b.Refused(), m.id)
			m.safe = !m.refused
		}
	}
	w.completed = w.completed[:0]
}

// crash leaves the engine as it is and goes on with what the log holds; of the ops that the log was at, done took effect.
func (w *world) crash(done int) {
	old := w.log
	old.mu.Lock()
	old.off = true
	for _, op := range old.claimed[:min(done, len(old.claimed))] {
		old.apply(op)
	}
	w.log = newScriptLog()
	w.log.blocks, w.log.gone, w.log.mark = old.blocks, old.gone, old.mark
	old.blocks, old.gone = map[block.Desc][]byte{}, map[uint64][]uint64{}
	old.mu.Unlock()
	m := NewMemory(w.mem.Budget, w.mem.PerQueue)
	m.floor = w.mem.floor
	w.mem = m
	w.open, w.completed, w.flow, w.barriers = map[*batch]bool{}, nil, 0, 0
	w.reopen(false)
}

// drain consumes everything and checks that nothing is left anywhere.
func (w *world) drain() {
	w.log.fail = nil
	c := &receiver{w: w, room: 1 << 30}
	c.Receiver, c.NoAck = c, true
	w.mu.Lock()
	others := append(slices.Clone(w.receivers), w.left...)
	w.mu.Unlock()
	for _, o := range append(others, nil) {
		if o != nil {
			w.q.Cancel(&o.Consumer)
		}
		w.mu.Lock()
		w.receivers = slices.DeleteFunc(w.receivers, func(r *receiver) bool { return r == o })
		list := w.outTo(o)
		w.mu.Unlock()
		if len(list) > 0 {
			w.settle(o, list, Requeue)
			settled(w.q)
		}
	}
	w.receivers = append(w.receivers, c)
	if err := w.q.Consume(&c.Consumer); err != nil {
		w.t.Fatal(err)
	}
	w.log.flush(w.q)
	w.check()
	w.q.call(w.q.flushGone)
	w.log.flush(w.q)
	for end := time.Now().Add(5 * time.Second); len(w.log.blocks)+len(w.log.gone) > 0 && time.Now().Before(end); {
		runtime.Gosched() // deletions that the log failed are tried again
		w.log.flush(w.q)
	}
	for _, m := range w.msgs {
		if m.state != msgGone && !m.damaged {
			w.failf("message %d was not delivered", m.id)
		}
		m.state = msgGone
	}
	for _, k := range w.kept {
		if !slices.Equal(verify(w, k.p), k.ids) {
			w.failf("the bytes of a piece at %d have changed", k.p.First)
		}
	}
	if s, err := w.q.Status(); err != nil || s.Ready+s.Unacked != 0 || s.Resident != 0 {
		w.failf("%+v, %v after everything was consumed", s, err)
	}
	if len(w.log.blocks)+len(w.log.gone) != 0 || w.mem.Resident() != 0 || len(w.open) != 0 || w.flow+w.barriers != 0 {
		w.failf("left over: %d blocks, %d bitmaps, %d bytes, %d batches, %d bytes of flow, %d settlements",
			len(w.log.blocks), len(w.log.gone), w.mem.Resident(), len(w.open), w.flow, w.barriers)
	}
	w.q.call(func() {
		if q := w.q; q.spilling != 0 || q.lanes[0].idx.len() != 0 || len(q.held) != 0 || q.lanes[0].loading {
			w.failf("left over: %d spills, %d blocks, %d held, loading %v", q.spilling, q.lanes[0].idx.len(), len(q.held), q.lanes[0].loading)
		}
	})
	w.check()
}
