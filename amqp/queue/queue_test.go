package queue

import (
	"runtime"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

func newQueue(l block.Log, m *Memory) *Queue {
	return New(Options{ID: 1, Name: "q", Durable: true, Log: l, Memory: m})
}

// tiny is a budget with which nearly everything is paged out.
func tiny() *Memory {
	m := NewMemory(64<<10, 16<<10)
	m.floor = 16 << 10
	return m
}

func TestGetFromEndedQueue(t *testing.T) {
	for name, end := range map[string]func(*Queue){"dropped": (*Queue).Drop, "stopped": (*Queue).Stop} {
		q := newQueue(newScriptLog(), nil)
		end(q)
		within(t, name, func() {
			if _, _, ok, err := q.Get(true); ok || err != ErrGone {
				t.Errorf("%s: ok %v, error %v; want ErrGone", name, ok, err)
			}
		})
	}
}

// A message with no time at all is gone before a get that came with it in one run of the inbox.
func TestGetWithTheMessage(t *testing.T) {
	q := New(Options{ID: 1, Log: newScriptLog(), Now: func() int64 { return 1000 }})
	g := &getCall{noAck: true, done: make(chan struct{})}
	q.call(func() {
		p := &Publication{Block: block.Block{Records: block.GetArena(64)}}
		p.Block.Append(&block.Record{Arrived: 1000, Deadline: 1000, RoutingKey: []byte("k"), Body: []byte("x")})
		q.publish(p)
		q.gets = append(q.gets, g)
	})
	within(t, "get", func() { <-g.done })
	if g.ok || g.err != nil {
		t.Fatalf("got a message: %v, error %v; want neither", g.ok, g.err)
	}
}

// A spilled block that is consumed before the log has taken it must not count as on its way for ever.
func TestSpillTakenBack(t *testing.T) {
	l, m := newScriptLog(), tiny()
	q := newQueue(l, m)
	for i := range uint64(40) {
		publish(q, i, i+1, 40<<10, false)
	}
	settled(q)
	if q.spilling == 0 {
		t.Fatal("nothing is being spilled")
	}
	if n, _ := q.purgeThen(func(error) {}); n != 40 {
		t.Fatalf("purged %d, want 40", n)
	}
	l.flush(q)
	if q.spilling != 0 {
		t.Fatalf("%d blocks count as being spilled, want 0", q.spilling)
	}
}

// slowly publishes n persistent messages, each in a stored block of its own, all in one block of the queue.
func slowly(q *Queue, l *scriptLog, from, n uint64) {
	for id := from; id < from+n; id++ {
		publish(q, id, id+1, 16, true)
		settled(q)
		l.claim(100)
	}
	l.finish()
	settled(q)
}

// When a merged block is taken back because all of it was acknowledged, what it was to replace has to go.
func TestMergeTakenBack(t *testing.T) {
	l := newScriptLog()
	q := newQueue(l, nil)
	c := &Consumer{Receiver: newSink()}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	slowly(q, l, 0, maxSegments)
	publish(q, maxSegments, maxSegments+1, 16, true) // keeps the block alive
	ack(q, c, 0, maxSegments-1)
	l.flush(q)
	if len(l.blocks) != 1 {
		t.Fatalf("%d blocks stored, want 1", len(l.blocks))
	}
	ack(q, c, maxSegments, maxSegments)
	l.flush(q)
	if len(l.blocks)+len(l.gone) != 0 {
		t.Fatalf("%d blocks, %d bitmaps stored, want none", len(l.blocks), len(l.gone))
	}
}

// When a merge fails, what was stored since is still known.
func TestMergeFails(t *testing.T) {
	l := newScriptLog()
	q := newQueue(l, nil)
	c := &Consumer{Receiver: newSink()}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	l.fail = func(op *block.Op) error {
		if op.Kind == block.OpReplace {
			return errDisk
		}
		return nil
	}
	slowly(q, l, 0, maxSegments)
	publish(q, maxSegments, maxSegments+1, 16, true)
	ack(q, c, 3, 3)
	settled(q)
	q.call(q.flushGone)
	l.claim(100)
	l.finish()
	l.fail = nil
	q.Stop()
	l.claim(100)
	l.finish()
	r := l.recovered(true)
	q = New(Options{ID: 1, Durable: true, Log: l, Recovered: r})
	if s := status(t, q); s.Ready != maxSegments {
		t.Fatalf("%d messages after the restart, want %d", s.Ready, maxSegments)
	}
	if _, err := q.purgeThen(func(error) {}); err != nil {
		t.Fatal(err)
	}
	l.flush(q)
	if len(l.blocks)+len(l.gone) != 0 {
		t.Fatalf("%d blocks, %d bitmaps stored, want none", len(l.blocks), len(l.gone))
	}
}

// A bitmap that was written for a block which is then taken back must not stay.
func TestBitmapOfBlockTakenBack(t *testing.T) {
	l := newScriptLog()
	q := newQueue(l, nil)
	c := &Consumer{Receiver: newSink()}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	publish(q, 0, 10, 16, true)
	ack(q, c, 0, 3)
	q.call(q.flushGone)
	ack(q, c, 4, 9)
	l.flush(q)
	if len(l.blocks)+len(l.gone) != 0 {
		t.Fatalf("%d blocks, %d bitmaps stored, want none", len(l.blocks), len(l.gone))
	}
}

// The log may not be closed while blocks are loaded from it (see store.Store.Close), so Stop waits.
func TestStopWaitsForLoads(t *testing.T) {
	l, m := newScriptLog(), tiny()
	q := newQueue(l, m)
	for i := range uint64(30) {
		publish(q, i, i+1, 40<<10, true)
	}
	l.flush(q)
	l.gate = make(chan struct{})
	c := &Consumer{Receiver: newSink()}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	q.call(func() {})
	q.call(func() {
		if !q.lanes[0].loading {
			t.Error("nothing is being loaded")
		}
	})
	stopped := make(chan struct{})
	go func() { q.Stop(); close(stopped) }()
	for state := stateOpen; state != stateStopped; runtime.Gosched() {
		q.call(func() { state = q.state })
	}
	select {
	case <-stopped:
		t.Fatal("stopped while a block is being loaded")
	default:
	}
	close(l.gate)
	within(t, "stop", func() { <-stopped })
	if m.Resident() != 0 {
		t.Fatalf("%d bytes count as resident after the stop", m.Resident())
	}
}

// One damaged block costs its own messages, not those that lie in the same block of the queue.
func TestDamageIsLimited(t *testing.T) {
	for _, spilled := range []bool{false, true} {
		l, m := newScriptLog(), tiny()
		q := newQueue(l, m)
		l.fail = func(op *block.Op) error { // so that blocks stay in parts
			if op.Kind == block.OpReplace {
				return errDisk
			}
			return nil
		}
		var next uint64
		for next < 400 { // spilled ones have transient messages between persistent ones
			publish(q, next, next+1, 2000, !spilled || next%10 != 5)
			settled(q)
			l.claim(100)
			l.finish()
			next++
		}
		l.flush(q)
		want, hit := map[uint64]bool{}, 0
		q.call(func() {
			for i := range q.lanes[0].idx.len() {
				b := q.lanes[0].idx.at(i)
				for id := b.base; id < b.end(); id++ {
					want[id] = b.resident() || !spilled || id%10 != 5
				}
				if b.resident() {
					continue
				}
				if spilled {
					l.blocks[b.spill.desc] = []byte("damaged")
					hit++
					continue
				}
				for _, j := range []int{0, 2, 3, len(b.segs) - 1}[:1+i%4] {
					d := b.segs[j].desc
					l.blocks[d] = []byte("damaged")
					for id := range uint64(d.Count) {
						want[d.Base+id] = false
					}
					hit++
				}
			}
		})
		if hit == 0 {
			t.Fatalf("spilled %v: nothing to damage", spilled)
		}
		n := 0
		for _, ok := range want {
			if ok {
				n++
			}
		}
		s := newSink()
		if err := q.Consume(&Consumer{Receiver: s, NoAck: true}); err != nil {
			t.Fatal(err)
		}
		l.flush(q)
		got := s.taken()
		for i, id := range got {
			if i > 0 && got[i-1] >= id {
				t.Fatalf("message %d after %d", id, got[i-1])
			}
			if !want[id] {
				t.Fatalf("spilled %v: message %d came although it was damaged", spilled, id)
			}
		}
		if len(got) != n {
			t.Fatalf("spilled %v: %d messages came, want %d", spilled, len(got), n)
		}
		if st := status(t, q); st.Ready != 0 || st.Unacked != 0 {
			t.Fatalf("spilled %v: status %+v, want empty", spilled, st)
		}
		l.flush(q)
		if len(l.blocks)+len(l.gone) != 0 || m.Resident() != 0 {
			t.Fatalf("spilled %v: %d blocks, %d bitmaps, %d bytes left", spilled, len(l.blocks), len(l.gone), m.Resident())
		}
	}
}

// A log that cannot be read for the moment costs no messages.
func TestLoadIsRetried(t *testing.T) {
	l := newScriptLog()
	q := newQueue(l, tiny())
	for i := range uint64(30) {
		publish(q, i, i+1, 40<<10, true)
	}
	l.flush(q)
	l.mu.Lock()
	l.loadErr = errDisk
	l.mu.Unlock()
	s := newSink()
	if err := q.Consume(&Consumer{Receiver: s, NoAck: true}); err != nil {
		t.Fatal(err)
	}
	until(t, "three failed loads", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.loads >= 3 })
	l.mu.Lock()
	l.loadErr = nil
	l.mu.Unlock()
	until(t, "delivery", func() bool { return len(s.taken()) == 30 })
	equal(t, "delivered", s.taken(), span(0, 30))
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%s: not after 10 s", what)
		}
	}
}

