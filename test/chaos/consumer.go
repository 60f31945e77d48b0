//go:build linux

package chaos

import (
	"math/rand/v2"

	amqp "github.com/rabbitmq/amqp091-go"
)

// consumer consumes a queue from a node. Most of what it gets it acknowledges; some it gives back, in one way or another.
type consumer struct {
	w     *workers
	s     *session
	rng   *rand.Rand
	queue string
}

func (c *consumer) run() {
	defer c.s.finish()
	for c.w.going() {
		if ch, err := c.s.channel(); err == nil {
			c.work(ch)
			c.s.dropChannel()
		}
		pause(c.w.ctx, retryPause)
	}
}

func (c *consumer) work(ch *amqp.Channel) {
	release := c.s.guard()
	cancels := ch.NotifyCancel(make(chan string, 1))
	err := ch.Qos(1+c.rng.IntN(50), 0, false)
	var deliveries <-chan amqp.Delivery
	start := c.s.history.Now()
	if err == nil {
		deliveries, err = ch.Consume(c.queue, "", false, false, false, false, nil)
	}
	release()
	if err != nil {
		c.s.missing(Op{Client: c.s.client, Node: c.s.node.index, Start: start, End: c.s.history.Now(), Outcome: Fail, Error: err.Error()})
		return
	}
	for {
		select {
		case d, ok := <-deliveries:
			if !ok || !c.take(&d) {
				return
			}
		case <-cancels:
			return
		case <-c.w.ctx.Done():
			return
		}
	}
}

// take settles a delivery and records it. It returns false when the channel is to end.
func (c *consumer) take(d *amqp.Delivery) bool {
	settled := Acked
	switch c.rng.IntN(300) {
	case 0, 1, 2, 3, 4:
		settled = Requeued
	case 5:
		settled = Dropped
	}
	return settle(c.s, c.queue, d, settled) && settled != Dropped
}

// settle does with a delivery what is asked, and records it. It returns false when that could not be sent.
func settle(s *session, queue string, d *amqp.Delivery, settled Settled) bool {
	op := Op{
		Client: s.client, Node: s.node.index, Kind: Deliver, Name: queue, Message: string(d.Body),
		Redelivered: d.Redelivered, Settled: settled, Start: s.history.Now(), Outcome: OK,
	}
	var err error
	release := s.guard()
	switch settled {
	case Acked:
		err = d.Ack(false)
	case Requeued:
		err = d.Nack(false, true)
	}
	release()
	op.End = s.history.Now()
	if err != nil {
		op.Outcome, op.Error = Unknown, err.Error()
	}
	s.history.Add(op)
	return err == nil
}

// get takes and acknowledges one message, if there is one.
func get(s *session, queue string) (bool, error) {
	ch, err := s.channel()
	if err != nil {
		return false, err
	}
	release := s.guard()
	start := s.history.Now()
	d, ok, err := ch.Get(queue, false)
	release()
	if err != nil {
		s.missing(Op{Client: s.client, Node: s.node.index, Start: start, End: s.history.Now(), Outcome: Fail, Error: err.Error()})
		return false, err
	}
	if !ok {
		return false, nil
	}
	if !settle(s, queue, &d, Acked) {
		return false, amqp.ErrClosed
	}
	return true, nil
}
