package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
)

// fill writes n blocks to queue 1, half of them small, in groups, and returns them.
func fill(t *testing.T, s *Store, n int) []*block.Op {
	t.Helper()
	var ops []*block.Op
	w := &countdown{t: t}
	for i := range n {
		size := 20
		if i%2 == 0 {
			size = 3000
		}
		op := put(1, uint64(i*2), 2, 2, size)
		op.Owner = w
		w.Add(1)
		ops = append(ops, op)
		s.Submit(op)
		if i%16 == 15 {
			w.Wait()
		}
	}
	w.Wait()
	return ops
}

// copyDir copies the files of an open store, as a killed process would leave them.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.Mkdir(filepath.Join(to, "values"), 0o755))
	for _, pattern := range []string{"*", "values/*"} {
		names, err := filepath.Glob(filepath.Join(from, pattern))
		must(t, err)
		for _, name := range names {
			fi, err := os.Stat(name)
			must(t, err)
			if fi.IsDir() {
				continue
			}
			rel, err := filepath.Rel(from, name)
			must(t, err)
			b, unmap, err := mapFile(name) // without the hole that ends it
			must(t, err)
			must(t, os.WriteFile(filepath.Join(to, rel), b, 0o644))
			must(t, os.Truncate(filepath.Join(to, rel), fi.Size()))
			unmap()
		}
	}
	return to
}

// files returns the files that match pattern, oldest first, without those that hold nothing yet.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	must(t, err)
	slices.SortFunc(names, byAge)
	return slices.DeleteFunc(names, func(name string) bool {
		b, unmap, err := mapFile(name)
		must(t, err)
		defer unmap()
		end, _ := scanLog(b, func(logEntry) {})
		return end <= logHeaderLen && filepath.Ext(name) != ".sst" && filepath.Base(name) != "MANIFEST"
	})
}

// TestDamage damages one file of a store in every way and checks that it opens, that no sound block is wrong, and that what
// is missing was reported.
func TestDamage(t *testing.T) {
	const n = 200
	running := t.TempDir()
	s := openAt(t, Options{Dir: running})
	ops := fill(t, s, n)
	killed := copyDir(t, running)
	closeStore(t, s)
	closed := running

	ends := func(name string) int {
		b, unmap, err := mapFile(name)
		must(t, err)
		defer unmap()
		if ext := filepath.Ext(name); ext == ".vlog" || ext == ".mem" {
			end, _ := scanLog(b, func(logEntry) {})
			return end
		}
		return len(b)
	}
	flip := func(share float64) func(string) error {
		return func(name string) error {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			at := int64(share * float64(ends(name)-1))
			var b [1]byte
			if _, err := f.ReadAt(b[:], at); err != nil {
				return err
			}
			b[0] ^= 0x10
			_, err = f.WriteAt(b[:], at)
			return err
		}
	}
	truncate := func(share float64) func(string) error {
		return func(name string) error { return os.Truncate(name, int64(share*float64(ends(name)))) }
	}
	remove := os.Remove
	for _, c := range []struct {
		name, dir, pattern string
		damage             func(string) error
		lost               int // blocks that may be missing or damaged, at most
	}{
		{"flip header of killed vlog", killed, "values/*.vlog", flip(0), 0},
		{"flip middle of killed vlog", killed, "values/*.vlog", flip(0.5), 1},
		{"flip end of killed vlog", killed, "values/*.vlog", flip(1), 1},
		{"truncate killed vlog", killed, "values/*.vlog", truncate(0.5), n/4 + 1},
		{"empty killed vlog", killed, "values/*.vlog", truncate(0), n / 2},
		{"remove killed vlog", killed, "values/*.vlog", remove, n / 2},
		{"flip header of mem", killed, "*.mem", flip(0), 0},
		{"flip middle of mem", killed, "*.mem", flip(0.5), 1},
		{"flip near the start of mem", killed, "*.mem", flip(0.01), 1},
		{"truncate mem", killed, "*.mem", truncate(0.5), n/2 + 17},
		{"empty mem", killed, "*.mem", truncate(0), n},
		{"flip middle of closed vlog", closed, "values/*.vlog", flip(0.5), 1},
		{"truncate closed vlog", closed, "values/*.vlog", truncate(0.3), n},
		{"flip start of table", closed, "*.sst", flip(0), n / 2},
		{"flip middle of table", closed, "*.sst", flip(0.5), n / 2},
		{"flip end of table", closed, "*.sst", flip(1), n / 2},
		{"flip index length of table", closed, "*.sst", flip(0.999), n / 2},
		{"truncate table", closed, "*.sst", truncate(0.7), n / 2},
		{"empty table", closed, "*.sst", truncate(0), n / 2},
		{"remove table", closed, "*.sst", remove, n / 2},
		{"flip magic of MANIFEST", closed, "MANIFEST", flip(0), 0},
		{"flip MANIFEST", closed, "MANIFEST", flip(0.8), 0},
		{"truncate MANIFEST", closed, "MANIFEST", truncate(0.6), 0},
		{"empty MANIFEST", closed, "MANIFEST", truncate(0), 0},
		{"remove MANIFEST", closed, "MANIFEST", remove, 0},
		{"flip KEYREGISTRY", closed, "KEYREGISTRY", flip(0.5), 0},
		{"truncate DISCARD", closed, "values/DISCARD", truncate(0.5), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyDir(t, c.dir)
			var names []string
			if filepath.Ext(c.pattern) != "" {
				names = files(t, dir, c.pattern)
			} else {
				names = []string{filepath.Join(dir, c.pattern)}
			}
			if len(names) == 0 {
				t.Fatalf("no file %s to damage", c.pattern)
			}
			must(t, c.damage(names[len(names)-1]))
			checkDamaged(t, dir, ops, c.lost)
			// What was repaired stays repaired.
			checkDamaged(t, dir, ops, c.lost)
		})
	}
}

