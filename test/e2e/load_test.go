//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// load publishes and consumes until it is stopped or the broker is gone. Everything goes through a ledger.
type load struct {
	t      *testing.T
	b      *broker
	ledger *ledger
	rand   *rand.Rand // for the making of goroutines only; each has its own

	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	acks []*acker
}

func newLoad(b *broker, l *ledger, r *rand.Rand) *load {
	ctx, cancel := context.WithCancel(b.t.Context())
	ld := &load{t: b.t, b: b, ledger: l, rand: r, ctx: ctx, cancel: cancel}
	b.t.Cleanup(ld.stop)
	return ld
}

func (l *load) child() *rand.Rand { return rand.New(rand.NewPCG(l.rand.Uint64(), l.rand.Uint64())) }

// stop ends the goroutines. The broker may be gone; then their connections are closed already.
func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

// publish keeps up to window unconfirmed persistent messages under way to an exchange, from one channel. nextSeq continues the
// publisher's numbers over runs. queues are where each message has to arrive.
func (l *load) publish(conn *amqp.Connection, name, exchange, key string, queues []string, nextSeq *int, window int) {
	l.t.Helper()
	ch := openChannel(l.t, conn)
	if err := ch.Confirm(false); err != nil {
		l.t.Fatal(err)
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window))
	r := l.child()
	l.done.Go(func() {
		first := *nextSeq
		answered := 0
		handle := func(c amqp.Confirmation) {
			answered++
			id := messageID{name, first + int(c.DeliveryTag) - 1}
			if c.Ack {
				l.ledger.confirmed(id, queues)
			} else {
				l.ledger.fail("publisher %s: %v was nacked", name, id)
			}
		}
		for l.ctx.Err() == nil {
			id := messageID{name, *nextSeq}
			*nextSeq++
			l.ledger.published(id, queues)
			body := append(id.body(), make([]byte, r.IntN(2000)*r.IntN(2))...)
			err := ch.Publish(exchange, key, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
			if err != nil {
				break
			}
			for *nextSeq-first-answered >= window {
				c, ok := <-confirms
				if !ok {
					return
				}
				handle(c)
			}
		}
		// What was confirmed just before the end counts too: the channel is closed when the connection breaks.
		for *nextSeq-first > answered {
			select {
			case c, ok := <-confirms:
				if !ok {
					return
				}
				handle(c)
			case <-time.After(patience):
				if l.b.running() {
					l.ledger.fail("publisher %s: %d messages without an answer", name, *nextSeq-first-answered)
				}
				return
			}
		}
	})
}

// acker is a consumer with manual acknowledgements.
type acker struct {
	load     *load
	ch       *amqp.Channel
	queue    string
	consumer string
	tx       bool // acknowledge in transactions: what is committed is settled for good
	batch    int  // acknowledgements at a time, by one with multiple=true
	keep     int  // one in keep batches is never acknowledged, 0 for none
}

// consume starts a on a channel of its own.
func (l *load) consume(conn *amqp.Connection, a acker) {
	l.t.Helper()
	a.load = l
	a.ch = openChannel(l.t, conn)
	if err := a.ch.Qos(max(4*a.batch, 100), 0, false); err != nil {
		l.t.Fatal(err)
	}
	if a.tx {
		if err := a.ch.Tx(); err != nil {
			l.t.Fatal(err)
		}
	}
	deliveries, err := a.ch.Consume(a.queue, a.consumer, false, false, false, false, nil)
	if err != nil {
		l.t.Fatalf("consume from %s: %v", a.queue, err)
	}
	l.acks = append(l.acks, &a)
	r := l.child()
	l.done.Go(func() { a.run(deliveries, r) })
}

func (a *acker) run(deliveries <-chan amqp.Delivery, r *rand.Rand) {
	var ids []messageID
	kept := 0
	for {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return
			}
			ids = append(ids, a.load.ledger.delivered(a.queue, a.consumer, &d))
			if len(ids) < a.batch {
				continue
			}
			// What is kept is covered by no later multiple ack, since that would need a higher tag.
			if a.keep > 0 && kept == 0 && r.IntN(a.keep) == 0 {
				kept = len(ids)
			}
			if kept == 0 && !a.settle(&d, ids) {
				return
			}
			ids = ids[:0]
		case <-a.load.ctx.Done():
			return
		}
	}
}

// settle acknowledges everything up to d. From the first kept batch on a consumer acknowledges nothing any more.
func (a *acker) settle(d *amqp.Delivery, ids []messageID) bool {
	a.load.ledger.acked(a.queue, ids)
	if err := d.Ack(true); err != nil {
		return false
	}
	if a.tx {
		if err := a.ch.TxCommit(); err != nil {
			return false
		}
		a.load.ledger.settled(a.queue, ids)
	}
	return true
}

// close closes the consumers' channels in order: every acknowledgement that was sent has then been processed.
func (l *load) close() {
	l.t.Helper()
	for _, a := range l.acks {
		if err := a.ch.Close(); err != nil && !errors.Is(err, amqp.ErrClosed) {
			l.t.Errorf("close channel of %s: %v", a.consumer, err)
		}
	}
}

// drain takes everything out of the queues, one consumer each, until no confirmed message is missing and the queue is empty.
func drain(b *broker, l *ledger, queues []string) {
	b.t.Helper()
	conn := b.dial()
	defer closeQuietly(conn)
	for _, queue := range queues {
		drainQueue(b, l, conn, queue)
	}
}

func drainQueue(b *broker, l *ledger, conn *amqp.Connection, queue string) {
	b.t.Helper()
	ch := openChannel(b.t, conn)
	if err := ch.Qos(500, 0, false); err != nil {
		b.t.Fatal(err)
	}
	left := depth(b.t, ch, queue)
	deliveries, err := ch.Consume(queue, "drain", false, false, false, false, nil)
	if err != nil {
		b.t.Fatalf("consume from %s: %v", queue, err)
	}
	for ; left > 0; left-- {
		select {
		case d, ok := <-deliveries:
			if !ok {
				b.t.Fatalf("%s: the channel was closed", queue)
			}
			id := l.delivered(queue, "drain", &d)
			l.acked(queue, []messageID{id})
			if err := d.Ack(false); err != nil {
				b.t.Fatal(err)
			}
		case <-time.After(patience):
			l.fail("%s: declared %d more messages than it delivered", queue, left)
			left = 0
		}
	}
	if n, example := l.missing(queue); n > 0 {
		l.fail("%s: %d confirmed messages are lost, %v is one", queue, n, example)
	}
	if err := ch.Close(); err != nil {
		b.t.Errorf("close: %v", err)
	}
}

// publisherName makes names that Sscanf reads as one word.
func publisherName(i int, exchange string) string { return fmt.Sprintf("p%d-%s", i, exchange) }
