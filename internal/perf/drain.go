package perf

import "time"

// drainLook is how often a drain looks whether it is over.
const drainLook = 50 * time.Millisecond

// drain decides when consumers that go on after the producers have ended may stop.
type drain struct {
	r        *run
	expected int64 // deliveries of this run, at most; 0 without producers
	received int64 // at the last look that saw something new
	since    int64 // time of that look
	asked    int64 // when the queues were last found empty, 0 if they were not since
}

func newDrain(r *run) *drain {
	d := &drain{r: r, since: r.clock.now(), received: -1}
	for _, b := range r.publishing {
		for _, p := range b.producers {
			for _, s := range p.streams(r.topology) {
				d.expected += s.count * int64(len(s.queues))
			}
		}
	}
	return d
}

// over reports whether everything has arrived, or the queues are empty and nothing more comes, or nothing has come for so
// long that nothing will.
func (d *drain) over() (bool, error) {
	now := d.r.clock.now()
	received := d.r.totals().received
	arrived := received
	if d.r.verifier != nil {
		arrived = d.r.verifier.received()
	}
	if d.expected > 0 && arrived >= d.expected {
		return true, nil
	}
	if received != d.received {
		d.received, d.since, d.asked = received, now, 0
		return false, nil
	}
	quiet := time.Duration(now - d.since)
	if quiet >= d.r.o.DrainTimeout {
		d.r.notice("nothing has arrived for %v, though the queues are not empty", d.r.o.DrainTimeout)
		return true, nil
	}
	// An empty queue may have deliveries on their way, so it has to be empty and quiet for a while.
	if quiet < 4*drainLook+2*d.r.o.ConsumerDelay {
		return false, nil
	}
	ready, err := d.r.control.ready()
	if err != nil {
		return false, err
	}
	if ready > 0 {
		d.asked = 0
		return false, nil
	}
	if d.asked == 0 {
		d.asked = now
	}
	return time.Duration(now-d.asked) >= 10*drainLook+2*d.r.o.ConsumerDelay, nil
}
