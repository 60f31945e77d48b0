package server

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"sync"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// consumer is a basic.consume of a channel.
type consumer struct {
	queue.Consumer
	handle    queue.Handle
	del       *deliveries
	announced bool // consume-ok is sent, or not wanted; guarded by deliveries.mu
}

// Reserve, Unreserve, Deliver and Cancelled make a consumer the queue.Receiver of itself.

// Reserve implements queue.Receiver.
func (c *consumer) Reserve(_ *queue.Consumer, n int) int {
	if !c.del.c.out.hasRoom(c) {
		return 0
	}
	if c.NoAck {
		return n
	}
	c.del.mu.Lock()
	defer c.del.mu.Unlock()
	return c.del.limiter.reserve(c, n)
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
	out := d.c.out
	d.mu.Lock()
	d.announce(c)
	out.mu.Lock()
	for i := range pieces {
		p := &pieces[i]
		first := d.nextTag
		d.nextTag += uint64(p.Count)
		if !c.NoAck {
			d.unacked.add(delivery{first: first, n: uint32(p.Count), left: uint32(p.Count), offset: p.First,
				handle: c.handle, consumer: c})
		}
		out.queuePiece(d.ch.id, c.Tag, first, p)
	}
	out.unlockAndWrite()
	d.mu.Unlock()
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
	limiter   limiter
	consumers map[string]*consumer
	holding   bool // a method that may cancel consumers is being answered
	cancels   []string

	// The channel's owner:
	prefetch int // of consumers to come
	acks     []ackRun
	settled  []*queue.Settlement // on their way to the queues
	tx       bool
	held     []heldAck // acknowledgements of the open transaction
}

// ackRun is a run of acknowledgements as they came from the client.
type ackRun struct {
	lo, hi   uint64
	multiple bool
	outcome  queue.Outcome
	method   wire.MethodKey
}

// heldAck is an acknowledgement that waits for tx.commit.
type heldAck struct {
	handle   queue.Handle
	consumer *consumer
	outcome  queue.Outcome
	lo, hi   uint64 // delivery tags
	offset   uint64 // of lo
}

func newDeliveries(c *conn, ch *channel) *deliveries {
	return &deliveries{c: c, ch: ch, nextTag: 1, consumers: make(map[string]*consumer)}
}

// qos sets the prefetch limit: of the whole channel, at once, or of consumers that are started later. 0 means no limit.
func (d *deliveries) qos(count uint16, global bool) {
	if !global {
		d.prefetch = int(count)
		return
	}
	d.mu.Lock()
	wake := d.limiter.set(int(count))
	d.mu.Unlock()
	wakeAll(wake)
}

// hasConsumer reports whether the channel has a consumer with this tag.
func (d *deliveries) hasConsumer(tag string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.consumers[tag] != nil
}

// consume starts a consumer and answers with consume-ok, ahead of the first delivery. name is the queue's, for error texts.
func (d *deliveries) consume(h queue.Handle, name string, m *wire.BasicConsume, priority int32) (tag string, err error) {
	tag = m.ConsumerTag
	if tag == "" {
		tag = "amq.ctag-" + randomName()
	}
	c := &consumer{handle: h, del: d}
	c.Consumer = queue.Consumer{Tag: tag, NoAck: m.NoAck, Exclusive: m.Exclusive, Priority: priority, Prefetch: d.prefetch, Receiver: c}
	d.mu.Lock()
	if d.consumers[tag] != nil {
		d.mu.Unlock()
		return "", wire.Errorf(wire.NotAllowed, "attempt to reuse consumer tag '%s'", tag)
	}
	c.announced = m.NoWait
	d.consumers[tag] = c
	d.mu.Unlock()
	if err := h.Consume(&c.Consumer); err != nil {
		d.mu.Lock()
		delete(d.consumers, tag)
		d.mu.Unlock()
		return "", d.refusal(err, name)
	}
	d.mu.Lock()
	d.announce(c)
	d.mu.Unlock()
	return tag, nil
}

