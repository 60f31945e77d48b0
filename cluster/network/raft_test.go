package network

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// list is a state machine that keeps what is applied.
type list struct {
	mu      sync.Mutex
	entries []string
}

func (l *list) Apply(e *raft.Log) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, string(e.Data))
	return nil
}

func (l *list) Snapshot() (raft.FSMSnapshot, error) { return nil, io.EOF }

func (l *list) Restore(io.ReadCloser) error { return nil }

func (l *list) has(entry string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e == entry {
			return true
		}
	}
	return false
}

// raftNode is a Raft member over a network. Its log is in memory and outlives a move.
type raftNode struct {
	id    string
	store *raft.InmemStore
	snaps raft.SnapshotStore
	net   *Network
	raft  *raft.Raft
	list  *list
}

func (n *raftNode) start(t testing.TB, o Options) {
	t.Helper()
	o.Node, o.Secret = n.id, testSecret
	n.net = serve(t, o)
	n.join(t)
}

func (n *raftNode) join(t testing.TB) {
	t.Helper()
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(n.id)
	config.Logger = hclog.NewNullLogger()
	config.HeartbeatTimeout, config.ElectionTimeout = 500*time.Millisecond, 500*time.Millisecond
	config.LeaderLeaseTimeout, config.CommitTimeout = 250*time.Millisecond, 5*time.Millisecond
	n.list = &list{}
	r, err := raft.NewRaft(config, n.list, n.store, n.store, n.snaps, n.net.Transport())
	if err != nil {
		t.Fatal(err)
	}
	n.raft = r
	t.Cleanup(func() { _ = r.Shutdown().Error() })
}

func (n *raftNode) stop(t testing.TB) {
	t.Helper()
	if err := n.raft.Shutdown().Error(); err != nil {
		t.Error(err)
	}
	shut(t, n.net)
}

func leader(nodes []*raftNode) *raftNode {
	for _, n := range nodes {
		if n.raft.State() == raft.Leader {
			return n
		}
	}
	return nil
}

// apply brings an entry into the log, whoever leads.
func apply(t testing.TB, nodes []*raftNode, entry string) {
	t.Helper()
	eventually(t, "somebody takes "+entry, func() bool {
		l := leader(nodes)
		return l != nil && l.raft.Apply([]byte(entry), time.Second).Error() == nil
	})
	for _, n := range nodes {
		eventually(t, n.id+" has "+entry, func() bool { return n.list.has(entry) })
	}
}

// Three members elect and replicate; one moves to another address and is found again, whether it leads or follows; one starts
// its Raft anew on the same network.
func TestRaftFollowsItsMembers(t *testing.T) {
	t.Parallel()
	var nodes []*raftNode
	var servers []raft.Server
	for i := range 3 {
		n := &raftNode{id: fmt.Sprint("node", i), store: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore()}
		nodes = append(nodes, n)
		servers = append(servers, raft.Server{ID: raft.ServerID(n.id), Address: raft.ServerAddress(n.id)})
	}
	books := t.TempDir()
	book := func(n *raftNode) Options { return Options{BookFile: books + "/" + n.id} }
	for _, n := range nodes {
		n.start(t, book(n))
	}
	for _, n := range nodes {
		for _, other := range nodes {
			if err := n.net.Learn(Identity{Node: other.id, Address: other.net.Advertised()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := nodes[0].net.Transport().LocalAddr(); got != "node0" {
		t.Errorf("LocalAddr is %q", got)
	}
	if err := nodes[0].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	apply(t, nodes, "first")

	moved := leader(nodes)
	old := moved.net.Advertised()
	moved.stop(t)
	moved.start(t, book(moved))
	if moved.net.Advertised() == old {
		t.Skip("the system gave the same port again")
	}
	// It calls one of the others, where its book says that they are, and so both know where it is.
	for _, n := range nodes {
		if at, ok := moved.net.Address(n.id); ok {
			if _, err := moved.net.Probe(timeout(t), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	apply(t, nodes, "second")

	again := leader(nodes)
	transport := again.net.Transport()
	if err := again.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	again.join(t)
	if again.net.Transport() == transport {
		t.Error("the closed transport is given out again")
	}
	apply(t, nodes, "third")
}

func TestRaftIsRefusedWhereThereIsNone(t *testing.T) {
	t.Parallel()
	a, b := open(t, Options{Node: "a"}), serve(t, Options{Node: "b"})
	if _, err := a.Probe(timeout(t), b.Addr().String()); err != nil {
		t.Fatal(err)
	}
	var answer raft.RequestVoteResponse
	err := a.Transport().RequestVote("b", "b", &raft.RequestVoteRequest{}, &answer)
	if err == nil || !contains(err, "takes no stream of raft") {
		t.Errorf("got %v", err)
	}
	err = a.Transport().RequestVote("z", "z", &raft.RequestVoteRequest{}, &answer)
	if err == nil || !contains(err, ErrUnknownNode.Error()) {
		t.Errorf("unknown node: got %v", err)
	}
}
