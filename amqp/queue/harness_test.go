package queue

import (
	"cmp"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/amqp/block"
)

func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		_ = flag.Set("rapid.checks", "60")
	}
	retryDelay = time.Millisecond
	goleak.VerifyTestMain(m)
}

var errDisk = errors.New("disk on fire")

// scriptLog is a log whose commits happen when the test says so: what was submitted is claimed by claim and becomes
// effective, in order, by finish. A crash is leaving both out.
type scriptLog struct {
	mu      sync.Mutex
	pending []*block.Op
	claimed []*block.Op
	fail    func(op *block.Op) error // may be nil
	loadErr error                    // what Load returns, if set
	gate    chan struct{}            // Load waits until it is closed, if set
	loads   int
	off     bool // after a crash nothing reaches the log any more

	blocks  map[block.Desc][]byte
	gone    map[uint64][]uint64
	states  map[block.Desc][]byte
	mark    uint64
	dropped bool
}

func newScriptLog() *scriptLog {
	return &scriptLog{blocks: map[block.Desc][]byte{}, gone: map[uint64][]uint64{}, states: map[block.Desc][]byte{}}
}

func (l *scriptLog) Submit(op *block.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.off {
		l.pending = append(l.pending, op)
	}
}

func (l *scriptLog) DropQueue(uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped = true
}

func (l *scriptLog) Load(_ uint64, d block.Desc) ([]byte, error) {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loads++
	if l.loadErr != nil {
		return nil, l.loadErr
	}
	b, ok := l.blocks[d]
	if !ok {
		return nil, fmt.Errorf("%w: nothing at %d", block.ErrCorrupt, d.Base)
	}
	_, records, err := block.ParseStored(b)
	return slices.Clone(records), err
}

// claim claims up to n of the ops submitted. Like a real log it looks at an op before it asks for it.
func (l *scriptLog) claim(n int) {
	for ; n > 0; n-- {
		l.mu.Lock()
		if len(l.pending) == 0 {
			l.mu.Unlock()
			return
		}
		op := l.pending[0]
		l.pending = l.pending[1:]
		l.mu.Unlock()
		_ = op.Desc.Size
		if op.Owner != nil && !op.Owner.Claim(op) {
			continue
		}
		l.mu.Lock()
		l.claimed = append(l.claimed, op)
		l.mu.Unlock()
	}
}

// finish makes what is claimed effective and tells the owners.
func (l *scriptLog) finish() {
	l.mu.Lock()
	ops := l.claimed
	l.claimed = nil
	errs := make([]error, len(ops))
	for i, op := range ops {
		if l.fail != nil {
			errs[i] = l.fail(op)
		}
		if errs[i] == nil {
			l.apply(op)
		}
	}
	l.mu.Unlock()
	for i, op := range ops {
		if op.Owner != nil {
			op.Owner.Done(op, errs[i])
		}
	}
}

// flush commits until nothing is left to do for the engine and the log.
func (l *scriptLog) flush(q *Queue) {
	for {
		settled(q)
		l.mu.Lock()
		n := len(l.pending) + len(l.claimed)
		l.mu.Unlock()
		if n == 0 {
			return
		}
		l.claim(n)
		l.finish()
	}
}

func (l *scriptLog) apply(op *block.Op) {
	remove := func() {
		for _, d := range op.Remove {
			delete(l.blocks, d)
			if !d.Spill {
				delete(l.gone, d.Base)
			}
		}
	}
	switch op.Kind {
	case block.OpPut, block.OpReplace:
		if n := len(op.Records) + len(op.Tail); n != int(op.Desc.Size) {
			panic(fmt.Sprintf("op of %d bytes, described as %d", n, op.Desc.Size))
		}
		remove()
		stored := block.AppendStored(nil, block.Header{Base: op.Desc.Base, Count: op.Desc.Count}, op.Records, op.Tail)
		if _, _, err := block.ParseStored(stored); err != nil {
			panic(fmt.Sprintf("op with damaged records: %v", err))
		}
		l.blocks[op.Desc] = stored
	case block.OpDelete:
		remove()
	case block.OpGone:
		l.gone[op.Desc.Base] = slices.Clone(op.Gone)
	case block.OpMark:
		l.mark = op.Mark
	case block.OpState:
		if len(op.Records) > 0 {
			l.states[op.Desc] = slices.Clone(op.Records)
		}
		for _, d := range op.Remove {
			delete(l.states, d)
		}
	}
	for _, w := range op.With {
		l.apply(w)
	}
}

