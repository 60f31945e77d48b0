//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// topologist declares, deletes and looks for queues and exchanges that all clients use.
type topologist struct {
	w   *workers
	s   *session
	rng *rand.Rand
}

func (t *topologist) run() {
	defer t.s.finish()
	for t.w.going() {
		name := fmt.Sprintf("%d-%d", t.w.generation(), t.rng.IntN(namesAtOnce))
		var o Outcome
		var err error
		switch t.rng.IntN(8) {
		case 0, 1:
			t.w.use("q"+name, LookQueue)
			o, err = t.s.declareQueue("q"+name, nil)
		case 2:
			o, err = t.s.deleteQueue("q" + name)
		case 3:
			_, o, err = t.s.lookQueue("q" + name)
		case 4, 5:
			t.w.use("x"+name, LookExchange)
			o, err = t.s.declareExchange("x" + name)
		case 6:
			o, err = t.s.deleteExchange("x" + name)
		case 7:
			o, err = t.s.lookExchange("x" + name)
		}
		if err != nil && o != Absent {
			pause(t.w.ctx, retryPause)
		}
		pause(t.w.ctx, time.Duration(t.rng.Int64N(int64(2*topologyPause))))
	}
}

// binder binds, unbinds and looks for bindings that all clients use.
type binder struct {
	w        *workers
	s, looks *session
	rng      *rand.Rand
	prober   prober
}

func (b *binder) run() {
	defer b.s.finish()
	defer b.looks.finish()
	for b.w.going() {
		queue := bindingQueue(b.rng.IntN(len(b.w.nodes)))
		key := fmt.Sprintf("%s/%d-%d", queue, b.w.generation(), b.rng.IntN(namesAtOnce))
		var err error
		switch b.rng.IntN(4) {
		case 0:
			b.w.use(queue+" "+key, LookBinding)
			_, err = b.s.bind(queue, key)
		case 1:
			_, err = b.s.unbind(queue, key)
		default:
			_, err = b.looks.lookBinding(&b.prober, queue, key)
		}
		if err != nil {
			pause(b.w.ctx, retryPause)
		}
		pause(b.w.ctx, time.Duration(b.rng.Int64N(int64(2*topologyPause))))
	}
}

// serials numbers what must not be named twice in a round.
var serials atomic.Int64

// churner makes queues, uses them and deletes most of them, or has a client of another node do that. No name comes twice.
type churner struct {
	w   *workers
	s   *session
	rng *rand.Rand
}

func (c *churner) run() {
	defer c.s.finish()
	for c.w.going() {
		if err := c.round(); err != nil {
			pause(c.w.ctx, retryPause)
		}
		pause(c.w.ctx, time.Duration(c.rng.Int64N(int64(200*time.Millisecond))))
	}
}

func (c *churner) round() error {
	if doomed := c.take(); doomed != "" {
		if o, err := c.s.deleteQueue(doomed); err != nil {
			if o != Unknown {
				c.leave(doomed)
			}
			return err
		}
	}
	queue := fmt.Sprintf("churn-%d-%d", c.s.node.index, serials.Add(1))
	c.w.use(queue, LookQueue)
	if o, err := c.s.declareQueue(queue, nil); o != OK {
		return err
	}
	if err := c.fill(queue); err != nil {
		return err
	}
	if err := c.drink(queue); err != nil {
		return err
	}
	switch c.rng.IntN(10) {
	case 0, 1, 2, 3:
		_, err := c.s.deleteQueue(queue)
		return err
	case 4, 5, 6, 7:
		c.leave(queue)
	}
	return nil // it stays
}

// take returns a queue to delete, "" if there is none.
func (c *churner) take() string {
	select {
	case q := <-c.w.doomed:
		return q
	default:
		return ""
	}
}

// leave has somebody else delete a queue, unless there are many of those already.
func (c *churner) leave(queue string) {
	select {
	case c.w.doomed <- queue:
	default:
	}
}

// fill publishes some messages and waits for the confirms.
func (c *churner) fill(queue string) error {
	c.s.dropChannel() // confirms cannot be turned off again, and a flow counts from 1
	ch, err := c.s.channel()
	if err != nil {
		return err
	}
	f, err := newFlow(c.s, ch)
	if err != nil {
		return err
	}
	defer f.finish()
	for range c.rng.IntN(20) {
		if !f.publish(queue) {
			return amqp.ErrClosed
		}
	}
	return nil
}

// drink gets some messages.
func (c *churner) drink(queue string) error {
	for range c.rng.IntN(10) {
		got, err := get(c.s, queue)
		if err != nil || !got {
			return err
		}
	}
	return nil
}
