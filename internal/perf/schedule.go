package perf

import "math"

// schedule says when the messages of a producer are due: message i (from 0) at start + i/rate.
type schedule struct {
	start    int64   // Unix nanoseconds
	interval float64 // nanoseconds between two messages
}

func newSchedule(start int64, rate float64) *schedule {
	return &schedule{start: start, interval: 1e9 / rate}
}

// at returns when message i is due. It never decreases with i.
func (s *schedule) at(i int64) int64 {
	return s.start + int64(math.Ceil(float64(i)*s.interval))
}

// due returns how many messages are due at now: the n with at(n-1) <= now < at(n).
func (s *schedule) due(now int64) int64 {
	if now < s.start {
		return 0
	}
	n := int64(float64(now-s.start)/s.interval) + 1
	// The division rounds; settle it with at, which is what the writer sleeps by. If both disagreed, it would spin.
	for n > 0 && s.at(n-1) > now {
		n--
	}
	for s.at(n) <= now {
		n++
	}
	return n
}
