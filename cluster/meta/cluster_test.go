package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// testT is what tests and rapid checks have in common.
type testT interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// network connects members in this process, for Raft and for Forward, and can be cut.
type network struct {
	t    testT
	root string
	opts func(o *Options) // changes the options of a member before it is opened

	mu         sync.Mutex
	members    []string
	groups     map[string]*Group // those that run
	transports map[string]*raft.InmemTransport
	cut        map[string]bool // by link
}

func link(a, b string) string { return min(a, b) + " " + max(a, b) }

var errLost = errors.New("the link broke")

// newNetwork has no members yet. Those that run in the end are shut down by close.
func newNetwork(t testT, root string) *network {
	return &network{
		t: t, root: root, groups: map[string]*Group{}, transports: map[string]*raft.InmemTransport{}, cut: map[string]bool{},
	}
}

// newCluster starts n members of one group, n1 to nN.
func newCluster(t *testing.T, n int) *network {
	t.Helper()
	net := newNetwork(t, t.TempDir())
	t.Cleanup(net.close)
	ids := ids(n)
	for _, id := range ids {
		net.start(id, ids)
	}
	net.leader()
	return net
}

func ids(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint("n", i+1))
	}
	return ids
}

// start opens a member, again or for the first time; first are the members of a new group, nil for one that is to join.
func (n *network) start(id string, first []string) *Group {
	n.t.Helper()
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id))
	o := Options{
		Dir: filepath.Join(n.root, id), NodeID: id, Logger: slog.New(slog.DiscardHandler), Transport: transport,
		ElectionTimeout: 300 * time.Millisecond, Bootstrap: len(first) > 0, Members: first,
		Forward: func(ctx context.Context, to string, request []byte) ([]byte, error) {
			return n.forward(ctx, id, to, request)
		},
		Reachable: func(to string) bool { return n.peer(id, to) != nil },
	}
	if n.opts != nil {
		n.opts(&o)
	}
	n.mu.Lock()
	if !slices.Contains(n.members, id) {
		n.members = append(n.members, id)
	}
	for other, t := range n.transports {
		if !n.cut[link(id, other)] {
			t.Connect(raft.ServerAddress(id), transport)
			transport.Connect(raft.ServerAddress(other), t)
		}
	}
	n.transports[id] = transport
	n.mu.Unlock()
	g, err := Open(o)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	n.groups[id] = g
	n.mu.Unlock()
	return g
}

func (n *network) stop(id string) {
	n.t.Helper()
	n.mu.Lock()
	g := n.groups[id]
	n.mu.Unlock()
	if g == nil {
		return
	}
	err := g.Shutdown(context.Background())
	n.mu.Lock()
	delete(n.groups, id)
	delete(n.transports, id)
	for _, t := range n.transports {
		t.Disconnect(raft.ServerAddress(id))
	}
	n.mu.Unlock()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) close() {
	for _, id := range n.members {
		n.stop(id)
	}
}

func (n *network) group(id string) *Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.groups[id]
}

func (n *network) running() (groups []*Group) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range n.members {
		if g := n.groups[id]; g != nil {
			groups = append(groups, g)
		}
	}
	return groups
}

// peer returns a member that another one can reach.
func (n *network) peer(from, to string) *Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[link(from, to)] {
		return nil
	}
	return n.groups[to]
}

func (n *network) forward(ctx context.Context, from, to string, request []byte) ([]byte, error) {
	g := n.peer(from, to)
	if g == nil {
		return nil, fmt.Errorf("%w: %s cannot reach %s", ErrNotSent, from, to)
	}
	response, err := g.HandleForward(ctx, request)
	if n.peer(from, to) == nil {
		return nil, errLost
	}
	return response, err
}

// isolate cuts or restores all links of a member.
func (n *network) isolate(id string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, other := range n.members {
		if other == id {
			continue
		}
		n.cut[link(id, other)] = cut
		a, b := n.transports[id], n.transports[other]
		switch {
		case a == nil || b == nil:
		case cut:
			a.Disconnect(raft.ServerAddress(other))
			b.Disconnect(raft.ServerAddress(id))
		default:
			a.Connect(raft.ServerAddress(other), b)
			b.Connect(raft.ServerAddress(id), a)
		}
	}
}

// leader waits until somebody leads, and is known to all that run and are not cut off.
func (n *network) leader(but ...string) (lead *Group) {
	n.t.Helper()
	eventually(n.t, "one leader", func() bool {
		lead = nil
		for _, g := range n.running() {
			if g.IsLeader() && !slices.Contains(but, g.opts.NodeID) {
				lead = g
			}
		}
		if lead == nil {
			return false
		}
		for _, g := range n.running() {
			if g.Leader() != lead.opts.NodeID && !slices.Contains(but, g.opts.NodeID) {
				return false
			}
		}
		return true
	})
	return lead
}

