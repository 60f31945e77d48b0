package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

// within waits until cond holds.
func within(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", d, what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLazyWaitsForCompany(t *testing.T) {
	s := openAt(t, Options{Dir: t.TempDir(), LazyInterval: 5 * time.Second})
	defer closeStore(t, s)
	before := s.Stats()
	lazy := &block.Op{Kind: block.OpMark, Queue: 1, Mark: 1, Lazy: true}
	a := newAwait()
	lazy.Owner = a
	s.Submit(lazy)
	must(t, do(t, s, put(1, 0, 1, 1, 10)))
	select {
	case err := <-a.done:
		must(t, err)
	default:
		t.Fatal("the lazy op was not written with the next commit")
	}
	if n := s.Stats().Commits - before.Commits; n > 2 {
		t.Errorf("%d commits for two ops", n)
	}
}

func TestLazyAloneIsNotSynced(t *testing.T) {
	s := openAt(t, Options{Dir: t.TempDir(), LazyInterval: time.Millisecond})
	defer closeStore(t, s)
	spill := put(1, 0, 1, 0, 10)
	spill.Desc.Spill = true
	lazy := put(1, 1, 1, 1, 10)
	lazy.Lazy = true
	before := s.Stats().Syncs
	for _, op := range []*block.Op{spill, lazy} {
		must(t, do(t, s, op))
		_, err := s.Load(1, op.Desc)
		must(t, err)
	}
	if n := s.Stats().Syncs - before; n != 0 {
		t.Errorf("%d syncs for spilled and lazy blocks", n)
	}
	must(t, do(t, s, &block.Op{Kind: block.OpBarrier}))
	if n := s.Stats().Syncs - before; n == 0 {
		t.Error("no sync for a barrier")
	}
	before = s.Stats().Syncs
	must(t, do(t, s, &block.Op{Kind: block.OpBarrier}))
	if n := s.Stats().Syncs - before; n != 0 {
		t.Errorf("%d syncs for a barrier with nothing to sync", n)
	}
}

func TestClaimRefused(t *testing.T) {
	s := openAt(t, Options{Dir: t.TempDir()})
	defer closeStore(t, s)
	op := put(1, 0, 1, 1, 10)
	a := newAwait()
	a.refuse = true
	op.Owner = a
	s.Submit(op)
	if _, ok := <-a.done; ok {
		t.Fatal("Done was called for a refused op")
	}
	must(t, do(t, s, &block.Op{Kind: block.OpBarrier}))
	if _, err := s.Load(1, op.Desc); !errors.Is(err, block.ErrCorrupt) {
		t.Fatalf("a refused block was stored: %v", err)
	}
}

func TestWrongSizeIsRefused(t *testing.T) {
	s := openAt(t, Options{Dir: t.TempDir()})
	defer closeStore(t, s)
	bad, good := put(1, 0, 1, 1, 10), put(1, 1, 1, 1, 10)
	bad.Desc.Size++
	if err := do(t, s, bad); err == nil {
		t.Fatal("a block that is not as long as its description was stored")
	}
	must(t, do(t, s, good))
}

// TestReplaceMany merges more blocks than fit into one transaction.
func TestReplaceMany(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, Options{Dir: dir, MemTable: 512 << 10})
	const n = 3000
	merged := put(1, 0, n, n, 1)
	merged.Kind = block.OpReplace
	w := &countdown{t: t}
	for i := range n {
		op := put(1, uint64(i), 1, 1, 1)
		op.Owner = w
		w.Add(1)
		s.Submit(op)
		merged.Remove = append(merged.Remove, op.Desc)
	}
	w.Wait()
	if len(merged.Remove) < s.maxEntries {
		t.Fatalf("%d blocks fit into one transaction of %d", n, s.maxEntries)
	}
	must(t, do(t, s, merged))
	closeStore(t, s)
	s = openAt(t, Options{Dir: dir})
	defer closeStore(t, s)
	if b := s.Recovered()[1].Blocks; len(b) != 1 || b[0] != merged.Desc {
		t.Fatalf("%d blocks recovered, want the merged one", len(b))
	}
}

// TestInterruptedMerge opens a store in which a merge was cut off between the new block and the deletion of the old ones.
func TestInterruptedMerge(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, Options{Dir: dir})
	a, b, c := put(1, 0, 1, 1, 10), put(1, 1, 2, 2, 10), put(1, 3, 1, 1, 10)
	ab := put(1, 0, 3, 3, 10)
	for _, op := range []*block.Op{a, b, c, ab} {
		must(t, do(t, s, op))
	}
	closeStore(t, s)
	for range 2 {
		s = openAt(t, Options{Dir: dir})
		if r := s.Recovered()[1].Blocks; len(r) != 2 || r[0] != ab.Desc || r[1] != c.Desc {
			t.Fatalf("recovered %+v", r)
		}
		within(t, 5*time.Second, "covered blocks are still there", func() bool {
			_, errA := s.read(1, a.Desc)
			_, errB := s.read(1, b.Desc)
			return errA != nil && errB != nil
		})
		closeStore(t, s)
	}
}

