package store

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

// childEnv tells the test binary that it is the child of a kill test: it holds a seed and the directory of the store.
const childEnv = "BROKERD_STORE_TEST_CHILD"

const killQueues = 4

// killer is the child's side: it puts and deletes blocks as fast as the store takes them and says on standard output what is
// done, until it is killed.
type killer struct {
	s   *Store
	mu  sync.Mutex // guards out and stored
	out *bufio.Writer
	// stored has the blocks that are done and not being deleted.
	stored map[blockID]block.Desc
	slots  chan struct{}
}

func (k *killer) Claim(*block.Op) bool { return true }

func (k *killer) Done(op *block.Op, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		fmt.Fprintf(os.Stderr, "op %d: %v\n", op.Kind, err)
		os.Exit(1)
	}
	switch op.Kind {
	case block.OpPut:
		k.stored[blockID{op.Queue, op.Desc.Base}] = op.Desc
		fmt.Fprintf(k.out, "+ %d %d %d\n", op.Queue, op.Desc.Base, op.Desc.Count)
	case block.OpReplace:
		k.stored[blockID{op.Queue, op.Desc.Base}] = op.Desc
	case block.OpDelete:
		for _, d := range op.Remove {
			fmt.Fprintf(k.out, "- %d %d %d\n", op.Queue, d.Base, d.Count)
		}
	}
	k.out.Flush()
	<-k.slots
}

func childMain(arg string) int {
	var seed uint64
	var dir string
	if _, err := fmt.Sscanf(arg, "%d %s", &seed, &dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r := rand.New(rand.NewPCG(seed, 1))
	s, err := Open(Options{Dir: dir, MemTable: 512 << 10, ValueFile: 16 << 20, LazyInterval: 5 * time.Millisecond, Slack: 1 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	k := &killer{s: s, out: bufio.NewWriter(os.Stdout), stored: map[blockID]block.Desc{}, slots: make(chan struct{}, 64)}
	next := [killQueues + 1]uint64{}
	for q, rec := range s.Recovered() {
		for _, d := range rec.Blocks {
			k.stored[blockID{q, d.Base}] = d
			next[q] = max(next[q], d.Base+uint64(d.Count))
		}
		next[q] = max(next[q], rec.Mark) // the mark keeps the next offset in this test
	}
	for i := 0; ; i++ {
		k.slots <- struct{}{}
		q := 1 + r.Uint64N(killQueues)
		var op *block.Op
		switch x := r.IntN(10); {
		case x < 6:
			n := 1 + r.IntN(5)
			op = put(q, next[q], n, n, []int{10, 400, 4000, 10000}[r.IntN(4)])
			op.With = []*block.Op{state(q, next[q], 1+r.IntN(400))} // stays when the block is deleted
			next[q] += uint64(n)
			k.slots <- struct{}{}
			s.Submit(&block.Op{Kind: block.OpMark, Queue: q, Mark: next[q], Owner: k})
		case x < 9:
			op = k.deletion(q, r)
		default:
			op = k.merge(q)
		}
		if op == nil {
			<-k.slots
			continue
		}
		op.Owner = k
		s.Submit(op)
	}
}

// deletion takes one of the stored blocks of q.
func (k *killer) deletion(q uint64, r *rand.Rand) *block.Op {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, d := range k.stored {
		if id.queue == q {
			delete(k.stored, id)
			fmt.Fprintf(k.out, "? %d %d %d\n", q, d.Base, d.Count) // from now on it may be gone
			k.out.Flush()
			return &block.Op{Kind: block.OpDelete, Queue: q, Remove: []block.Desc{d}, Lazy: r.IntN(2) == 0}
		}
	}
	return nil
}

// merge replaces two adjacent blocks of q by one.
func (k *killer) merge(q uint64) *block.Op {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, a := range k.stored {
		b, ok := k.stored[blockID{q, a.Base + uint64(a.Count)}]
		if id.queue != q || !ok {
			continue
		}
		ra, err := k.s.Load(q, a)
		if err == nil {
			var rb []byte
			rb, err = k.s.Load(q, b)
			ra = append(ra, rb...)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		delete(k.stored, id)
		delete(k.stored, blockID{q, b.Base})
		d := a
		d.Count, d.Persistent, d.Size, d.Bodies = a.Count+b.Count, a.Persistent+b.Persistent, a.Size+b.Size, a.Bodies+b.Bodies
		return &block.Op{Kind: block.OpReplace, Queue: q, Desc: d, Records: ra, Remove: []block.Desc{a, b}}
	}
	return nil
}

// TestKill kills a process that uses a store, several times in a row, and checks after each time that every record that was
// reported as stored, and not as possibly deleted, is there.
func TestKill(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	seed := rand.Uint64()
	if v := os.Getenv("STORE_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		must(t, err)
		seed = n
	}
	t.Logf("seed %d (STORE_SEED)", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "store")
	type record struct{ queue, offset uint64 }
	want := map[record]bool{}
	states := map[record]bool{} // by the offset of the block that they came with
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childEnv, r.Uint64(), dir))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		// It is killed after a random number of reports, not after a time, so that it gets somewhere on a busy machine.
		stop := 200 + r.IntN(3000)
		lines := bufio.NewScanner(out)
		deadline := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		n := 0
		for ; lines.Scan(); n++ {
			if n == stop {
				must(t, cmd.Process.Kill())
			}
			var what string
			var queue, base, count uint64
			if _, err := fmt.Sscanf(lines.Text(), "%s %d %d %d", &what, &queue, &base, &count); err != nil {
				continue // cut off
			}
			if what == "+" {
				states[record{queue, base}] = true
			}
			for i := range count {
				rec := record{queue, base + i}
				switch what {
				case "+":
					want[rec] = true
				default:
					delete(want, rec)
				}
			}
		}
		deadline.Stop()
		_ = cmd.Wait()
		if n <= stop {
			t.Fatalf("round %d: the child ended by itself after %d reports: %s", round, n, stderr.String())
		}
		s := openAt(t, Options{Dir: dir})
		have := map[record]bool{}
		for q, rec := range s.Recovered() {
			if rec.Clean {
				t.Errorf("round %d: queue %d is clean after a kill", round, q)
			}
			for _, d := range rec.Blocks {
				if _, err := s.Load(q, d); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
				for i := range uint64(d.Count) {
					have[record{q, d.Base + i}] = true
				}
			}
		}
		lost := 0
		for q, rec := range s.Recovered() {
			there := map[uint64]bool{}
			for _, st := range rec.States {
				there[st.Desc.Base] = true
				delete(states, record{q, st.Desc.Base})
			}
			for _, d := range rec.Blocks {
				if !there[d.Base] {
					t.Errorf("round %d: queue %d, offset %d is there without its state", round, q, d.Base)
				}
			}
		}
		for st := range states {
			t.Errorf("round %d: the state of queue %d, offset %d is lost", round, st.queue, st.offset)
		}
		clear(states)
		for rec := range want {
			if !have[rec] {
				lost++
				if lost < 5 {
					t.Errorf("round %d: queue %d, offset %d is lost", round, rec.queue, rec.offset)
				}
			}
		}
		t.Logf("round %d: %d reports, %d records stored, %d there", round, n, len(want), len(have))
		if lost > 0 {
			t.Fatalf("round %d: %d of %d records lost", round, lost, len(want))
		}
		// What is there now, reported or not, must be there next time.
		clear(want)
		for rec := range have {
			want[rec] = true
		}
		closeStore(t, s)
	}
}
