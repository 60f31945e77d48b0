package queue

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
)

// peekAll reads the whole queue in pages of n and returns the ids.
func peekAll(t rapid.TB, q *Queue, order PeekOrder, n int) (list []uint64, again []bool) {
	from := PeekFrom{Order: order}
	for {
		page, next, err := q.Peek(from, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			list = append(list, binary.BigEndian.Uint64(m.Record.Body))
			again = append(again, m.Redelivered)
		}
		if next == nil {
			return list, again
		}
		from.At = next
	}
}

// committing calls fn, and commits until it returns.
func committing(log *scriptLog, q *Queue, fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	for {
		select {
		case <-done:
			return
		default:
			log.flush(q)
		}
	}
}

// Whatever happened to a queue, Peek shows what consumers will get, in their order, and changes nothing.
func TestPeekShowsWhatComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		memory := int64(0)
		if rapid.Bool().Draw(t, "paged") {
			memory = 1
		}
		log := newScriptLog()
		q := New(Options{ID: 3, Name: "peek", Durable: true, Log: log, Memory: NewMemory(memory, memory),
			MaxPriority: uint8(rapid.SampledFrom([]int{0, 2}).Draw(t, "priorities"))})
		defer func() {
			q.Drop()
			settled(q)
		}()
		next := uint64(1)
		var out []Piece
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"publish", "publish", "get", "requeue", "ack", "flush", "purge"}).Draw(t, "step") {
			case "publish":
				n := uint64(rapid.IntRange(1, 60).Draw(t, "n"))
				size := rapid.SampledFrom([]int{8, 2000, block.LargeBody}).Draw(t, "size")
				persistent := rapid.Bool().Draw(t, "persistent")
				for id := next; id < next+n; id++ {
					p := &Publication{}
					r := rec(id, size, persistent)
					r.Priority = uint8(id % 3)
					p.Block.Append(r)
					q.Publish(p)
				}
				next += n
			case "get":
				log.flush(q)
				for range rapid.IntRange(1, 40).Draw(t, "gets") {
					committing(log, q, func() { // the delivered mark is raised by a commit
						if p, _, ok, err := q.Get(false); err == nil && ok {
							out = append(out, p)
						}
					})
				}
			case "requeue", "ack":
				outcome := Ack
				if rapid.Bool().Draw(t, "requeue") {
					outcome = Requeue
				}
				for len(out) > 0 && rapid.IntRange(0, 9).Draw(t, "more") > 0 {
					i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
					q.Settle(&Settlement{Outcome: outcome, Ranges: []Range{{out[i].First, out[i].First}}})
					out = slices.Delete(out, i, i+1)
				}
			case "flush":
				log.flush(q)
			case "purge":
				if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					committing(log, q, func() { _, _ = q.Purge() })
				}
			}
		}
		log.flush(q)
		before, _ := q.Status()
		page := rapid.IntRange(1, 50).Draw(t, "page")
		forward, again := peekAll(t, q, PeekForward, page)
		backward, _ := peekAll(t, q, PeekBackward, page)
		slices.Reverse(backward)
		if !slices.Equal(forward, backward) {
			t.Fatalf("forward %v\nbackward %v", forward, backward)
		}
		if after, _ := q.Status(); after != before || len(forward) != before.Ready {
			t.Fatalf("peeked %d messages, status before %+v, after %+v", len(forward), before, after)
		}
		if c := q.Counters(); c != before {
			t.Fatalf("counters %+v, status %+v", c, before)
		}
		for i, want := range forward {
			var p Piece
			committing(log, q, func() { p, _, _, _ = q.Get(false) })
			if id := ids(p)[0]; id != want || p.Redelivered != again[i] {
				t.Fatalf("message %d: got %d (redelivered %v), peeked %d (%v)", i, id, p.Redelivered, want, again[i])
			}
		}
	})
}

func TestPeekOffset(t *testing.T) {
	log := newScriptLog()
	q := New(Options{ID: 3, Name: "peek", Log: log})
	publish(q, 1, 11, 8, false)
	settled(q)
	for _, c := range []struct {
		order PeekOrder
		at    uint64
		want  []uint64
	}{
		{PeekForward, 0, []uint64{1, 2, 3}},
		{PeekForward, 8, []uint64{9, 10}},
		{PeekForward, 10, nil},
		{PeekBackward, 1, []uint64{2, 1}},
		{PeekBackward, 99, []uint64{10, 9, 8}},
	} {
		list, _, err := q.Peek(PeekFrom{Order: c.order, At: &c.at}, 3)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, m := range list {
			got = append(got, binary.BigEndian.Uint64(m.Record.Body))
		}
		equal(t, "peeked", got, c.want)
	}
	q.Drop()
	if _, _, err := q.Peek(PeekFrom{}, 1); err != ErrGone {
		t.Fatalf("peek of a dropped queue: %v", err)
	}
}
