//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Queues that are there for the whole round, led by the node in their names. What comes to a kept queue stays until the end.
func consumedQueue(node int) string { return fmt.Sprintf("consumed-%d", node) }
func keptQueue(node int) string     { return fmt.Sprintf("kept-%d", node) }

// Pace of the clients. A round makes some 600 messages and 150 changes of names a second on an idle machine.
const (
	publishPause  = 60 * time.Millisecond // between bursts of a publisher
	publishBurst  = 12
	publishWindow = 64                     // unconfirmed messages of a publisher
	topologyPause = 5 * time.Millisecond   // between operations of a topology client
	retryPause    = 100 * time.Millisecond // after an error
	generation    = 3 * time.Second        // of the names that topology clients use
	namesAtOnce   = 2                      // of each kind in a generation
	keepPercent   = 25                     // share of messages for kept queues
)

// workers are the clients. All of them end soon after ctx.
type workers struct {
	nodes   []*node
	history *History
	seed    uint64
	ctx     context.Context

	mu       sync.Mutex
	sessions []*session
	names    map[string]Kind // all that topology clients have used, by the kind of the look for it
	done     sync.WaitGroup
	doomed   chan string // queues for another client to delete
}

func (w *workers) session(name string, n *node) *session {
	s := &session{node: n, name: fmt.Sprintf("%s-%d", name, n.index), history: w.history}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions = append(w.sessions, s)
	return s
}

func (w *workers) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, stream)) }

// start lets all clients of all nodes work.
func (w *workers) start() {
	stream := uint64(1000)
	for _, n := range w.nodes {
		for i := range 2 {
			stream++
			p := &publisher{w: w, s: w.session(fmt.Sprintf("publisher%d", i), n), rng: w.rng(stream)}
			w.done.Go(p.run)
			stream++
			t := &topologist{w: w, s: w.session(fmt.Sprintf("topology%d", i), n), rng: w.rng(stream)}
			w.done.Go(t.run)
		}
		for _, queue := range w.nodes {
			stream++
			c := &consumer{w: w, s: w.session("consumer-"+consumedQueue(queue.index), n), rng: w.rng(stream), queue: consumedQueue(queue.index)}
			w.done.Go(c.run)
		}
		stream++
		p := &binder{w: w, s: w.session("binder", n), looks: w.session("prober", n), rng: w.rng(stream)}
		w.done.Go(p.run)
		stream++
		ch := &churner{w: w, s: w.session("churn", n), rng: w.rng(stream)}
		w.done.Go(ch.run)
	}
}

// stop waits until the clients have ended. Their context must have ended. Connections that last longer than limit are cut.
func (w *workers) stop(limit time.Duration) {
	ended := make(chan struct{})
	go func() {
		w.done.Wait()
		close(ended)
	}()
	t := time.AfterFunc(limit, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.sessions {
			s.close()
		}
	})
	<-ended
	t.Stop()
}

// use notes a name, for the end of the round.
func (w *workers) use(name string, look Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = look
}

func (w *workers) going() bool { return w.ctx.Err() == nil }

// generation is a number that goes up every while, for names that are fresh now and then.
func (w *workers) generation() int64 { return w.history.Now() / int64(generation) }

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
