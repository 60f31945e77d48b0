package meta

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// Options configure a Group.
type Options struct {
	// Dir holds the Raft log and snapshots; it is created. One process may have it open.
	Dir string
	// NodeID names this member for ever; it must not change while Dir exists. It is the member's address in the group too: the
	// Transport finds out where it is.
	NodeID string
	// Logger takes the group's log lines; slog.Default() if nil.
	Logger *slog.Logger
	// Bootstrap makes an empty Dir the first and only member of a new group, or one of its first Members. It has no effect on a
	// Dir with content.
	Bootstrap bool
	// Members are the ids of all first members of a new group, this one among them, if they are several; all of them must be
	// bootstrapped with the same Members. The first MaxVoters vote.
	Members []string
	// ClusterID becomes the id of a new cluster; a random one if empty.
	ClusterID string
	// Version caps the version of commands that this member applies and proposes, as if it were that of an older release. 0 stands
	// for CommandVersion.
	Version uint32
	// Transport connects the members by their ids, LocalAddr included; the group closes it. If nil the group can have no other
	// members.
	Transport raft.Transport
	// Forward carries a request, of at most MaxForwardLen bytes, to the HandleForward of another member, which is mostly the
	// leader, and returns its response. An error that wraps ErrNotSent means that the request certainly did not get there, all
	// others that it may have. It must return when ctx ends. If nil only the leader can propose.
	Forward func(ctx context.Context, member string, request []byte) (response []byte, err error)
	// Reachable says whether a member answers, for the text of errors; optional.
	Reachable func(member string) bool
	// OnLeader is called when this node gains or loses leadership, in turn, from one goroutine of the group. When it gains it, it
	// has applied all that was committed before. It may call methods of the Group but Shutdown. While it runs nothing waits for
	// it but the next call.
	OnLeader func(leads bool)
	// ElectionTimeout is how long a member waits for its leader before it stands for election. 0 stands for 1 s, and for
	// 50 ms without a Transport, where there is nobody to wait for.
	ElectionTimeout time.Duration
	// StartTimeout bounds how long Open waits for a sole member to replay its log, default 60 s.
	StartTimeout time.Duration

	// OnApply is called for every State that differs from the one before, in order, before anybody can see it and before the
	// Propose calls that made it return. changes are in the order in which they happened; one entity may occur more than once.
	// When a snapshot is restored old and changes are nil. The first calls come during Open, for what is in the log. It runs on
	// the apply goroutine: it must not call methods of the Group, and while it runs nothing else is applied.
	OnApply func(old, new *State, changes []Change)

	// OnApplied is called after OnApply, once State shows what the group has applied up to index; term is that of its last entry, 0 if
	// it is not known. Also for what changed nothing. It must not wait. See Group.Committed.
	OnApplied func(index, term uint64)

	// DefaultVHost, DefaultUser and DefaultPassword are made once, when a new group starts: "/", "guest" and "guest" if
	// empty. The user gets the tag administrator and all permissions in the vhost.
	DefaultVHost, DefaultUser, DefaultPassword string
}

// withDefaults returns o with everything set, or an error that says what is missing.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" || o.NodeID == "" {
		return o, fmt.Errorf("%w: a metadata group needs a directory and a node id", ErrInvalidArgument)
	}
	if o.Version > CommandVersion {
		return o, fmt.Errorf("%w: command version %d, this release has %d", ErrInvalidArgument, o.Version, CommandVersion)
	}
	if o.Version == 0 {
		o.Version = CommandVersion
	}
	if len(o.Members) > 0 && !slices.Contains(o.Members, o.NodeID) {
		return o, fmt.Errorf("%w: first members %q without this node, %q", ErrInvalidArgument, o.Members, o.NodeID)
	}
	if o.Transport != nil && string(o.Transport.LocalAddr()) != o.NodeID {
		return o, fmt.Errorf("%w: transport of address %q, must be the node id %q", ErrInvalidArgument, o.Transport.LocalAddr(), o.NodeID)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.ElectionTimeout == 0 {
		o.ElectionTimeout = time.Second
		if o.Transport == nil {
			o.ElectionTimeout = 50 * time.Millisecond
		}
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = time.Minute
	}
	if o.Transport == nil {
		_, o.Transport = raft.NewInmemTransport(raft.ServerAddress(o.NodeID))
	}
	if o.DefaultVHost == "" {
		o.DefaultVHost = "/"
	}
	if o.DefaultUser == "" {
		o.DefaultUser = "guest"
	}
	if o.DefaultPassword == "" {
		o.DefaultPassword = "guest"
	}
	return o, nil
}

// raftConfig returns the settings of the Raft library.
func (o Options) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(o.NodeID)
	c.Logger = raftLog{to: o.Logger.With("group", "meta")}
	c.HeartbeatTimeout = o.ElectionTimeout
	c.ElectionTimeout = o.ElectionTimeout
	c.LeaderLeaseTimeout = max(o.ElectionTimeout/2, 5*time.Millisecond)
	c.CommitTimeout = max(o.ElectionTimeout/20, time.Millisecond)
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	// The group decides itself when a snapshot is due, because one entry may hold hundreds of commands; this is only the
	// backstop for a log of very many small ones.
	c.SnapshotInterval = 2 * time.Minute
	c.SnapshotThreshold = 4 * compactCommands
	// Enough for a member that was away for a moment to catch up without a snapshot.
	c.TrailingLogs = 1024
	return c
}
