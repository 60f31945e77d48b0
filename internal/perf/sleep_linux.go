package perf

import (
	"syscall"
	"time"
)

// shortSleep is up to how long sleepShort is worth its thread. A timer of the runtime may be late by more than a millisecond
// on an idle process, for it waits in epoll_wait, which counts milliseconds. That would show in every latency.
const shortSleep = 2 * time.Millisecond

func sleepShort(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // a signal makes it end early, which the caller's loop allows
}
