package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/network"
	"github.com/brokerd/brokerd/internal/config"
)

// openNetwork opens the listener for other nodes; nil if this node is to stay alone.
func (n *Node) openNetwork() (*network.Network, error) {
	c := &n.cfg.Cluster
	if c.Listen == "" {
		if len(c.Join) > 0 || len(c.Initial) > 0 {
			return nil, errors.New("cluster.listen is empty, but cluster.join or cluster.initial names other nodes: give it an address")
		}
		return nil, nil
	}
	o := network.Options{
		Node:      n.dir.NodeID(),
		Name:      n.cfg.Node.Name,
		Release:   Release,
		ClusterID: n.clusterID,
		Listen:    c.Listen,
		Advertise: c.Advertise,
		Secret:    []byte(c.Secret),
		BookFile:  filepath.Join(n.dir.Path(), "nodes.json"),
		Logger:    n.log,
	}
	if c.TLS != (config.ClusterTLS{}) {
		o.TLS = &network.TLSOptions{CAFile: c.TLS.CA, CertFile: c.TLS.Cert, KeyFile: c.TLS.Key}
	}
	net, err := network.Listen(o)
	if err == nil {
		return net, nil
	}
	if n.optional("cluster.listen") && len(c.Join) == 0 && len(c.Initial) == 0 && errors.Is(err, syscall.EADDRINUSE) {
		n.log.Warn("no listener for other nodes, because the default address is in use; cluster.listen sets another one, or none",
			"cluster.listen", c.Listen)
		return nil, nil
	}
	return nil, fmt.Errorf("cluster.listen: %w", err)
}

// optional says whether a listener was not asked for, so that the node can do without it when its default address is taken: by
// another node on this machine, most likely.
func (n *Node) optional(key string) bool { return n.cfg.IsDefault(key) }

// clusterID is the id of the cluster that the node belongs to, "" while it is in none.
func (n *Node) clusterID() string {
	if b := n.clustered.Load(); b != nil {
		return b.ClusterID()
	}
	return ""
}

// alarmed tells the server what the nodes of the cluster are short of.
func (n *Node) alarmed(names []string) {
	s := n.serving.Load()
	if s == nil {
		return
	}
	if len(names) == 0 {
		s.Unblocked()
		return
	}
	// Clients see RabbitMQ's text, "low on memory & disk".
	names = slices.SortedFunc(slices.Values(names), func(a, b string) int { return strings.Compare(b, a) })
	s.Blocked("low on " + strings.Join(names, " & "))
}

// deliverReply implements cluster.Options.DeliverReply.
func (n *Node) deliverReply(vhost string, name, record, tail []byte) {
	if s := n.serving.Load(); s != nil {
		s.DeliverReply(vhost, name, record, tail)
	}
}

// describe tells the other nodes where this one serves.
func (n *Node) describe(ctx context.Context) error {
	return n.broker.Describe(ctx, func(d *meta.Node) { d.AMQP, d.Admin, d.HTTP = n.Addrs(), n.AdminAddr(), n.HTTPAddr() })
}

func formation(c *config.Cluster) cluster.Formation {
	return cluster.Formation{Join: c.Join, Initial: c.Initial}
}
