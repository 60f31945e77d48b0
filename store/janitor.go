package store

import (
	"errors"
	"sync"
	"time"
)

// janitor works in the background on one goroutine: it deletes dropped queues, and keeps the disk bounded (reclaim.go).
type janitor struct {
	mu    sync.Mutex
	drops []uint64 // queues to delete, guarded by mu

	wake    chan struct{} // has room for one
	stop    chan struct{} // ends the pager, too
	stopped chan struct{}
}

func (j *janitor) init() {
	j.wake, j.stop, j.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// start begins the janitor's work. void are keys to delete first.
func (j *janitor) start(s *Store, void [][]byte) {
	go func() {
		defer close(j.stopped)
		j.report(s, s.deleteKeys(void))
		j.report(s, s.sweepSpilled())
		j.run(s)
	}()
}

// end stops the janitor and waits for it; the committer must still run.
func (j *janitor) end() {
	close(j.stop)
	<-j.stopped
}

// drop adds a queue to delete.
func (j *janitor) drop(queue uint64) {
	j.mu.Lock()
	j.drops = append(j.drops, queue)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *janitor) run(s *Store) {
	tick := time.NewTicker(s.opt.look)
	defer tick.Stop()
	r := reclaim{s: s}
	for {
		select {
		case <-j.stop:
			return
		case <-j.wake:
			j.sweep(s)
		case <-tick.C:
			j.report(s, r.step())
		}
	}
}

func (j *janitor) sweep(s *Store) {
	for {
		j.mu.Lock()
		if len(j.drops) == 0 {
			j.drops = nil
			j.mu.Unlock()
			return
		}
		queue := j.drops[0]
		j.drops = j.drops[1:]
		j.mu.Unlock()
		err := s.sweepQueue(queue)
		j.report(s, err)
		if errors.Is(err, errEnding) {
			return
		}
	}
}

// report logs an error that nobody waits for.
func (j *janitor) report(s *Store, err error) {
	if err == nil || errors.Is(err, errEnding) || errors.Is(err, ErrClosed) {
		return
	}
	s.note(err)
	s.opt.Logger.Warn("store clean-up failed, will be tried again", "dir", s.opt.Dir, "error", err)
}
