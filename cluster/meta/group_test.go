package meta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

// childDir makes this test binary a member that declares queues in the directory until it is killed.
const childDir = "BROKERD_META_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		declareUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func declareUntilKilled(dir string) {
	g, err := Open(testOptions(dir))
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	var next atomic.Int64
	next.Store(int64(g.State().NumQueues()) / 2) // some names again, then new ones
	for range 8 {
		go func() {
			for {
				name := fmt.Sprint("q", next.Add(1))
				r, err := g.Propose(context.Background(), queue(name))
				if err != nil {
					fmt.Println("error:", err)
					os.Exit(1)
				}
				fmt.Println(name, r.Queue.ID)
			}
		}()
	}
	select {}
}

func testOptions(dir string) Options {
	return Options{Dir: dir, NodeID: "n1", Bootstrap: true, Logger: slog.New(slog.DiscardHandler), ElectionTimeout: 10 * time.Millisecond}
}

func open(t testing.TB, o Options) *Group {
	t.Helper()
	g, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeGroup(t, g) })
	return g
}

func closeGroup(t testing.TB, g *Group) {
	t.Helper()
	if err := g.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok.
func eventually(t interface {
	Helper()
	Fatalf(string, ...any)
}, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func propose(t testing.TB, g *Group, c Command) Result {
	t.Helper()
	r, err := g.Propose(context.Background(), c)
	if err != nil {
		t.Fatalf("%#v: %v", c, err)
	}
	return r
}

func TestFirstStart(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	o := Options{Dir: t.TempDir(), NodeID: "n1", Bootstrap: true, Logger: slog.New(slog.DiscardHandler)}
	g := open(t, o)
	t.Logf("opened in %v", time.Since(begin))
	s := g.State()
	if s.VHost("/") == nil || s.Exchange("/", "amq.topic") == nil || !g.IsLeader() || g.Leader() != "n1" {
		t.Errorf("vhost %v, leader %q", s.VHost("/"), g.Leader())
	}
	u, p := s.User("guest"), s.Permission("guest", "/")
	if !VerifyPassword(u, "guest") || len(u.Tags) != 1 || u.Tags[0] != "administrator" {
		t.Errorf("user %+v", u)
	}
	if p == nil || p.Configure != ".*" || p.Write != ".*" || p.Read != ".*" {
		t.Errorf("permission %+v", p)
	}
	// What was deleted does not come back with the next start.
	propose(t, g, DeleteUser{"guest"})
	closeGroup(t, g)
	if g = open(t, o); g.State().User("guest") != nil {
		t.Error("the default user came back")
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	for run := uint64(1); run <= 4; run++ {
		g := open(t, o)
		s := g.State()
		if n := s.NumQueues(); n != int(run-1)*10 {
			t.Fatalf("run %d found %d queues", run, n)
		}
		if r := propose(t, g, StartNode{"n1"}); r.Incarnation != run {
			t.Errorf("incarnation %d, want %d", r.Incarnation, run)
		}
		for i := range 10 {
			q := propose(t, g, queue(fmt.Sprint("q", run, "-", i))).Queue
			if want := (run-1)*11 + uint64(i) + 1; q.ID != want {
				t.Errorf("queue id %d, want %d", q.ID, want)
			}
		}
		propose(t, g, DeclareQueue{Queue{VHost: "/", Name: "exclusive", Owner: Owner{"n1", run}, Connection: 1}})
		if run%2 == 0 {
			if err := g.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		// The last thing that was answered is there after the restart, and nothing that was deleted.
		propose(t, g, EndOwner{Owner: Owner{"n1", run}, Connection: 1})
		closeGroup(t, g)
	}
}

func TestSnapshotWhenDue(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	g := open(t, o)
	b := toQueue("amq.topic", "q", "k")
	b.Arguments = []byte(strings.Repeat("x", 256<<10))
	propose(t, g, queue("q"))
	deadline := time.Now().Add(20 * time.Second)
	for {
		found, err := filepath.Glob(filepath.Join(o.Dir, "snapshots", "*-*-*[0-9]"))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no snapshot")
		}
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				b := b
				b.RoutingKey = fmt.Sprint(i)
				propose(t, g, Bind{b})
			})
		}
		wg.Wait()
	}
	closeGroup(t, g)
	if g = open(t, o); g.State().NumBindings() != 64 {
		t.Errorf("%d bindings, want 64", g.State().NumBindings())
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	answered := map[string]string{}
	for range 3 {
		child := exec.Command(exe)
		child.Env = append(os.Environ(), childDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			name, id, ok := strings.Cut(lines.Text(), " ")
			if !ok || name == "error:" {
				t.Error(lines.Text())
			}
			// A second run finds the queues of the first: the id stays.
			if old, ok := answered[name]; ok && old != id {
				t.Errorf("queue %s had id %s, now %s", name, old, id)
			}
			answered[name] = id
			if n == 200 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // it was killed
	}
	g := open(t, testOptions(dir))
	for name, id := range answered {
		q := g.State().Queue("/", name)
		if q == nil || fmt.Sprint(q.ID) != id {
			t.Errorf("queue %s with id %s was answered; found %+v", name, id, q)
		}
	}
	t.Logf("%d answered, %d found", len(answered), g.State().NumQueues())
}

func TestConcurrentProposalsShareEntries(t *testing.T) {
	t.Parallel()
	g := open(t, testOptions(t.TempDir()))
	before, n := g.raft.LastIndex(), 1000
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprint("q", i)
			r := propose(t, g, queue(name))
			if q := g.State().Queue("/", name); q == nil || q != r.Queue {
				t.Errorf("%s is not in the state after its proposal: %+v", name, q)
			}
			if s := g.State(); s.Index() < r.Index {
				t.Errorf("state of index %d after a result of index %d", s.Index(), r.Index)
			}
		})
	}
	wg.Wait()
	entries := g.raft.LastIndex() - before
	t.Logf("%d proposals took %d entries", n, entries)
	if entries > uint64(n/5) {
		t.Errorf("%d proposals took %d entries", n, entries)
	}
}

