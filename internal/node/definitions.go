package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/brokerd/brokerd/internal/definitions"
)

// loadDefinitions imports what definitions.load names. An error stops the start: a node without its definitions would refuse
// clients that are right.
func (n *Node) loadDefinitions(ctx context.Context) error {
	path := n.cfg.Definitions.Load
	if path == "" {
		return nil
	}
	fresh := n.fresh()
	loaded, err := definitions.Load(ctx, n.broker, path)
	if err != nil {
		return fmt.Errorf("definitions.load: %w", err)
	}
	if loaded.Skipped {
		n.log.Info("definitions are as they were loaded before", "path", path)
		return nil
	}
	for _, w := range loaded.Definitions.Warnings {
		n.log.Warn("definitions", "warning", w.Error())
	}
	for i := range loaded.Report.Conflicts {
		n.log.Warn("definitions differ from what exists", "at", loaded.Report.Conflicts[i].Position().String(), "conflict", loaded.Report.Conflicts[i].String())
	}
	c := loaded.Report.Counts
	n.log.Info("definitions loaded", "path", path, "took", loaded.Report.Took, "created", c.Create, "updated", c.Update,
		"unchanged", c.Unchanged, "conflicts", c.Conflict)
	if fresh {
		return n.dropDefaultUser(ctx, loaded.Definitions)
	}
	return nil
}

// fresh says whether the cluster was made by this start: this is the first run of its only node.
func (n *Node) fresh() bool {
	nodes, first := 0, true
	for run := range n.broker.State().Nodes() {
		nodes++
		first = first && run.Incarnation == 1
	}
	return nodes == 1 && first
}

// dropDefaultUser deletes the default user, whose password everybody knows, if the definitions have another administrator and do
// not have this user (SEMANTICS 15.6).
func (n *Node) dropDefaultUser(ctx context.Context, d *definitions.Definitions) error {
	name := n.cfg.DefaultUser
	if _, defined := d.User(name); defined || !slices.ContainsFunc(d.Administrators(), func(a string) bool { return a != name }) {
		return nil
	}
	if err := n.broker.DeleteUser(ctx, name); err != nil {
		return fmt.Errorf("definitions.load: deleting the default user %s: %w", name, err)
	}
	n.log.Info("default user deleted: the definitions have another administrator", "user", name)
	return nil
}
