package queue

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
)

// TestModel feeds the engine random events and compares it with a list of messages after each.
func TestModel(t *testing.T) {
	for _, v := range []struct {
		name    string
		durable bool
		memory  func() *Memory
		faults  bool
	}{
		{"durable", true, func() *Memory { return NewMemory(0, 0) }, false},
		{"durable tiny memory", true, tiny, false},
		{"durable tiny memory faults", true, tiny, true},
		{"transient tiny memory", false, tiny, true},
	} {
		t.Run(v.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(t, v.durable, v.memory())
				acts := w.actions(v.faults)
				acts[""] = func(*rapid.T) { w.check() }
				t.Repeat(acts)
				if rapid.IntRange(0, 4).Draw(t, "end") == 0 {
					w.drop()
				} else {
					w.drain()
				}
				if len(w.failures) > 0 {
					t.Fatalf("%d failures, first: %s", len(w.failures), w.failures[0])
				}
			})
		})
	}
}

func (w *world) actions(faults bool) map[string]func(*rapid.T) {
	a := map[string]func(*rapid.T){
		"publish":    w.doPublish,
		"publish2":   w.doPublish,
		"trickle":    w.doTrickle,
		"consume":    w.doConsume,
		"settle":     w.doSettle,
		"settle2":    w.doSettle,
		"get":        w.doGet,
		"wake":       w.doWake,
		"cancel":     w.doCancel,
		"purge":      w.doPurge,
		"prepare":    w.doPrepare,
		"commit":     w.doCommit,
		"commit all": func(*rapid.T) { w.log.flush(w.q) },
		"bitmaps":    func(*rapid.T) { w.q.call(w.q.flushGone) },
		"trim":       func(*rapid.T) { w.mem.Trim() },
	}
	if w.durable {
		a["restart"] = func(*rapid.T) { w.restart() }
		a["crash"] = func(t *rapid.T) { settled(w.q); w.crash(rapid.IntRange(0, 10).Draw(t, "done")) }
	}
	if faults {
		a["faults"] = w.doFaults
		a["damage"] = w.doDamage
	}
	return a
}

func (w *world) doPublish(t *rapid.T) {
	kind := rapid.SampledFrom([]string{"persistent", "persistent", "transient", "mixed"}).Draw(t, "kind")
	for range rapid.IntRange(1, 12).Draw(t, "publications") {
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			w.publish(rapid.IntRange(1, 3).Draw(t, "n"), 16, rapid.IntRange(1, 3).Draw(t, "parts"), kind)
		case 1:
			w.publish(rapid.IntRange(1, 200).Draw(t, "n"), 50, 1, kind)
		case 2:
			w.publish(rapid.IntRange(1, 20).Draw(t, "n"), 6000, rapid.IntRange(1, 3).Draw(t, "parts"), kind)
		default:
			w.publish(rapid.IntRange(1, 3).Draw(t, "n"), 40<<10, 1, kind)
		}
		settled(w.q)
	}
}

// doTrickle publishes messages one by one, each in a commit of its own.
func (w *world) doTrickle(t *rapid.T) {
	size := rapid.SampledFrom([]int{16, 500, 3000}).Draw(t, "size")
	kind := rapid.SampledFrom([]string{"persistent", "mixed"}).Draw(t, "kind")
	finish := rapid.Bool().Draw(t, "finish")
	for range rapid.IntRange(1, 80).Draw(t, "n") {
		w.publish(1, size, 1, kind)
		settled(w.q)
		w.log.claim(1 << 30)
		if finish {
			w.log.finish()
		}
	}
}

