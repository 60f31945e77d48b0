package admin

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// queueFilter is what ListQueues looks for.
type queueFilter struct {
	filter
	node         string // id, empty for all
	withMessages bool
	sees         func(vhost string) bool
}

// list returns the queues of a state that pass, page p of them. led says whether only those that this node leads are wanted; figures
// of others are not known here.
func (a *api) queues(s *meta.State, vhost string, f *queueFilter, p page, led func(*meta.Queue) bool) (list []*adminv1.Queue, next string, total uint64) {
	type found struct {
		queue   *meta.Queue
		figures cluster.QueueFigures
		known   bool
	}
	page, next, total := take(p, func(yield func(string, found) bool) {
		for q := range inVHost(vhost, s.QueuesIn, s.Queues) {
			if !led(q) || f.node != "" && q.Leader != f.node || !f.match(q.Name) || !f.sees(q.VHost) {
				continue
			}
			one := found{queue: q}
			if f.withMessages {
				// Only then the figures are needed to know what is on the page.
				one.figures, one.known = a.Broker.QueueFigures(q.ID)
				if one.figures.Ready+one.figures.Unacked == 0 {
					continue
				}
			}
			if !yield(keyOf(q.VHost, q.Name), one) {
				return
			}
		}
	})
	list = make([]*adminv1.Queue, 0, len(page))
	for _, one := range page {
		if !one.known {
			one.figures, one.known = a.Broker.QueueFigures(one.queue.ID)
		}
		list = append(list, a.queueOf(one.queue, one.figures, one.known))
	}
	return list, next, total
}

// queueOf shows a queue; known says whether this node leads it.
func (a *api) queueOf(q *meta.Queue, f cluster.QueueFigures, known bool) *adminv1.Queue {
	out := &adminv1.Queue{
		Vhost: text(q.VHost), Name: text(q.Name), Type: q.Type, Durable: q.Durable, AutoDelete: q.AutoDelete, Exclusive: q.Exclusive,
		Arguments: argumentsOf(q.Arguments), Leader: a.nodeName(q.Leader), Id: q.ID, State: adminv1.QueueState_QUEUE_STATE_DOWN,
	}
	if known {
		out.State = adminv1.QueueState_QUEUE_STATE_RUNNING
		out.MessagesReady, out.MessagesUnacknowledged = uint64(f.Ready), uint64(f.Unacked)
		out.Consumers, out.MemoryBytes = uint64(f.Consumers), uint64(max(f.Resident, 0))
		out.Policy, out.OperatorPolicy, out.IdleSince = text(f.Policy), text(f.OperatorPolicy), timeOf(f.UnusedSince)
	}
	return out
}

