//go:build !linux

package perf

import "time"

// shortSleep 0 leaves all waiting to timers.
const shortSleep = 0

func sleepShort(d time.Duration) { time.Sleep(d) }
