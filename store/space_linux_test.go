package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brokerd/brokerd/amqp/block"
)

// smallDisk mounts a file system of the given size.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a file system to fill cannot be mounted: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	return dir
}

// TestDiskFull fills a small file system until puts are refused, frees space by deleting, and fills it again. Writing to a
// full file system through a memory map would kill the process.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, 160<<20)
	opt := Options{Dir: filepath.Join(disk, "store"), MinFree: 32 << 20, ValueFile: 16 << 20, Slack: 1 << 20, look: 50 * time.Millisecond}
	s := openAt(t, opt)
	stored := map[uint64]*block.Op{}
	next := uint64(0)
	fill := func() {
		t.Helper()
		for {
			op := put(1, next, 1, 1, 31<<10)
			err := do(t, s, op)
			if err == nil {
				stored[next] = op
				next++
				continue
			}
			if !errors.Is(err, ErrNoSpace) {
				t.Fatal(err)
			}
			break
		}
		if free := s.FreeBytes(); free > opt.MinFree+8<<20 || free < opt.MinFree/2 {
			t.Errorf("puts are refused with %s free, the floor is %s", mb(free), mb(opt.MinFree))
		}
		for base, op := range stored {
			got, err := s.Load(1, op.Desc)
			must(t, err)
			if string(got) != content(op) {
				t.Fatalf("offset %d: loaded bytes differ", base)
			}
		}
	}
	for round := range 3 {
		fill()
		if round == 1 {
			closeStore(t, s)
			s = openAt(t, opt)
			if n := len(s.Recovered()[1].Blocks); n != len(stored) {
				t.Fatalf("%d blocks recovered on a full disk, want %d", n, len(stored))
			}
		}
		if len(stored) < 1000 {
			t.Errorf("round %d: full with %d blocks of 31 KiB", round, len(stored))
		}
		del := &block.Op{Kind: block.OpDelete, Queue: 1}
		for base, op := range stored {
			if base%8 != 0 { // leaves something live in every file
				del.Remove = append(del.Remove, op.Desc)
				delete(stored, base)
			}
		}
		must(t, do(t, s, del))
		within(t, 20*time.Second, "deleting blocks has not freed the disk", func() bool { return s.FreeBytes() > 80<<20 })
	}

	// Somebody else takes the rest: not even deletions can be written.
	hog, err := os.Create(filepath.Join(disk, "hog"))
	must(t, err)
	del := &block.Op{Kind: block.OpDelete, Queue: 1, Remove: []block.Desc{stored[0].Desc}}
	size := int64(0)
	within(t, 10*time.Second, "deletions are not refused on a disk that is full to the brim", func() bool {
		if more := s.FreeBytes() - opt.MinFree/4 + 1<<20; more > 0 { // again, because the janitor is still freeing some
			must(t, unix.Fallocate(int(hog.Fd()), 0, size, more))
			size += more
		}
		return errors.Is(do(t, s, del), ErrNoSpace)
	})
	must(t, errors.Join(hog.Close(), os.Remove(hog.Name())))
	must(t, do(t, s, del))
	delete(stored, 0)
	closeStore(t, s)
	s = openAt(t, opt)
	defer closeStore(t, s)
	if n := len(s.Recovered()[1].Blocks); n != len(stored) {
		t.Fatalf("%d blocks recovered, want %d", n, len(stored))
	}
	for base, op := range stored {
		got, err := s.Load(1, op.Desc)
		must(t, err)
		if string(got) != content(op) {
			t.Fatalf("offset %d: loaded bytes differ", base)
		}
	}
}
