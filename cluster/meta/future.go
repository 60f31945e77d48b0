package meta

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// futures are the questions to Raft that are not answered yet. Raft forgets what it has just given to the state machine when it is
// shut down, so that must not happen while something is unanswered, if it can be helped.
type futures struct {
	mu     sync.Mutex
	closed bool           // no more are asked
	open   sync.WaitGroup // grows only while not closed
}

func (fs *futures) add() bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return false
	}
	fs.open.Add(1)
	return true
}

func (fs *futures) close() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.closed = true
}

// settled asks Raft something and waits for the answer, but no longer than ctx.
func (g *Group) settled(ctx context.Context, ask func() raft.Future) error {
	if !g.futures.add() {
		return ErrShutdown
	}
	done := make(chan error, 1)
	go func() {
		defer g.futures.open.Done()
		done <- ask().Error()
	}()
	select {
	case err := <-done:
		return groupError(err)
	case <-g.gone:
		return ErrShutdown
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
}

// within waits for wg until ctx ends, at most for d.
func within(ctx context.Context, d time.Duration, wg *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
}