// refusal is the error for the client when a queue does not take a consumer or a basic.get.
func (d *deliveries) refusal(err error, name string) error {
	switch {
	case errors.Is(err, queue.ErrExclusiveUse):
		return wire.Errorf(wire.AccessRefused, "queue '%s' in vhost '%s' in exclusive use", name, d.c.vhost)
	case errors.Is(err, queue.ErrGone):
		return wire.Errorf(wire.NotFound, "no queue '%s' in vhost '%s'", name, d.c.vhost)
	}
	return err
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
		return d.refusal(err, name)
	}
	if !ok {
		d.c.out.sendMethod(d.ch.id, &wire.BasicGetEmpty{})
		return nil
	}
	var r block.Record
	if _, err := block.Parse(p.Records, p.Tail, &r); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	tag := d.nextTag
	d.nextTag++
	if !noAck {
		d.unacked.add(delivery{first: tag, n: 1, left: 1, offset: p.First, handle: h})
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

// ack, nack and reject gather what the client sends; flush, or the next method that may wait, carries it out.

func (d *deliveries) ack(tag uint64, multiple bool) error {
	return d.gather(tag, multiple, queue.Ack, wire.KeyBasicAck)
}

func (d *deliveries) nack(tag uint64, multiple, requeue bool) error {
	return d.gather(tag, multiple, outcome(requeue), wire.KeyBasicNack)
}

func (d *deliveries) reject(tag uint64, requeue bool) error {
	return d.gather(tag, false, outcome(requeue), wire.KeyBasicReject)
}

func outcome(requeue bool) queue.Outcome {
	if requeue {
		return queue.Requeue
	}
	return queue.Drop
}

// maxAckRuns bounds what gather keeps.
const maxAckRuns = 1024

func (d *deliveries) gather(tag uint64, multiple bool, o queue.Outcome, k wire.MethodKey) error {
	if n := len(d.acks); n > 0 && !multiple {
		if l := &d.acks[n-1]; !l.multiple && l.hi+1 == tag && l.outcome == o && l.method == k {
			l.hi = tag
			return nil
		}
	}
	d.acks = append(d.acks, ackRun{lo: tag, hi: tag, multiple: multiple, outcome: o, method: k})
	if len(d.acks) >= maxAckRuns {
		return d.apply()
	}
	return nil
}

// apply carries out the gathered acknowledgements. The error is a 406 for a tag that is not outstanding; what came after it
// is dropped.
func (d *deliveries) apply() error {
	if len(d.acks) == 0 {
		return nil
	}
	d.mu.Lock()
	var failure error
	freed := 0
	for _, a := range d.acks {
		n, ok := d.applyRun(a)
		freed += n
		if !ok {
			tag := a.hi
			if !a.multiple {
				tag = d.firstUnknown(a.lo, a.hi)
			}
			failure = wire.Errorf(wire.PreconditionFailed, "unknown delivery tag %d", tag).WithMethod(a.method)
			break
		}
	}
	d.acks = d.acks[:0]
	if !d.tx {
		d.unacked.compact()
	}
	wake := d.limiter.release(freed)
	d.mu.Unlock()
	wakeAll(wake)
	return failure
}

// applyRun settles one run; n is how many deliveries of consumers were settled. mu is held.
func (d *deliveries) applyRun(a ackRun) (n int, ok bool) {
	lo, hi := a.lo, a.hi
	if a.multiple {
		lo = 0
		switch {
		case hi == 0:
			hi = d.nextTag - 1
		case !d.unacked.outstanding(hi):
			return 0, false
		}
	}
	settled := d.unacked.settle(lo, hi, func(e *delivery, lo, hi uint64) {
		if e.consumer != nil {
			n += int(hi - lo + 1)
		}
		h := heldAck{e.handle, e.consumer, a.outcome, lo, hi, e.offset + lo - e.first}
		if d.tx {
			d.held = append(d.held, h)
		} else {
			d.add(h)
		}
	})
	if d.tx {
		n = 0 // room for more comes with the commit
	}
	return n, a.multiple || settled == int(hi-lo+1)
}

// firstUnknown returns the tag of [lo, hi] to name in the error: the first one that was never outstanding. The ones before it
// were just settled. mu is held.
func (d *deliveries) firstUnknown(lo, hi uint64) uint64 {
	for tag := lo; tag < hi; tag++ {
		i := d.unacked.from(tag)
		if i >= len(d.unacked.list) || d.unacked.list[i].first > tag {
			return tag
		}
	}
	return hi
}

// add puts a settlement in line for its queue, joining it to the one before if they belong together.
func (d *deliveries) add(h heldAck) {
	r := queue.Range{First: h.offset, Last: h.offset + h.hi - h.lo}
	if n := len(d.settled); n > 0 {
		if s := d.settled[n-1]; s.Outcome == h.outcome && s.Handle == h.handle && s.Consumer == h.queueConsumer() {
			if m := len(s.Ranges); s.Ranges[m-1].Last+1 == r.First {
				s.Ranges[m-1].Last = r.Last
			} else {
				s.Ranges = append(s.Ranges, r)
			}
			return
		}
	}
	d.settled = append(d.settled, &queue.Settlement{
		Handle: h.handle, Consumer: h.queueConsumer(), Outcome: h.outcome, Ranges: []queue.Range{r},
	})
}

func (h *heldAck) queueConsumer() *queue.Consumer {
	if h.consumer == nil {
		return nil
	}
	return &h.consumer.Consumer
}

// flush carries out what was gathered and pushes it to the queues. An error closes the channel.
func (d *deliveries) flush() {
	if err := d.apply(); err != nil {
		d.ch.fail(err)
	}
	d.push()
}

func (d *deliveries) push() {
	for i, s := range d.settled {
		s.Handle.Settle(s)
		d.settled[i] = nil
	}
	d.settled = d.settled[:0]
}

// recover requeues everything unsettled.
func (d *deliveries) recover() {
	d.flush()
	// Tag 0 with multiple is always outstanding.
	_ = d.gather(0, true, queue.Requeue, wire.KeyBasicRecover)
	_ = d.apply()
	d.push()
}

// selectTx makes acknowledgements wait for commit.
func (d *deliveries) selectTx() { d.tx = true }

// commit carries out the acknowledgements of the transaction. Each queue that has some is counted in b until it has them for
// good.
func (d *deliveries) commit(b *queue.Batch) {
	d.mu.Lock()
	freed := 0
	for _, h := range d.held {
		if h.consumer != nil {
			freed += int(h.hi - h.lo + 1)
		}
		d.add(h)
	}
	d.held = d.held[:0]
	d.unacked.compact()
	wake := d.limiter.release(freed)
	d.mu.Unlock()
	last := make(map[queue.Handle]*queue.Settlement)
	for _, s := range d.settled {
		last[s.Handle] = s
	}
	for _, s := range last {
		b.Add()
		s.Done = b.Done
	}
	d.push()
	wakeAll(wake)
}

// rollback makes the deliveries of the transaction's acknowledgements unacknowledged again.
func (d *deliveries) rollback() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.held {
		i := d.unacked.from(h.lo)
		d.unacked.list[i].unsettle(h.lo, h.hi)
	}
	d.held = d.held[:0]
}

// close cancels all consumers and requeues what is not settled. It waits for the queues.
func (d *deliveries) close() {
	if d.tx {
		d.rollback()
		d.tx = false
	}
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
	d.recover()
}
