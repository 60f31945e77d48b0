package server

import (
	"slices"
	"sort"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// How long a client may take to acknowledge a delivery (SEMANTICS 11.18) is what basic.consume asked for, or else the smaller of what
// the queue's argument and the policies say now, or else Options.ConsumerTimeout. 0 stands for no limit.

// ackWatch tells how long deliveries of a channel have not been acknowledged. Deliveries carry no time: now and then it is noted which
// delivery tag is next, so that everything below it is known to be at least as old as the note.
type ackWatch struct {
	timer *time.Timer   // nil: not watching; it runs from the first delivery until there is none to wait for
	every time.Duration // what it was set to
	marks []ackMark     // in order of time and tags
}

// ackMark says that all deliveries with tags below next were sent by the given time.
type ackMark struct {
	next uint64
	at   time.Time
}

const (
	// ackChecks is how often a channel is looked at within the timeout. Deliveries time out by so much later.
	ackChecks = 10
	// The time between two looks is bounded: a policy may shorten a timeout at any time, and a client may ask for any.
	minAckCheck = 20 * time.Millisecond
	maxAckCheck = time.Minute
	// maxAckMarks bounds the notes. Beyond that every other of the older half is forgotten, and deliveries of that time pass for
	// younger.
	maxAckMarks = 256
)

// ackCheckInterval returns how often to look at deliveries with this timeout, 0 for none.
func ackCheckInterval(timeout time.Duration) time.Duration {
	if timeout == 0 {
		return maxAckCheck
	}
	return min(max(timeout/ackChecks, minAckCheck), maxAckCheck)
}

// mark notes that tags below next were sent by now.
func (w *ackWatch) mark(next uint64, now time.Time) {
	if n := len(w.marks); n > 0 && w.marks[n-1].next >= next {
		return
	}
	if len(w.marks) == maxAckMarks {
		kept := w.marks[:0]
		for i, m := range w.marks {
			if i >= maxAckMarks/2 || i%2 == 1 {
				kept = append(kept, m)
			}
		}
		w.marks = kept
	}
	w.marks = append(w.marks, ackMark{next, now})
}

// forget drops the notes that say nothing about tags from oldest on.
func (w *ackWatch) forget(oldest uint64) {
	passed := 0
	for passed < len(w.marks) && w.marks[passed].next <= oldest {
		passed++
	}
	w.marks = slices.Delete(w.marks, 0, passed)
}

// age returns how long ago the delivery with the given tag was sent, at least.
func (w *ackWatch) age(tag uint64, now time.Time) time.Duration {
	i := sort.Search(len(w.marks), func(i int) bool { return w.marks[i].next > tag })
	if i == len(w.marks) {
		return 0
	}
	return now.Sub(w.marks[i].at)
}

// patient is deliveries with one timeout: those of a consumer, or those of basic.get from a queue if there is none.
type patient struct {
	handle   queue.Handle
	consumer *consumer
}

// timeoutOf returns what is in effect now, 0 for no limit. mu should not be held.
func (d *deliveries) timeoutOf(p patient) time.Duration {
	ms := int64(queue.None)
	if p.consumer != nil {
		ms = p.consumer.timeout
	}
	if ms < 0 {
		var ok bool
		if ms, ok = d.c.access.ConsumerTimeout(p.handle.ID()); !ok {
			return max(0, d.c.opts.ConsumerTimeout)
		}
	}
	return time.Duration(min(ms, maxExpiration)) * time.Millisecond
}

// track notes a delivery that has to be acknowledged, and is to be looked at so often. mu is held, and nextTag is behind the
// delivery.
func (d *deliveries) track(e delivery, every time.Duration) {
	d.unacked.add(e)
	d.tally.tracked(e.consumer, uint64(e.n))
	w := &d.watch
	if w.timer != nil && w.every <= every {
		return
	}
	w.mark(d.nextTag, time.Now())
	w.every = every
	if w.timer == nil {
		w.timer = time.AfterFunc(every, d.checkAcks)
	} else {
		w.timer.Reset(every)
	}
}

// waitingFor returns the oldest delivery tag of each patient that has one, and the oldest of all, 0 for none. mu is held.
func (d *deliveries) waitingFor() (tags map[patient]uint64, oldest uint64) {
	tags = make(map[patient]uint64)
	d.unacked.oldest(func(e *delivery, tag uint64) bool {
		if oldest == 0 {
			oldest = tag
		}
		if p := (patient{e.handle, e.consumer}); tags[p] == 0 {
			tags[p] = tag
		}
		return true
	})
	return tags, oldest
}

// checkAcks closes the channel if its client takes too long to acknowledge.
func (d *deliveries) checkAcks() {
	d.mu.Lock()
	tags, _ := d.waitingFor()
	d.mu.Unlock()
	timeouts := make(map[patient]time.Duration, len(tags))
	for p := range tags {
		timeouts[p] = d.timeoutOf(p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watch.timer == nil {
		return // the channel was closed meanwhile
	}
	tags, oldest := d.waitingFor()
	if oldest == 0 {
		d.watch = ackWatch{}
		return
	}
	d.watch.forget(oldest)
	now, every := time.Now(), maxAckCheck
	for p, tag := range tags {
		timeout, known := timeouts[p]
		if !known {
			every = minAckCheck // it came just now
			continue
		}
		if timeout > 0 && d.watch.age(tag, now) >= timeout {
			d.stopWatch()
			d.ch.fail(wire.Errorf(wire.PreconditionFailed, "delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
				"This timeout value can be configured, see consumers doc guide to learn more", d.ch.id, timeout.Milliseconds()))
			return
		}
		every = min(every, ackCheckInterval(timeout))
		if p.consumer != nil {
			p.consumer.every = ackCheckInterval(timeout)
		}
	}
	d.watch.mark(d.nextTag, now)
	d.watch.every = every
	d.watch.timer.Reset(every)
}

// stopWatch ends the watch. mu is held.
func (d *deliveries) stopWatch() {
	if d.watch.timer != nil {
		d.watch.timer.Stop()
		d.watch = ackWatch{}
	}
}
