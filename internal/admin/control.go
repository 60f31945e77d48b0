package admin

import (
	"context"
	"time"
)

// ClusterControl is what a node can do with its cluster beyond what [cluster.Broker] offers for single nodes. Errors are those of
// packages cluster and meta.
type ClusterControl interface {
	// Join makes this node, which must be empty, a member of the cluster that has a member at address. It returns the ids of the
	// members.
	Join(ctx context.Context, address string) (members []string, err error)
	// MoveQueue makes the node with this name or id the leader of a queue; it returns when that is done.
	MoveQueue(ctx context.Context, vhost, name, node string) error
	// Rebalance spreads leaders and tells each move, done or, with DryRun, planned.
	Rebalance(ctx context.Context, o Rebalance, tell func(Move)) error
	// Drain puts the node with this id into maintenance and tells each step; Resume ends that.
	Drain(ctx context.Context, node string, keepQueues bool, tell func(DrainStep)) error
	Resume(ctx context.Context, node string) error
}

// Rebalance says which queues to spread.
type Rebalance struct {
	VHost     string // empty: all
	NameRegex string // RE2, empty: all
	DryRun    bool
}

// Move is a queue that changes its leader.
type Move struct {
	VHost, Queue string
	From, To     string // names of nodes
	Err          error
	Done, Total  int
}

// DrainStep is a step of the way into maintenance.
type DrainStep struct {
	Text        string
	Done, Total int // queues moved, and to move
}

// Host is the process that the node runs in. Methods are safe for concurrent use and do not wait.
type Host interface {
	// Usage returns what the process uses.
	Usage() Usage
	// Listeners returns what the node listens on.
	Listeners() []Listener
	// Settings returns the configuration in force.
	Settings() []Setting
	// DataDir returns the absolute path of the data directory.
	DataDir() string
	// Certificates returns the certificates that listeners show.
	Certificates() []Certificate
}

// Usage is what a process uses, in bytes unless said; 0 stands for not known.
type Usage struct {
	Memory, MemoryLimit  int64
	MessageMemory        int64
	DiskFree, DiskMin    int64
	Store                int64
	FDs, MaxFDs          int64  // file descriptors
	Release              string // name and version of the program
	MemoryAlarm          bool
	DiskAlarm            bool
	MaxClientConnections int
}

// Listener is an open port.
type Listener struct{ Protocol, Address string }

// Setting is a configuration key.
type Setting struct{ Key, Value, Default, Help string }

// Certificate is a certificate of a listener.
type Certificate struct {
	Listener string // configuration section
	Subject  string
	Expires  time.Time
}
