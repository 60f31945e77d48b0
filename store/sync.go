package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// syncer makes durable what Badger wrote through its memory maps, by descriptors of its own. It belongs to the committer.
//
// Badger puts a memtable's log (*.mem) and the newest value-log file (*.vlog) in use one after the other. Between two syncs a
// commit can rotate either, and data of that commit may be in the old file, so the old one is synced once more before it is
// let go. A memtable log that is gone by the time it would be opened was flushed to a table, which Badger has synced, as is
// the table's entry in the MANIFEST.
type syncer struct {
	lsm, values string
	mem         map[string]*os.File // logs of memtables that may hold unsynced data
	memNewest   string
	vlog        map[string]*os.File
	vlogNewest  string
}

// track looks for new files in dir; it returns the newest one. Names are numbers of fixed width, so they sort by age, until
// a width overflows: then the longer name is newer.
func track(dir, ext, newest string, open map[string]*os.File) (string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return newest, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return newest, err
	}
	start, found := newest, false
	for _, name := range names {
		if !strings.HasSuffix(name, ext) || !newer(name, start) {
			continue
		}
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return newest, err
		}
		open[name] = f
		if newer(name, newest) {
			newest = name
		}
		found = true
	}
	if found {
		// The new file's name must be as durable as its content.
		if err := d.Sync(); err != nil {
			return newest, err
		}
	}
	return newest, nil
}

// newer compares file names that are numbers.
func newer(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}

// byAge orders file names that are numbers.
func byAge(a, b string) int {
	switch {
	case newer(a, b):
		return 1
	case newer(b, a):
		return -1
	}
	return 0
}

// sync makes everything written so far durable. values says whether the value log was written since the last call.
func (s *syncer) sync(values bool) (n int, err error) {
	if s.memNewest, err = track(s.lsm, ".mem", s.memNewest, s.mem); err != nil {
		return 0, fmt.Errorf("store: finding memtable logs: %w", err)
	}
	var done chan error
	if values {
		if s.vlogNewest, err = track(s.values, ".vlog", s.vlogNewest, s.vlog); err != nil {
			return 0, fmt.Errorf("store: finding value logs: %w", err)
		}
		n += len(s.vlog)
		done = make(chan error, 1)
		// At the same time as the memtable's log: the file system puts both into one journal commit.
		go func() { done <- syncFiles(s.vlog, s.vlogNewest) }()
	}
	n += len(s.mem)
	err = syncFiles(s.mem, s.memNewest)
	if values {
		err = errors.Join(err, <-done)
	}
	return n, err
}

// syncFiles syncs all files and closes all but the newest.
func syncFiles(files map[string]*os.File, newest string) error {
	for name, f := range files {
		if err := datasync(f); err != nil {
			return fmt.Errorf("store: syncing %s: %w", f.Name(), err)
		}
		if name != newest {
			delete(files, name)
			f.Close()
		}
	}
	return nil
}

func (s *syncer) close() {
	for _, files := range []map[string]*os.File{s.mem, s.vlog} {
		for _, f := range files {
			f.Close()
		}
	}
}
