package meta

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// leader is who leads as far as this node knows. It never changes; another one takes its place.
type leader struct {
	id      string          // "" for none
	ctx     context.Context // ends with the knowledge
	cancel  context.CancelCauseFunc
	changed chan struct{} // closed with it
}

var errLeaderChanged = errors.New("the leader of the metadata group changed")

// leaders follows Raft's opinion.
type leaders struct {
	mu  sync.Mutex // held while now is replaced
	now atomic.Pointer[leader]
}

func (ls *leaders) current() *leader { return ls.now.Load() }

func (ls *leaders) init() {
	ls.now.Store(newLeader(""))
}

func newLeader(id string) *leader {
	l := &leader{id: id, changed: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// refresh asks Raft.
func (ls *leaders) refresh(r *raft.Raft) *leader {
	_, id := r.LeaderWithID()
	if l := ls.now.Load(); l.id == string(id) {
		return l
	}
	return ls.replace(func(old *leader) bool { return old.id != string(id) }, string(id))
}

// renew wakes all who wait for a change, although the leader is the same: it is this node, which is ready only now.
func (ls *leaders) renew(id string) { ls.replace(func(*leader) bool { return true }, id) }

func (ls *leaders) replace(due func(old *leader) bool, id string) *leader {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	old := ls.now.Load()
	if !due(old) {
		return old
	}
	l := newLeader(id)
	ls.now.Store(l)
	old.cancel(errLeaderChanged)
	close(old.changed)
	return l
}

func (ls *leaders) end() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.now.Load().cancel(ErrShutdown)
}

// tenure is one time in which this node leads and knows everything that its predecessors committed.
type tenure struct {
	term   uint64
	ctx    context.Context // ends with it
	cancel context.CancelFunc
	done   chan struct{} // closed when its goroutine is gone
}

// watch hears what Raft says about leadership. It never waits for anything else, because Raft waits for it.
func (g *Group) watch() {
	observations := make(chan raft.Observation, 16) // what does not fit is found by the next refresh
	observer := raft.NewObserver(observations, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	g.raft.RegisterObserver(observer)
	defer g.raft.DeregisterObserver(observer)
	var t *tenure
	for {
		select {
		case leads := <-g.leads:
			if t != nil {
				g.endTenure(t)
			}
			if leads {
				t = g.beginTenure(t)
			}
			g.leaders.refresh(g.raft)
		case <-observations:
			g.leaders.refresh(g.raft)
		case <-g.quit:
			if t != nil {
				g.endTenure(t)
			}
			return
		}
	}
}

func (g *Group) beginTenure(last *tenure) *tenure {
	t := &tenure{done: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	g.background.Go(func() {
		defer close(t.done)
		if last != nil {
			<-last.done
		}
		g.lead(t)
	})
	return t
}

func (g *Group) endTenure(t *tenure) {
	g.tenureMu.Lock()
	t.cancel()
	g.tenure.CompareAndSwap(t, nil)
	g.tenureMu.Unlock()
	signal(g.announce)
}

// lead is what this node does while it leads.
func (g *Group) lead(t *tenure) {
	if !g.takeOver(t) || !g.setUp(t) {
		return
	}
	g.tenureMu.Lock()
	if t.ctx.Err() == nil {
		g.tenure.Store(t)
	}
	g.tenureMu.Unlock()
	g.leaders.renew(g.opts.NodeID)
	signal(g.announce)
	g.reconcile(t)
}

// takeOver waits until this node has applied all that was committed before it led. It returns false if that is no longer of
// interest.
func (g *Group) takeOver(t *tenure) bool {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		// The term belongs to the tenure if it was the same before and after, because a barrier succeeds only for a leader.
		t.term = g.raft.CurrentTerm()
		err := g.Barrier(context.Background())
		if err == nil && t.term == g.raft.CurrentTerm() && g.fsm.failure() == nil {
			return true
		}
		if g.fsm.failure() != nil {
			// This node stopped applying, so it must not lead if another one can.
			pause = maxPause
			if err := g.handOver(t.ctx); err != nil && t.ctx.Err() == nil {
				g.opts.Logger.Warn("a node that cannot apply metadata leads the group", "err", err)
			}
		}
		if !sleep(t.ctx, pause) {
			return false
		}
	}
}

// setUp initializes a new group before anybody can propose anything. It returns false if this node leads no more.
func (g *Group) setUp(t *tenure) bool {
	for pause := minPause; ; pause = min(2*pause, time.Second) {
		err := g.initialize()
		if err == nil {
			return true
		}
		if !sleep(t.ctx, pause) {
			return false
		}
		g.opts.Logger.Warn("metadata group is not set up yet", "err", err)
	}
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tell calls OnLeader. Changes that come while it runs are told afterwards, and those that undid each other not at all.
func (g *Group) tell() {
	var told *tenure
	for {
		select {
		case <-g.announce:
		case <-g.quit:
			if told != nil {
				g.opts.OnLeader(false)
			}
			return
		}
		for now := g.tenure.Load(); now != told; now = g.tenure.Load() {
			if told != nil {
				g.opts.OnLeader(false)
			}
			if told = now; now != nil {
				g.opts.OnLeader(true)
			}
		}
	}
}
