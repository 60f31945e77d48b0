package server

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// ledgerQueue notes what happens to its offsets.
type ledgerQueue struct {
	takingQueue
	id       int
	next     uint64
	outcomes map[uint64]queue.Outcome
	consumer map[uint64]*queue.Consumer
	twice    []uint64
}

func (q *ledgerQueue) Settle(s *queue.Settlement) {
	for _, r := range s.Ranges {
		for off := r.First; off <= r.Last; off++ {
			if _, ok := q.outcomes[off]; ok || q.consumer[off] != s.Consumer {
				q.twice = append(q.twice, off)
			}
			q.outcomes[off] = s.Outcome
		}
	}
	if s.Done != nil {
		s.Done()
	}
}

func (q *ledgerQueue) Get(noAck bool) (queue.Piece, int, bool, error) {
	p := q.piece(1)
	q.consumer[p.First] = nil
	return p, 0, true, nil
}

// piece returns the next n messages.
func (q *ledgerQueue) piece(n int) queue.Piece {
	var b block.Block
	for range n {
		b.Append(&block.Record{RoutingKey: []byte("q"), Properties: []byte{0, 0}})
	}
	p := queue.Piece{Records: b.Records, First: q.next, Count: n, Bytes: b.Size()}
	q.next += uint64(n)
	return p
}

// settledTag is a delivery in the model.
type settledTag struct {
	q       *ledgerQueue
	offset  uint64
	limited bool // counts against the channel's limit
}

