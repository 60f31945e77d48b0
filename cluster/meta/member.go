package meta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// MaxVoters is how many members vote. Each change waits for a majority of them, so more would make the group slower and hardly
// safer. Those beyond it follow without a vote, and take the place of a voter that is removed.
const MaxVoters = 5

// memberTimeout bounds a change of the membership by the leader, and a question to a member.
const memberTimeout = 2 * time.Second

// Member is one member of the group.
type Member struct {
	ID     string
	Voter  bool
	Leader bool // as far as this node knows
}

// Members returns the members of the group as this node knows them, which may be a moment old. Errors: ErrShutdown.
func (g *Group) Members() ([]Member, error) {
	servers, _, err := g.servers()
	if err != nil {
		return nil, err
	}
	lead := g.Leader()
	members := make([]Member, len(servers))
	for i, s := range servers {
		members[i] = Member{ID: string(s.ID), Voter: s.Suffrage == raft.Voter, Leader: string(s.ID) == lead}
	}
	return members, nil
}

// servers returns the members, and the index of the log entry that made them so.
func (g *Group) servers() ([]raft.Server, uint64, error) {
	f := g.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, 0, groupError(err)
	}
	return f.Configuration().Servers, f.Index(), nil
}

// voters returns the ids of the voting members, nil if they are not known.
func (g *Group) voters() (ids []string) {
	servers, _, _ := g.servers()
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}

// Join makes the node id a member, unless it is one; it works on any member. The new one has no vote until it has caught up, and
// only if there are fewer than MaxVoters. To join again, once it has caught up, brings it the vote sooner. It should be announced by PutNode before, and its transport must be reachable by its
// id. Errors: as ReadIndex; it may have happened, now or later, in spite of ErrTimeout.
func (g *Group) Join(ctx context.Context, id string) error { return g.member(ctx, id, false) }

// Leave removes the node id from the members, unless it is none; it works on any member. A leader that is to leave hands over
// first. Errors: ErrNoSuccessor when nobody else could lead, otherwise as Join.
func (g *Group) Leave(ctx context.Context, id string) error { return g.member(ctx, id, true) }

func (g *Group) member(ctx context.Context, id string, remove bool) error {
	m := &metav1.ForwardRequest{Kind: &metav1.ForwardRequest_Member{Member: &metav1.ForwardMember{Id: id, Remove: remove}}}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		changed := g.leaders.current().changed
		_, retry, err := g.askLeader(ctx, m)
		if err == nil {
			return nil
		}
		if err := g.again(ctx, changed, pause, retry, err); err != nil {
			return err
		}
	}
}

// again waits before a request that may be repeated without harm is repeated. Its error is for the caller.
func (g *Group) again(ctx context.Context, changed <-chan struct{}, pause time.Duration, retry bool, err error) error {
	for _, final := range []error{ErrNotLeader, ErrIncompatible, ErrInvalidArgument, ErrNoSuccessor, ErrShutdown} {
		if !retry && errors.Is(err, final) {
			return err
		}
	}
	return g.pause(ctx, changed, pause, err)
}

// changeMember does what Join and Leave ask, on the leader.
func (g *Group) changeMember(ctx context.Context, id string, remove bool) error {
	if id == "" {
		return fmt.Errorf("%w: member without an id", ErrInvalidArgument)
	}
	if g.tenure.Load() == nil {
		return ErrNotLeader
	}
	servers, _, err := g.servers()
	if err != nil {
		return err
	}
	is := slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == id })
	switch {
	case is != remove:
		signal(g.review) // a member that joins again may have caught up
		return nil
	case !remove:
		err = g.settled(ctx, func() raft.Future {
			return g.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(id), 0, memberTimeout)
		})
	case id == g.opts.NodeID:
		if err := g.handOver(ctx); err != nil {
			return err
		}
		return fmt.Errorf("%w: it handed over in order to leave", ErrNotLeader)
	default:
		err = g.settled(ctx, func() raft.Future { return g.raft.RemoveServer(raft.ServerID(id), 0, memberTimeout) })
	}
	signal(g.review)
	return err
}

