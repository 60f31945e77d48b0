package server

import (
	"slices"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/queue"
)

// Counts are messages since a channel or connection was opened.
type Counts struct {
	Published    uint64 // by the client
	Confirmed    uint64 // publishes answered with ack or nack
	Returned     uint64 // unroutable and mandatory
	Dropped      uint64 // unroutable
	Delivered    uint64 // to consumers
	Got          uint64 // with basic.get
	Acknowledged uint64
	Rejected     uint64 // or requeued by the client
}

func (c *Counts) add(o Counts) {
	c.Published += o.Published
	c.Confirmed += o.Confirmed
	c.Returned += o.Returned
	c.Dropped += o.Dropped
	c.Delivered += o.Delivered
	c.Got += o.Got
	c.Acknowledged += o.Acknowledged
	c.Rejected += o.Rejected
}

// publishFigures are a publisher's figures for those who look. The publisher writes them once in each read chunk.
type publishFigures struct {
	published, returned, dropped, sequence, uncommitted atomic.Uint64

	mode     atomic.Int32 // txMode
	confirms atomic.Pointer[confirms]
}

// add adds what was published since the last report.
func (f *publishFigures) add(t *tally) {
	f.published.Add(t.received)
	if t.returned > 0 {
		f.returned.Add(t.returned)
	}
	if t.dropped > 0 {
		f.dropped.Add(t.dropped)
	}
}

// show is called by the publisher's owner.
func (f *publishFigures) show(p *publisher) {
	if f.mode.Load() != int32(p.mode) {
		f.confirms.Store(p.confirms)
		f.mode.Store(int32(p.mode))
	}
	switch p.mode {
	case modeConfirm:
		f.sequence.Store(p.seq)
	case modeTx:
		f.uncommitted.Store(p.gathered)
	}
}

// answered returns how many publishes were confirmed.
func (f *publishFigures) answered() uint64 {
	c := f.confirms.Load()
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.confirmed
}

// deliverTally is what the consuming side of a channel counts. It is guarded by deliveries.mu.
type deliverTally struct {
	delivered, got, acknowledged, rejected uint64
	unacked                                uint64
}

// tracked notes n deliveries that wait for an acknowledgement; c is nil for basic.get.
func (t *deliverTally) tracked(c *consumer, n uint64) {
	t.unacked += n
	if c != nil {
		c.unacked += n
	}
}

// settled notes that n of them wait no more.
func (t *deliverTally) settled(c *consumer, n uint64) {
	t.unacked -= n
	if c != nil {
		c.unacked -= n
	}
}

func (t *deliverTally) outcome(o queue.Outcome, n uint64) {
	if o == queue.Ack {
		t.acknowledged += n
		return
	}
	t.rejected += n
}

// openChannel is an open channel for those who look: what they may use from any goroutine.
type openChannel struct {
	ch      *channel // for comparison only
	number  uint16
	del     *deliveries
	figures *publishFigures
}

// counts returns what the channel has counted.
func (o *openChannel) counts() Counts {
	f := o.figures
	c := Counts{Published: f.published.Load(), Returned: f.returned.Load(), Dropped: f.dropped.Load(), Confirmed: f.answered()}
	o.del.mu.Lock()
	defer o.del.mu.Unlock()
	t := &o.del.tally
	c.Delivered, c.Got, c.Acknowledged, c.Rejected = t.delivered, t.got, t.acknowledged, t.rejected
	return c
}

// list shows a channel that was opened to those who look. Its owner calls it.
func (c *conn) list(ch *channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed = append(c.listed, &openChannel{ch: ch, number: ch.id, del: ch.del, figures: ch.pub.figures})
}

// unlist is the counterpart of list; what the channel has counted stays counted for the connection. The lock of a channel's
// deliveries is never taken while mu is held.
func (c *conn) unlist(ch *channel) {
	ch.pub.report()
	final := (&openChannel{del: ch.del, figures: ch.pub.figures}).counts()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past.add(final)
	c.listed = slices.DeleteFunc(c.listed, func(o *openChannel) bool { return o.ch == ch })
}

// counts returns what the connection has counted.
func (c *conn) counts() Counts {
	c.mu.Lock()
	n, open := c.past, slices.Clone(c.listed)
	c.mu.Unlock()
	for _, o := range open {
		n.add(o.counts())
	}
	return n
}
