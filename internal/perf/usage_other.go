//go:build !unix

package perf

import "time"

// processTimes is not known here.
func processTimes() (user, system time.Duration) { return 0, 0 }
