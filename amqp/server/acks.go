package server

import (
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

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
	if n := len(d.acks); n > 0 && !multiple && tag != 0 {
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
		n, err := d.applyRun(a)
		freed += n
		if err != nil {
			failure = err
			break
		}
	}
	d.acks = d.acks[:0]
	wake := d.release(freed)
	d.mu.Unlock()
	wakeAll(wake)
	return failure
}

// applyRun settles one run; n is how many deliveries of consumers the queues will hear of. mu is held.
func (d *deliveries) applyRun(a ackRun) (int, error) {
	lo, hi := a.lo, a.hi
	unknown := func(tag uint64) error {
		return wire.Errorf(wire.PreconditionFailed, "unknown delivery tag %d", tag).WithMethod(a.method)
	}
	switch {
	case a.multiple && hi == 0: // everything
		lo, hi = 1, d.nextTag-1
	case a.multiple:
		if !d.unacked.outstanding(hi) {
			return 0, unknown(hi)
		}
		lo = 1
	default:
		tag, ok := d.unacked.gap(lo, hi)
		if ok && tag == lo {
			return 0, unknown(tag)
		}
		if ok { // those before it are fine
			return d.settleRange(lo, tag-1, a.outcome, d.tx), unknown(tag)
		}
	}
	return d.settleRange(lo, hi, a.outcome, d.tx), nil
}

// settleRange settles what is outstanding in [lo, hi], or notes that for commit when held is set. n is how many deliveries of
// consumers the queues will hear of. mu is held.
func (d *deliveries) settleRange(lo, hi uint64, o queue.Outcome, held bool) (n int) {
	d.unacked.settle(lo, hi, func(e *delivery, lo, hi uint64) {
		d.tally.settled(e.consumer, hi-lo+1)
		h := heldAck{e.handle, e.consumer, o, lo, hi, e.offset + lo - e.first}
		if held {
			d.held = append(d.held, h)
			return
		}
		n += h.count()
		d.add(h)
	})
	return n
}

// count returns the number of deliveries that count against the channel's prefetch limit.
func (h *heldAck) count() int {
	if h.consumer == nil {
		return 0
	}
	return int(h.hi - h.lo + 1)
}

// release makes room for n more deliveries and forgets settled ones, unless a transaction may bring them back. It returns the
// consumers to wake. mu is held.
func (d *deliveries) release(n int) []*consumer {
	if len(d.held) == 0 {
		d.unacked.compact()
	}
	return d.limiter.release(n)
}

// joinable is how many settlements are looked at for one that another acknowledgement belongs to.
const joinable = 16

// add puts a settlement in line for its queue, joining it to a recent one if they belong together: in which order different
// messages are settled makes no difference.
func (d *deliveries) add(h heldAck) {
	r := queue.Range{First: h.offset, Last: h.offset + h.hi - h.lo}
	d.tally.outcome(h.outcome, h.hi-h.lo+1)
	if list := d.c.srv.tracers.Load(); list != nil {
		for _, t := range *list {
			t.settled(h.handle.ID(), r, h.outcome)
		}
	}
	for i := len(d.settled) - 1; i >= max(0, len(d.settled)-joinable); i-- {
		s := d.settled[i]
		if s.Outcome != h.outcome || s.Handle != h.handle || s.Consumer != h.queueConsumer() {
			continue
		}
		if m := len(s.Ranges); s.Ranges[m-1].Last+1 == r.First {
			s.Ranges[m-1].Last = r.Last
		} else {
			s.Ranges = append(s.Ranges, r)
		}
		return
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
	if len(d.settled) == 0 {
		return
	}
	acked, rejected := uint64(0), uint64(0)
	for i, s := range d.settled {
		for _, r := range s.Ranges {
			if s.Outcome == queue.Ack {
				acked += r.Last - r.First + 1
			} else {
				rejected += r.Last - r.First + 1
			}
		}
		s.Handle.Settle(s)
		d.settled[i] = nil
	}
	d.settled = d.settled[:0]
	if acked > 0 {
		d.c.srv.stats.acknowledged.Add(acked)
	}
	if rejected > 0 {
		d.c.srv.stats.rejected.Add(rejected)
	}
}

// recover requeues everything unsettled, at once in a transaction, too; what that has acknowledged stays acknowledged.
func (d *deliveries) recover() {
	d.flush()
	d.mu.Lock()
	wake := d.release(d.settleRange(1, d.nextTag-1, queue.Requeue, false))
	d.mu.Unlock()
	d.push()
	wakeAll(wake)
}

// selectTx makes acknowledgements wait for commit.
func (d *deliveries) selectTx() { d.tx = true }

// commit carries out the acknowledgements of the transaction. Each queue that has some is counted in b until it has them for
// good.
func (d *deliveries) commit(b *queue.Batch) {
	d.mu.Lock()
	freed := 0
	for _, h := range d.held {
		freed += h.count()
		d.add(h)
	}
	d.held = d.held[:0]
	wake := d.release(freed)
	d.mu.Unlock()
	last := make(map[queue.Handle]*queue.Settlement)
	for _, s := range d.settled {
		last[s.Handle] = s
	}
	failed := func(error) { b.Refuse(b.First) }
	for _, s := range d.settled {
		if s.Failed = failed; last[s.Handle] == s {
			b.Add()
			s.Done = b.Done
		}
	}
	d.push()
	wakeAll(wake)
}

// rollback makes the deliveries of the transaction's acknowledgements unacknowledged again.
func (d *deliveries) rollback() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.held {
		d.unacked.unsettle(h.lo, h.hi)
		d.tally.tracked(h.consumer, h.hi-h.lo+1)
	}
	d.held = d.held[:0]
}
