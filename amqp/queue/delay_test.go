package queue

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
)

// TestDelayLane checks that a record finds a lane of a lower level whenever its slot is dissolved, until it is in the lowest, and
// that no lane is looked at too late.
func TestDelayLane(t *testing.T) {
	q := New(Options{Delays: true, Log: newScriptLog()})
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(1, 1<<42).Draw(t, "now")
		deadline := now + rapid.Int64Range(0, 1<<rapid.IntRange(0, 32).Draw(t, "bits")).Draw(t, "delay")
		level := wheelLevels
		for {
			n := delayLane(deadline, now)
			if n/wheelSlots >= level {
				t.Fatalf("lane %d at %d is not below level %d", n, now, level)
			}
			level = n / wheelSlots
			at := q.lanes[n].lookAt(deadline)
			if at > deadline || at < now {
				t.Fatalf("lane %d at %d: look at %d for %d", n, now, at, deadline)
			}
			if level == 0 {
				return
			}
			now = at
		}
	})
}

// delays is a queue of delayed messages with a clock that the test turns.
type delays struct {
	t       *testing.T
	log     *scriptLog
	memory  *Memory
	q       *Queue
	now     int64
	pending map[uint64]int64 // id -> deadline of what must come
	last    int64            // deadline of the message that came last
	lastID  uint64
	crashed bool // what came before may come again
}

func (d *delays) open(r *block.Recovered) {
	d.q = New(Options{
		ID: 1, Name: "delays", Durable: true, Delays: true, Log: d.log, Memory: d.memory, Recovered: r,
		Settings:   Settings{MessageTTL: None, Expires: None, MaxLength: None, MaxBytes: None, DeliveryLimit: None, DeadLetters: true},
		DeadLetter: d.due,
	})
}

// due is called by the runner, which the test waits for.
func (d *delays) due(l *Letters) {
	for _, letter := range l.Records {
		var r block.Record
		if _, err := block.Parse(letter.Record, letter.Tail, &r); err != nil {
			d.t.Error(err)
			return
		}
		id := binary.BigEndian.Uint64(r.Body)
		if _, ok := d.pending[id]; !ok && !d.crashed {
			d.t.Errorf("message %d came again", id)
		}
		delete(d.pending, id)
		if r.Deadline > d.now {
			d.t.Errorf("message %d is due at %d and came at %d", id, r.Deadline, d.now)
		}
		if r.Deadline < d.last || r.Deadline == d.last && id < d.lastID {
			d.t.Errorf("message %d of %d came behind %d of %d", id, r.Deadline, d.lastID, d.last)
		}
		d.last, d.lastID = r.Deadline, id
	}
	l.Done()
}

// publish adds messages in steps of the clock.
func (d *delays) publish(from, n uint64, delay func() int64) {
	for id := from; id < from+n; {
		p := &Publication{}
		for range 1 + rand.IntN(20) {
			r := rec(id, 100+rand.IntN(200), true)
			r.Arrived = d.now
			r.Deadline = d.now + delay()
			d.pending[id] = r.Deadline
			p.Block.Append(r)
			if id++; id == from+n {
				break
			}
		}
		d.q.Publish(p)
		d.log.flush(d.q)
		d.now++
	}
}

// turn moves the clock on to the next moment at which there is something to do, and lets everything happen that is due then.
func (d *delays) turn() {
	d.q.call(func() {
		if len(d.q.deadlines) > 0 {
			d.now = max(d.now, d.q.deadlines[0].minDeadline) + rand.Int64N(200)
		}
	})
	for {
		late := false
		d.q.call(func() {
			d.q.expireDue(d.now)
			late = len(d.q.deadlines) > 0 && d.q.deadlines[0].minDeadline <= d.now
		})
		d.log.flush(d.q)
		if !late {
			return
		}
	}
}

