package server

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var mayhemSeed = flag.Uint64("mayhem.seed", 0, "seed of TestMayhem, 0 for a random one")

// mayhem is what publishers and consumers agree on: which copies of messages exist and what became of them.
type mayhem struct {
	t      *testing.T
	server *testServer

	mu        sync.Mutex
	copies    map[string]*copyState // by queue and message
	confirmed int                   // copies that were confirmed and not settled for good
	quiet     bool                  // consumers acknowledge everything from now on
	failed    bool
}

type copyState struct {
	confirmed, seen, settled bool
}

func (m *mayhem) errorf(format string, args ...any) {
	m.failed = true
	m.t.Errorf(format, args...)
}

const (
	mayhemFanout  = "mayhem.fanout"
	mayhemQueues  = 4 // the first two are durable
	mayhemBound   = 2 // of them are bound to the fanout exchange
	mayhemLarge   = 40_000
	mayhemTimeout = 20 * time.Second
)

func mayhemQueue(i int) string { return fmt.Sprintf("mayhem.%d", i) }

func (m *mayhem) dial() *amqp.Connection {
	c, err := amqp.DialConfig("amqp://guest:guest@"+m.server.Addrs()[0].String(), amqp.Config{FrameSize: 20_000, Heartbeat: time.Minute})
	if err != nil {
		panic(err)
	}
	return c
}

// publisher publishes on channels that it closes after a while, now and then before everything is confirmed.
func (m *mayhem) publisher(rng *rand.Rand, id, total int) {
	conn := m.dial()
	defer conn.Close()
	for channel := 0; total > 0; channel++ {
		ch, err := conn.Channel()
		check(err)
		check(ch.Confirm(false))
		n := min(total, 1+rng.IntN(300))
		total -= n
		confirms := ch.NotifyPublish(make(chan amqp.Confirmation, n))
		targets := make([][]*copyState, n)
		hurry := rng.IntN(4) == 0
		for i := range n {
			name := fmt.Sprintf("p%d c%d %06d", id, channel, i)
			body := name
			if rng.IntN(50) == 0 {
				body += strings.Repeat(".", mayhemLarge)
			}
			exchange, key := "", mayhemQueue(rng.IntN(mayhemQueues))
			queues := []string{key}
			switch rng.IntN(5) {
			case 0:
				exchange, queues = mayhemFanout, nil
				for j := range mayhemBound {
					queues = append(queues, mayhemQueue(j))
				}
			case 1:
				key, queues = "mayhem.nobody", nil
			}
			m.mu.Lock()
			for _, q := range queues {
				s := &copyState{}
				m.copies[q+" "+name] = s
				targets[i] = append(targets[i], s)
			}
			m.mu.Unlock()
			check(ch.Publish(exchange, key, false, false, amqp.Publishing{
				Body: []byte(body), DeliveryMode: uint8(rng.IntN(3)), MessageId: fmt.Sprint(rng.IntN(3)),
			}))
		}
		if hurry {
			check(ch.Close())
		}
		next := uint64(1)
		for timeout := time.After(mayhemTimeout); next <= uint64(n); next++ {
			select {
			case c, ok := <-confirms:
				if !ok && hurry {
					next = uint64(n)
					break
				}
				m.mu.Lock()
				if !ok || !c.Ack || c.DeliveryTag != next {
					m.errorf("publisher %d, channel %d: confirm %+v, %v; want %d", id, channel, c, ok, next)
				} else {
					for _, s := range targets[next-1] {
						s.confirmed = true
						if !s.settled {
							m.confirmed++
						}
					}
				}
				m.mu.Unlock()
			case <-timeout:
				m.mu.Lock()
				m.errorf("publisher %d, channel %d: message %d of %d is not confirmed", id, channel, next, n)
				m.mu.Unlock()
				next = uint64(n)
			}
		}
		if !hurry {
			check(ch.Close())
		}
	}
}

// received is a delivery with the queue that it came from.
type received struct {
	amqp.Delivery
	state *copyState
}

// consuming is what a consumer has on its channel.
type consuming struct {
	open  []received // not settled
	tags  map[uint64]bool
	whole uint64 // everything up to here was received
}

func (c *consuming) add(d received) {
	c.open = append(c.open, d)
	for c.tags[d.DeliveryTag] = true; c.tags[c.whole+1]; c.whole++ {
		delete(c.tags, c.whole+1)
	}
}

// receive checks a delivery and notes it.
func (m *mayhem) receive(queue string, d amqp.Delivery, last map[string]int) received {
	name, _, _ := strings.Cut(string(d.Body), ".")
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.copies[queue+" "+name]
	switch {
	case s == nil:
		m.errorf("%s: %.40q was not published there", queue, d.Body)
		s = &copyState{}
	case s.settled:
		m.errorf("%s: %s comes after it was acknowledged, redelivered %v", queue, name, d.Redelivered)
	case s.seen && !d.Redelivered:
		m.errorf("%s: %s comes again without redelivered", queue, name)
	case len(d.Body) != len(name) && len(d.Body) != len(name)+mayhemLarge:
		m.errorf("%s: %s has %d bytes", queue, name, len(d.Body))
	}
	s.seen = true
	if !d.Redelivered {
		var n int
		source := queue + name[:strings.LastIndexByte(name, ' ')]
		_, err := fmt.Sscanf(name[strings.LastIndexByte(name, ' '):], "%d", &n)
		if check(err); n < last[source] {
			m.errorf("%s: %s comes after %d", queue, name, last[source])
		}
		last[source] = n
	}
	return received{d, s}
}