// recovered is what a log with this content knows after a restart. Spilled blocks and transient records are void then.
func (l *scriptLog) recovered(clean bool) *block.Recovered {
	r := &block.Recovered{Gone: map[uint64][]uint64{}, Mark: l.mark, Clean: clean}
	for d := range l.blocks {
		if d.Spill || d.Persistent == 0 {
			delete(l.blocks, d)
			continue
		}
		r.Blocks = append(r.Blocks, d)
	}
	slices.SortFunc(r.Blocks, func(a, b block.Desc) int { return cmp.Compare(a.Base, b.Base) })
	for i, d := range r.Blocks {
		if i > 0 && r.Blocks[i-1].Base+uint64(r.Blocks[i-1].Count) > d.Base {
			panic(fmt.Sprintf("stored blocks overlap: %+v, %+v", r.Blocks[i-1], d))
		}
		bits := make(bitset, (d.Count+63)/64)
		copy(bits, l.gone[d.Base])
		if _, records, err := block.ParseStored(l.blocks[d]); err == nil {
			for j := range d.Count {
				if block.FlagsOf(records)&block.Persistent == 0 {
					bits.setRange(j, j, d.Count)
				}
				records = records[min(len(records), block.RecordLen(records)):]
			}
		}
		if g := l.gone[d.Base]; len(g) > len(bits) { // failed deliveries
			bits = append(bits, g[len(bits):]...)
		}
		r.Gone[d.Base] = bits
	}
	for d, v := range l.states {
		r.States = append(r.States, block.State{Desc: d, Value: v})
	}
	slices.SortFunc(r.States, func(a, b block.State) int { return int(int64(a.Desc.Base - b.Desc.Base)) })
	for base := range l.gone {
		if r.Gone[base] == nil {
			delete(l.gone, base)
		}
	}
	return r
}

// settled waits until the runner of q has nothing to do but what needs the log or a timer: it has dispatched, and nothing was
// or is being loaded for that.
func settled(q *Queue) {
	deadline := time.Now().Add(20 * time.Second)
	last := -1
	for {
		n := -1
		q.call(func() {
			n = q.loaded
			for _, l := range q.lanes {
				if l.loading {
					n = -1
				}
			}
		})
		if n >= 0 && n == last {
			return
		}
		if last = n; n < 0 {
			runtime.Gosched()
		}
		if time.Now().After(deadline) {
			panic("queue does not come to rest")
		}
	}
}

// rec makes a record whose body begins with id.
func rec(id uint64, size int, persistent bool) *block.Record {
	body := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(body, id)
	r := &block.Record{Arrived: 1, RoutingKey: []byte("key"), Properties: []byte{0, 0}, Body: body}
	if persistent {
		r.Flags = block.Persistent
	}
	return r
}

// ids returns the ids of the messages in p.
func ids(p Piece) (list []uint64) {
	rest := p.Records
	for range p.Count {
		var r block.Record
		n, err := block.Parse(rest, p.Tail, &r)
		if err != nil {
			panic(err)
		}
		list = append(list, binary.BigEndian.Uint64(r.Body))
		rest = rest[min(n, len(rest)):]
	}
	return list
}

// sink is a receiver with a limit that keeps what it gets.
type sink struct {
	mu        sync.Mutex
	room      int // what Reserve has left to grant; -1: no limit
	got       []uint64
	offsets   []uint64
	again     []bool
	cancelled bool
}

func newSink() *sink { return &sink{room: -1} }

func (s *sink) Reserve(_ *Consumer, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room >= 0 {
		n = min(n, s.room)
		s.room -= n
	}
	return n
}

func (s *sink) Unreserve(_ *Consumer, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room >= 0 {
		s.room += n
	}
}

func (s *sink) Deliver(_ *Consumer, pieces []Piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pieces {
		s.got = append(s.got, ids(p)...)
		for i := range p.Count {
			s.offsets = append(s.offsets, p.First+uint64(i))
			s.again = append(s.again, p.Redelivered)
		}
	}
}

func (s *sink) Cancelled(*Consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelled = true
}

func (s *sink) taken() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// publish pushes the messages from to to-1 as one block and returns its batch, nil for transient ones.
func publish(q *Queue, from, to uint64, size int, persistent bool) *Batch {
	p := &Publication{Batch: &Batch{First: from, Last: to - 1}}
	p.Batch.Complete = func(b *Batch) { b.Completed = true }
	for id := from; id < to; id++ {
		p.Block.Append(rec(id, size, persistent))
	}
	p.Batch.Add()
	q.Publish(p)
	return p.Batch
}

func ack(q *Queue, c *Consumer, first, last uint64) {
	q.Settle(&Settlement{Consumer: c, Outcome: Ack, Ranges: []Range{{first, last}}})
}

func status(t testing.TB, q *Queue) Status {
	t.Helper()
	settled(q)
	s, err := q.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func span(from, to uint64) (list []uint64) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func equal(t testing.TB, what string, got, want []uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %d messages %v, want %d %v", what, len(got), short(got), len(want), short(want))
	}
}

func short(l []uint64) []uint64 { return l[:min(len(l), 40)] }

// within fails the test if fn does not return in time.
func within(t testing.TB, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { fn(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: still waiting after 10 s", what)
	}
}
