package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/cluster/meta"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// Rebalance spreads the leaders of queues over the nodes (SEMANTICS 21.3). The node that leads the metadata does it, so that the
// cluster has one at a time.

// RebalanceFilter says which queues are spread. Empty patterns match all.
type RebalanceFilter struct {
	VHostPattern, QueuePattern string // regular expressions
}

// RebalanceStep is one queue that was moved, or could not be.
type RebalanceStep struct {
	VHost, Queue string
	From, To     string // node ids
	Err          error  // nil: it was moved
	Done         int    // steps so far, this one included
	Planned      int    // steps that were planned in all
}

// ErrRebalancing says that somebody else rebalances the queues now.
var ErrRebalancing = errors.New("a rebalance is in progress")

// Rebalance moves queues until no node leads more of them than its share, the shortest first. Nodes that are being drained get none,
// and exclusive queues stay where they are. progress is called for each queue in turn; it may be nil. A queue that cannot be moved is
// passed over. Errors: ErrRebalancing, one that names a bad
// pattern, that of ctx.
func (b *Broker) Rebalance(ctx context.Context, f RebalanceFilter, progress func(RebalanceStep)) error {
	if _, _, err := f.compile(); err != nil {
		return err
	}
	if progress == nil {
		progress = func(RebalanceStep) {}
	}
	if b.network == nil {
		return nil // everything is here
	}
	if err := b.meta.ReadIndex(ctx); err != nil {
		return err
	}
	leader := b.meta.Leader()
	if leader == b.opts.NodeID || leader == "" {
		return b.rebalance(ctx, f, progress)
	}
	conn, err := b.network.Conn(leader)
	if err != nil {
		return fmt.Errorf("node %s, which would do it: %w", b.nodeName(leader), err)
	}
	stream, err := peerv1.NewMoveServiceClient(conn).Rebalance(ctx, &peerv1.RebalanceRequest{VhostPattern: f.VHostPattern, QueuePattern: f.QueuePattern})
	if err != nil {
		return err
	}
	for {
		p, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return b.meta.ReadIndex(ctx)
		case status.Code(err) == codes.ResourceExhausted:
			return ErrRebalancing
		case err != nil:
			return fmt.Errorf("node %s: %s", b.nodeName(leader), status.Convert(err).Message())
		}
		s := RebalanceStep{VHost: string(p.GetVhost()), Queue: string(p.GetQueue()), From: p.GetFrom(), To: p.GetTo(),
			Done: int(p.GetDone()), Planned: int(p.GetPlanned())}
		if p.GetError() != "" {
			s.Err = errors.New(p.GetError())
		}
		progress(s)
	}
}

// Rebalance implements peerv1.MoveServiceServer.
func (m *moves) Rebalance(r *peerv1.RebalanceRequest, stream grpc.ServerStreamingServer[peerv1.RebalanceProgress]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	f := RebalanceFilter{VHostPattern: r.GetVhostPattern(), QueuePattern: r.GetQueuePattern()}
	err := m.broker.rebalance(ctx, f, func(s RebalanceStep) {
		p := &peerv1.RebalanceProgress{Vhost: []byte(s.VHost), Queue: []byte(s.Queue), From: s.From, To: s.To, Done: uint32(s.Done),
			Planned: uint32(s.Planned)}
		if s.Err != nil {
			p.Error = s.Err.Error()
		}
		if stream.Send(p) != nil {
			cancel() // whoever asked is gone
		}
	})
	switch {
	case errors.Is(err, ErrRebalancing):
		return status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		return status.Error(codes.Unavailable, err.Error())
	}
	return nil
}

func (f RebalanceFilter) compile() (vhost, queue *regexp.Regexp, err error) {
	if vhost, err = regexp.Compile(f.VHostPattern); err != nil {
		return nil, nil, fmt.Errorf("vhost pattern %q is no regular expression: %w", f.VHostPattern, err)
	}
	if queue, err = regexp.Compile(f.QueuePattern); err != nil {
		return nil, nil, fmt.Errorf("queue pattern %q is no regular expression: %w", f.QueuePattern, err)
	}
	return vhost, queue, nil
}