// checkDamaged opens a damaged store and compares it with the blocks that it should have.
func checkDamaged(t *testing.T, dir string, ops []*block.Op, lost int) {
	t.Helper()
	var mu sync.Mutex
	var reported []string
	s := openAt(t, Options{Dir: dir, OnCorrupt: func(queue, base uint64, err error) {
		mu.Lock()
		defer mu.Unlock()
		reported = append(reported, fmt.Sprintf("%d/%d", queue, base))
	}})
	defer closeStore(t, s)
	have := map[uint64]block.Desc{}
	if r := s.Recovered()[1]; r != nil {
		for _, d := range r.Blocks {
			have[d.Base] = d
		}
	}
	missing, bad := 0, 0
	for _, op := range ops {
		d, ok := have[op.Desc.Base]
		if !ok {
			missing++
			continue
		}
		if d != op.Desc {
			t.Errorf("offset %d: recovered as %+v, was %+v", op.Desc.Base, d, op.Desc)
		}
		got, err := s.Load(1, d)
		if err != nil {
			bad++
			if !errors.Is(err, block.ErrCorrupt) {
				t.Errorf("offset %d: %v", d.Base, err)
			}
			if !slices.Contains(reported, fmt.Sprintf("1/%d", d.Base)) {
				t.Errorf("offset %d: damaged and not reported", d.Base)
			}
			continue
		}
		if string(got) != content(op) {
			t.Errorf("offset %d: loaded bytes differ", d.Base)
		}
	}
	if missing+bad > lost {
		t.Errorf("%d blocks missing and %d damaged, want at most %d", missing, bad, lost)
	}
	// It must go on working.
	op := put(2, 0, 1, 1, 2000)
	must(t, do(t, s, op))
	if _, err := s.Load(2, op.Desc); err != nil {
		t.Error(err)
	}
	must(t, do(t, s, &block.Op{Kind: block.OpDelete, Queue: 2, Remove: []block.Desc{op.Desc}}))
}

// TestDamageAnywhere flips one bit at a random place of a random file, many times.
func TestDamageAnywhere(t *testing.T) {
	running := t.TempDir()
	s := openAt(t, Options{Dir: running})
	ops := fill(t, s, 60)
	killed := copyDir(t, running)
	closeStore(t, s)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	for i := range rounds {
		dir := copyDir(t, []string{killed, running}[i%2])
		var names []string
		for _, p := range []string{"*.mem", "*.sst", "values/*.vlog"} {
			names = append(names, files(t, dir, p)...)
		}
		names = append(names, filepath.Join(dir, "MANIFEST"))
		name := names[r.IntN(len(names))]
		b, unmap, err := mapFile(name)
		must(t, err)
		at, bit := r.IntN(len(b)), r.IntN(8)
		if e, _ := scanLog(b, func(logEntry) {}); e > logHeaderLen {
			at = r.IntN(e)
		}
		if filepath.Base(name) == "MANIFEST" && at >= 4 && at < 8 {
			unmap() // the format's version: another one is refused
			continue
		}
		v := b[at] ^ 1<<bit
		unmap()
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{v}, int64(at))
		must(t, errors.Join(err, f.Close()))
		t.Run(fmt.Sprintf("%s at %d, bit %d", filepath.Base(name), at, bit), func(t *testing.T) {
			checkDamaged(t, dir, ops, len(ops))
		})
	}
}
