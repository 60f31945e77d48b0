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
	unused := n.unused()
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
	if unused {
		return n.dropDefaultUser(ctx, loaded.Definitions)
	}
	return nil
}

// unused says whether the cluster has nothing but what its first start made. An earlier start may have failed since, for a mistake
// in these definitions.
func (n *Node) unused() bool {
	s := n.broker.State()
	vhosts, users := 0, 0
	for range s.VHosts() {
		vhosts++
	}
	for range s.Users() {
		users++
	}
	return vhosts == 1 && users == 1 && s.User(n.cfg.DefaultUser) != nil && s.NumQueues() == 0 && s.NumBindings() == 0
}

// dropDefaultUser deletes the default user of a new cluster, whose password everybody knows, if the definitions have another administrator and do
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