// reconcile gives votes as long as this node leads.
func (g *Group) reconcile(t *tenure) {
	tick := time.NewTicker(g.opts.ElectionTimeout)
	defer tick.Stop()
	applied := g.State().Index() // at the last tick: who has caught up has applied that much by now
	for {
		for g.promote(t.ctx, applied) {
		}
		select {
		case <-g.review:
		case <-tick.C:
			applied = g.State().Index()
		case <-t.ctx.Done():
			return
		}
	}
}

// promote gives one member that has applied that much a vote, if one is due. It returns whether it did.
func (g *Group) promote(ctx context.Context, applied uint64) bool {
	servers, index, err := g.servers()
	if err != nil || ctx.Err() != nil {
		return false
	}
	voters, ids := 0, []string(nil)
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters++
		} else {
			ids = append(ids, string(s.ID))
		}
	}
	if voters >= MaxVoters || len(ids) == 0 {
		return false
	}
	for _, p := range g.probe(ctx, ids) {
		if p.applied < applied {
			continue
		}
		// The index keeps one that left meanwhile from coming back.
		err := g.settled(ctx, func() raft.Future {
			return g.raft.AddVoter(raft.ServerID(p.id), raft.ServerAddress(p.id), index, memberTimeout)
		})
		if err != nil && ctx.Err() == nil {
			g.opts.Logger.Warn("metadata member got no vote", "node", p.id, "err", err)
		}
		return err == nil
	}
	return false
}

// progress is how far a member is.
type progress struct {
	id      string
	last    uint64 // end of its log
	applied uint64 // index of its state
}

// probe asks members how far they are, and returns those that answer in time, the one that is farthest first. Without
// Options.Forward nobody can be asked, and all count as up to date.
func (g *Group) probe(ctx context.Context, ids []string) []progress {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	answers := make([]progress, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		if g.opts.Forward == nil {
			answers[i] = progress{id, g.raft.LastIndex(), g.State().Index()}
			continue
		}
		wg.Go(func() {
			m, err := g.ask(ctx, id, &metav1.ForwardRequest{Kind: &metav1.ForwardRequest_Status{Status: &metav1.ForwardStatus{}}})
			if err == nil && m.Error == nil {
				answers[i] = progress{id, m.GetLastIndex(), m.GetIndex()}
			}
		})
	}
	wg.Wait()
	answers = slices.DeleteFunc(answers, func(p progress) bool { return p.id == "" })
	slices.SortStableFunc(answers, func(a, b progress) int { return cmp.Compare(b.last, a.last) })
	return answers
}

// TransferLeadership makes another voter that can be reached the leader, the one with the longest log first, and returns when
// this node knows of a new leader. Errors: ErrNotLeader, ErrNoSuccessor, ErrTimeout.
func (g *Group) TransferLeadership(ctx context.Context) error {
	if g.tenure.Load() == nil {
		return ErrNotLeader
	}
	return g.handOver(ctx)
}

func (g *Group) handOver(ctx context.Context) error {
	others := slices.DeleteFunc(g.voters(), func(id string) bool { return id == g.opts.NodeID })
	if len(others) == 0 {
		return fmt.Errorf("%w: there is no other voter", ErrNoSuccessor)
	}
	candidates := g.probe(ctx, others)
	if len(candidates) == 0 {
		return fmt.Errorf("%w: none of %d other voters answers", ErrNoSuccessor, len(others))
	}
	var errs error
	for _, c := range candidates {
		err := g.settled(ctx, func() raft.Future {
			return g.raft.LeadershipTransferToServer(raft.ServerID(c.id), raft.ServerAddress(c.id))
		})
		if err == nil {
			return g.awaitOther(ctx)
		}
		errs = errors.Join(errs, fmt.Errorf("transfer to %q: %w", c.id, err))
		if ctx.Err() != nil {
			return errs
		}
	}
	return fmt.Errorf("%w: %w", ErrNoSuccessor, errs)
}

// awaitOther waits until another node is known to lead.
func (g *Group) awaitOther(ctx context.Context) error {
	for {
		l := g.leaders.refresh(g.raft)
		if l.id != "" && l.id != g.opts.NodeID {
			return nil
		}
		select {
		case <-l.changed:
		case <-time.After(minPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: no new leader yet: %w", ErrTimeout, context.Cause(ctx))
		}
	}
}
