package meta

import "fmt"

// CommandVersion is the greatest version of commands that this code knows. A command has the version that introduced it, or a
// field that it uses; a log entry and a snapshot have the greatest version of the commands in or behind them. A member that meets
// a greater version than its own stops applying; so that this does not happen to a running one, the leader refuses a command that
// a registered node could not apply.
//
//	1  everything up to EndOwner
//	2  PutNode, SetDraining, RemoveNode, MoveQueue, EnsureClusterID; Initialize with a ClusterID
const CommandVersion = 2

// versionOf returns the least version that can apply c.
func versionOf(c Command) uint32 {
	switch c := c.(type) {
	case PutNode, SetDraining, RemoveNode, MoveQueue, EnsureClusterID:
		return 2
	case Initialize:
		if c.ClusterID != "" {
			return 2
		}
	}
	return 1
}

// checkVersion returns ErrTooNew, with the node that stands in the way, for a command that some registered node could not apply.
func (s *State) checkVersion(version uint32) error {
	if version <= 1 {
		return nil
	}
	for n := range s.Nodes() {
		if n.CommandVersion != 0 && n.CommandVersion < version {
			return tooNew(version, n.Name, n.CommandVersion)
		}
	}
	return nil
}

func tooNew(version uint32, node string, its uint32) error {
	return fmt.Errorf("%w: it needs version %d, and node %q has version %d: upgrade or remove that node first",
		ErrTooNew, version, node, its)
}
