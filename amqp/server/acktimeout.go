package server

import (
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// ackWatch tells how long the oldest delivery of a channel has not been acknowledged (SEMANTICS 11.18). Deliveries carry no time:
// now and then it is noted which delivery tag is next, so that everything below it is known to be at least as old as the note.
type ackWatch struct {
	timer *time.Timer // nil: not watching; it runs from the first delivery until there is none to wait for
	marks []ackMark   // in order of time and tags
}

// ackMark says that all deliveries with tags below next were sent by the given time.
type ackMark struct {
	next uint64
	at   time.Time
}

// ackChecks is how often a channel is looked at within the timeout, but at least once a minute. Deliveries time out by so much
// later.
const ackChecks = 10

func ackCheckInterval(timeout time.Duration) time.Duration {
	return min(timeout/ackChecks+1, time.Minute)
}

// mark notes that tags below next were sent by now.
func (w *ackWatch) mark(next uint64, now time.Time) {
	if n := len(w.marks); n == 0 || w.marks[n-1].next < next {
		w.marks = append(w.marks, ackMark{next, now})
	}
}

// age returns how long ago the delivery with the given tag, the oldest that is not acknowledged, was sent, at least.
func (w *ackWatch) age(oldest uint64, now time.Time) time.Duration {
	passed := 0
	for passed < len(w.marks) && w.marks[passed].next <= oldest {
		passed++
	}
	w.marks = append(w.marks[:0], w.marks[passed:]...)
	if len(w.marks) == 0 {
		return 0
	}
	return now.Sub(w.marks[0].at)
}

// track notes a delivery that has to be acknowledged. mu is held, and nextTag is behind the delivery.
func (d *deliveries) track(e delivery) {
	d.unacked.add(e)
	d.tally.tracked(e.consumer, uint64(e.n))
	if d.watch.timer == nil && d.c.opts.ConsumerTimeout > 0 {
		d.watch.mark(d.nextTag, time.Now())
		d.watch.timer = time.AfterFunc(ackCheckInterval(d.c.opts.ConsumerTimeout), d.checkAcks)
	}
}

// checkAcks closes the channel if its client takes too long to acknowledge.
func (d *deliveries) checkAcks() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watch.timer == nil {
		return // the channel was closed meanwhile
	}
	oldest, any := d.unacked.oldest()
	if !any {
		d.watch = ackWatch{}
		return
	}
	timeout, now := d.c.opts.ConsumerTimeout, time.Now()
	if d.watch.age(oldest, now) >= timeout {
		d.watch = ackWatch{}
		d.ch.fail(wire.Errorf(wire.PreconditionFailed, "delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
			"This timeout value can be configured, see consumers doc guide to learn more", d.ch.id, timeout.Milliseconds()))
		return
	}
	d.watch.mark(d.nextTag, now)
	d.watch.timer.Reset(ackCheckInterval(timeout))
}

// stopWatch ends the watch. mu is held.
func (d *deliveries) stopWatch() {
	if d.watch.timer != nil {
		d.watch.timer.Stop()
		d.watch = ackWatch{}
	}
}
