package meta

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestClusterAgainstModel has clients at all members declare queues while members restart, are cut off and hand over. In the end
// all members have the same state; whatever was acknowledged is in it once and with the id that was told, and what was refused is
// not. A read through another member sees each acknowledgement at once.
func TestClusterAgainstModel(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	checks := 0
	deadline := time.Now().Add(3 * time.Second) // enough; more by BROKERD_META_MODEL_FOR
	if d, err := time.ParseDuration(os.Getenv("BROKERD_META_MODEL_FOR")); err == nil {
		deadline = time.Now().Add(d)
	}
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"restart", "restart leader", "isolate", "isolate leader", "transfer", "calm"}), 1, 4).Draw(t, "steps")
		victim := rapid.SliceOfN(rapid.IntRange(0, 2), len(steps), len(steps)).Draw(t, "victims")
		if time.Now().After(deadline) {
			return
		}
		checks++
		runFaults(t, fmt.Sprintf("%s/%d", root, checks), steps, victim)
	})
}

type acknowledged struct {
	mu sync.Mutex
	id map[string]uint64 // of queues that are there, 0 for those that are certainly not
}

func (a *acknowledged) set(name string, id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.id[name] = id
}

func (a *acknowledged) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.id)
}

func runFaults(t testT, root string, steps []string, victims []int) {
	net := newNetwork(t, root)
	defer net.close()
	for _, id := range ids(3) {
		net.start(id, ids(3))
	}
	net.leader()
	acks := &acknowledged{id: map[string]uint64{}}
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	var failures sync.Map
	for c := range 4 {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := declareAndRead(ctx, net, acks, fmt.Sprintf("n%d", 1+(c+i)%3), fmt.Sprintf("n%d", 1+(c+i+1)%3), fmt.Sprint("q", c, "-", i)); err != nil {
					failures.Store(err.Error(), true)
				}
			}
		})
	}
	for i, step := range steps {
		id := fmt.Sprint("n", victims[i]+1)
		switch step {
		case "restart leader":
			id = net.leader().opts.NodeID
			fallthrough
		case "restart":
			net.stop(id)
			net.leader()
			net.start(id, ids(3))
		case "isolate leader":
			id = net.leader().opts.NodeID
			fallthrough
		case "isolate":
			net.isolate(id, true)
			net.leader(id)
			net.isolate(id, false)
		case "transfer":
			// It may fail, for instance because somebody else just came to lead.
			_ = net.leader().TransferLeadership(context.Background())
		}
		net.leader()
		before := acks.len()
		eventually(t, "the clients go on after "+step, func() bool { return acks.len() >= before+10 })
	}
	cancel()
	clients.Wait()
	failures.Range(func(err, _ any) bool {
		t.Fatal(err)
		return false
	})
	net.same()
	s := net.leader().State()
	there := 0
	for name, id := range acks.id {
		q := s.Queue("/", name)
		switch {
		case id != 0 && (q == nil || q.ID != id):
			t.Fatalf("queue %s was acknowledged with id %d, found %+v", name, id, q)
		case id == 0 && q != nil:
			t.Fatalf("queue %s was refused for certain, found %+v", name, q)
		case id != 0:
			there++
		}
	}
	if there == 0 {
		t.Fatal("nothing was acknowledged")
	}
	if uint64(s.NumQueues()) != s.lastQueue {
		t.Fatalf("%d queues, but %d ids: something was applied twice", s.NumQueues(), s.lastQueue)
	}
}

// declareAndRead declares a queue at one member and looks for it at another one. Its error is a broken promise.
func declareAndRead(ctx context.Context, net *network, acks *acknowledged, at, other, name string) error {
	g := net.group(at)
	if g == nil {
		time.Sleep(time.Millisecond) // it is down: this client is not to spin meanwhile
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	r, err := g.Propose(ctx, queue(name))
	switch {
	case err == nil && !r.Created:
		return fmt.Errorf("queue %s was there before it was declared", name)
	case err == nil:
		acks.set(name, r.Queue.ID)
	case errors.Is(err, ErrNoLeader), errors.Is(err, ErrNotLeader):
		acks.set(name, 0)
		return nil
	default:
		return nil // not known
	}
	if g = net.group(other); g == nil || g.ReadIndex(ctx) != nil {
		return nil
	}
	if g.State().Queue("/", name) == nil {
		return fmt.Errorf("%s does not see queue %s, which %s has acknowledged", other, name, at)
	}
	return nil
}
