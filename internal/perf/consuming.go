package perf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// consumeAhead is how many basic.consume are sent before the first is answered.
const consumeAhead = 64

// consumer is one channel that consumes from one or several queues. The consumer tags are the indexes in subscriptions.
type consumer struct {
	channel       uint16
	subscriptions []subscription
	consumed      int // basic.consume sent

	message      content
	from         *subscription // of the message under way
	redelivered  bool
	tag          uint64 // last delivery tag
	acknowledged uint64 // up to and including
}

// subscription is a consumer's share in a queue.
type subscription struct {
	queue string
	check *queueVerifier // nil without verification
	last  lastSeen
}

// consuming is a connection with consumers. The goroutine that runs read owns everything but the counters and stopping.
type consuming struct {
	run       *run
	c         *conn
	consumers []*consumer // channel 1, 2, ...
	counters  counters
	latency   *recorderShard

	pending int           // subscriptions that are not confirmed yet
	ready   chan struct{} // closed when none is
	stop    chan struct{} // closed to end
	closed  chan struct{} // read has returned

	stopping atomic.Bool

	out                   []byte // acknowledgements of the chunk
	runs                  []sentRun
	received, redelivered int64
	locked                *queueVerifier // held until the chunk ends or another queue's message comes
}

func openConsuming(ctx context.Context, r *run, first, n int, e endpoint) (*consuming, error) {
	c, err := dial(ctx, e, fmt.Sprintf("connection of consumer %d", first), r.readBuffer, r.frameMax)
	if err != nil {
		return nil, err
	}
	b := &consuming{
		run: r, c: c, latency: r.latency.shard(first),
		ready: make(chan struct{}), stop: make(chan struct{}), closed: make(chan struct{}),
	}
	for i := range n {
		k := &consumer{channel: uint16(i + 1)}
		for _, q := range share(first+i, r.o.Consumers, len(r.topology.queues)) {
			s := subscription{queue: r.topology.queues[q]}
			if r.verifier != nil {
				s.check, s.last = r.verifier.queues[q], make(lastSeen)
			}
			k.subscriptions = append(k.subscriptions, s)
		}
		if err := k.open(c, r.o); err != nil {
			c.socket.Close()
			return nil, err
		}
		b.consumers = append(b.consumers, k)
		b.pending += len(k.subscriptions)
	}
	return b, nil
}

func (k *consumer) open(c *conn, o *Options) error {
	if err := c.openChannel(k.channel); err != nil {
		return err
	}
	if o.Prefetch == 0 {
		return nil
	}
	_, err := c.call(k.channel, &wire.BasicQos{PrefetchCount: uint16(o.Prefetch)}, wire.KeyBasicQosOk)
	return err
}

// subscribe appends up to n further basic.consume.
func (b *consuming) subscribe(k *consumer, n int) {
	for ; n > 0 && k.consumed < len(k.subscriptions); n-- {
		b.out = wire.AppendMethod(b.out, k.channel, &wire.BasicConsume{
			Queue:       k.subscriptions[k.consumed].queue,
			ConsumerTag: strconv.Itoa(k.consumed),
			NoAck:       b.run.o.AutoAck,
		})
		k.consumed++
	}
}

// read consumes until the connection ends. It closes ready when all consumers are there.
func (b *consuming) read() {
	defer close(b.closed)
	if err := b.consume(); err != nil {
		b.run.fail(fmt.Errorf("%s: %w", b.c.name, err))
	}
	b.c.socket.Close()
}

// finish makes read acknowledge what is left, close the connection and return. For one call.
func (b *consuming) finish() {
	b.stopping.Store(true)
	close(b.stop)
	_ = b.c.socket.SetReadDeadline(time.Unix(1, 0))
}

func (b *consuming) consume() error {
	for _, k := range b.consumers {
		b.subscribe(k, consumeAhead)
	}
	for {
		if err := b.chunk(); err != nil {
			return err
		}
		if len(b.out) > 0 {
			if err := b.c.send(b.out); err != nil {
				return err
			}
			b.out = b.out[:0]
		}
		err := b.c.fill()
		switch {
		case err == nil:
		case b.stopping.Load() && errors.Is(err, os.ErrDeadlineExceeded):
			return b.end()
		default:
			return err
		}
	}
}

// end acknowledges what was received and not acknowledged yet, and closes.
func (b *consuming) end() error {
	for _, k := range b.consumers {
		b.acknowledge(k, k.tag)
	}
	if len(b.out) > 0 {
		if err := b.c.send(b.out); err != nil {
			return err
		}
	}
	return b.c.close(settleLimit)
}

// chunk handles all frames in the buffer.
func (b *consuming) chunk() error {
	err := b.frames()
	if b.locked != nil {
		b.locked.mu.Unlock()
		b.locked = nil
	}
	if !b.run.o.AutoAck && b.run.o.MultiAck == 0 {
		for _, k := range b.consumers {
			b.acknowledge(k, k.tag)
		}
	}
	b.account()
	return err
}