func (w *world) doConsume(t *rapid.T) {
	c := &receiver{w: w, room: rapid.SampledFrom([]int{0, 1, 5, 100, 1 << 20}).Draw(t, "room")}
	c.Receiver = c
	c.NoAck = rapid.IntRange(0, 3).Draw(t, "noAck") == 0
	c.Exclusive = rapid.IntRange(0, 5).Draw(t, "exclusive") == 0
	c.Priority = int32(rapid.IntRange(-1, 1).Draw(t, "priority"))
	c.Prefetch = rapid.SampledFrom([]int{0, 1, 7, 300}).Draw(t, "prefetch")
	w.mu.Lock()
	inUse := len(w.receivers) > 0 && (c.Exclusive || w.receivers[0].Exclusive)
	w.receivers = append(w.receivers, c)
	w.mu.Unlock()
	err := w.q.Consume(&c.Consumer)
	if inUse {
		w.mu.Lock()
		w.receivers = w.receivers[:len(w.receivers)-1]
		w.mu.Unlock()
		if !errors.Is(err, ErrExclusiveUse) {
			t.Fatalf("consume: %v, want %v", err, ErrExclusiveUse)
		}
	} else if err != nil {
		t.Fatalf("consume: %v", err)
	}
}

// pick draws one of the consumers, attached or not; nil stands for basic.get.
func (w *world) pick(t *rapid.T) *receiver {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(append([]*receiver{nil}, w.receivers...), w.left...)
	return all[rapid.IntRange(0, len(all)-1).Draw(t, "consumer")]
}

func (w *world) doSettle(t *rapid.T) {
	c := w.pick(t)
	w.mu.Lock()
	list := w.outTo(c)
	w.mu.Unlock()
	if len(list) == 0 {
		return
	}
	outcome := rapid.SampledFrom([]Outcome{Ack, Ack, Ack, Drop, Requeue, Return}).Draw(t, "outcome")
	switch rapid.IntRange(0, 3).Draw(t, "choice") {
	case 0: // all
	case 1: // a run
		lo := rapid.IntRange(0, len(list)-1).Draw(t, "lo")
		list = list[lo:rapid.IntRange(lo+1, len(list)).Draw(t, "hi")]
	case 2: // every third
		some := list[:0:0]
		for i := rapid.IntRange(0, min(2, len(list)-1)).Draw(t, "from"); i < len(list); i += 3 {
			some = append(some, list[i])
		}
		list = some
	default: // one after the other, backwards
		slices.Reverse(list)
	}
	w.settle(c, list, outcome)
}

func (w *world) doGet(t *rapid.T) {
	noAck := rapid.Bool().Draw(t, "noAck")
	w.mu.Lock()
	must, may, _ := w.counts()
	w.mu.Unlock()
	var p Piece
	var remaining int
	var ok bool
	done := make(chan error, 1)
	go func() {
		var err error
		p, remaining, ok, err = w.q.Get(noAck)
		done <- err
	}()
	for over := false; !over; {
		settled(w.q)
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("get: %v", err)
			}
			over = true
		default:
			w.log.flush(w.q) // it waits for the delivered mark, or for its turn
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !ok {
		// What there was may have gone to consumers, when the log moved.
		if must > 0 && len(w.receivers) == 0 {
			t.Fatalf("nothing to get, %d messages are ready", must)
		}
		return
	}
	if p.Count != 1 || remaining >= may {
		t.Fatalf("got %d messages, %d remaining; at most %d were ready", p.Count, remaining, may)
	}
	w.taken(p, nil, noAck)
}

func (w *world) doWake(t *rapid.T) {
	c := w.pick(t)
	if c == nil {
		return
	}
	w.mu.Lock()
	c.room += rapid.SampledFrom([]int{1, 10, 1000}).Draw(t, "room")
	wake := c.short
	c.short = false
	w.mu.Unlock()
	if wake {
		w.q.Wake(&c.Consumer)
	}
}

func (w *world) doCancel(t *rapid.T) {
	c := w.pick(t)
	if c == nil {
		return
	}
	w.q.Cancel(&c.Consumer)
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.receivers, c); i >= 0 {
		w.receivers = slices.Delete(w.receivers, i, i+1)
		w.left = append(w.left, c)
	}
}

