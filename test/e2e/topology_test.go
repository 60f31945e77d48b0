//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// presence is what a test knows of a queue, exchange or binding.
type presence int

const (
	absent presence = iota
	present
	unknown // the broker was killed before it answered
)

// topology declares, deletes, binds and unbinds at random and knows what the broker has answered. It belongs to one goroutine
// at a time.
type topology struct {
	rand      *rand.Rand
	queues    [8]presence
	exchanges [4]presence
	bindings  [4][8]presence // exchange, queue: each with a key of its own
	changes   int
}

func topologyQueue(q int) string     { return fmt.Sprintf("topology-queue-%d", q) }
func topologyExchange(e int) string  { return fmt.Sprintf("topology-exchange-%d", e) }
func topologyKey(e, q int) string    { return fmt.Sprintf("key-%d-%d", e, q) }
func (p *topology) dropQueue(q int)  { p.eachBinding(func(e, bq int) bool { return bq == q }, absent) }
func (p *topology) loseQueue(q int)  { p.eachBinding(func(e, bq int) bool { return bq == q }, unknown) }
func (p *topology) dropSource(x int) { p.eachBinding(func(e, _ int) bool { return e == x }, absent) }
func (p *topology) loseSource(x int) { p.eachBinding(func(e, _ int) bool { return e == x }, unknown) }
func (p *topology) eachBinding(is func(e, q int) bool, to presence) {
	for e := range p.bindings {
		for q := range p.bindings[e] {
			if is(e, q) && (to == absent || p.bindings[e][q] != absent) {
				p.bindings[e][q] = to
			}
		}
	}
}

// change makes one random change. An error other than a broken connection is a problem of the broker.
func (p *topology) change(ch *amqp.Channel, l *ledger) error {
	e, q := p.rand.IntN(len(p.exchanges)), p.rand.IntN(len(p.queues))
	err := p.attempt(ch, l, e, q)
	var refused *amqp.Error
	if errors.As(err, &refused) && refused.Server && refused.Code != amqp.ConnectionForced {
		l.fail("topology: %v", err)
	}
	if err == nil {
		p.changes++
	}
	return err
}

func (p *topology) attempt(ch *amqp.Channel, l *ledger, e, q int) error {
	switch p.rand.IntN(6) {
	case 0, 1:
		if p.queues[q] == present {
			return p.deleteQueue(ch, q)
		}
		return p.declareQueue(ch, l, q)
	case 2:
		if p.exchanges[e] == present {
			return p.deleteExchange(ch, e)
		}
		return p.declareExchange(ch, e)
	default:
		if p.queues[q] != present {
			return p.declareQueue(ch, l, q)
		}
		if p.exchanges[e] != present {
			return p.declareExchange(ch, e)
		}
		return p.bind(ch, e, q)
	}
}

// declareQueue declares a queue that does not exist; messages of an earlier queue of that name must be gone. It puts one
// message in.
func (p *topology) declareQueue(ch *amqp.Channel, l *ledger, q int) error {
	p.queues[q] = unknown
	declared, err := ch.QueueDeclare(topologyQueue(q), true, false, false, false, nil)
	if err != nil {
		return err
	}
	p.queues[q] = present
	if declared.Messages != 0 {
		l.fail("topology: %s came back with %d messages of its deleted namesake", declared.Name, declared.Messages)
	}
	return ch.Publish("", topologyQueue(q), false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("t")})
}

func (p *topology) deleteQueue(ch *amqp.Channel, q int) error {
	p.queues[q] = unknown
	p.loseQueue(q)
	if _, err := ch.QueueDelete(topologyQueue(q), false, false, false); err != nil {
		return err
	}
	p.queues[q] = absent
	p.dropQueue(q)
	return nil
}

func (p *topology) declareExchange(ch *amqp.Channel, e int) error {
	p.exchanges[e] = unknown
	err := ch.ExchangeDeclare(topologyExchange(e), amqp.ExchangeDirect, true, false, false, false, nil)
	if err == nil {
		p.exchanges[e] = present
	}
	return err
}

