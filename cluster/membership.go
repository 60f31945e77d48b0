package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/network"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// membership answers the other nodes: it carries their metadata requests to the group and lets new ones in.
type membership struct {
	peerv1.UnimplementedMembershipServiceServer
	broker *Broker
	// opened is closed once the group is there: the listener must answer before, so that nodes that start together find each
	// other.
	opened chan struct{}
}

// group returns the metadata group, UNAVAILABLE while there is none.
func (m *membership) group() (*meta.Group, error) {
	select {
	case <-m.opened:
		return m.broker.meta, nil
	default:
		return nil, status.Error(codes.Unavailable, "the node is starting")
	}
}

// Forward implements peerv1.MembershipServiceServer.
func (m *membership) Forward(ctx context.Context, r *peerv1.ForwardRequest) (*peerv1.ForwardResponse, error) {
	g, err := m.group()
	if err != nil {
		return nil, err
	}
	response, err := g.HandleForward(ctx, r.GetRequest())
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &peerv1.ForwardResponse{Response: response}, nil
}

// Standing implements peerv1.MembershipServiceServer. It speaks for the cluster, not for this node's copy of the metadata, which may
// be behind: a node that is told that it is no member gives up.
func (m *membership) Standing(ctx context.Context, _ *peerv1.StandingRequest) (*peerv1.StandingResponse, error) {
	g, err := m.group()
	if err != nil {
		return nil, err
	}
	caller, ok := network.Caller(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the calling node is not known")
	}
	if err := g.ReadIndex(ctx); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	s := g.State()
	return &peerv1.StandingResponse{Member: s.Node(caller.Node) != nil, ClusterId: s.ClusterID(), Index: s.Index()}, nil
}

// Join implements peerv1.MembershipServiceServer. It may be repeated: what is done already stays as it is.
func (m *membership) Join(ctx context.Context, r *peerv1.JoinRequest) (*peerv1.JoinResponse, error) {
	g, err := m.group()
	if err != nil {
		return nil, err
	}
	if caller, ok := network.Caller(ctx); !ok || caller.Node != r.GetNode() {
		return nil, status.Errorf(codes.PermissionDenied, "a node can only join itself; node is %q", r.GetNode())
	}
	s := g.State()
	if s.ClusterID() == "" {
		return nil, status.Error(codes.Unavailable, "this node is in no cluster yet")
	}
	for n := range s.Nodes() {
		if r.GetCommandVersion() < n.CommandVersion {
			return nil, status.Errorf(codes.FailedPrecondition, "node %q (%s) applies metadata commands up to version %d, but node "+
				"%q (%s) already uses version %d: upgrade it before it joins", r.GetName(), r.GetRelease(), r.GetCommandVersion(),
				n.DisplayName, n.Release, n.CommandVersion)
		}
	}
	node := meta.Node{
		Name: r.GetNode(), DisplayName: r.GetName(), Address: r.GetAddress(), Release: r.GetRelease(),
		CommandVersion: r.GetCommandVersion(), Protocol: r.GetProtocol(),
	}
	if err := m.broker.network.Learn(network.Identity{Node: node.Name, Name: node.DisplayName, Address: node.Address}); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "address %q of the joining node: %v", node.Address, err)
	}
	known := s.Node(node.Name) != nil
	if _, err := g.Propose(ctx, meta.PutNode{Node: node}); err != nil {
		if errors.Is(err, meta.ErrNodeNameTaken) {
			return nil, status.Errorf(codes.AlreadyExists, "another node of the cluster has the name %q: give this one another "+
				"name (node.name), or remove the other one if it is gone (brokerctl cluster remove)", r.GetName())
		}
		return nil, status.Errorf(codes.Unavailable, "the cluster cannot take a node now: %v", err)
	}
	if err := g.Join(ctx, node.Name); err != nil {
		if !known {
			// Nobody is there under the name, so it must stay free.
			m.broker.proposeUntilDone("forget a node that did not join", meta.RemoveNode{Node: node.Name, Force: true})
		}
		return nil, status.Errorf(codes.Unavailable, "the cluster cannot take a node now: %v", err)
	}
	m.broker.log.Info("node joined the cluster", "node", node.DisplayName, "id", node.Name, "address", node.Address)
	return &peerv1.JoinResponse{ClusterId: s.ClusterID(), Members: peersOf(g.State())}, nil
}

func peersOf(s *meta.State) (list []*peerv1.Peer) {
	for n := range s.Nodes() {
		list = append(list, &peerv1.Peer{Node: n.Name, Name: n.DisplayName, Address: n.Address})
	}
	return list
}

// forward implements meta.Options.Forward.
func (b *Broker) forward(ctx context.Context, leader string, request []byte) ([]byte, error) {
	conn, err := b.network.Conn(leader)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", meta.ErrNotSent, err)
	}
	var sent departure
	r, err := peerv1.NewMembershipServiceClient(conn).Forward(ctx, &peerv1.ForwardRequest{Request: request}, grpc.PerRPCCredentials(&sent))
	switch {
	case err == nil:
		return r.GetResponse(), nil
	case !sent.Load(): // such as when the leader has died, and there is no new one yet
		return nil, fmt.Errorf("%w: %w", meta.ErrNotSent, err)
	}
	return nil, err
}

// departure becomes true when a call is about to be sent: gRPC asks for its credentials, which it does not need, once it has a
// connection to send it on, and not before.
type departure struct{ atomic.Bool }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (d *departure) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	d.Store(true)
	return nil, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: there is nothing to be kept secret.
