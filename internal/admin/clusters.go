package admin

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brokerd/brokerd/cluster"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// nodes returns the nodes of the cluster by name.
func (a *api) nodes() (list []*adminv1.Node) {
	for _, n := range a.Broker.Nodes() {
		list = append(list, nodeOf(&n))
	}
	slices.SortFunc(list, func(x, y *adminv1.Node) int { return strings.Compare(keyOf(x.Name, x.Id), keyOf(y.Name, y.Id)) })
	return list
}

func nodeOf(n *cluster.NodeStatus) *adminv1.Node {
	out := &adminv1.Node{
		Id: n.Name, Name: text(n.DisplayName), Asked: n.Self, Voter: n.Voter, Leader: n.Leader, Address: n.Address, AmqpAddresses: n.AMQP,
		AdminAddress: n.Admin, Release: n.Release, Runs: n.Incarnation, Queues: uint64(n.Queues), HttpAddress: n.HTTP,
	}
	if out.Name == "" {
		out.Name = n.Name
	}
	switch {
	case n.Reachable && n.Draining:
		out.State = adminv1.NodeState_NODE_STATE_DRAINING
	case n.Reachable:
		out.State = adminv1.NodeState_NODE_STATE_RUNNING
	case n.Ended:
		out.State = adminv1.NodeState_NODE_STATE_STOPPED
	default:
		out.State = adminv1.NodeState_NODE_STATE_UNREACHABLE
	}
	return out
}

// alarms returns what the nodes are short of.
func (a *api) alarms() (list []*adminv1.Alarm) {
	for id, resources := range a.Broker.Alarms() {
		for _, r := range resources {
			list = append(list, &adminv1.Alarm{Node: a.nodeName(id), Resource: r, Text: alarmText(r)})
		}
	}
	slices.SortFunc(list, func(x, y *adminv1.Alarm) int {
		return strings.Compare(keyOf(x.Node, x.Resource), keyOf(y.Node, y.Resource))
	})
	return list
}

func alarmText(resource string) string {
	switch resource {
	case "memory":
		return "publishers are blocked on all nodes: consume messages, or raise memory.limit"
	case "disk":
		return "publishers are blocked on all nodes: free disk space, or lower store.min_free"
	}
	return "publishers are blocked on all nodes"
}

// objects counts what the cluster has; clients are those of this node.
func (a *api) objects() *adminv1.ObjectCounts {
	s, st := a.Broker.State(), a.AMQP.Stats()
	out := &adminv1.ObjectCounts{Exchanges: uint64(s.NumExchanges()), Bindings: uint64(s.NumBindings()),
		Connections: uint64(st.Connections), Channels: uint64(st.Channels), Consumers: uint64(a.AMQP.Consumers())}
	for v := range s.VHosts() {
		out.Vhosts++
		out.Queues += uint64(a.Broker.VHostUsage(v.Name).Queues)
	}
	for range s.Users() {
		out.Users++
	}
	return out
}

// GetClusterStatus implements adminv1.ClusterServiceServer.
func (a *api) GetClusterStatus(ctx context.Context, _ *adminv1.GetClusterStatusRequest) (*adminv1.GetClusterStatusResponse, error) {
	out := &adminv1.GetClusterStatusResponse{
		ClusterName: text(a.Broker.ClusterName()), ClusterId: a.Broker.ClusterID(), Leader: a.Broker.Meta().Leader(),
		MetadataIndex: a.Broker.State().Index(), Nodes: a.nodes(), Objects: a.objects(), Alarms: a.alarms(), Time: timestamppb.Now(),
	}
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.GetNodeStatusResponse, error) {
		return adminv1.NewNodeServiceClient(conn).GetNodeStatus(ctx, &adminv1.GetNodeStatusRequest{})
	})
	for _, one := range answers {
		out.Objects.Connections += one.GetObjects().GetConnections()
		out.Objects.Channels += one.GetObjects().GetChannels()
		out.Objects.Consumers += one.GetObjects().GetConsumers()
	}
	out.UnreachableNodes = unreachable
	return out, nil
}

// ListNodes implements adminv1.ClusterServiceServer.
func (a *api) ListNodes(_ context.Context, r *adminv1.ListNodesRequest) (*adminv1.ListNodesResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(a.nodes(), func(n *adminv1.Node) bool { return !f.match(n.GetName()) })
	out := &adminv1.ListNodesResponse{}
	out.Nodes, out.NextPageToken, out.TotalSize = take(p, sorted(all, func(n *adminv1.Node) string { return keyOf(n.GetName(), n.GetId()) }))
	return out, nil
}

