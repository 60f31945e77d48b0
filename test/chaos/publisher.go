//go:build linux

package chaos

import (
	"math/rand/v2"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publisher sends messages to the queues of all nodes.
type publisher struct {
	w   *workers
	s   *session
	rng *rand.Rand
}

func (p *publisher) run() {
	defer p.s.finish()
	for p.w.going() {
		if ch, err := p.s.channel(); err == nil {
			p.work(ch)
			p.s.dropChannel()
		}
		pause(p.w.ctx, retryPause)
	}
}

// work publishes on one channel until that ends.
func (p *publisher) work(ch *amqp.Channel) {
	f, err := newFlow(p.s, ch)
	if err != nil {
		return
	}
	defer f.finish()
	for p.w.going() {
		for range 1 + p.rng.IntN(publishBurst) {
			queue := consumedQueue(p.rng.IntN(len(p.w.nodes)))
			if p.rng.IntN(100) < keepPercent {
				queue = keptQueue(p.rng.IntN(len(p.w.nodes)))
			}
			if !f.publish(queue) {
				return
			}
		}
		pause(p.w.ctx, time.Duration(p.rng.Int64N(int64(2*publishPause))))
	}
}

// flow publishes on a channel and records what becomes of each message. One goroutine publishes, another takes the confirms.
type flow struct {
	s      *session
	ch     *amqp.Channel
	client string
	room   chan struct{} // a token for each unconfirmed message
	ended  chan struct{} // closed when no more confirms come

	mu          sync.Mutex
	outstanding map[uint64]*Op // by delivery tag
	byMessage   map[string]*Op
	serial      int64
}

func newFlow(s *session, ch *amqp.Channel) (*flow, error) {
	defer s.guard()()
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	f := &flow{
		s: s, ch: ch, client: s.client, room: make(chan struct{}, publishWindow), ended: make(chan struct{}),
		outstanding: map[uint64]*Op{}, byMessage: map[string]*Op{},
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, publishWindow))
	returns := ch.NotifyReturn(make(chan amqp.Return, publishWindow))
	go f.settle(confirms, returns)
	return f, nil
}

// publish sends one message, when there is room. It returns false when the channel is of no more use.
func (f *flow) publish(queue string) bool {
	defer f.s.guard()()
	select {
	case f.room <- struct{}{}:
	case <-f.ended:
		return false
	}
	f.serial++
	op := &Op{
		Client: f.client, Node: f.s.node.index, Kind: Publish, Name: queue,
		Message: messageID(f.client, f.serial), Start: f.s.history.Now(), Outcome: Unknown,
	}
	f.mu.Lock()
	f.outstanding[f.ch.GetNextPublishSeqNo()] = op
	f.byMessage[op.Message] = op
	f.mu.Unlock()
	err := f.ch.Publish("", queue, true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, MessageId: op.Message, Body: []byte(op.Message)})
	if err != nil {
		f.mu.Lock()
		op.Error = err.Error()
		f.mu.Unlock()
	}
	return err == nil
}

// settle takes the answers. A return comes before the confirm of its message, and both are put into their Go channels in that order.
func (f *flow) settle(confirms <-chan amqp.Confirmation, returns <-chan amqp.Return) {
	defer close(f.ended)
	for c := range confirms {
		f.takeReturns(returns)
		f.mu.Lock()
		op := f.outstanding[c.DeliveryTag]
		if op != nil {
			op.End = f.s.history.Now()
			switch {
			case !c.Ack:
				op.Outcome = Fail
			case op.Outcome != Absent:
				op.Outcome = OK
			}
			f.s.history.Add(*op)
			delete(f.outstanding, c.DeliveryTag)
			delete(f.byMessage, op.Message)
			<-f.room
		}
		f.mu.Unlock()
	}
}

func (f *flow) takeReturns(returns <-chan amqp.Return) {
	for {
		select {
		case r, ok := <-returns:
			if !ok {
				return
			}
			f.mu.Lock()
			if op := f.byMessage[r.MessageId]; op != nil {
				op.Outcome, op.Error = Absent, r.ReplyText
			}
			f.mu.Unlock()
		default:
			return
		}
	}
}

// finish waits for the confirms that are still to come, ends the channel and records the rest as unknown.
func (f *flow) finish() {
	release := f.s.guard()
	defer release()
	for full := 0; full < publishWindow; full++ {
		select {
		case f.room <- struct{}{}:
		case <-f.ended:
			full = publishWindow
		}
	}
	f.s.dropChannel()
	<-f.ended
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, op := range f.outstanding {
		op.End, op.Outcome = f.s.history.Now(), Unknown
		f.s.history.Add(*op)
	}
}
