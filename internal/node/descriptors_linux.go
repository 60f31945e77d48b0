package node

import (
	"os"
	"syscall"
)

// descriptors returns the open file descriptors of the process and how many it may have, 0 for what is not known.
func descriptors() (used, limit int64) {
	if d, err := os.Open("/proc/self/fd"); err == nil {
		if names, err := d.Readdirnames(-1); err == nil {
			used = int64(len(names)) - 1 // d itself
		}
		_ = d.Close()
	}
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		limit = int64(min(l.Cur, 1<<62))
	}
	return used, limit
}