// ListQueues implements adminv1.QueueServiceServer. Each node lists the queues that it leads; those of nodes that do not answer come
// from the metadata.
func (a *api) ListQueues(ctx context.Context, r *adminv1.ListQueuesRequest) (*adminv1.ListQueuesResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f := &queueFilter{withMessages: r.GetWithMessages(), sees: a.visible(a.callerOf(ctx), monitoring)}
	if f.filter, err = newFilter(r.GetNamePrefix(), r.GetNameRegex()); err != nil {
		return nil, err
	}
	if r.GetNode() != "" {
		n, err := a.Broker.FindNode(r.GetNode())
		if err != nil {
			return nil, toStatus(err)
		}
		f.node = n.Name
	}
	s, self := a.Broker.State(), a.Broker.NodeID()
	local := func(q *meta.Queue) bool { return q.Leader == self }
	peers := a.peers()
	if r.GetLocalOnly() || len(peers) == 0 {
		led := local
		if !r.GetLocalOnly() {
			led = func(*meta.Queue) bool { return true }
		}
		list, next, total := a.queues(s, r.GetVhost(), f, p, led)
		return &adminv1.ListQueuesResponse{Queues: list, NextPageToken: next, TotalSize: total}, nil
	}
	type answer struct {
		node string
		*adminv1.ListQueuesResponse
	}
	// Who sees what is decided here for all nodes: a peer is asked as by an administrator, but for one page, so what may not be seen
	// must be left out there, by vhost.
	vhosts := a.vhostsFor(ctx, r.GetVhost())
	ask := func(ctx context.Context, id string, conn grpc.ClientConnInterface) (answer, error) {
		var all answer
		all.node, all.ListQueuesResponse = id, &adminv1.ListQueuesResponse{}
		for _, vhost := range vhosts {
			one, err := adminv1.NewQueueServiceClient(conn).ListQueues(ctx, &adminv1.ListQueuesRequest{
				PageSize: uint32(p.size), PageToken: r.GetPageToken(), Vhost: vhost, NamePrefix: r.GetNamePrefix(),
				NameRegex: r.GetNameRegex(), Node: r.GetNode(), LocalOnly: true, WithMessages: r.GetWithMessages(),
			}, grpc.MaxCallRecvMsgSize(maxAnswer))
			if err != nil {
				return all, err
			}
			all.Queues = append(all.Queues, one.GetQueues()...)
			all.TotalSize += one.GetTotalSize()
			if one.GetNextPageToken() != "" {
				all.NextPageToken = one.GetNextPageToken()
			}
		}
		return all, nil
	}
	answers, down := gatherByNode(ctx, a, ask)
	list, more, total := a.queues(s, r.GetVhost(), f, p, func(q *meta.Queue) bool {
		return q.Leader == self || slices.Contains(down, q.Leader) || peers[q.Leader] == nil
	})
	out := &adminv1.ListQueuesResponse{TotalSize: total, UnreachableNodes: a.names(down)}
	parts, any := [][]*adminv1.Queue{list}, more != ""
	for _, one := range answers {
		parts = append(parts, one.GetQueues())
		any = any || one.GetNextPageToken() != ""
		out.TotalSize += one.GetTotalSize()
	}
	out.Queues, out.NextPageToken = merge(p, func(q *adminv1.Queue) string { return keyOf(q.GetVhost(), q.GetName()) }, parts, any)
	return out, nil
}

// vhostsFor returns the vhosts that the caller sees: all of them as the empty name if he sees all.
func (a *api) vhostsFor(ctx context.Context, vhost string) (list []string) {
	c := a.callerOf(ctx)
	if vhost != "" || c.has(monitoring) {
		return []string{vhost}
	}
	for v := range a.Broker.State().VHosts() {
		if a.sees(c, v.Name, monitoring) {
			list = append(list, v.Name)
		}
	}
	return list
}

// findQueue returns a queue of the state. The error is NOT_FOUND.
func (a *api) findQueue(vhost, name string) (*meta.Queue, error) {
	if q := a.Broker.State().Queue(vhost, name); q != nil {
		return q, nil
	}
	return nil, status.Errorf(codes.NotFound, "NOT_FOUND - no queue '%s' in vhost '%s'", name, vhost)
}

// leaderOf returns the connection to the node that leads q, nil if that is this one. The error is UNAVAILABLE.
func (a *api) leaderOf(q *meta.Queue) (grpc.ClientConnInterface, error) {
	if q.Leader == a.Broker.NodeID() {
		return nil, nil
	}
	if conn := a.peers()[q.Leader]; conn != nil {
		return conn, nil
	}
	return nil, status.Errorf(codes.Unavailable, "NOT_FOUND - home node '%s' of queue '%s' in vhost '%s' is down or inaccessible",
		a.nodeName(q.Leader), q.Name, q.VHost)
}

// GetQueue implements adminv1.QueueServiceServer.
func (a *api) GetQueue(ctx context.Context, r *adminv1.GetQueueRequest) (*adminv1.GetQueueResponse, error) {
	q, err := a.findQueue(r.GetVhost(), r.GetName())
	if err != nil {
		return nil, err
	}
	if conn, err := a.leaderOf(q); err == nil && conn != nil {
		ctx, cancel := context.WithTimeout(a.forPeer(ctx), peerTimeout)
		defer cancel()
		if out, err := adminv1.NewQueueServiceClient(conn).GetQueue(ctx, r); err == nil {
			return out, nil
		}
	}
	settings, effective := a.Broker.EffectiveSettings(q, nil)
	figures, known := a.Broker.QueueFigures(q.ID)
	out := &adminv1.GetQueueResponse{Queue: a.queueOf(q, figures, known), Settings: settingsOf(settings)}
	out.Queue.Policy, out.Queue.OperatorPolicy = text(effective.Policy), text(effective.OperatorPolicy)
	for range a.Broker.State().BindingsTo(q.VHost, meta.ToQueue, q.Name) {
		out.Bindings++
	}
	return out, nil
}

