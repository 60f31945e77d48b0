package store

import "sync/atomic"

// Stats are counters since Open, and gauges.
type Stats struct {
	Commits int64 // group commits
	Syncs   int64 // files synced
	Ops     int64 // ops completed, with or without success
	Bytes   int64 // bytes of blocks written
	Loads   int64 // blocks loaded
	Corrupt int64 // damaged blocks met
	Damaged int64 // damaged places in files found at Open

	Live int64 // gauge: bytes of stored blocks in the value log
	Disk int64 // gauge: bytes the directory takes on disk, as of the last look some seconds ago
	Free int64 // gauge: free bytes in the file system

	GCRuns  int64 // value-log files reclaimed
	Dropped int64 // keys of dropped queues removed

	LastError string // the last failure of any kind, empty if there was none
}

type counters struct {
	commits, syncs, ops, bytes, loads, corrupt    atomic.Int64
	disk, free, gcRuns, dropped, deleted, damaged atomic.Int64 // deleted: blocks
	lastError                                     atomic.Pointer[string]
}

// note keeps err for Stats.
func (s *Store) note(err error) {
	text := err.Error()
	s.stats.lastError.Store(&text)
}

// Stats returns the counters. It is cheap: it makes no system call but one for the free space.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{
		Commits: c.commits.Load(), Syncs: c.syncs.Load(), Ops: c.ops.Load(), Bytes: c.bytes.Load(),
		Loads: c.loads.Load(), Corrupt: c.corrupt.Load(), Damaged: c.damaged.Load(),
		Live: s.live.Load(), Disk: c.disk.Load(), Free: s.FreeBytes(),
		GCRuns: c.gcRuns.Load(), Dropped: c.dropped.Load(),
	}
	if p := c.lastError.Load(); p != nil {
		st.LastError = *p
	}
	return st
}

// FreeBytes returns the bytes that can still be written in the file system of the store. It asks the system; if that fails, it
// returns what the last commit found.
func (s *Store) FreeBytes() int64 {
	free, err := freeBytes(s.opt.Dir)
	if err != nil {
		return s.stats.free.Load()
	}
	return free
}