func TestOnApply(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	var last atomic.Pointer[State] // as the listener knows it
	var restores atomic.Int32
	o.OnApply = func(old, new *State, changes []Change) {
		if old == nil {
			restores.Add(1)
		} else if len(changes) == 0 {
			t.Error("called without changes")
		} else if p := last.Load(); p != nil && p != old {
			t.Errorf("old state of index %d, want %d", old.Index(), p.Index())
		}
		last.Store(new)
	}
	g := open(t, o)
	propose(t, g, queue("q"))
	if s := last.Load(); s.Queue("/", "q") == nil {
		t.Error("the listener did not hear of the queue before the proposer")
	}
	if err := g.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	propose(t, g, queue("r"))
	closeGroup(t, g)
	last.Store(nil)
	g = open(t, o)
	if s := last.Load(); restores.Load() != 1 || s != g.State() || s.NumQueues() != 2 {
		t.Errorf("%d restores, state %+v", restores.Load(), s)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	g := open(t, o)
	if _, err := Open(o); !errors.Is(err, ErrDirInUse) {
		t.Errorf("second process: %v", err)
	}
	closeGroup(t, g)
	other := o
	other.NodeID = "n2"
	if _, err := Open(other); !errors.Is(err, ErrForeignDir) {
		t.Errorf("other node id: %v", err)
	}
	if _, err := Open(Options{}); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("no options: %v", err)
	}
}

