package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brokerd/brokerd/cluster/meta"
)

// NodeStatus is a node of the cluster as this one sees it.
type NodeStatus struct {
	meta.Node
	Self      bool // it is the one that answers
	Member    bool // it takes part in the metadata group
	Voter     bool // its vote counts; from the sixth member on they have none
	Leader    bool // it leads the metadata group
	Reachable bool
	Since     time.Time // since when it is (not) reachable, zero for this node
	Applied   uint64    // index of the metadata that it is known to have applied
	Queues    int       // that it leads, the stores of exchanges included
	Alarms    []string  // what it is short of
}

// Nodes returns all nodes of the cluster, by id. It does not wait.
func (b *Broker) Nodes() []NodeStatus {
	s := b.State()
	members, err := b.meta.Members()
	if err != nil {
		b.log.Debug("members of the metadata group are not known", "error", err)
	}
	byID := make(map[string]meta.Member, len(members))
	for _, m := range members {
		byID[m.ID] = m
	}
	var list []NodeStatus
	n := b.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	for m := range s.Nodes() {
		member, in := byID[m.Name]
		st := NodeStatus{Node: *m, Member: in, Voter: member.Voter, Leader: member.Leader, Queues: s.QueuesLedBy(m.Name)}
		if m.Name == b.opts.NodeID {
			st.Self, st.Reachable, st.Applied, st.Alarms = true, true, s.Index(), append([]string(nil), n.own...)
		} else if o := n.others[m.Name]; o != nil {
			st.Reachable, st.Since, st.Applied, st.Alarms = o.up, o.since, o.applied, append([]string(nil), o.alarms...)
		}
		list = append(list, st)
	}
	return list
}

// NodeID returns the id of this node.
func (b *Broker) NodeID() string { return b.opts.NodeID }

// ErrNodeAlive says that a node is to be removed without its help although it can be reached.
var ErrNodeAlive = errors.New("node is running")

// FindNode returns the node with a display name or id. The error is a *meta.NameError.
func (b *Broker) FindNode(name string) (*meta.Node, error) {
	s := b.State()
	if n := s.Node(name); n != nil {
		return n, nil
	}
	for n := range s.Nodes() {
		if n.DisplayName == name {
			return n, nil
		}
	}
	return nil, &meta.NameError{Err: meta.ErrNoNode, Name: name}
}

// RemoveNode removes a node that will not come back, by display name or id. With force the durable queues that it leads go with it,
// and their messages; without, it is refused while there are any (meta.ErrNodeInUse). Errors: ErrNodeAlive, *meta.NameError, and
// those of meta.
func (b *Broker) RemoveNode(ctx context.Context, name string, force bool) error {
	n, err := b.FindNode(name)
	if err != nil {
		return err
	}
	if b.Reachable(n.Name) {
		return fmt.Errorf("%w: %s can be reached; let it leave (brokerctl cluster leave), or stop it first", ErrNodeAlive, n.DisplayName)
	}
	return b.forget(ctx, n, force)
}

// forget takes n out of the metadata, and then out of the group that keeps them.
func (b *Broker) forget(ctx context.Context, n *meta.Node, force bool) error {
	if _, err := b.administer(ctx, meta.RemoveNode{Node: n.Name, Force: force}); err != nil {
		return err
	}
	if err := b.meta.Leave(ctx, n.Name); err != nil {
		return fmt.Errorf("node %s owns nothing any more, but is still a member of the metadata group; try again: %w", n.DisplayName, err)
	}
	b.log.Info("node removed from the cluster", "node", n.DisplayName, "id", n.Name)
	return nil
}

// Leave takes this node out of its cluster. With force the durable queues that it leads go with it, and their messages; without, it
// is refused while there are any (meta.ErrNodeInUse). The node must be shut down afterwards, and can only come back with an empty
// data directory.
func (b *Broker) Leave(ctx context.Context, force bool) error {
	n := b.State().Node(b.opts.NodeID)
	if n == nil {
		return &meta.NameError{Err: meta.ErrNoNode, Name: b.opts.NodeID}
	}
	members, err := b.meta.Members()
	if err != nil {
		return err
	}
	if len(members) < 2 {
		return fmt.Errorf("%w: node %s is the only one", ErrFormation, n.DisplayName)
	}
	return b.forget(ctx, n, force)
}

// TransferLeader makes another node the leader of the metadata; it returns when this node knows which. It is called on the leader.
// Errors: meta.ErrNotLeader, meta.ErrNoSuccessor, meta.ErrTimeout.
func (b *Broker) TransferLeader(ctx context.Context) error { return b.meta.TransferLeadership(ctx) }
