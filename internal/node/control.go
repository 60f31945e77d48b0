package node

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/internal/admin"
)

// control is what the admin API does with the cluster.
type control struct{ *Node }

var _ admin.ClusterControl = control{}

// Join implements admin.ClusterControl. A node joins when it starts: what it has would have to go first.
func (c control) Join(context.Context, string) ([]string, error) {
	return nil, wire.Errorf(wire.PreconditionFailed, "this node is in a cluster of its own: stop it, and start it with --join and an empty data directory")
}

// MoveQueue implements admin.ClusterControl.
func (c control) MoveQueue(ctx context.Context, vhost, name, node string) error {
	n, err := c.broker.FindNode(node)
	if err != nil {
		return err
	}
	return c.broker.MoveQueue(ctx, vhost, name, n.Name)
}

// Rebalance implements admin.ClusterControl.
func (c control) Rebalance(ctx context.Context, o admin.Rebalance, tell func(admin.Move)) error {
	f := cluster.RebalanceFilter{QueuePattern: o.NameRegex, DryRun: o.DryRun}
	if o.VHost != "" {
		f.VHostPattern = "^" + regexp.QuoteMeta(o.VHost) + "$"
	}
	return c.broker.Rebalance(ctx, f, func(s cluster.RebalanceStep) {
		tell(admin.Move{VHost: s.VHost, Queue: s.Queue, From: c.displayName(s.From), To: c.displayName(s.To), Err: s.Err,
			Done: s.Done, Total: s.Planned})
	})
}

func (c control) displayName(id string) string {
	if n, err := c.broker.FindNode(id); err == nil && n.DisplayName != "" {
		return n.DisplayName
	}
	return id
}

// Drain implements admin.ClusterControl, for this node.
func (c control) Drain(ctx context.Context, node string, keepQueues bool, tell func(admin.DrainStep)) error {
	if err := c.mine(node); err != nil {
		return err
	}
	return c.broker.Drain(ctx, cluster.DrainOptions{KeepQueues: keepQueues, Progress: func(text string, done, total int) {
		tell(admin.DrainStep{Text: text, Done: done, Total: total})
	}})
}

// Resume implements admin.ClusterControl, for this node.
func (c control) Resume(ctx context.Context, node string) error {
	if err := c.mine(node); err != nil {
		return err
	}
	return c.broker.Resume(ctx)
}

// mine refuses what only another node can do.
func (c control) mine(node string) error {
	n, err := c.broker.FindNode(node)
	if err != nil {
		return err
	}
	if n.Name != c.dir.NodeID() {
		return errors.Join(meta.ErrInvalidArgument, fmt.Errorf("node %s must be asked itself", n.DisplayName))
	}
	return nil
}