func TestInterruptedBootstrap(t *testing.T) {
	t.Parallel()
	o := testOptions(t.TempDir())
	db, err := openLog(filepath.Join(o.Dir, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.SetUint64([]byte("CurrentTerm"), 1), db.Close()); err != nil {
		t.Fatal(err)
	}
	if g := open(t, o); !g.State().Initialized() {
		t.Error("not initialized")
	}
}

func TestProposeErrors(t *testing.T) {
	t.Parallel()
	blocked, release := make(chan struct{}), make(chan struct{})
	o := testOptions(t.TempDir())
	o.OnApply = func(_, _ *State, changes []Change) {
		if q, ok := changes[0].Entity().(*Queue); ok && q.Name == "slow" {
			close(blocked)
			<-release
		}
	}
	g := open(t, o)
	done := make(chan error, maxInFlight)
	// As many entries as may be under way at once, so that the next proposal waits for its turn.
	for i := range maxInFlight {
		before := g.raft.LastIndex()
		go func() {
			name := fmt.Sprint("slow", i)
			if i == 0 {
				name = "slow"
			}
			_, err := g.Propose(context.Background(), queue(name))
			done <- err
		}()
		if i == 0 {
			<-blocked
		}
		eventually(t, "the entry is in the log", func() bool { return g.raft.LastIndex() > before })
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := g.Propose(ctx, queue("late")); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	if err := g.Barrier(ctx); !errors.Is(err, ErrTimeout) {
		t.Errorf("barrier: %v", err)
	}
	if g.State().Queue("/", "slow") != nil {
		t.Error("visible before the listener was done")
	}
	close(release)
	for range maxInFlight {
		if err := <-done; err != nil {
			t.Errorf("slow: %v", err)
		}
	}
	huge := DeclareQueue{Queue{VHost: "/", Name: "huge", Arguments: make([]byte, MaxCommandLen)}}
	if _, err := g.Propose(context.Background(), huge); !errors.Is(err, ErrTooLarge) {
		t.Errorf("huge: %v", err)
	}
	if err := g.Barrier(context.Background()); err != nil {
		t.Errorf("barrier: %v", err)
	}
	if g.State().Queue("/", "late") != nil {
		t.Error("a proposal whose time was up before its turn was applied")
	}
	closeGroup(t, g)
	if _, err := g.Propose(context.Background(), queue("q")); !errors.Is(err, ErrShutdown) {
		t.Errorf("after shutdown: %v", err)
	}
	if err := g.Barrier(context.Background()); !errors.Is(err, ErrShutdown) {
		t.Errorf("barrier after shutdown: %v", err)
	}
}

func TestFollowerRefusesAndFollows(t *testing.T) {
	t.Parallel()
	_, t1 := raft.NewInmemTransport("n1")
	_, t2 := raft.NewInmemTransport("n2")
	t1.Connect("n2", t2)
	t2.Connect("n1", t1)
	o1, o2 := testOptions(t.TempDir()), testOptions(t.TempDir())
	o1.Transport, o1.ElectionTimeout = t1, 200*time.Millisecond
	o2.Transport, o2.ElectionTimeout, o2.NodeID, o2.Bootstrap = t2, 200*time.Millisecond, "n2", false
	seen := make(chan *State, 64) // more than the follower will see
	o2.OnApply = func(_, new *State, _ []Change) { seen <- new }
	g1, g2 := open(t, o1), open(t, o2)
	if err := g1.raft.AddVoter("n2", "n2", 0, 0).Error(); err != nil {
		t.Fatal(err)
	}
	r := propose(t, g1, queue("q"))
	deadline := time.After(10 * time.Second)
	var s *State
	for s == nil || s.Index() < r.Index {
		select {
		case s = <-seen:
		case <-deadline:
			t.Fatal("the follower does not follow")
		}
	}
	if q := s.Queue("/", "q"); q == nil || q.ID != r.Queue.ID || g2.IsLeader() || g2.Leader() != "n1" {
		t.Errorf("follower has %+v, leader %q", q, g2.Leader())
	}
	if _, err := g2.Propose(context.Background(), queue("r")); !errors.Is(err, ErrNotLeader) {
		t.Errorf("proposal at the follower: %v", err)
	}
}