// TestAcksModel acknowledges deliveries in all ways, in transactions too, and compares what queues are told with a model that
// handles one delivery tag at a time.
func TestAcksModel(t *testing.T) {
	type pending struct {
		tag     uint64
		outcome queue.Outcome
	}
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(discardCleanup{t}, &sink{})
		defer r.c.out.close(flushTimeout)
		ch := r.open(1)
		d := ch.del
		tx := rapid.Bool().Draw(t, "tx")
		if tx {
			ch.pub.selectTx()
		}
		var consumers []*consumer
		var queues []*ledgerQueue
		for i := range 2 {
			q := &ledgerQueue{id: i, outcomes: make(map[uint64]queue.Outcome), consumer: make(map[uint64]*queue.Consumer)}
			queues = append(queues, q)
			for j := range 2 {
				c := &consumer{handle: q, del: d, announced: true}
				c.Consumer = queue.Consumer{Tag: fmt.Sprint(i, j), NoAck: i == 1 && j == 1, Receiver: c}
				consumers = append(consumers, c)
			}
		}
		open := make(map[uint64]settledTag)
		want := []map[uint64]queue.Outcome{{}, {}} // by queue
		var held []pending
		next := uint64(1)
		failed := false
		// settle is what a single acknowledgement does.
		settle := func(tag uint64, o queue.Outcome, hold bool) {
			s := open[tag]
			delete(open, tag)
			if hold {
				held = append(held, pending{tag, o})
				return
			}
			want[s.q.id][s.offset] = o
		}
		all := make(map[uint64]settledTag)
		deliver := func(q *ledgerQueue, c *consumer, n int) {
			for i := range n {
				off := q.next - uint64(n) + uint64(i)
				if c == nil || !c.NoAck {
					all[next] = settledTag{q, off, c != nil}
					open[next] = all[next]
				}
				if c != nil {
					q.consumer[off] = &c.Consumer
				}
				next++
			}
		}
		checkAll := func() {
			for i, q := range queues {
				if len(q.twice) > 0 {
					t.Fatalf("queue %d: settled twice or for the wrong consumer: %v", i, q.twice)
				}
				for off, o := range want[i] {
					if got, ok := q.outcomes[off]; !ok || got != o {
						t.Fatalf("queue %d: offset %d: %v, %v; want %v", i, off, got, ok, o)
					}
				}
				if len(q.outcomes) != len(want[i]) {
					t.Fatalf("queue %d: %d settled, want %d", i, len(q.outcomes), len(want[i]))
				}
			}
			limited := 0
			for _, s := range open {
				if s.limited {
					limited++
				}
			}
			for _, h := range held {
				if all[h.tag].limited {
					limited++
				}
			}
			if d.limiter.used != limited {
				t.Fatalf("%d used of the channel's limit, want %d", d.limiter.used, limited)
			}
		}
		for range rapid.IntRange(5, 60).Draw(t, "steps") {
			if failed {
				break
			}
			switch rapid.IntRange(0, 7).Draw(t, "kind") {
			case 0, 1:
				c := rapid.SampledFrom(consumers).Draw(t, "consumer")
				q := c.handle.(*ledgerQueue)
				n := rapid.IntRange(1, 20).Draw(t, "n")
				if granted := c.Reserve(&c.Consumer, n); granted != n {
					t.Fatalf("%d of %d granted without a limit", granted, n)
				}
				c.Deliver(&c.Consumer, []queue.Piece{q.piece(n)})
				deliver(q, c, n)
			case 2:
				q := rapid.SampledFrom(queues).Draw(t, "queue")
				if err := d.get(q, "q", false); err != nil {
					t.Fatal(err)
				}
				deliver(q, nil, 1)
			case 3, 4, 5, 6:
				var wantErr string
				for range rapid.IntRange(1, 8).Draw(t, "acks") {
					tag := rapid.Uint64Range(0, next).Draw(t, "tag")
					if rapid.IntRange(0, 9).Draw(t, "sane") > 0 {
						for ; tag < next && tag > 0; tag++ {
							if _, ok := open[tag]; ok {
								break
							}
						}
					}
					multiple := rapid.IntRange(0, 3).Draw(t, "multiple") == 0
					o := rapid.SampledFrom([]queue.Outcome{queue.Ack, queue.Requeue, queue.Drop}).Draw(t, "outcome")
					var err error
					switch {
					case o == queue.Ack:
						err = d.ack(tag, multiple)
					case multiple || rapid.Bool().Draw(t, "nack"):
						err = d.nack(tag, multiple, o == queue.Requeue)
					default:
						err = d.reject(tag, o == queue.Requeue)
					}
					if err != nil {
						t.Fatal(err)
					}
					if wantErr != "" {
						continue // the channel is about to be closed
					}
					_, ok := open[tag]
					switch {
					case multiple && tag == 0:
						for s := uint64(1); s < next; s++ {
							if _, ok := open[s]; ok {
								settle(s, o, tx)
							}
						}
					case !ok:
						wantErr = fmt.Sprintf("PRECONDITION_FAILED - unknown delivery tag %d", tag)
					case multiple:
						for s := uint64(1); s <= tag; s++ {
							if _, ok := open[s]; ok {
								settle(s, o, tx)
							}
						}
					default:
						settle(tag, o, tx)
					}
				}
				err := d.apply()
				d.push()
				text := ""
				if e, ok := errors.AsType[*wire.Error](err); ok {
					text = e.Text
				}
				if text != wantErr {
					t.Fatalf("got  %q\nwant %q", text, wantErr)
				}
				failed = err != nil
			case 7:
				switch k := rapid.IntRange(0, 2).Draw(t, "end"); {
				case k == 0:
					d.recover()
					for tag := range open {
						settle(tag, queue.Requeue, false)
					}
				case tx && k == 1:
					done := false
					ch.pub.commit(func(err error) { done = err == nil })
					if !done {
						t.Fatal("not committed")
					}
					for _, h := range held {
						want[all[h.tag].q.id][all[h.tag].offset] = h.outcome
					}
					held = nil
				case tx:
					ch.pub.rollback()
					for _, h := range held {
						open[h.tag] = all[h.tag]
					}
					held = nil
				}
			}
			checkAll()
		}
		d.close()
		for _, h := range held {
			open[h.tag] = all[h.tag]
		}
		held = nil
		for tag := range open {
			settle(tag, queue.Requeue, false)
		}
		checkAll()
	})
}

// discardCleanup lets a rapid.T make a rig; the caller cleans up.
type discardCleanup struct{ *rapid.T }

func (discardCleanup) Cleanup(func()) {}
