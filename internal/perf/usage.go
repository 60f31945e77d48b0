package perf

import (
	"runtime"
	"time"
)

// usage is what the process has used so far.
type usage struct {
	user, system time.Duration
	gcCycles     uint32
	gcPause      time.Duration
}

func currentUsage() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{gcCycles: m.NumGC, gcPause: time.Duration(m.PauseTotalNs)}
	u.user, u.system = processTimes()
	return u
}

func (u usage) since(base usage) usage {
	u.user -= base.user
	u.system -= base.system
	u.gcCycles -= base.gcCycles
	u.gcPause -= base.gcPause
	return u
}