// TestDelays publishes messages with all kinds of delays, of which little may stay in memory, and lets the time pass: each must come
// once, not too early, and in order. After a crash, some may come again, but nothing that has not come may be lost or doubled.
func TestDelays(t *testing.T) {
	for _, crash := range []bool{false, true} {
		start := time.Now().Add(time.Hour).UnixMilli()
		d := &delays{t: t, log: newScriptLog(), memory: NewMemory(1<<20, 64<<10), now: start, pending: make(map[uint64]int64)}
		d.open(nil)
		d.publish(0, 2000, func() int64 { return 1 + rand.Int64N(1<<(10+rand.IntN(22))) })
		d.publish(2000, 500, func() int64 { return 100_000 })
		// More than are given up at a time, all over many blocks.
		d.publish(2500, 3000, func() int64 { return start + 40_000 + rand.Int64N(50) - d.now })
		var resident int64
		for steps := 0; len(d.pending) > 0; steps++ {
			if steps > 50_000 {
				t.Fatalf("%d messages do not come", len(d.pending))
			}
			d.turn()
			resident = max(resident, d.memory.Resident())
			if crash && steps%300 == 299 {
				d.log.off = true
				d.q.Stop()
				d.log.off = false
				d.log.pending, d.log.claimed = nil, nil
				d.crashed, d.last = true, 0
				d.open(d.log.recovered(false))
				if ready := status(t, d.q).Ready; ready < len(d.pending) {
					t.Fatalf("%d messages after a crash, want %d", ready, len(d.pending))
				}
			}
		}
		if n := status(t, d.q).Ready; n != 0 && !crash {
			t.Errorf("%d messages are left", n)
		}
		d.q.Stop()
	}
}

// TestPagingWhileDue checks that blocks stay in memory while what is due in them is given up in steps, however short memory is.
func TestPagingWhileDue(t *testing.T) {
	start := time.Now().Add(time.Hour).UnixMilli()
	d := &delays{t: t, log: newScriptLog(), memory: NewMemory(0, 0), now: start, pending: make(map[uint64]int64)}
	d.open(nil)
	d.publish(0, 3000, func() int64 { return start + 40_000 + rand.Int64N(50) - d.now })
	d.q.call(func() { d.memory.PerQueue = 0 })
	d.now = start + 40_100
	d.turn()
	if len(d.pending) > 0 {
		t.Errorf("%d messages did not come", len(d.pending))
	}
	d.q.Stop()
}

// TestDelaysAreDue checks with the real clock that messages come when they are due, those without a delay at once.
func TestDelaysAreDue(t *testing.T) {
	came := make(chan int64, 100)
	q := New(Options{ID: 1, Delays: true, Log: newScriptLog(),
		Settings: Settings{MessageTTL: None, Expires: None, MaxLength: None, MaxBytes: None, DeliveryLimit: None, DeadLetters: true},
		DeadLetter: func(l *Letters) {
			for _, letter := range l.Records {
				came <- time.Now().UnixMilli() - block.DeadlineOf(letter.Record)
			}
			l.Done()
		}})
	defer q.Stop()
	now := time.Now().UnixMilli()
	for _, delay := range []int64{50, 0, 20, 100, -now} {
		r := rec(1, 10, false)
		r.Arrived, r.Deadline = now, now+delay
		p := &Publication{}
		p.Block.Append(r)
		q.Publish(p)
	}
	for range 5 {
		select {
		case late := <-came:
			if late < 0 || late > 2000 {
				t.Errorf("late by %d ms", late)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("messages do not come")
		}
	}
}

// TestDelayMoveFails has the log refuse a message that moves on to another lane: it must still be where it was after a crash.
func TestDelayMoveFails(t *testing.T) {
	d := &delays{t: t, log: newScriptLog(), memory: NewMemory(1<<20, 64<<10), now: time.Now().Add(time.Hour).UnixMilli(),
		pending: make(map[uint64]int64)}
	d.open(nil)
	d.publish(1, 30, func() int64 { return 10_000_000 })
	d.log.mu.Lock()
	d.log.fail = refuseKind(block.OpPut, 0)
	d.log.mu.Unlock()
	for refused := false; !refused; {
		d.turn()
		if len(d.pending) < 30 {
			t.Fatal("nothing has moved on before it was due")
		}
		d.q.call(func() { refused = d.q.dyingN > 0 })
	}
	old := d.log
	d.log = newScriptLog()
	d.log.blocks, d.log.gone, d.log.mark = old.blocks, old.gone, old.mark
	old.mu.Lock()
	old.off = true
	old.mu.Unlock()
	d.q.Drop()
	d.last, d.lastID = 0, 0
	d.open(d.log.recovered(false))
	if s := status(t, d.q); s.Ready != 30 {
		t.Fatalf("%d messages after a crash, want 30", s.Ready)
	}
	for range 100 {
		d.turn()
	}
	if len(d.pending) > 0 {
		t.Errorf("%d messages did not come", len(d.pending))
	}
	d.q.Drop()
}