// DeclareQueue implements adminv1.QueueServiceServer. A queue that another node shall lead is declared there.
func (a *api) DeclareQueue(ctx context.Context, r *adminv1.DeclareQueueRequest) (*adminv1.DeclareQueueResponse, error) {
	q := r.GetQueue()
	switch {
	case q == nil:
		return nil, violation("queue", "want a queue")
	case q.GetName() == "" || len(q.GetName()) > maxShort:
		return nil, violation("queue.name", "got %d bytes, want 1 to %d", len(q.GetName()), maxShort)
	case q.GetExclusive():
		return nil, violation("queue.exclusive", "want false: only a connection can declare an exclusive queue")
	}
	if conn, err := a.peer(q.GetLeader()); err != nil {
		return nil, toStatus(err)
	} else if conn != nil && a.Broker.State().Queue(q.GetVhost(), q.GetName()) == nil {
		if a.callerOf(ctx).as() != nil {
			return nil, status.Errorf(codes.PermissionDenied, "queue.leader: only administrators choose it")
		}
		return adminv1.NewQueueServiceClient(conn).DeclareQueue(a.forPeer(ctx), r)
	}
	args, err := tableOf("queue.arguments", q.GetArguments())
	if err != nil {
		return nil, err
	}
	if q.GetType() != "" {
		if v, ok := args.Get("x-queue-type"); ok && v.Str != q.GetType() {
			return nil, violation("queue.type", "got %q, but the argument x-queue-type is %q: leave one of them out", q.GetType(), v.Str)
		}
		if q.GetType() != "classic" {
			args = args.Set("x-queue-type", stringValue(q.GetType()))
		}
	}
	access, err := a.act(ctx, q.GetVhost())
	if err != nil {
		return nil, err
	}
	existed := a.Broker.State().Queue(q.GetVhost(), q.GetName()) != nil
	if _, err := access.DeclareQueue(cluster.QueueSpec{Name: q.GetName(), Durable: q.GetDurable(), AutoDelete: q.GetAutoDelete(), Arguments: args}); err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.DeclareQueueResponse{Created: !existed}, nil
}

// DeleteQueue implements adminv1.QueueServiceServer.
func (a *api) DeleteQueue(ctx context.Context, r *adminv1.DeleteQueueRequest) (*adminv1.DeleteQueueResponse, error) {
	access, err := a.act(ctx, r.GetVhost())
	if err != nil {
		return nil, err
	}
	if _, err := a.findQueue(r.GetVhost(), r.GetName()); err != nil {
		return nil, err
	}
	n, err := access.DeleteQueue(r.GetName(), r.GetIfUnused(), r.GetIfEmpty())
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.DeleteQueueResponse{Messages: uint64(n)}, nil
}

// PurgeQueue implements adminv1.QueueServiceServer.
func (a *api) PurgeQueue(ctx context.Context, r *adminv1.PurgeQueueRequest) (*adminv1.PurgeQueueResponse, error) {
	access, err := a.act(ctx, r.GetVhost())
	if err != nil {
		return nil, err
	}
	n, err := access.PurgeQueue(r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.PurgeQueueResponse{Messages: uint64(n)}, nil
}

// MoveQueue implements adminv1.QueueServiceServer.
func (a *api) MoveQueue(ctx context.Context, r *adminv1.MoveQueueRequest) (*adminv1.MoveQueueResponse, error) {
	q, err := a.findQueue(r.GetVhost(), r.GetName())
	if err != nil {
		return nil, err
	}
	n, err := a.Broker.FindNode(r.GetNode())
	if err != nil {
		return nil, toStatus(err)
	}
	if q.Leader == n.Name {
		return &adminv1.MoveQueueResponse{}, nil
	}
	return &adminv1.MoveQueueResponse{}, toStatus(a.Broker.MoveQueue(a.actor(ctx), q.VHost, q.Name, n.Name))
}
