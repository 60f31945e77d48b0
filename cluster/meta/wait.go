package meta

import (
	"context"
	"fmt"
	"sync"
)

// indexWaiters wakes those who wait for a state of at least some index. Waiters of one index share a channel, so that waking is
// as cheap as there are few indexes waited for. The zero value is ready for use.
type indexWaiters struct {
	mu      sync.Mutex
	byIndex map[uint64]*indexWaiter
}

type indexWaiter struct {
	reached chan struct{} // closed when the index has been reached, or nothing will be any more
	n       int           // who wait
}

// add registers one who waits. He must look at the state again afterwards, for the index may have been reached just before, and
// call remove in the end.
func (w *indexWaiters) add(index uint64) *indexWaiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.byIndex[index]
	if one == nil {
		if w.byIndex == nil {
			w.byIndex = make(map[uint64]*indexWaiter)
		}
		one = &indexWaiter{reached: make(chan struct{})}
		w.byIndex[index] = one
	}
	one.n++
	return one
}

// remove undoes add, so that indexes that are never reached do not pile up.
func (w *indexWaiters) remove(index uint64, one *indexWaiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.n--; one.n == 0 && w.byIndex[index] == one {
		delete(w.byIndex, index)
	}
}

// wake is called after the state of index was stored.
func (w *indexWaiters) wake(index uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, one := range w.byIndex {
		if i <= index {
			close(one.reached)
			delete(w.byIndex, i)
		}
	}
}

func (w *indexWaiters) wakeAll() { w.wake(^uint64(0)) }

// await returns once this node has applied the entry of this index and term, which is committed. The term may be 0 for not
// known; then it may take a moment longer.
func (g *Group) await(ctx context.Context, index, term uint64) error {
	for g.State().Index() < index {
		if err := g.awaitOnce(ctx, index, term); err != nil {
			return err
		}
	}
	return nil
}

func (g *Group) awaitOnce(ctx context.Context, index, term uint64) error {
	one := g.fsm.waiters.add(index)
	defer g.fsm.waiters.remove(index, one)
	if err := g.fsm.failure(); err != nil {
		return err
	}
	if g.State().Index() >= index {
		return nil
	}
	g.notices.want(index, term)
	select {
	case <-one.reached:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: it is committed, but not yet applied on this node: %w", ErrTimeout, context.Cause(ctx))
	case <-g.stop:
		return ErrShutdown
	}
}
