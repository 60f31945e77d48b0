package perf

import "sync/atomic"

// counters are what a connection has done. The goroutines of the connection add to them, once per chunk; the reporter reads.
type counters struct {
	published   atomic.Int64
	confirmed   atomic.Int64
	nacked      atomic.Int64
	returned    atomic.Int64
	received    atomic.Int64
	redelivered atomic.Int64

	// Unix nanoseconds of the last change.
	lastPublished, lastConfirmed, lastReceived atomic.Int64

	blockedSince atomic.Int64 // Unix nanoseconds, 0 if the broker does not block the connection
	blockedFor   atomic.Int64 // nanoseconds, without the blockage that goes on
	blockages    atomic.Int64

	_ [40]byte // connections do not share cache lines
}

// totals are counters at one moment, or the sum of those of several connections.
type totals struct {
	published, confirmed, nacked, returned, received, redelivered int64
	lastPublished, lastConfirmed, lastReceived                    int64
	blockages, blockedFor                                         int64
	blockedNow                                                    int
}

func (t *totals) add(c *counters, now int64) {
	t.published += c.published.Load()
	t.confirmed += c.confirmed.Load()
	t.nacked += c.nacked.Load()
	t.returned += c.returned.Load()
	t.received += c.received.Load()
	t.redelivered += c.redelivered.Load()
	t.lastPublished = max(t.lastPublished, c.lastPublished.Load())
	t.lastConfirmed = max(t.lastConfirmed, c.lastConfirmed.Load())
	t.lastReceived = max(t.lastReceived, c.lastReceived.Load())
	t.blockages += c.blockages.Load()
	t.blockedFor += c.blockedFor.Load()
	if since := c.blockedSince.Load(); since != 0 {
		t.blockedNow++
		t.blockedFor += max(now-since, 0)
	}
}

// since returns the counts of t without those of base; the times are t's.
func (t totals) since(base totals) totals {
	t.published -= base.published
	t.confirmed -= base.confirmed
	t.nacked -= base.nacked
	t.returned -= base.returned
	t.received -= base.received
	t.redelivered -= base.redelivered
	t.blockages -= base.blockages
	t.blockedFor -= base.blockedFor
	return t
}
