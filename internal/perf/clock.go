package perf

import "time"

// clock tells the time as Unix nanoseconds that never go back, so that stamps can be compared between processes on a machine.
type clock struct {
	base time.Time
	unix int64
}

func newClock() clock {
	now := time.Now()
	return clock{base: now, unix: now.UnixNano()}
}

func (c *clock) now() int64 { return c.unix + int64(time.Since(c.base)) }