// rebalance does the work.
func (b *Broker) rebalance(ctx context.Context, f RebalanceFilter, progress func(RebalanceStep)) error {
	if !b.moves.rebalancing.TryLock() {
		return ErrRebalancing
	}
	defer b.moves.rebalancing.Unlock()
	vhosts, queues, err := f.compile()
	if err != nil {
		return err
	}
	plan := b.planRebalance(ctx, vhosts, queues)
	for i, s := range plan {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if q := b.State().Queue(s.queue.VHost, s.queue.Name); q == nil || q.ID != s.queue.ID || q.Leader != s.queue.Leader {
			continue // somebody else was faster
		}
		progress(RebalanceStep{VHost: s.queue.VHost, Queue: s.queue.Name, From: s.queue.Leader, To: s.to,
			Err: b.moveByID(ctx, s.queue.ID, s.to), Done: i + 1, Planned: len(plan)})
	}
	return nil
}

// PlanRebalance returns what Rebalance would move now, and moves nothing. Errors are for a bad pattern.
func (b *Broker) PlanRebalance(ctx context.Context, f RebalanceFilter) ([]RebalanceStep, error) {
	vhosts, queues, err := f.compile()
	if err != nil || b.network == nil {
		return nil, err
	}
	plan := b.planRebalance(ctx, vhosts, queues)
	steps := make([]RebalanceStep, len(plan))
	for i, s := range plan {
		steps[i] = RebalanceStep{VHost: s.queue.VHost, Queue: s.queue.Name, From: s.queue.Leader, To: s.to, Done: i + 1, Planned: len(plan)}
	}
	return steps, ctx.Err()
}

func (b *Broker) planRebalance(ctx context.Context, vhosts, queues *regexp.Regexp) []plannedMove {
	var list []*meta.Queue
	for q := range b.State().AllQueues() {
		if !q.Exclusive && vhosts.MatchString(q.VHost) && queues.MatchString(q.Name) {
			list = append(list, q)
		}
	}
	return planRebalance(b.byLength(ctx, list), b.targets())
}

// targets returns the nodes that may lead queues, sorted.
func (b *Broker) targets() (nodes []string) {
	for n := range b.State().Nodes() {
		if !n.Draining && !n.Ended && n.Incarnation > 0 && b.Reachable(n.Name) {
			nodes = append(nodes, n.Name)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// byLength sorts queues by their ready messages. Those that cannot be asked are left out: they cannot be moved.
func (b *Broker) byLength(ctx context.Context, list []*meta.Queue) []*meta.Queue {
	type length struct {
		q     *meta.Queue
		ready int
	}
	var known []length
	for _, q := range list {
		if ctx.Err() != nil {
			return nil
		}
		if !b.Reachable(q.Leader) {
			continue
		}
		if s, err := b.engines.handle(q).Status(); err == nil {
			known = append(known, length{q, s.Ready})
		}
	}
	slices.SortStableFunc(known, func(a, b length) int { return cmp.Or(cmp.Compare(a.ready, b.ready), cmp.Compare(a.q.ID, b.q.ID)) })
	list = list[:0]
	for _, k := range known {
		list = append(list, k.q)
	}
	return list
}

// plannedMove is a queue and the node that it goes to.
type plannedMove struct {
	queue *meta.Queue
	to    string
}

// planRebalance returns what is to be moved, in the order of queues, so that each of the nodes leads at most its share, rounded up, and
// others lead nothing that a node has room for.
func planRebalance(queues []*meta.Queue, nodes []string) (plan []plannedMove) {
	if len(nodes) == 0 {
		return nil
	}
	led := make(map[string]int)
	for _, q := range queues {
		led[q.Leader]++
	}
	share := (len(queues) + len(nodes) - 1) / len(nodes)
	for _, q := range queues {
		if slices.Contains(nodes, q.Leader) && led[q.Leader] <= share {
			continue
		}
		to := slices.MinFunc(nodes, func(a, b string) int { return cmp.Compare(led[a], led[b]) })
		if to == q.Leader || led[to] >= share {
			continue
		}
		led[q.Leader]--
		led[to]++
		plan = append(plan, plannedMove{q, to})
	}
	return plan
}
