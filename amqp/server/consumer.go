package server

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

// consumer is a basic.consume of a channel.
type consumer struct {
	queue.Consumer
	handle    queue.Handle
	queue     string // its name
	del       *deliveries
	timeout   int64         // for acknowledgements in milliseconds, as the client asked; queue.None if it did not
	every     time.Duration // how often its acknowledgements are looked at, at most; guarded by deliveries.mu
	announced bool          // consume-ok is sent, or not wanted; guarded by deliveries.mu
	returning bool          // it is being started anew; guarded by deliveries.mu
	place     place         // in the channel's limiter; guarded by deliveries.mu
	arguments []byte        // of basic.consume, encoded
	// For those who look, guarded by deliveries.mu: messages delivered, and those of them that are unacknowledged.
	delivered, unacked uint64
}

// Reserve, Unreserve, Deliver and Cancelled make a consumer the queue.Receiver of itself.

// Reserve implements queue.Receiver.
func (c *consumer) Reserve(_ *queue.Consumer, n int) int {
	out := c.del.c.out
	if out.broken.Load() || !out.hasRoom(c) {
		return 0 // what is sent to a broken connection would be lost if it needs no acknowledgement
	}
	if c.NoAck {
		return n
	}
	c.del.mu.Lock()
	granted, again := c.del.limiter.reserve(c, n)
	c.del.mu.Unlock()
	if again {
		c.handle.Wake(&c.Consumer)
	}
	return granted
}

// Unreserve implements queue.Receiver.
func (c *consumer) Unreserve(_ *queue.Consumer, n int) {
	if c.NoAck {
		return
	}
	c.del.mu.Lock()
	wake := c.del.limiter.release(n)
	c.del.mu.Unlock()
	wakeAll(wake)
}

// Deliver implements queue.Receiver: it gives the messages their delivery tags, notes them as unacknowledged and queues the
// frames, all under the channel's lock, so that tags are in order on the wire.
func (c *consumer) Deliver(_ *queue.Consumer, pieces []queue.Piece) {
	d := c.del
	if v := d.c.firehose(); v != nil {
		d.trace(v, c.queue, pieces)
	}
	if list := d.c.srv.tracers.Load(); list != nil {
		d.follow(*list, c.handle, c.queue, c.NoAck, pieces)
	}
	out := d.c.out
	n, again := 0, 0
	d.mu.Lock()
	d.announce(c)
	out.mu.Lock()
	for i := range pieces {
		p := &pieces[i]
		n += p.Count
		if p.Redelivered {
			again += p.Count
		}
		first := d.nextTag
		d.nextTag += uint64(p.Count)
		c.delivered += uint64(p.Count)
		d.tally.delivered += uint64(p.Count)
		if !c.NoAck {
			d.track(delivery{first: first, n: uint32(p.Count), left: uint32(p.Count), offset: p.First,
				handle: c.handle, consumer: c}, c.every)
		}
		out.queuePiece(d.ch.id, c.Tag, first, p)
	}
	out.unlockAndWrite()
	d.mu.Unlock()
	d.c.srv.stats.delivered(n, again, c.NoAck)
}

// Cancelled implements queue.Receiver.
func (c *consumer) Cancelled(*queue.Consumer) { c.del.cancelled(c) }

func wakeAll(list []*consumer) {
	for _, c := range list {
		c.handle.Wake(&c.Consumer)
	}
}

// deliveries is the consuming side of a channel: its consumers, its unacknowledged deliveries, its prefetch limits.
type deliveries struct {
	c  *conn
	ch *channel

	mu        sync.Mutex // guards what queue runners touch, too
	nextTag   uint64
	unacked   unacked
	watch     ackWatch
	limiter   limiter
	consumers map[string]*consumer
	reply     *replyConsumer // nil: none; changed by the channel's owner only
	holding   bool           // a method that may cancel consumers is being answered
	cancels   []string
	tally     deliverTally
	ended     bool // no consumer comes back any more

	closing   chan struct{}  // closed when ended
	returning sync.WaitGroup // consumers that come back; added to under mu while not ended

	// The channel's owner:
	prefetch int // of consumers to come; it is changed under mu
	acks     []ackRun
	settled  []*queue.Settlement // on their way to the queues
	tx       bool
	held     []heldAck // acknowledgements of the open transaction
}

func newDeliveries(c *conn, ch *channel) *deliveries {
	return &deliveries{c: c, ch: ch, nextTag: 1, consumers: make(map[string]*consumer), closing: make(chan struct{})}
}

// qos sets the prefetch limit: of the whole channel, at once, or of consumers that are started later. 0 means no limit.
func (d *deliveries) qos(count uint16, global bool) {
	if !global {
		d.mu.Lock()
		d.prefetch = int(count)
		d.mu.Unlock()
		return
	}
	d.mu.Lock()
	wake := d.limiter.set(int(count))
	d.mu.Unlock()
	wakeAll(wake)
}

// consume starts a consumer and answers with consume-ok, ahead of the first delivery. name is the queue's, for error texts.
func (d *deliveries) consume(h queue.Handle, name string, m *wire.BasicConsume, args cluster.ConsumeArguments) (tag string, err error) {
	tag = m.ConsumerTag
	if tag == "" {
		tag = newConsumerTag()
	}
	c := &consumer{handle: h, queue: name, del: d, timeout: args.Timeout, arguments: m.Arguments.Encode()}
	c.every = ackCheckInterval(d.timeoutOf(patient{h, c}))
	c.Consumer = queue.Consumer{Tag: tag, NoAck: m.NoAck, Exclusive: m.Exclusive, Priority: args.Priority, Prefetch: d.prefetch, Receiver: c}
	d.mu.Lock()
	if d.consumers[tag] != nil || d.reply != nil && d.reply.tag == tag {
		d.mu.Unlock()
		return "", errTagInUse(tag)
	}
	c.announced = m.NoWait
	d.consumers[tag] = c
	d.mu.Unlock()
	if err := h.Consume(&c.Consumer); err != nil {
		d.mu.Lock()
		delete(d.consumers, tag)
		d.mu.Unlock()
		return "", d.c.access.QueueError(err, name)
	}
	d.mu.Lock()
	d.announce(c)
	d.mu.Unlock()
	return tag, nil
}