func TestDropQueue(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, Options{Dir: dir})
	const n = 1000
	w := &countdown{t: t}
	var last *block.Op
	for q := uint64(1); q <= 3; q++ {
		for i := range n {
			last = put(q, uint64(i), 1, 1, 10)
			last.Desc.Spill = i%2 == 1
			last.Owner = w
			w.Add(1)
			s.Submit(last)
		}
		s.Submit(&block.Op{Kind: block.OpMark, Queue: q, Mark: 7})
	}
	s.DropQueue(2) // after everything submitted for it, though nothing is written yet
	w.Wait()
	within(t, 10*time.Second, "keys are left", func() bool { return s.Stats().Dropped >= n+1 })
	closeStore(t, s)

	s = openAt(t, Options{Dir: dir})
	if s.Recovered()[2] != nil {
		t.Fatal("a dropped queue was recovered")
	}
	if len(s.Recovered()[1].Blocks) != n/2 || len(s.Recovered()[3].Blocks) != n/2 {
		t.Fatal("blocks of other queues are gone")
	}
	s.DropUnknown(func(q uint64) bool { return q != 3 })
	if s.Recovered()[3] != nil {
		t.Fatal("an unknown queue is still in Recovered")
	}
	within(t, 10*time.Second, "keys of the unknown queue or spilled blocks are left", func() bool {
		return s.Stats().Dropped >= 2*n/2+n/2+1
	})
	closeStore(t, s)
	s = openAt(t, Options{Dir: dir})
	defer closeStore(t, s)
	if len(s.Recovered()) != 1 {
		t.Fatalf("recovered %d queues, want queue 1 alone", len(s.Recovered()))
	}
}

func TestClose(t *testing.T) {
	s := openAt(t, Options{Dir: t.TempDir(), LazyInterval: 10 * time.Second})
	op := put(1, 0, 1, 1, 10)
	op.Lazy = true
	a := newAwait()
	op.Owner = a
	s.Submit(op)
	closeStore(t, s)
	select {
	case err := <-a.done:
		must(t, err)
	default:
		t.Fatal("Close returned before an op was done")
	}
	if err := do(t, s, put(1, 1, 1, 1, 10)); !errors.Is(err, ErrClosed) {
		t.Fatalf("op after Close: %v", err)
	}
	if _, err := s.Load(1, op.Desc); !errors.Is(err, ErrClosed) {
		t.Fatalf("Load after Close: %v", err)
	}
	must(t, s.Close(context.Background()))
}

func TestOptionsValidate(t *testing.T) {
	for name, o := range map[string]Options{
		"no directory":   {},
		"sync mode":      {Dir: "x", Sync: "never"},
		"interval":       {Dir: "x", Interval: time.Hour},
		"min free":       {Dir: "x", MinFree: 1},
		"lazy interval":  {Dir: "x", LazyInterval: time.Hour},
		"max commit":     {Dir: "x", MaxCommit: 1},
		"memtable":       {Dir: "x", MemTable: 1},
		"value file":     {Dir: "x", ValueFile: 1 << 40},
		"inline":         {Dir: "x", Inline: 1 << 20},
		"slack":          {Dir: "x", Slack: 1},
		"open a missing": {Dir: "/dev/null/x"},
	} {
		if _, err := Open(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := (Options{Dir: "x"}).Validate(); err != nil {
		t.Error(err)
	}
}

// growing is an owner that completes its op when it is claimed, as queues do.
type growing struct {
	await
	grow func(op *block.Op)
}

func (g *growing) Claim(op *block.Op) bool {
	g.grow(op)
	return true
}

// TestGrownOpsCount checks that an op counts with the size that it has when it is written, against the commit and the free space.
func TestGrownOpsCount(t *testing.T) {
	s := openAt(t, Options{Dir: t.TempDir()})
	defer closeStore(t, s)
	const size = 20 << 10
	submit := func(queue uint64) error {
		g := &growing{*newAwait(), func(op *block.Op) {
			full := put(queue, 0, 1, 1, size)
			op.Desc, op.Records = full.Desc, full.Records
		}}
		op := put(queue, 0, 1, 1, 1)
		op.Owner = g
		s.Submit(op)
		return <-g.done
	}
	before := s.Stats().Bytes
	must(t, submit(1))
	if n := s.Stats().Bytes - before; n < size {
		t.Errorf("an op of %d bytes counts as %d", size, n)
	}
}
