package meta

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Group is this node's member of the metadata group. All methods are safe for concurrent use.
type Group struct {
	opts    Options
	fsm     *fsm
	raft    *raft.Raft
	db      *raftboltdb.BoltStore
	notices *notices

	// ctx ends when what runs in the background must end.
	ctx    context.Context
	cancel context.CancelFunc

	proposals chan *proposal // to the collector
	batches   sync.WaitGroup // under way; the collector's
	leaders   leaders
	leads     chan bool // from Raft to watch: leadership gained and lost
	reads     reads
	announce  chan struct{} // capacity 1: OnLeader may be due
	review    chan struct{} // capacity 1: the members changed

	tenureMu sync.Mutex // held while tenure is set, so that none that has ended is
	tenure   atomic.Pointer[tenure]

	stop       chan struct{}  // closed by Shutdown: no more proposals, no more snapshots
	collected  chan struct{}  // closed when the collector is gone
	compacted  chan struct{}  // closed when the compactor is gone
	quit       chan struct{}  // closed when watch and tell must end
	background sync.WaitGroup // watch, tell, tenures, reads
	gone       chan struct{}  // closed when Raft is shut down
	futures    futures
	shutdown   sync.Once
	closed     error // of the one shutdown
}

// Open starts this node's member of the group. A sole member is the leader, has applied its whole log and holds the default
// vhost and user when Open returns; a member among others catches up afterwards. Errors: ErrDirInUse, ErrForeignDir,
// ErrIncompatible, ErrTimeout, ErrInvalidArgument, and those of the file system.
func Open(o Options) (*Group, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("metadata directory: %w", err), closeTransport(o.Transport))
	}
	runs, err := checkFile(logPath(o.Dir))
	if err != nil {
		return nil, errors.Join(logError(logPath(o.Dir), err), closeTransport(o.Transport))
	}
	db, err := openLog(logPath(o.Dir))
	if err != nil {
		return nil, errors.Join(err, closeTransport(o.Transport))
	}
	g := &Group{
		opts:      o,
		fsm:       newFSM(o.Logger, o.OnApply),
		db:        db,
		proposals: make(chan *proposal, maxBatchCommands),
		leads:     make(chan bool, 16),
		announce:  make(chan struct{}, 1),
		review:    make(chan struct{}, 1),
		stop:      make(chan struct{}),
		collected: make(chan struct{}),
		compacted: make(chan struct{}),
		quit:      make(chan struct{}),
		gone:      make(chan struct{}),
	}
	g.fsm.version, g.fsm.onApplied = o.Version, o.OnApplied
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.leaders.init()
	g.notices = newNotices(o.Transport, g.State)
	if err := g.startRaft(runs); err != nil {
		g.cancel()
		return nil, errors.Join(err, db.Close(), g.notices.Close())
	}
	g.notices.serve(g.raft)
	go g.collect()
	go g.compact()
	g.background.Go(g.watch)
	if o.OnLeader != nil {
		g.background.Go(g.tell)
	}

	ctx, cancel := context.WithTimeout(context.Background(), o.StartTimeout)
	defer cancel()
	if err := g.ready(ctx); err != nil {
		return nil, errors.Join(err, g.Shutdown(context.Background()))
	}
	// The directory of a node that waits for an invitation stays unmarked until something comes.
	if g.raft.LastIndex() > 0 {
		if err := markUsed(o.Dir); err != nil {
			return nil, errors.Join(fmt.Errorf("metadata directory: %w", err), g.Shutdown(context.Background()))
		}
	}
	return g, nil
}

// closeTransport does what a running Raft does at its shutdown.
func closeTransport(t raft.Transport) error {
	if c, ok := t.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}

// openLog opens the Raft log. Every commit is synced: a proposal is answered when it is on disk. The list of free pages is
// not written but found again when the file is opened, which makes each commit smaller.
func openLog(path string) (*raftboltdb.BoltStore, error) {
	db, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:        lockTimeout,
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
		},
	})
	if err != nil {
		return nil, logError(path, err)
	}
	// A synced file is lost in a power cut if the directory does not know of it yet.
	if err := syncDirs(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("metadata directory: %w", err), db.Close())
	}
	return db, nil
}

func logPath(dir string) string { return filepath.Join(dir, "raft.db") }

// lockTimeout is how long another process may take to let go of the log.
const lockTimeout = time.Second