// What comes while the queue is held still waits until it is known whether the queue goes.
func TestPreparedHoldsStill(t *testing.T) {
	for _, resume := range []bool{true, false} {
		l := newScriptLog()
		q := newQueue(l, nil)
		publish(q, 0, 5, 16, false)
		if n, err := q.PrepareDelete(true, false); n != 5 || err != nil {
			t.Fatalf("PrepareDelete: %d, %v; want 5", n, err)
		}
		answers := make(chan error)
		for _, call := range []func() error{
			func() error { return q.Consume(&Consumer{Receiver: newSink(), Prefetch: 1}) },
			func() error { _, err := q.Purge(); return err },
			func() error { _, _, _, err := q.Get(true); return err },
		} {
			go func() { answers <- call() }()
		}
		until(t, "calls", func() bool {
			waiting := 0
			q.call(func() {
				waiting = len(q.gets)
				for it := q.parked; it != nil; it = it.next {
					waiting++
				}
			})
			return waiting == 3
		})
		want := error(nil)
		if resume {
			q.Resume()
			l.flush(q) // what is purged must be so for good
		} else {
			q.Drop()
			want = ErrGone
		}
		for range 3 {
			within(t, "answer", func() {
				if err := <-answers; err != want {
					t.Errorf("resume %v: %v, want %v", resume, err, want)
				}
			})
		}
	}
}