// settled notes that a copy will not come again.
func (m *mayhem) settled(s *copyState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.settled {
		s.settled = true
		if s.confirmed {
			m.confirmed--
		}
	}
}

func (m *mayhem) state() (quiet, done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quiet, m.failed || m.quiet && m.confirmed == 0
}

// consumer consumes on channels that it closes after a while, and settles deliveries in all ways and any order.
func (m *mayhem) consumer(rng *rand.Rand) {
	conn := m.dial()
	defer conn.Close()
	for {
		quiet, done := m.state()
		if done {
			return
		}
		ch, err := conn.Channel()
		check(err)
		check(ch.Qos(rng.IntN(40), 0, rng.IntN(2) == 0))
		first := rng.IntN(mayhemQueues)
		queues := []string{mayhemQueue(first), mayhemQueue((first + 1) % mayhemQueues)}
		var from [2]<-chan amqp.Delivery
		for i, q := range queues {
			from[i], err = ch.Consume(q, fmt.Sprint("c", i), false, false, false, false, nil)
			check(err)
		}
		last := make(map[string]int)
		c := &consuming{tags: make(map[uint64]bool)}
		timeout := time.After(50 * time.Millisecond) // then somebody else may have what is left
	receiving:
		for range 50 + rng.IntN(500) {
			select {
			case d := <-from[0]:
				c.add(m.receive(queues[0], d, last))
			case d := <-from[1]:
				c.add(m.receive(queues[1], d, last))
			case <-timeout:
				break receiving
			}
			for len(c.open) > 0 && rng.IntN(3) > 0 {
				m.settle(rng, c, quiet)
			}
		}
		if rng.IntN(3) == 0 {
			check(ch.Cancel("c0", false))
		}
		check(ch.Close())
	}
}

// settle settles one of the open deliveries, or several.
func (m *mayhem) settle(rng *rand.Rand, c *consuming, quiet bool) {
	i := rng.IntN(len(c.open))
	d := c.open[i]
	how := rng.IntN(10)
	if quiet && how > 1 {
		how = 9
	}
	switch how {
	case 0, 1:
		if c.whole < d.DeliveryTag {
			return // the client library holds deliveries that would be settled with it
		}
		var left []received
		for _, o := range c.open {
			if o.DeliveryTag > d.DeliveryTag {
				left = append(left, o)
			} else if how == 0 {
				m.settled(o.state)
			}
		}
		c.open = left
		if how == 0 {
			check(d.Ack(true))
		} else {
			check(d.Nack(true, true))
		}
		return
	case 2, 3:
		check(d.Nack(false, true))
	case 4:
		check(d.Reject(true))
	case 5:
		m.settled(d.state)
		check(d.Reject(false))
	default:
		m.settled(d.state)
		check(d.Ack(false))
	}
	c.open[i] = c.open[len(c.open)-1]
	c.open = c.open[:len(c.open)-1]
}

// TestMayhem runs publishers and consumers against the real broker. Nothing that was confirmed may be lost, nothing that was
// acknowledged may come back, each channel's messages keep their order, and each publish is confirmed once.
func TestMayhem(t *testing.T) {
	seed := *mayhemSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("run again with -mayhem.seed=%d", seed)
	m := &mayhem{t: t, server: startServer(t, Options{OutboxBytes: 20_000, InflightBytes: 100_000}), copies: make(map[string]*copyState)}
	conn := m.dial()
	defer conn.Close()
	ch, err := conn.Channel()
	check(err)
	check(ch.ExchangeDeclare(mayhemFanout, "fanout", false, false, false, false, nil))
	for i := range mayhemQueues {
		_, err := ch.QueueDeclare(mayhemQueue(i), i < 2, false, false, false, nil)
		check(err)
		if i < mayhemBound {
			check(ch.QueueBind(mayhemQueue(i), "", mayhemFanout, false, nil))
		}
	}
	var publishers, consumers sync.WaitGroup
	for i := range 3 {
		publishers.Go(func() { m.publisher(rand.New(rand.NewPCG(seed, uint64(i))), i, 3000) })
		consumers.Go(func() { m.consumer(rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	publishers.Wait()
	m.mu.Lock()
	m.quiet = true
	m.mu.Unlock()
	timer := time.AfterFunc(mayhemTimeout, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.errorf("%d confirmed messages did not come", m.confirmed)
	})
	consumers.Wait()
	timer.Stop()
	for i := range mayhemQueues {
		// What is left was not confirmed, as its channel was closed.
		for {
			d, ok, err := ch.Get(mayhemQueue(i), true)
			if check(err); !ok {
				break
			}
			if r := m.receive(mayhemQueue(i), d, make(map[string]int)); r.state.confirmed {
				t.Errorf("%s: %.30q was left", mayhemQueue(i), d.Body)
			}
		}
		_, err := ch.QueueDelete(mayhemQueue(i), false, true, false)
		check(err)
	}
	check(ch.ExchangeDelete(mayhemFanout, false, false))
}
