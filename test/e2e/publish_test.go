//go:build e2e

package e2e

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// confirmer publishes persistent messages on a channel of its own in confirm mode and keeps count of the answers. It belongs to
// one goroutine.
type confirmer struct {
	t        *testing.T
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
	window   int

	sent, answered int
	nacked         int
	acked          func(tag uint64) // called for each ack, may be nil
}

func newConfirmer(t *testing.T, conn *amqp.Connection, window int) *confirmer {
	t.Helper()
	ch := openChannel(t, conn)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return &confirmer{t: t, ch: ch, confirms: ch.NotifyPublish(make(chan amqp.Confirmation, window)), window: window}
}

// publish sends one message to a queue. When a window of messages is unanswered, it waits for one answer.
func (c *confirmer) publish(queue string, body []byte) {
	c.t.Helper()
	if c.sent-c.answered >= c.window && !c.answer(patience) {
		c.t.Fatalf("no confirm in %s, %d are missing", patience, c.sent-c.answered)
	}
	if err := c.ch.Publish("", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}); err != nil {
		c.t.Fatalf("publish: %v", err)
	}
	c.sent++
}

// answer waits for one ack or nack and reports whether it came.
func (c *confirmer) answer(limit time.Duration) bool {
	c.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case confirm, ok := <-c.confirms:
		if !ok {
			c.t.Fatalf("the channel was closed with %d answers missing", c.sent-c.answered)
		}
		c.answered++
		if !confirm.Ack {
			c.nacked++
		} else if c.acked != nil {
			c.acked(confirm.DeliveryTag)
		}
		return true
	case <-timer.C:
		return false
	}
}

// flush waits for all answers; a nack fails the test.
func (c *confirmer) flush() {
	c.t.Helper()
	for c.answered < c.sent {
		if !c.answer(patience) {
			c.t.Fatalf("no confirm in %s, %d are missing", patience, c.sent-c.answered)
		}
	}
	if c.nacked > 0 {
		c.t.Fatalf("%d messages were nacked", c.nacked)
	}
}