// Acknowledgements that came before PrepareDelete are written after Resume.
func TestResumeWritesAcknowledgements(t *testing.T) {
	l := newScriptLog()
	q := newQueue(l, nil)
	c := &Consumer{Receiver: newSink()}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	publish(q, 0, 10, 16, true)
	l.flush(q)
	ack(q, c, 0, 3)
	if _, err := q.PrepareDelete(false, false); err != nil {
		t.Fatal(err)
	}
	until(t, "tick", func() (over bool) { q.call(func() { over = !q.ticking }); return over })
	q.Resume()
	until(t, "bitmap", func() bool { l.flush(q); return len(l.gone) == 1 })
}

// Requeued blocks that were loaded again leave memory again.
func TestRequeuedAreDroppedAgain(t *testing.T) {
	l, m := newScriptLog(), tiny()
	q := newQueue(l, m)
	c := &Consumer{Receiver: newSink()}
	if err := q.Consume(c); err != nil {
		t.Fatal(err)
	}
	const n = 200
	for i := range uint64(n) {
		publish(q, i, i+1, 40<<10, true)
		l.flush(q)
	}
	if s := status(t, q); s.Unacked != n || s.Resident > 1<<20 {
		t.Fatalf("status %+v, want %d unacked and little in memory", s, n)
	}
	for i := range uint64(n) {
		q.Settle(&Settlement{Consumer: c, Outcome: Requeue, Ranges: []Range{{i, i}}})
		settled(q)
	}
	if s := status(t, q); s.Unacked != n || s.Resident > 1<<20 {
		t.Fatalf("after requeue: status %+v, want %d unacked and little in memory", s, n)
	}
}

// A client that makes consumers with ever new priorities leaves nothing behind.
func TestPrioritiesAreForgotten(t *testing.T) {
	q := newQueue(newScriptLog(), nil)
	for i := range int32(1000) {
		c := &Consumer{Receiver: newSink(), Priority: i}
		if err := q.Consume(c); err != nil {
			t.Fatal(err)
		}
		q.Cancel(c)
	}
	q.call(func() {
		if n := len(q.ready.levels); n > 2*maxIdleLevels {
			t.Errorf("%d priorities kept", n)
		}
	})
}

// A backlog that came in slowly is stored in few blocks, even what is stored when its block is full.
func TestSlowBacklogIsMerged(t *testing.T) {
	l := newScriptLog()
	q := newQueue(l, nil)
	const n = 3000
	for id := range uint64(n) {
		publish(q, id, id+1, 500, true)
		l.flush(q)
	}
	// Those next to be consumed and the last are left alone.
	if blocks, most := len(l.blocks), n*560/block.TargetLen+(aheadBlocks+1)*maxSegments; blocks > most {
		t.Fatalf("%d blocks stored, want at most %d", blocks, most)
	}
}