func (*departure) RequireTransportSecurity() bool { return false }

// join asks members of a cluster to take this node in, until one of them does, or all who answer refuse for good.
func (b *Broker) join(ctx context.Context, addresses []string) error {
	self := b.self()
	request := &peerv1.JoinRequest{
		Node: self.Name, Name: self.DisplayName, Address: self.Address, Release: self.Release,
		CommandVersion: self.CommandVersion, Protocol: self.Protocol,
	}
	var last error
	said := time.Now()
	for wait := firstPause; ; wait = min(2*wait, maxJoinPause) {
		for _, address := range addresses {
			err := b.joinVia(ctx, address, request)
			if err == nil {
				return nil
			}
			last = fmt.Errorf("%s: %w", address, err)
			if final(err) {
				return fmt.Errorf("joining the cluster: %w", last)
			}
		}
		if time.Since(said) > sayAgain {
			said = time.Now()
			b.log.Warn("still trying to join the cluster", "members", addresses, "error", last)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("joining the cluster: %w; the last attempt: %w", context.Cause(ctx), last)
		case <-time.After(wait):
		}
	}
}

const (
	maxJoinPause = time.Second
	// sayAgain is the time between two log lines about the same wait.
	sayAgain = 10 * time.Second
	// joinAttempt bounds one request to be taken in.
	joinAttempt = 10 * time.Second
)

func (b *Broker) joinVia(ctx context.Context, address string, request *peerv1.JoinRequest) error {
	ctx, cancel := context.WithTimeout(ctx, joinAttempt)
	defer cancel()
	id, err := b.network.Probe(ctx, address)
	if err != nil {
		return err
	}
	conn, err := b.network.Conn(id.Node)
	if err != nil {
		return err
	}
	r, err := peerv1.NewMembershipServiceClient(conn).Join(ctx, request)
	if err != nil {
		return err
	}
	cluster := r.GetClusterId()
	b.clusterID.Store(&cluster)
	for _, p := range r.GetMembers() {
		if p.GetNode() != request.GetNode() {
			if err := b.network.Learn(network.Identity{Node: p.GetNode(), Name: p.GetName(), Address: p.GetAddress()}); err != nil {
				b.log.Warn("address of a member cannot be used", "node", p.GetName(), "address", p.GetAddress(), "error", err)
			}
		}
	}
	return nil
}

// final says whether another attempt to join cannot end better.
func final(err error) bool {
	for _, f := range []error{
		network.ErrWrongSecret, network.ErrTLS, network.ErrForeignCluster, network.ErrVersion, network.ErrSelf,
	} {
		if errors.Is(err, f) {
			return true
		}
	}
	switch status.Code(err) {
	case codes.AlreadyExists, codes.FailedPrecondition, codes.PermissionDenied, codes.InvalidArgument, codes.Unauthenticated:
		return true
	}
	return false
}

// self describes this node to the others.
func (b *Broker) self() meta.Node {
	n := b.opts.Node
	n.Name = b.opts.NodeID
	if n.DisplayName == "" {
		n.DisplayName = n.Name
	}
	n.CommandVersion = meta.CommandVersion
	if b.network != nil {
		n.Address = b.network.Advertised()
		n.Protocol = network.Protocol
	}
	return n
}

// Describe tells the other nodes where this one serves clients and administrators; edit changes what was told so far.
func (b *Broker) Describe(ctx context.Context, edit func(*meta.Node)) error {
	b.mu.Lock()
	edit(&b.opts.Node)
	b.mu.Unlock()
	return b.register(ctx)
}

// register puts what this node says of itself into the metadata, unless it is there.
func (b *Broker) register(ctx context.Context) error {
	b.mu.RLock()
	self := b.self()
	b.mu.RUnlock()
	if known := b.meta.State().Node(self.Name); known != nil {
		self.Draining = known.Draining
		if known.SameDescription(&self) {
			return nil
		}
	}
	if _, err := b.meta.Propose(ctx, meta.PutNode{Node: self}); err != nil {
		return fmt.Errorf("cluster: registering node %s: %w", self.DisplayName, err)
	}
	return nil
}

// checkStanding returns ErrRemoved if a member of the cluster says that this node is none. Members that cannot be reached, or do not
// know because they have no leader either, do not count.
func (b *Broker) checkStanding(ctx context.Context) error {
	if b.network == nil {
		return nil
	}
	// The log has the members even while its entries are not known to be committed, and the metadata are as empty as in the beginning.
	members, err := b.meta.Members()
	if err != nil {
		return fmt.Errorf("members of the metadata group: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, standingTimeout)
	defer cancel()
	removedFrom := make([]string, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		if m.ID == b.opts.NodeID {
			continue
		}
		asked.Go(func() {
			conn, err := b.network.Conn(m.ID)
			if err != nil {
				return
			}
			r, err := peerv1.NewMembershipServiceClient(conn).Standing(ctx, &peerv1.StandingRequest{})
			if err == nil && !r.GetMember() {
				removedFrom[i] = r.GetClusterId()
			}
		})
	}
	asked.Wait()
	for _, id := range removedFrom {
		if id != "" {
			return fmt.Errorf("%w: cluster %s no longer has node %s (%s); it can join again with an empty data directory",
				ErrRemoved, id, b.self().DisplayName, b.opts.NodeID)
		}
	}
	return nil
}

// standingTimeout bounds the question whether this node is a member.
const standingTimeout = 2 * time.Second

// ErrRemoved says that the cluster removed this node while it was away.
var ErrRemoved = errors.New("this node was removed from its cluster")