// account adds what was received since the last call to the counters.
func (b *consuming) account() {
	if b.received == 0 {
		return
	}
	now := b.run.clock.now()
	b.latency.record(now, b.runs)
	b.counters.received.Add(b.received)
	b.counters.redelivered.Add(b.redelivered)
	b.counters.lastReceived.Store(now)
	b.runs, b.received, b.redelivered = b.runs[:0], 0, 0
}

func (b *consuming) frames() error {
	for {
		f, ok, err := b.c.next()
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if f.Channel == 0 || int(f.Channel) > len(b.consumers) {
			if err := b.other(nil, f); err != nil {
				return err
			}
			continue
		}
		k := b.consumers[f.Channel-1]
		var complete bool
		switch f.Type {
		case wire.FrameMethod:
			if key, _ := wire.ParseMethodKey(f.Payload); key == wire.KeyBasicDeliver {
				err = k.deliver(f.Payload[4:])
			} else {
				err = b.other(k, f)
			}
		case wire.FrameHeader:
			complete, err = k.message.header(f.Payload)
		case wire.FrameBody:
			complete, err = k.message.body(f.Payload)
		}
		if err != nil {
			return err
		}
		if complete {
			if err := b.receive(k); err != nil {
				return err
			}
		}
	}
}

// deliver takes the arguments of basic.deliver.
func (k *consumer) deliver(args []byte) error {
	d, err := wire.ParseDeliver(args)
	if err != nil {
		return err
	}
	if d.DeliveryTag != k.tag+1 {
		return fmt.Errorf("the broker delivered tag %d after %d", d.DeliveryTag, k.tag)
	}
	i := 0
	for _, digit := range d.ConsumerTag {
		i = i*10 + int(digit-'0')
	}
	if uint(i) >= uint(len(k.subscriptions)) {
		return fmt.Errorf("the broker delivered to the unknown consumer tag %q", d.ConsumerTag)
	}
	k.tag, k.redelivered, k.from = d.DeliveryTag, d.Redelivered, &k.subscriptions[i]
	k.message.begin()
	return nil
}

// receive handles a complete message.
func (b *consuming) receive(k *consumer) error {
	b.received++
	if k.redelivered {
		b.redelivered++
	}
	id, stamped := k.message.id()
	// What an earlier run left in the queue tells nothing about this one's latency.
	if sent, ok := k.message.sent(); ok && (!stamped || b.run.o.Producers == 0 || id.run() == b.run.tag) {
		b.runs = addRun(b.runs, sent)
	}
	if q := k.from.check; q != nil {
		if b.locked != q {
			if b.locked != nil {
				b.locked.mu.Unlock()
			}
			q.mu.Lock()
			b.locked = q
		}
		q.receive(id, stamped, k.redelivered, k.from.last)
	}
	if b.run.o.ConsumerDelay > 0 {
		if err := b.work(); err != nil {
			return err
		}
	}
	if o := b.run.o; !o.AutoAck && o.MultiAck > 0 && k.tag-k.acknowledged >= uint64(o.MultiAck) {
		b.acknowledge(k, k.tag)
	}
	return nil
}

// work is the consumer delay. What is known so far does not wait for it.
func (b *consuming) work() error {
	b.account()
	if b.locked != nil {
		b.locked.mu.Unlock()
		b.locked = nil
	}
	if len(b.out) > 0 {
		if err := b.c.send(b.out); err != nil {
			return err
		}
		b.out = b.out[:0]
	}
	t := time.NewTimer(b.run.o.ConsumerDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.stop:
	}
	return nil
}

// acknowledge appends the acknowledgement of all messages up to tag but one whose body is still to come.
func (b *consuming) acknowledge(k *consumer, tag uint64) {
	if k.message.expect != 0 {
		tag--
	}
	if b.run.o.AutoAck || tag <= k.acknowledged {
		return
	}
	b.out = wire.AppendAck(b.out, k.channel, tag, tag-k.acknowledged > 1)
	k.acknowledged = tag
}

// other handles what is not part of a delivery. k is nil for channel 0.
func (b *consuming) other(k *consumer, f wire.Frame) error {
	if f.Type == wire.FrameHeartbeat {
		return nil
	}
	if f.Type != wire.FrameMethod {
		return errUnexpectedFrame
	}
	m, err := wire.ParseMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.BasicConsumeOk:
		if k == nil {
			return errUnexpectedFrame
		}
		b.subscribe(k, 1)
		if b.pending--; b.pending == 0 {
			close(b.ready)
		}
	case *wire.BasicCancel:
		return fmt.Errorf("the broker cancelled consumer %q: its queue is gone", m.ConsumerTag)
	case *wire.ChannelClose, *wire.ConnectionClose:
		b.c.acceptClose(f.Channel, m)
		return closeError(m)
	}
	return nil
}