// follower returns one that does not lead.
func (n *network) follower() *Group {
	n.t.Helper()
	lead := n.leader()
	for _, g := range n.running() {
		if g != lead {
			return g
		}
	}
	n.t.Fatal("no follower")
	return nil
}

// same waits until all have the same state, byte by byte.
func (n *network) same() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var differ string
	defer func() {
		if differ != "" {
			n.t.Fatal(differ)
		}
	}()
	// What was under way when its proposer gave up may still be committed while this looks.
	for deadline := time.Now().Add(20 * time.Second); ; {
		differ = ""
		lead := n.leader()
		for _, g := range n.running() {
			if err := g.ReadIndex(ctx); err != nil {
				n.t.Fatalf("%s: %v", g.opts.NodeID, err)
			}
			if s, want := g.State(), lead.State(); !bytes.Equal(snapshotBytes(n.t, s), snapshotBytes(n.t, want)) {
				differ = fmt.Sprintf("%s has\n%s\nthe leader, %s, has\n%s", g.opts.NodeID, listState(s), lead.opts.NodeID, listState(want))
			}
		}
		if differ == "" || time.Now().After(deadline) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestProposeOnAnyMember(t *testing.T) {
	t.Parallel()
	net := newCluster(t, 3)
	var wg sync.WaitGroup
	for _, g := range net.running() {
		for i := range 60 {
			wg.Go(func() {
				name := fmt.Sprint(g.opts.NodeID, "-", i)
				r, err := g.Propose(context.Background(), queue(name))
				if err != nil {
					t.Error(err)
					return
				}
				s := g.State()
				if q := s.Queue("/", name); q == nil || r.Queue == nil || q.ID != r.Queue.ID || !r.Created || s.Index() < r.Index {
					t.Errorf("%s: result %+v, state has %+v", name, r, q)
				}
				// Errors keep what they are on their way, and redeclarations return the queue.
				_, err = g.Propose(context.Background(), DeleteExchange{VHost: "/", Name: name})
				var named *NameError
				if !errors.Is(err, ErrNoExchange) || !errors.As(err, &named) || named.Name != name || named.VHost != "/" {
					t.Errorf("%s: %v", name, err)
				}
				again := queue(name)
				again.Queue.AutoDelete = true
				if r, err := g.Propose(context.Background(), again); err != nil || r.Created || r.Queue.AutoDelete {
					t.Errorf("%s: %+v, %v", name, r.Queue, err)
				}
			})
		}
	}
	wg.Wait()
	net.same()
	if s := net.leader().State(); s.NumQueues() != 180 || s.QueuesLedBy("n1") != 180 || len(s.ClusterID()) != 32 {
		t.Errorf("%d queues, %d led by n1, cluster id %q", s.NumQueues(), s.QueuesLedBy("n1"), s.ClusterID())
	}
}

func TestReadIndexSeesWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	net := newCluster(t, 3)
	groups := net.running()
	for i := range 100 {
		name := fmt.Sprint("q", i)
		propose(t, groups[i%3], queue(name))
		var wg sync.WaitGroup
		for _, g := range groups {
			for range 3 { // share a round
				wg.Go(func() {
					if err := g.ReadIndex(context.Background()); err != nil {
						t.Error(err)
					}
					if g.State().Queue("/", name) == nil {
						t.Errorf("%s does not see %s, which %s has acknowledged", g.opts.NodeID, name, groups[i%3].opts.NodeID)
					}
				})
			}
		}
		wg.Wait()
	}
}

func TestMinorityRefuses(t *testing.T) {
	t.Parallel()
	net := newCluster(t, 3)
	lost := net.leader() // the harder case: it leads until it notices
	id := lost.opts.NodeID
	net.isolate(id, true)
	eventually(t, "the minority gives up leading", func() bool { return !lost.IsLeader() })
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := lost.Propose(ctx, queue("minority"))
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrNoLeader) || !strings.Contains(err.Error(), "no leader: 1 of 3 members reachable") {
		t.Errorf("proposal: %v", err)
	}
	if err := lost.ReadIndex(ctx); !errors.Is(err, ErrTimeout) {
		t.Errorf("read: %v", err)
	}
	if lost.State().VHost("/") == nil {
		t.Error("the state is not served any more")
	}
	other := net.leader(id)
	propose(t, other, queue("majority"))
	net.isolate(id, false)
	if err := lost.ReadIndex(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := lost.State(); s.Queue("/", "majority") == nil || s.Queue("/", "minority") != nil {
		t.Errorf("after healing: %s", listState(s))
	}
	propose(t, lost, queue("healed"))
	net.same()
}

