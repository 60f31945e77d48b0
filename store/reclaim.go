package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// How space comes back
//
// A deleted block stays in its value-log file. Badger counts it as garbage of that file only when a compaction drops the
// block's key, and a collection (RunValueLogGC) removes a file by what was counted. The janitor knows how much is garbage,
// as the size of the files less the live bytes, and makes both happen when there is enough of it:
//
//   - It has the memtable flushed by filling it up (see opPad): deletions that sit in a half-full memtable of a quiet node
//     would otherwise never be compacted.
//   - It collects dead files, in which everything is garbage. Blocks live about as long as their neighbours, so this is the
//     normal case, and it copies nothing.
//   - Only if that leaves too much it moves the live rest out of files that are mostly garbage (move.go), which makes
//     them dead.
//
// Badger can collect files with a live rest itself, but then it copies an entry whenever its key is in the tree with the
// same version, even when a tombstone lies above; if a compaction drops the tombstone with the old entry before the copy is
// flushed, the block is back from the dead. It also takes no notice of what is behind a damaged entry.

const (
	padKeyLen  = 60_000 // Badger takes keys of up to 65,000 bytes
	padEvery   = 2      // steps between fillings, at least
	stuckLimit = 3      // steps without progress after which live blocks are moved
)

// reclaim is the janitor's knowledge about the disk; it belongs to the janitor's goroutine.
type reclaim struct {
	s       *Store
	written int64 // Stats.Bytes at the last step
	deleted int64 // counters.deleted at the last padding
	padded  time.Time
	stuck   int // steps with too much garbage, nothing to pad and no dead file
	mover   mover
}

// step looks at the disk once and does what is due.
func (r *reclaim) step() error {
	s := r.s
	used, err := s.diskUse()
	if err != nil {
		return err
	}
	written := s.stats.bytes.Load()
	idle := written-r.written < 1<<20
	r.written = written

	collected, err := r.collect()
	if err != nil {
		return err
	}
	if collected > 0 {
		r.stuck = 0
		if used, err = s.diskUse(); err != nil {
			return err
		}
	}
	live := s.live.Load()
	garbage := used.values - live
	limit := s.opt.Slack
	if idle {
		limit = min(limit, s.opt.ValueFile)
	}
	if garbage <= limit {
		r.stuck = 0
		return nil
	}
	if d := s.stats.deleted.Load(); d != r.deleted {
		if time.Since(r.padded) < padEvery*s.opt.look {
			return nil
		}
		r.deleted, r.padded = d, time.Now()
		if s.FreeBytes() < s.opt.MinFree/2 {
			return nil // the filling and the table made of it take space first
		}
		return s.pad()
	}
	r.stuck++
	if r.stuck < stuckLimit || garbage <= limit+live/2 {
		return nil
	}
	r.stuck = 0
	// On a full disk, moving is what makes room, so it may take half of what puts must leave.
	return r.mover.step(s, min(s.opt.ValueFile, s.FreeBytes()-s.opt.MinFree/2))
}

// deadRatio is the share of garbage that makes a file of about full length dead: all but its header. What may be missing is
// shorter than any entry, so that Badger has nothing to copy.
func (s *Store) deadRatio() float64 { return 1 - 64/float64(s.opt.ValueFile) }

// collect removes dead value-log files and returns their number.
//
// A collection reads all of the file, and must not run beside a write, because it looks at the memtable's version without
// regard to the writer. So the janitor reads the file itself first, and makes it a hole when it is really dead: then the
// collection finds the end at once, and the writes that it holds up do not notice.
func (r *reclaim) collect() (n int, err error) {
	s := r.s
	files, err := filepath.Glob(filepath.Join(s.values, "*.vlog"))
	if err != nil {
		return 0, err
	}
	counted, err := s.discards()
	if err != nil {
		return 0, err
	}
	slices.SortFunc(files, byAge)
	for _, name := range files[:max(0, len(files)-1)] {
		select {
		case <-s.janitor.stop:
			return n, errEnding
		default:
		}
		fi, err := os.Stat(name)
		if err != nil {
			return n, ignoreMissing(err)
		}
		if float64(counted[fileID(name)]) < s.deadRatio()*float64(fi.Size()) {
			continue
		}
		in, err := s.inspect(name)
		if err != nil {
			return n, err
		}
		if in.dead {
			if err := punch(name, logHeaderLen, in.end); err != nil {
				return n, err
			}
		}
		ok, err := r.collectOne()
		if err != nil || !ok {
			return n, err
		}
		n++
	}
	return n, nil
}

// collectOne has Badger remove the file with the most garbage, if it is dead.
func (r *reclaim) collectOne() (bool, error) {
	s := r.s
	s.files.RLock()
	defer s.files.RUnlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.db.RunValueLogGC(s.deadRatio())
	if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
		return false, nil
	}
	if err == nil {
		s.stats.gcRuns.Add(1)
	}
	return err == nil, err
}

// releaseVersions lets compactions drop everything that is deleted or replaced by now.
func (s *Store) releaseVersions() { s.db.SetDiscardTs(s.version.Load()) }

// pad fills the memtable up.
func (s *Store) pad() error {
	r := &rawDelete{done: make(chan error, 1)}
	s.Submit(&block.Op{Kind: opPad, Owner: r})
	return <-r.done
}

// use is what the store takes on disk, in bytes.
type use struct{ all, values int64 }

func (s *Store) diskUse() (u use, err error) {
	err = filepath.WalkDir(s.opt.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreMissing(err)
		}
		fi, err := e.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		n := allocated(fi)
		u.all += n
		if strings.HasSuffix(path, ".vlog") {
			u.values += n
		}
		return nil
	})
	s.stats.disk.Store(u.all)
	return u, err
}

// ignoreMissing drops the error of a file that Badger has removed meanwhile.
func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