func logError(path string, err error) error {
	switch {
	case errors.Is(err, ErrDamaged):
		return err
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w: %s", ErrDirInUse, path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return damaged(path, err.Error())
	}
	return fmt.Errorf("metadata log %s: %w", path, err)
}

// syncDirs makes the entries of dir, and dir's own in its parent, durable. A parent that may not be read is left to the
// operator who made dir in it.
func syncDirs(dir string) error {
	for _, name := range []string{dir, filepath.Dir(dir)} {
		d, err := os.Open(name)
		if errors.Is(err, os.ErrPermission) && name != dir {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// startRaft bootstraps an empty directory if asked to, and starts the Raft library.
func (g *Group) startRaft(runs []indexRun) error {
	config := g.opts.raftConfig()
	config.NotifyCh = g.leads
	// One snapshot is kept: an older one would be of no use, because the log behind it is gone.
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(g.opts.Dir, 1, config.Logger)
	if err != nil {
		return fmt.Errorf("metadata snapshots: %w", err)
	}
	if err := checkEntries(g.opts.Dir, logPath(g.opts.Dir), g.db, snapshots, runs); err != nil {
		return err
	}
	if g.opts.Bootstrap {
		if err := bootstrap(config, g.db, snapshots, g.notices.transport(), g.opts.Members); err != nil {
			return fmt.Errorf("bootstrap of the metadata group: %w", err)
		}
	}
	r, err := raft.NewRaft(config, g.fsm, g.db, g.db, snapshots, g.notices.transport())
	if err != nil {
		return fmt.Errorf("start of the metadata group: %w", errors.Join(err, g.fsm.restoreErr))
	}
	g.raft = r
	return nil
}

// bootstrap makes this node the sole member of a new group, or one of several, unless the directory has content.
func bootstrap(config *raft.Config, db *raftboltdb.BoltStore, snapshots raft.SnapshotStore, transport raft.Transport, members []string) error {
	// A crash within an earlier bootstrap leaves a term and no log. Nothing was promised to anybody then: begin again.
	last, err := db.LastIndex()
	if err != nil {
		return err
	}
	list, err := snapshots.List()
	if err != nil {
		return err
	}
	if last > 0 || len(list) > 0 {
		return nil
	}
	term := []byte("CurrentTerm")
	if n, err := db.GetUint64(term); err == nil && n == 1 {
		if err := db.SetUint64(term, 0); err != nil {
			return err
		}
	}
	if len(members) == 0 {
		members = []string{string(config.LocalID)}
	}
	// Every member must come to the same list, whatever the order in which it was given.
	members = slices.Compact(slices.Sorted(slices.Values(members)))
	var first raft.Configuration
	for i, id := range members {
		s := raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id), Suffrage: raft.Voter}
		if i >= MaxVoters {
			s.Suffrage = raft.Nonvoter
		}
		first.Servers = append(first.Servers, s)
	}
	return raft.BootstrapCluster(config, db, db, snapshots, transport, first)
}

// ready waits until a sole member leads and has applied its log, and initializes a new group.
func (g *Group) ready(ctx context.Context) error {
	future := g.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return fmt.Errorf("configuration of the metadata group: %w", err)
	}
	servers := future.Configuration().Servers
	member := len(servers) == 0 // waits for an invitation
	for _, s := range servers {
		member = member || s.ID == raft.ServerID(g.opts.NodeID)
	}
	if !member {
		return fmt.Errorf("%w: %q is not among its members, the first of which is %q", ErrForeignDir, g.opts.NodeID, servers[0].ID)
	}
	if len(servers) != 1 {
		return nil
	}
	g.notices.elect() // nobody else could lead, so there is nobody to wait for
	for g.tenure.Load() == nil {
		changed := g.leaders.current().changed
		if err := g.fsm.failure(); err != nil {
			return err
		}
		if g.tenure.Load() != nil {
			break
		}
		select {
		case <-changed:
		case <-time.After(minPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: no leadership: %w", ErrTimeout, context.Cause(ctx))
		}
	}
	return nil
}

// initialize gives a new group its first vhost and user, and one without an id its id. Only the leader calls it.
func (g *Group) initialize() error {
	o, s := &g.opts, g.State()
	cluster := ""
	if o.Version >= 2 && s.ClusterID() == "" {
		if cluster = o.ClusterID; cluster == "" {
			cluster = newClusterID()
		}
	}
	if s.Initialized() {
		// While there is a node that is too old, the cluster has no id; the first leader after its upgrade sees to it.
		if cluster == "" || s.checkVersion(versionOf(EnsureClusterID{})) != nil {
			return nil
		}
		return g.proposeAlone(EnsureClusterID{cluster})
	}
	hash, algorithm, err := HashPassword(o.DefaultPassword)
	if err != nil {
		return fmt.Errorf("default user: %w", err)
	}
	return g.proposeAlone(Initialize{
		ClusterID:  cluster,
		VHost:      VHost{Name: o.DefaultVHost, Description: "Default virtual host"},
		User:       User{Name: o.DefaultUser, PasswordHash: hash, HashAlgorithm: algorithm, Tags: []string{"administrator"}},
		Permission: Permission{User: o.DefaultUser, VHost: o.DefaultVHost, Configure: ".*", Write: ".*", Read: ".*"},
	})
}

// newClusterID returns 128 random bits.
func newClusterID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// State returns the latest state that this node has applied. It never waits.
func (g *Group) State() *State { return g.fsm.state.Load() }

// IsLeader says whether this node leads the group, as far as it knows, and has applied all that was committed before it did.
func (g *Group) IsLeader() bool { return g.tenure.Load() != nil }

// Leader returns the node id of the leader as far as this node knows, empty for none.
func (g *Group) Leader() string {
	_, id := g.raft.LeaderWithID()
	return string(id)
}

// Barrier returns once this node, which must be the leader, has applied everything that was committed before the call.
// Errors: ErrNotLeader, ErrLeadershipLost, ErrTimeout, ErrShutdown.
func (g *Group) Barrier(ctx context.Context) error {
	return g.settled(ctx, func() raft.Future { return g.raft.Barrier(proposeTimeout) })
}

// transferTimeout is how long a leader that is shut down tries to find a successor.
const transferTimeout = 2 * time.Second

// answerTimeout is how long Shutdown waits for Raft to answer what it was asked. That takes no longer than it takes a leader to
// notice that it is cut off.
const answerTimeout = 5 * time.Second

// Shutdown ends the member: what is under way is finished, later proposals get ErrShutdown. A leader hands over to another voter
// first, if one can be asked and answers within 2 s. If ctx ends first, the rest is cut off and the error is ErrTimeout. Nothing that was answered
// is lost either way. Later calls return what the first one returned.
func (g *Group) Shutdown(ctx context.Context) error {
	g.shutdown.Do(func() {
		close(g.stop)
		g.reads.close()
		var late error
		for _, c := range []chan struct{}{g.collected, g.compacted} {
			select {
			case <-c:
			case <-ctx.Done():
				late = fmt.Errorf("%w: shutdown: %w", ErrTimeout, context.Cause(ctx))
			}
		}
		if g.tenure.Load() != nil && g.opts.Forward != nil && len(g.voters()) > 1 {
			bounded, cancel := context.WithTimeout(ctx, transferTimeout)
			if err := g.handOver(bounded); err != nil {
				g.opts.Logger.Warn("the other members must elect a metadata leader by themselves", "err", err)
			}
			cancel()
		}
		close(g.quit)
		g.cancel()
		g.leaders.end()
		within(ctx, answerTimeout, &g.background)
		g.futures.close()
		within(ctx, answerTimeout, &g.futures.open)
		err := g.raft.Shutdown().Error()
		close(g.gone)
		<-g.collected
		<-g.compacted
		g.background.Wait()
		g.closed = errors.Join(late, err, g.notices.Close(), g.db.Close())
	})
	return g.closed
}

// compact takes a snapshot whenever the state machine asks for one; Raft then drops the log before it. It also marks the
// directory as used, once something is in it.
func (g *Group) compact() {
	defer close(g.compacted)
	for {
		select {
		case <-g.fsm.filled:
			if err := markUsed(g.opts.Dir); err != nil {
				g.opts.Logger.Warn("metadata directory", "err", err)
			}
			continue
		case <-g.fsm.compact:
		case <-g.stop:
			return
		}
		err := g.raft.Snapshot().Error()
		if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			// The next batch asks again.
			g.opts.Logger.Warn("metadata snapshot failed", "err", err)
		}
	}
}
