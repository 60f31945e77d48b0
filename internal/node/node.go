// Package node is the composition root: it builds a running node from a configuration.
package node

import (
	"context"
	"log/slog"

	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/datadir"
)

// Node is a running node.
type Node struct {
	dir   *datadir.Dir
	fatal chan error
}

// Start builds and starts a node. ctx bounds the start only: the node outlives it and runs until Shutdown. So far a node only
// holds its data directory; it serves nobody.
func Start(_ context.Context, cfg *config.Config, log *slog.Logger) (*Node, error) {
	dir, err := datadir.Open(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	log.Info("data directory opened", "path", dir.Path(), "node_id", dir.NodeID())
	log.Warn("this build has no listeners yet")
	return &Node{dir: dir, fatal: make(chan error, 1)}, nil
}

// Shutdown stops the node in order. ctx bounds it; when it ends first, the error says what was cut off.
func (n *Node) Shutdown(context.Context) error { return n.dir.Close() }

// Fatal delivers the error that made the node unable to go on. The receiver shuts it down.
func (n *Node) Fatal() <-chan error { return n.fatal }