func (p *topology) deleteExchange(ch *amqp.Channel, e int) error {
	p.exchanges[e] = unknown
	p.loseSource(e)
	if err := ch.ExchangeDelete(topologyExchange(e), false, false); err != nil {
		return err
	}
	p.exchanges[e] = absent
	p.dropSource(e)
	return nil
}

// bind binds what is unbound, and the other way round.
func (p *topology) bind(ch *amqp.Channel, e, q int) error {
	was := p.bindings[e][q]
	p.bindings[e][q] = unknown
	var err error
	if was == present {
		err = ch.QueueUnbind(topologyQueue(q), topologyKey(e, q), topologyExchange(e), nil)
	} else {
		err = ch.QueueBind(topologyQueue(q), topologyKey(e, q), topologyExchange(e), false, nil)
	}
	if err == nil {
		p.bindings[e][q] = absent
		if was != present {
			p.bindings[e][q] = present
		}
	}
	return err
}

// check compares the broker after a restart with what it had answered, and learns what was unknown.
func (p *topology) check(t *testing.T, b *broker) {
	t.Helper()
	conn := b.dial()
	defer closeQuietly(conn)
	for q := range p.queues {
		exists(t, conn, topologyQueue(q), &p.queues[q], func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(topologyQueue(q), true, false, false, false, nil)
			return err
		})
		if p.queues[q] == absent {
			p.dropQueue(q)
		}
	}
	for e := range p.exchanges {
		exists(t, conn, topologyExchange(e), &p.exchanges[e], func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive(topologyExchange(e), amqp.ExchangeDirect, true, false, false, false, nil)
		})
		if p.exchanges[e] == absent {
			p.dropSource(e)
		}
	}
	for e := range p.bindings {
		if p.exchanges[e] != present {
			continue
		}
		for q := range p.bindings[e] {
			name := fmt.Sprintf("binding of %s to %s", topologyQueue(q), topologyExchange(e))
			compare(t, name, &p.bindings[e][q], routes(t, conn, topologyExchange(e), topologyKey(e, q)))
		}
	}
}

// exists finds out with a passive declare, on a channel of its own because its failure closes the channel.
func exists(t *testing.T, conn *amqp.Connection, name string, known *presence, passive func(*amqp.Channel) error) {
	t.Helper()
	ch := openChannel(t, conn)
	err := passive(ch)
	var refused *amqp.Error
	switch {
	case err == nil:
		_ = ch.Close() // nothing depends on it
		compare(t, name, known, true)
	case errors.As(err, &refused) && refused.Code == amqp.NotFound:
		compare(t, name, known, false)
	default:
		t.Fatalf("passive declare of %s: %v", name, err)
	}
}

func compare(t *testing.T, name string, known *presence, found bool) {
	t.Helper()
	observed := absent
	if found {
		observed = present
	}
	if *known != unknown && *known != observed {
		t.Errorf("%s: exists %t after the restart, but the broker had confirmed the contrary", name, found)
	}
	*known = observed
}

// routes reports whether a mandatory message finds a queue.
func routes(t *testing.T, conn *amqp.Connection, exchange, key string) bool {
	t.Helper()
	ch := openChannel(t, conn)
	defer func() { _ = ch.Close() }() // nothing depends on it
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 1))
	if err := ch.Publish(exchange, key, true, false, amqp.Publishing{Body: []byte("t")}); err != nil {
		t.Fatal(err)
	}
	// A return comes before the confirm of its message.
	select {
	case c := <-confirms:
		if !c.Ack {
			t.Errorf("message to %s %s was nacked", exchange, key)
		}
	case <-time.After(patience):
		t.Fatalf("no confirm from %s", exchange)
	}
	select {
	case <-returns:
		return false
	default:
		return true
	}
}