// JoinCluster implements adminv1.ClusterServiceServer.
func (a *api) JoinCluster(_ context.Context, r *adminv1.JoinClusterRequest) (*adminv1.JoinClusterResponse, error) {
	if r.GetAddress() == "" {
		return nil, violation("address", "want the cluster address (host:port) of a member")
	}
	return nil, notHere("a running node cannot join another cluster: stop it and start it with an empty data directory and --join %s", r.GetAddress())
}

// LeaveCluster implements adminv1.ClusterServiceServer.
func (a *api) LeaveCluster(ctx context.Context, r *adminv1.LeaveClusterRequest) (*adminv1.LeaveClusterResponse, error) {
	if err := a.Broker.Leave(a.actor(ctx), r.GetForce()); err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.LeaveClusterResponse{}, nil
}

// RemoveNode implements adminv1.ClusterServiceServer.
func (a *api) RemoveNode(ctx context.Context, r *adminv1.RemoveNodeRequest) (*adminv1.RemoveNodeResponse, error) {
	n, err := a.Broker.FindNode(r.GetNode())
	if err != nil {
		return nil, toStatus(err)
	}
	lost := 0
	for q := range a.Broker.State().Queues() {
		if q.Leader == n.Name {
			lost++
		}
	}
	if err := a.Broker.RemoveNode(a.actor(ctx), n.Name, r.GetForce()); err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.RemoveNodeResponse{QueuesLost: uint64(lost)}, nil
}

// TransferLeader implements adminv1.ClusterServiceServer. The node that leads is asked.
func (a *api) TransferLeader(ctx context.Context, r *adminv1.TransferLeaderRequest) (*adminv1.TransferLeaderResponse, error) {
	if r.GetNode() != "" {
		n, err := a.Broker.FindNode(r.GetNode())
		if err != nil {
			return nil, toStatus(err)
		}
		if n.Name == a.Broker.Meta().Leader() {
			return &adminv1.TransferLeaderResponse{Leader: n.Name}, nil
		}
		return nil, violation("node", "want nothing: the members elect the new leader, and node '%s' cannot be chosen", a.nodeName(n.Name))
	}
	leader := a.Broker.Meta().Leader()
	if leader == "" {
		return nil, status.Error(codes.Unavailable, "the metadata group has no leader at the moment")
	}
	if conn := a.peers()[leader]; conn != nil && !a.trusted {
		return adminv1.NewClusterServiceClient(conn).TransferLeader(a.forPeer(ctx), r)
	}
	if err := a.Broker.TransferLeader(a.actor(ctx)); err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.TransferLeaderResponse{Leader: a.Broker.Meta().Leader()}, nil
}

// RebalanceQueues implements adminv1.ClusterServiceServer.
func (a *api) RebalanceQueues(r *adminv1.RebalanceQueuesRequest, stream grpc.ServerStreamingServer[adminv1.RebalanceQueuesResponse]) error {
	if _, err := newRegex("name_regex", r.GetNameRegex()); err != nil {
		return err
	}
	f := cluster.RebalanceFilter{QueuePattern: r.GetNameRegex()}
	if r.GetVhost() != "" {
		f.VHostPattern = "^" + regexp.QuoteMeta(r.GetVhost()) + "$"
	}
	ctx, cancel := context.WithCancel(a.actor(stream.Context()))
	defer cancel()
	var broken error
	tell := func(s cluster.RebalanceStep) {
		out := &adminv1.RebalanceQueuesResponse{Vhost: text(s.VHost), Queue: text(s.Queue), From: a.nodeName(s.From), To: a.nodeName(s.To),
			Done: uint64(s.Done), Total: uint64(s.Planned)}
		if s.Err != nil {
			out.Error = text(s.Err.Error())
		}
		if err := stream.Send(out); err != nil && broken == nil {
			broken = err
			cancel() // nobody watches any more
		}
	}
	var err error
	if r.GetDryRun() {
		var steps []cluster.RebalanceStep
		steps, err = a.Broker.PlanRebalance(ctx, f)
		for _, s := range steps {
			tell(s)
		}
	} else {
		err = a.Broker.Rebalance(ctx, f, tell)
	}
	if broken != nil {
		return broken
	}
	return toStatus(err)
}
