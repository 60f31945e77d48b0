package meta

import (
	"errors"
	"fmt"
)

// What a command can be refused for. The error that Propose returns wraps one of them in a *NameError.
var (
	ErrNoVHost         = errors.New("no such vhost")
	ErrNoUser          = errors.New("no such user")
	ErrNoExchange      = errors.New("no such exchange")
	ErrNoQueue         = errors.New("no such queue")
	ErrNoPolicy        = errors.New("no such policy")
	ErrNoParameter     = errors.New("no such parameter")
	ErrExchangeInUse   = errors.New("exchange in use")          // DeleteExchange with IfUnused
	ErrVHostProtected  = errors.New("vhost is protected")       // DeleteVHost
	ErrOwnerEnded      = errors.New("owner is no longer there") // declared for a run of a node that is over, not the latest, or never began
	ErrNoNode          = errors.New("no such node")
	ErrNodeInUse       = errors.New("node leads durable queues") // RemoveNode without Force; NameError.Count is their number
	ErrNodeNameTaken   = errors.New("another node has this name")
	ErrQueueMoved      = errors.New("queue has another leader") // MoveQueue
	ErrInvalidArgument = errors.New("invalid argument")         // an empty name where one is needed
)

// What can go wrong with a proposal as such.
var (
	// ErrNotLeader: this node does not lead the group, and cannot forward to the leader; nothing was done.
	ErrNotLeader = errors.New("not the leader of the metadata group")
	// ErrLeadershipLost: the leader changed while the command was under way; whether it was applied is not known.
	ErrLeadershipLost = errors.New("leadership of the metadata group was lost")
	// ErrNoLeader: the time was up and there was no leader, or it could not be reached; the command was not applied. Always comes
	// with ErrTimeout.
	ErrNoLeader = errors.New("metadata group has no leader")
	// ErrNotSent is what Options.Forward wraps when a request certainly did not reach the leader.
	ErrNotSent = errors.New("request was not sent")
	// ErrTooNew: a node is too old to apply the command; it was not applied.
	ErrTooNew = errors.New("command is too new")
	// ErrNoSuccessor: there is no other voter, or none can be reached, to lead instead of this node.
	ErrNoSuccessor = errors.New("no other member can lead the metadata group")
	// ErrTimeout: the time was up; whether the command was applied is not known, unless the error is ErrNoLeader too. Wraps the
	// cause.
	ErrTimeout = errors.New("metadata change timed out")
	// ErrTooLarge: the command is longer than MaxCommandLen; it was not applied.
	ErrTooLarge = errors.New("metadata command too large")
	// ErrShutdown: the group was shut down. A command that was not yet handed to Raft was not applied.
	ErrShutdown = errors.New("metadata group is shut down")
	// ErrIncompatible: the log or a snapshot holds something that this version does not know. The node has stopped applying
	// and must be upgraded; its data is untouched.
	ErrIncompatible = errors.New("metadata of another version")
	// ErrDamaged: the metadata on disk is not what was written.
	ErrDamaged = errors.New("metadata is damaged")
	// ErrDirInUse: another process has the directory open.
	ErrDirInUse = errors.New("metadata directory is in use")
	// ErrForeignDir: the directory belongs to a cluster in which this node id is not a member.
	ErrForeignDir = errors.New("metadata directory belongs to another node")
)

// NameError says which entity a command was refused for. It unwraps to one of the sentinels.
type NameError struct {
	Err   error  // a sentinel, ErrNoExchange for instance
	VHost string // empty where the entity is in none
	Name  string
	Count int // ErrNodeInUse: durable queues that the node leads; otherwise 0
}

// Error implements error.
func (e *NameError) Error() string {
	if e.Count > 0 {
		return fmt.Sprintf("%v: %q leads %d", e.Err, e.Name, e.Count)
	}
	if e.VHost == "" {
		return fmt.Sprintf("%v: %q", e.Err, e.Name)
	}
	return fmt.Sprintf("%v: %q in vhost %q", e.Err, e.Name, e.VHost)
}

// Unwrap returns the sentinel.
func (e *NameError) Unwrap() error { return e.Err }
