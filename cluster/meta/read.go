package meta

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// reads shares one question to the leader among all who call while an earlier one is under way.
type reads struct {
	mu      sync.Mutex
	running bool
	closed  bool
	next    *readRound // starts when the present one is done
}

// readRound is one question to the leader. Its fields are set before done is closed.
type readRound struct {
	done        chan struct{}
	index, term uint64
	retry       bool
	err         error
}

// join returns the round that starts next: only one that has not started yet covers what happened before the call.
func (rs *reads) join(g *Group) *readRound {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		r := &readRound{done: make(chan struct{}), err: ErrShutdown}
		close(r.done)
		return r
	}
	if rs.next == nil {
		rs.next = &readRound{done: make(chan struct{})}
	}
	if !rs.running {
		rs.running = true
		g.background.Go(func() { rs.run(g) })
	}
	return rs.next
}

// close lets no more rounds begin.
func (rs *reads) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
}

func (rs *reads) run(g *Group) {
	for {
		rs.mu.Lock()
		r := rs.next
		rs.next = nil
		if r == nil {
			rs.running = false
		}
		rs.mu.Unlock()
		if r == nil {
			return
		}
		var m *metav1.ForwardResponse
		m, r.retry, r.err = g.askLeader(g.ctx, &metav1.ForwardRequest{Kind: &metav1.ForwardRequest_Read{Read: &metav1.ForwardRead{}}})
		r.index, r.term = m.GetIndex(), m.GetTerm()
		close(r.done)
	}
}

// ReadIndex returns once this node has applied every change that was acknowledged anywhere before the call: what State does not
// show then is not there. It costs a round trip to the leader, which callers at the same time share, and nothing is written.
// Errors: ErrNoLeader with ErrTimeout when there was no leader until ctx ended, ErrTimeout, ErrNotLeader without Options.Forward,
// ErrIncompatible, ErrShutdown.
func (g *Group) ReadIndex(ctx context.Context) error {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		changed := g.leaders.current().changed
		select {
		case <-g.stop:
			return ErrShutdown
		default:
		}
		r := g.reads.join(g)
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("%w: the leader does not answer: %w", ErrTimeout, context.Cause(ctx))
		case <-g.stop:
			return ErrShutdown
		}
		if r.err == nil {
			return g.await(ctx, r.index, r.term)
		}
		if err := g.again(ctx, changed, pause, r.retry, r.err); err != nil {
			return err
		}
	}
}

// leaderIndex returns the index and term of the last command that a read that starts now must see. Only the leader knows it.
func (g *Group) leaderIndex(ctx context.Context) (index, term uint64, err error) {
	t := g.tenure.Load()
	if t == nil {
		return 0, 0, ErrNotLeader
	}
	// Whatever was acknowledged is in the state: by this leader because it acknowledges what it has applied, by its predecessors
	// because it took over all of that before its tenure. If it still leads after the state was taken, no other leader had
	// acknowledged anything by then.
	s := g.State()
	if err := g.settled(ctx, func() raft.Future { return g.raft.VerifyLeader() }); err != nil {
		return 0, 0, err
	}
	if g.raft.CurrentTerm() != t.term {
		return 0, 0, ErrNotLeader
	}
	return s.index, s.term, nil
}
