package queue

import "sync/atomic"

// counters is a copy of a queue's figures for those who look at many queues and must not disturb them. The runner writes it after
// each run of items, so it costs nothing per message; a reader may see some figures from before and some from after such a run.
type counters struct {
	ready, unacked, consumers, resident, unused atomic.Int64
}

// publish is called by the runner. A store that changes nothing would still take the cache line from the readers, so it is left out.
func (c *counters) publish(q *Queue) {
	set(&c.ready, int64(q.readyN))
	set(&c.unacked, int64(q.unackedN))
	set(&c.resident, q.resident)
	if n := int64(len(q.consumers)); c.consumers.Load() != n {
		c.consumers.Store(n)
		since := int64(0)
		if n == 0 {
			since = q.opts.Now()
		}
		c.unused.Store(since)
	}
}

func set(to *atomic.Int64, n int64) {
	if to.Load() != n {
		to.Store(n)
	}
}

// Counters returns what Status does, as of the end of the runner's last turn, without waiting for the queue. The figures of a queue
// that is gone are zero.
func (q *Queue) Counters() Status {
	c := &q.counters
	return Status{Ready: int(c.ready.Load()), Unacked: int(c.unacked.Load()), Consumers: int(c.consumers.Load()), Resident: c.resident.Load()}
}

// UnusedSince returns when the last consumer left, in Unix milliseconds; 0 if there are consumers, or there were none since the
// queue was started on this node.
func (q *Queue) UnusedSince() int64 { return q.counters.unused.Load() }
