package store

import (
	"path/filepath"
	"strings"
	"sync/atomic"
)

// releaseAfter is how many bytes are read and written between two releases of pages.
const releaseAfter = 32 << 20

// pager keeps the resident memory small. Badger reads and writes the value log through memory maps, whose pages count as memory
// of the process until the kernel needs it; a backlog that passes through would show in full.
type pager struct {
	touched atomic.Int64  // bytes since the last release
	due     chan struct{} // has room for one
	stopped chan struct{}
}

// touch counts n bytes read or written.
func (p *pager) touch(n int) {
	if p.touched.Add(int64(n)) < releaseAfter {
		return
	}
	p.touched.Store(0)
	select {
	case p.due <- struct{}{}:
	default:
	}
}

// start begins the work, which ends with stop.
func (p *pager) start(s *Store, stop <-chan struct{}) {
	p.due, p.stopped = make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(p.stopped)
		for {
			select {
			case <-stop:
				return
			case <-p.due:
				s.releasePages()
			}
		}
	}()
}

// releasePages gives back the memory of value-log pages that reads and writes have mapped. The data stays in the page cache.
//
// No mapping may go away meanwhile. Badger maps only the newest file anew, when it is full, and that is left alone. It unmaps
// a file when it removes it after a collection, which holds files for reading, or when the last iterator is closed after
// one, and iterators hold it, too. Close waits for this goroutine first.
func (s *Store) releasePages() {
	s.files.Lock()
	defer s.files.Unlock()
	newest := ""
	names, err := filepath.Glob(filepath.Join(s.values, "*.vlog"))
	if err != nil {
		return
	}
	for _, n := range names {
		if newer(n, newest) {
			newest = n
		}
	}
	if len(names) < 2 {
		return
	}
	if err := releasePages(s.values+"/", func(name string) bool {
		return strings.HasSuffix(name, ".vlog") && newer(newest, name)
	}); err != nil {
		s.note(err)
	}
}