func (w *world) doPurge(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "really") > 0 {
		return
	}
	var purged []*msg
	w.mu.Lock()
	for _, m := range w.msgs {
		if m.state == msgReady {
			purged = append(purged, m)
		}
	}
	w.mu.Unlock()
	n, err := w.q.purgeThen(func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, m := range purged {
			m.ended = m.ended || err == nil
		}
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	must, may, _ := w.counts()
	if err != nil || n < must || n > may {
		t.Fatalf("purged %d, %v; want %d to %d", n, err, must, may)
	}
	for _, m := range w.msgs {
		if m.state == msgReady {
			m.state = msgGone
		}
	}
}

func (w *world) doPrepare(t *rapid.T) {
	must, may, _ := w.counts()
	ifUnused, ifEmpty := rapid.Bool().Draw(t, "ifUnused"), rapid.Bool().Draw(t, "ifEmpty")
	n, err := w.q.PrepareDelete(ifUnused, ifEmpty)
	switch {
	case ifUnused && len(w.receivers) > 0:
		if !errors.Is(err, ErrInUse) {
			t.Fatalf("prepare: %v, want %v", err, ErrInUse)
		}
		return
	case ifEmpty && must > 0:
		if !errors.Is(err, ErrNotEmpty) {
			t.Fatalf("prepare: %v, want %v", err, ErrNotEmpty)
		}
		return
	case err != nil && !(ifEmpty && may > 0):
		t.Fatalf("prepare: %v", err)
	case err != nil:
		return
	case n < must || n > may:
		t.Fatalf("prepare: %d messages, want %d to %d", n, must, may)
	}
	w.doPublish(t)
	w.doSettle(t)
	w.doCommit(t)
	settled(w.q)
	if s, _ := w.q.Status(); s.Ready != n {
		t.Fatalf("%d messages ready in a queue that is held still, were %d", s.Ready, n)
	}
	if rapid.IntRange(0, 4).Draw(t, "stop") == 0 && w.durable {
		w.restart()
	} else {
		w.q.Resume()
	}
}

// doCommit lets the log make a step, of which a part may be completed only later.
func (w *world) doCommit(t *rapid.T) {
	w.log.claim(rapid.IntRange(0, 40).Draw(t, "claim"))
	if rapid.IntRange(0, 2).Draw(t, "finish") > 0 {
		w.log.finish()
	}
}

// doFaults makes the log fail some ops, or none any more.
func (w *world) doFaults(t *rapid.T) {
	every := rapid.SampledFrom([]uint64{0, 1, 2, 5}).Draw(t, "every")
	merges := rapid.Bool().Draw(t, "merges")
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	w.log.fail = func(op *block.Op) error {
		if merges && op.Kind == block.OpReplace {
			return errDisk
		}
		if w.pace++; every > 0 && w.pace%every == 0 && op.Kind != block.OpBarrier {
			w.markLost = w.markLost || op.Kind == block.OpMark
			return errDisk
		}
		return nil
	}
}

// doDamage damages a stored block.
func (w *world) doDamage(t *rapid.T) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	var all []block.Desc
	for d := range w.log.blocks {
		all = append(all, d)
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b block.Desc) int { return int(int64(a.Base-b.Base)) + int(a.Count) - int(b.Count) })
	d := all[rapid.IntRange(0, len(all)-1).Draw(t, "block")]
	w.log.blocks[d] = slices.Clone(w.log.blocks[d][:len(w.log.blocks[d])-1])
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range uint64(d.Count) {
		w.byOff[d.Base+i].damaged = true
	}
}

// drop deletes the queue and checks that everybody is told.
func (w *world) drop() {
	w.log.fail = nil
	w.q.Drop()
	settled(w.q)
	w.log.claim(1 << 30)
	w.log.finish()
	settled(w.q)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) > 0 || len(w.receivers) > 0 || w.flow != 0 || w.mem.Resident() != 0 || !w.log.dropped {
		w.failf("after drop: %d batches, %d consumers, %d bytes of flow, %d bytes, dropped %v",
			len(w.open), len(w.receivers), w.flow, w.mem.Resident(), w.log.dropped)
	}
	for _, b := range w.completed {
		if len(b.Refused()) > 0 && w.pace == 0 {
			w.failf("a message was refused by a queue that was deleted")
		}
	}
}
