package node

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// traffic is publishers and consumers of one queue on all nodes.
type traffic struct {
	c     *trio
	queue string
	stop  chan struct{}
	work  sync.WaitGroup

	mu         sync.Mutex
	confirmed  map[uint64]bool // message number: publisher << 32 | sequence
	nacked     int
	got        map[uint64]int
	last       map[[2]uint64]uint64 // by consumer and publisher
	twice      int                  // messages that came more than once
	duplicates int                  // of them, without redelivered
	disorder   []string
	cancelled  int
}

func (x *traffic) publish(p int, ch *amqp.Channel) {
	if err := ch.Confirm(false); err != nil {
		x.c.t.Error(err)
		return
	}
	acks := ch.NotifyPublish(make(chan amqp.Confirmation, 4096))
	x.work.Go(func() {
		pending := 0
		take := func(a amqp.Confirmation, ok bool) bool {
			if !ok {
				return false
			}
			pending--
			x.mu.Lock()
			if a.Ack {
				x.confirmed[uint64(p)<<32|a.DeliveryTag] = true
			} else {
				x.nacked++
			}
			x.mu.Unlock()
			return true
		}
		for seq := uint64(1); ; seq++ {
			select {
			case <-x.stop:
				for pending > 0 {
					a, ok := <-acks
					if !take(a, ok) {
						return
					}
				}
				return
			default:
			}
			body := make([]byte, 8, 64)
			binary.BigEndian.PutUint64(body, uint64(p)<<32|seq)
			if seq%97 == 0 {
				body = append(body, make([]byte, 40<<10)...) // a body of its own
			}
			mode := amqp.Persistent
			if seq%5 == 0 {
				mode = amqp.Transient
			}
			if err := ch.Publish("", x.queue, false, false, amqp.Publishing{DeliveryMode: mode, Body: body}); err != nil {
				return
			}
			for pending++; pending > 200; {
				a, ok := <-acks
				if !take(a, ok) {
					return
				}
			}
		}
	})
}

func (x *traffic) consume(k int, ch *amqp.Channel, prefetch int) {
	if err := ch.Qos(prefetch, 0, false); err != nil {
		x.c.t.Error(err)
		return
	}
	cancelled := ch.NotifyCancel(make(chan string, 8))
	in, err := ch.Consume(x.queue, "", false, false, false, false, nil)
	if err != nil {
		x.c.t.Error(err)
		return
	}
	x.work.Go(func() {
		n := 0
		var held []amqp.Delivery
		for d := range in {
			m := binary.BigEndian.Uint64(d.Body)
			x.mu.Lock()
			if x.got[m] > 0 && !d.Redelivered {
				x.duplicates++
			}
			x.got[m]++
			key := [2]uint64{uint64(k), m >> 32}
			if !d.Redelivered {
				if m <= x.last[key] {
					x.disorder = append(x.disorder, fmt.Sprintf("consumer %d: %d.%d after %d", k, m>>32, uint32(m), uint32(x.last[key])))
				}
				x.last[key] = m
			}
			x.mu.Unlock()
			held = append(held, d)
			if n++; len(held) >= prefetch/2 || n%7 == 0 {
				for _, h := range held {
					if err := h.Ack(false); err != nil {
						return
					}
				}
				held = held[:0]
			}
		}
	})
	x.work.Go(func() {
		for range cancelled {
			x.mu.Lock()
			x.cancelled++
			x.mu.Unlock()
		}
	})
}

func newTraffic(c *trio, queue string) *traffic {
	return &traffic{c: c, queue: queue, stop: make(chan struct{}), confirmed: make(map[uint64]bool), got: make(map[uint64]int),
		last: make(map[[2]uint64]uint64)}
}

// TestMoveUnderLoad has a queue move at random while publishers and consumers on all nodes use it: nothing is lost, nothing comes
// twice, all is in order, and no client notices anything.
func TestMoveUnderLoad(t *testing.T) {
	c := startTrio(t)
	if _, err := c.channel(0).QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	x := newTraffic(c, "q")
	var conns []*amqp.Connection
	for i := range c.nodes {
		conn := c.dial(i)
		conns = append(conns, conn)
		for k := range 2 {
			ch, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			x.publish(2*i+k+1, ch)
			if ch, err = conn.Channel(); err != nil {
				t.Fatal(err)
			}
			x.consume(2*i+k, ch, 20+100*k)
		}
	}
	moves := 12
	if testing.Short() {
		moves = 4
	}
	for n := range moves {
		x.mu.Lock()
		before := len(x.got)
		x.mu.Unlock()
		to := (c.leader("q") + 1 + rand.IntN(2)) % 3
		if n%3 == 2 { // whoever asks loses patience: the queue moves, or it does not
			_ = c.move(rand.IntN(3), "q", to, rand.N(20*time.Millisecond))
		} else if err := c.move(rand.IntN(3), "q", to, 30*time.Second); err != nil {
			t.Fatalf("move %d to n%d: %v", n, to, err)
		}
		c.wait("progress", func() bool { x.mu.Lock(); defer x.mu.Unlock(); return len(x.got) > before+500 })
	}
	close(x.stop)
	x.finish(conns, 0)
	if x.twice > 0 || x.duplicates > 0 || x.nacked > 0 || x.cancelled > 0 {
		t.Errorf("%d messages came again, %d of them not redelivered, %d nacks, %d consumers cancelled, want none", x.twice, x.duplicates,
			x.nacked, x.cancelled)
	}
	if len(x.disorder) > 0 {
		t.Errorf("%d out of order, the first: %s", len(x.disorder), x.disorder[0])
	}
}

// finish waits until everything that was confirmed has arrived, and ends the clients.
func (x *traffic) finish(conns []*amqp.Connection, lost int) {
	x.c.t.Helper()
	missing := func() (n int, first uint64) {
		x.mu.Lock()
		defer x.mu.Unlock()
		for m := range x.confirmed {
			if x.got[m] == 0 {
				if n++; first == 0 || m < first {
					first = m
				}
			}
		}
		return n, first
	}
	last, since := -1, time.Now()
	for time.Since(since) < 15*time.Second {
		n, _ := missing()
		x.mu.Lock()
		all := len(x.got)
		x.mu.Unlock()
		if n <= lost && all == last {
			break
		}
		if all != last {
			last, since = all, time.Now()
		}
		time.Sleep(100 * time.Millisecond)
	}
	if n, first := missing(); n > lost {
		s, err := x.c.channel(0).QueueInspect(x.queue)
		x.c.t.Errorf("%d of %d confirmed messages are lost, the first is %d.%d; queue %+v %v", n, len(x.confirmed), first>>32, uint32(first), s, err)
	}
	x.mu.Lock()
	for _, n := range x.got {
		if n > 1 {
			x.twice++
		}
	}
	x.mu.Unlock()
	for _, conn := range conns { // what it has not acknowledged comes to the others
		_ = conn.Close()
	}
	x.work.Wait()
	x.c.t.Logf("%d messages", len(x.got))
}
