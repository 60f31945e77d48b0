package store

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/amqp/block"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(childMain(dir))
	}
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		_ = flag.Set("rapid.checks", "8") // each opens the store several times
	}
	goleak.VerifyTestMain(m)
}

// await is an owner whose completion can be waited for.
type await struct {
	refuse bool
	done   chan error
}

func newAwait() *await { return &await{done: make(chan error, 1)} }

func (a *await) Claim(*block.Op) bool {
	if a.refuse {
		close(a.done)
	}
	return !a.refuse
}
func (a *await) Done(_ *block.Op, err error) { a.done <- err }

// do submits op and waits.
func do(t testing.TB, s *Store, op *block.Op) error {
	t.Helper()
	a := newAwait()
	op.Owner = a
	s.Submit(op)
	select {
	case err := <-a.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatalf("op %d of queue %d was not completed in 30 s", op.Kind, op.Queue)
		return nil
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openAt(t testing.TB, opt Options) *Store {
	t.Helper()
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	s, err := Open(opt)
	must(t, err)
	return s
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	must(t, s.Close(context.Background()))
}

// put makes an OpPut of n records, with bodies of size bytes, the first persistent ones persistent.
func put(queue, base uint64, n, persistent, size int) *block.Op {
	var b block.Block
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(base) + byte(i)
	}
	for i := range n {
		r := block.Record{Arrived: 1, RoutingKey: []byte("rk"), Properties: []byte{0, 0}, Body: body}
		if i < persistent {
			r.Flags = block.Persistent
		}
		b.Append(&r)
	}
	return &block.Op{
		Kind: block.OpPut, Queue: queue, Records: b.Records, Tail: b.Tail,
		Desc: block.Desc{
			Base: base, Count: uint32(n), Persistent: uint32(persistent), Size: uint32(b.Size()),
			Bodies: uint32(b.Bodies), MinDeadline: b.MinDeadline,
		},
	}
}

func content(op *block.Op) string { return string(op.Records) + string(op.Tail) }

func TestPutLoadReopen(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, Options{Dir: dir})
	small, mixed, large := put(1, 0, 3, 3, 10), put(1, 3, 70, 35, 200), put(2, 9, 1, 1, 20<<20)
	transient := put(2, 10, 2, 0, 10)
	spill := put(2, 12, 2, 0, 5000)
	spill.Desc.Spill = true
	puts := []*block.Op{small, mixed, large, transient, spill}
	for _, op := range puts {
		must(t, do(t, s, op))
	}
	must(t, do(t, s, &block.Op{Kind: block.OpMark, Queue: 1, Mark: 17}))
	must(t, do(t, s, &block.Op{Kind: block.OpGone, Queue: 1, Desc: small.Desc, Gone: []uint64{5}}))
	for _, op := range puts {
		got, err := s.Load(op.Queue, op.Desc)
		must(t, err)
		if string(got) != content(op) {
			t.Fatalf("queue %d, offset %d: %d bytes loaded differ from the %d stored", op.Queue, op.Desc.Base,
				len(got), op.Desc.Size)
		}
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") ||
		strings.Contains(err.Error(), "\n") {
		t.Fatalf("second Open: want one line that says the directory is in use, got %v", err)
	}
	closeStore(t, s)

	s = openAt(t, Options{Dir: dir})
	defer closeStore(t, s)
	rec := s.Recovered()
	if r := rec[1]; r == nil || !r.Clean || r.Mark != 17 || len(r.Blocks) != 2 || r.Gone[0][0] != 5 {
		t.Fatalf("queue 1 recovered as %+v", r)
	}
	if bits := rec[1].Gone[3]; len(bits) != 2 || bits[0] != 0xfffffff800000000 || bits[1] != 1<<6-1 {
		t.Fatalf("transient records of the mixed block: got %x", bits)
	}
	if r := rec[2]; r == nil || len(r.Blocks) != 1 || r.Blocks[0] != large.Desc {
		t.Fatalf("queue 2 recovered as %+v", r)
	}
	got, err := s.Load(2, large.Desc)
	must(t, err)
	if string(got) != content(large) {
		t.Fatal("large block differs after reopening")
	}
	for _, op := range []*block.Op{transient, spill} {
		if _, err := s.Load(2, op.Desc); !errors.Is(err, block.ErrCorrupt) {
			t.Fatalf("block at %d is void after a restart, but loading it gives %v", op.Desc.Base, err)
		}
	}
}