func TestUnknownOutcomeIsNotRetried(t *testing.T) {
	t.Parallel()
	net := newNetwork(t, t.TempDir())
	t.Cleanup(net.close)
	var mu sync.Mutex
	var requests int
	var lose bool
	net.opts = func(o *Options) {
		forward := o.Forward
		o.Forward = func(ctx context.Context, to string, request []byte) ([]byte, error) {
			response, err := forward(ctx, to, request)
			mu.Lock()
			defer mu.Unlock()
			if requests++; lose {
				return nil, errLost
			}
			return response, err
		}
	}
	for _, id := range ids(3) {
		net.start(id, ids(3))
	}
	g := net.follower()
	propose(t, g, queue("q"))
	mu.Lock()
	requests, lose = 0, true
	mu.Unlock()
	_, err := g.Propose(context.Background(), queue("r"))
	mu.Lock()
	if !errors.Is(err, ErrLeadershipLost) || !errors.Is(err, errLost) || requests != 1 {
		t.Errorf("%d requests, error %v", requests, err)
	}
	lose = false
	mu.Unlock()
	if err := g.ReadIndex(context.Background()); err != nil || g.State().Queue("/", "r") == nil {
		t.Errorf("it was applied, in spite of the error: %v", err)
	}
}

func TestLaggingMemberGetsSnapshotAndRestarts(t *testing.T) {
	t.Parallel()
	net := newCluster(t, 3)
	g := net.follower()
	id := g.opts.NodeID
	propose(t, g, queue("before"))
	net.stop(id)
	lead := net.leader()
	for i := range 3 {
		propose(t, lead, queue(fmt.Sprint("while away ", i)))
	}
	// As after very many changes: the log that the member lacks is gone.
	for _, g := range net.running() {
		c := g.raft.ReloadableConfig()
		c.TrailingLogs = 0
		if err := errors.Join(g.raft.ReloadConfig(c), g.raft.Snapshot().Error()); err != nil {
			t.Fatal(err)
		}
	}
	restores := make(chan struct{}, 8)
	net.opts = func(o *Options) {
		o.OnApply = func(old, _ *State, _ []Change) {
			if old == nil {
				restores <- struct{}{}
			}
		}
	}
	g = net.start(id, ids(3))
	if err := g.ReadIndex(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(restores) != 1 || g.State().Queue("/", "while away 2") == nil {
		t.Errorf("%d restores, state %s", len(restores), listState(g.State()))
	}
	propose(t, g, queue("after"))
	// Its log has a gap now, which is no damage.
	for range 2 {
		net.stop(id)
		g = net.start(id, ids(3))
		if err := g.ReadIndex(context.Background()); err != nil || g.State().Queue("/", "after") == nil {
			t.Fatalf("after a restart: %v", err)
		}
	}
	net.same()
	net.stop(id)
	path := logPath(filepath.Join(net.root, id))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Also the copies that the database has left behind.
	if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte("after"), []byte("aftes")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id))
	if _, err := Open(Options{Dir: filepath.Join(net.root, id), NodeID: id, Transport: transport, Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrDamaged) {
		t.Errorf("open of a damaged member: %v", err)
	}
}

func TestRestartBeforeJoining(t *testing.T) {
	t.Parallel()
	net := newCluster(t, 1)
	for range 2 {
		net.start("n2", nil)
		net.stop("n2")
	}
	g := net.start("n2", nil)
	if err := g.Join(timeout(t, 200*time.Millisecond), "n2"); !errors.Is(err, ErrNoLeader) {
		t.Errorf("without an invitation: %v", err)
	}
	if err := net.group("n1").Join(context.Background(), "n2"); err != nil {
		t.Fatal(err)
	}
	propose(t, net.group("n1"), queue("q"))
	eventually(t, "the new member follows", func() bool { return g.State().Queue("/", "q") != nil })
	net.stop("n2")
	if _, err := os.Stat(filepath.Join(net.root, "n2", usedMark)); err != nil {
		t.Errorf("the directory is not marked: %v", err)
	}
}

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestOnLeader(t *testing.T) {
	t.Parallel()
	net := newNetwork(t, t.TempDir())
	t.Cleanup(net.close)
	var mu sync.Mutex
	heard := map[string][]bool{}
	net.opts = func(o *Options) {
		id := o.NodeID
		o.OnLeader = func(leads bool) {
			mu.Lock()
			defer mu.Unlock()
			heard[id] = append(heard[id], leads)
		}
	}
	for _, id := range ids(3) {
		net.start(id, ids(3))
	}
	lead := func() *Group {
		g := net.leader()
		eventually(t, "the leader is told", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(heard[g.opts.NodeID])%2 == 1
		})
		return g
	}
	for range 4 {
		if err := lead().TransferLeadership(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	last := lead().opts.NodeID
	net.close()
	total := 0
	for id, told := range heard {
		for i, leads := range told {
			if leads != (i%2 == 0) {
				t.Errorf("%s heard %v", id, told)
			}
		}
		if len(told)%2 != 0 {
			t.Errorf("%s was not told in the end: %v", id, told)
		}
		total += len(told) / 2
	}
	if total < 5 || len(heard[last]) == 0 {
		t.Errorf("%d tenures were heard of, at least 5 were: %v", total, heard)
	}
}