func newConsumerTag() string { return "amq.ctag-" + randomName() }

func errTagInUse(tag string) error {
	return wire.Errorf(wire.NotAllowed, "attempt to reuse consumer tag '%s'", tag)
}

// announce sends consume-ok unless it was sent. mu is held.
func (d *deliveries) announce(c *consumer) {
	if !c.announced {
		c.announced = true
		d.c.out.sendMethod(d.ch.id, &wire.BasicConsumeOk{ConsumerTag: c.Tag})
	}
}

// randomName returns 22 random characters of URL-safe base64.
func randomName() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// cancel ends a consumer and answers with cancel-ok, after its last delivery. Unknown tags are fine. It waits for the queue.
func (d *deliveries) cancel(tag string, noWait bool) {
	if d.reply != nil && d.reply.tag == tag {
		d.endReplies()
	}
	d.mu.Lock()
	c := d.consumers[tag]
	delete(d.consumers, tag)
	d.mu.Unlock()
	if c != nil {
		c.handle.Cancel(&c.Consumer)
	}
	if !noWait {
		d.c.out.sendMethod(d.ch.id, &wire.BasicCancelOk{ConsumerTag: tag})
	}
}

// cancelled handles the end of a consumer whose queue has gone: clients that understand it are told.
func (d *deliveries) cancelled(c *consumer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.consumers[c.Tag] != c {
		return
	}
	d.announce(c) // the queue may be gone before consume has come to that
	if d.comeBack(c) {
		return
	}
	d.end(c)
}

// end forgets a consumer and tells the client. mu is held.
func (d *deliveries) end(c *consumer) {
	delete(d.consumers, c.Tag)
	if !d.c.caps.consumerCancelNotify {
		return
	}
	if d.holding {
		d.cancels = append(d.cancels, c.Tag)
		return
	}
	d.c.out.sendMethod(d.ch.id, &wire.BasicCancel{ConsumerTag: c.Tag, NoWait: true})
}

// hold keeps back basic.cancel until resume, so that it follows the answer to the method that caused it (queue.delete).
func (d *deliveries) hold() {
	d.mu.Lock()
	d.holding = true
	d.mu.Unlock()
}

func (d *deliveries) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holding = false
	for _, tag := range d.cancels {
		d.c.out.sendMethod(d.ch.id, &wire.BasicCancel{ConsumerTag: tag, NoWait: true})
	}
	d.cancels = nil
}

// get answers basic.get. It waits for the queue.
func (d *deliveries) get(h queue.Handle, name string, noAck bool) error {
	p, remaining, ok, err := h.Get(noAck)
	if err != nil {
		return d.c.access.QueueError(err, name)
	}
	if !ok {
		d.c.srv.stats.getEmpty.Add(1)
		d.c.out.sendMethod(d.ch.id, &wire.BasicGetEmpty{})
		return nil
	}
	var r block.Record
	if _, err := block.Parse(p.Records, p.Tail, &r); err != nil {
		return err
	}
	d.c.srv.stats.got(noAck, p.Redelivered)
	if p.Failures > 0 {
		r.Properties = withDeliveryCount(r.Properties, p.Failures)
	}
	if v := d.c.firehose(); v != nil {
		d.trace(v, name, []queue.Piece{p})
	}
	if list := d.c.srv.tracers.Load(); list != nil {
		d.follow(*list, h, name, noAck, []queue.Piece{p})
	}
	every := ackCheckInterval(d.timeoutOf(patient{handle: h}))
	d.mu.Lock()
	defer d.mu.Unlock()
	tag := d.nextTag
	d.nextTag++
	d.tally.got++
	if !noAck {
		d.track(delivery{first: tag, n: 1, left: 1, offset: p.First, handle: h}, every)
	}
	out := d.c.out
	out.mu.Lock()
	out.appendFrames(func(b []byte) []byte {
		return wire.AppendGetOk(b, d.ch.id, tag, p.Redelivered, r.Exchange, r.RoutingKey, uint32(remaining))
	})
	if !out.stopped {
		out.appendContent(d.ch.id, r.Properties, r.Body)
	}
	out.unlockAndWrite()
	return nil
}

// close cancels all consumers and requeues what is not settled. It waits for the queues.
func (d *deliveries) close() {
	if d.tx {
		d.rollback()
		d.tx = false
	}
	d.endReplies()
	d.mu.Lock()
	d.stopWatch()
	d.ended = true
	close(d.closing)
	d.mu.Unlock()
	d.returning.Wait()
	d.mu.Lock()
	list := make([]*consumer, 0, len(d.consumers))
	for _, c := range d.consumers {
		list = append(list, c)
	}
	clear(d.consumers)
	d.mu.Unlock()
	for _, c := range list {
		c.handle.Cancel(&c.Consumer)
	}
	d.acks = d.acks[:0]
	d.mu.Lock()
	rejected := d.tally.rejected
	d.mu.Unlock()
	d.recover()
	d.mu.Lock()
	d.tally.rejected = rejected // the client did not ask for that
	d.mu.Unlock()
}
