package store

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

var long = flag.Duration("store.flow", 0, "let TestDiskBound's flow run for this long instead of its short form")

// rss returns resident bytes of the process: private and of mapped files.
func rss() (private, file int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "RssAnon:":
			private = n << 10
		case "RssFile:":
			file = n << 10
		}
	}
	return private, file
}

// flow is a steady stream of blocks through a store, each deleted some time after it was written.
type flow struct {
	s       *Store
	t       testing.TB
	pending atomic.Int64
	next    uint64
	oldest  uint64
	op      *block.Op
}

func (f *flow) Claim(*block.Op) bool { return true }
func (f *flow) Done(op *block.Op, err error) {
	f.pending.Add(-1)
	if err != nil {
		f.t.Errorf("offset %d: %v", op.Desc.Base, err)
	}
}

func (f *flow) put() {
	op := *f.op
	op.Desc.Base, op.Owner = f.next, f
	f.next++
	f.pending.Add(1)
	f.s.Submit(&op)
}

func (f *flow) remove(n int) {
	d := f.op.Desc
	op := &block.Op{Kind: block.OpDelete, Queue: f.op.Queue, Lazy: true}
	for range n {
		d.Base = f.oldest
		f.oldest++
		op.Remove = append(op.Remove, d)
	}
	f.s.Submit(op)
}

// TestDiskBound lets blocks flow at 50 MB/s, each deleted a second after it was written, and checks that the disk stays below
// four times the live bytes and 1 GiB, and that it falls after the end.
func TestDiskBound(t *testing.T) {
	length, rate, limit := 2*time.Second, int64(200<<20), int64(1<<30)
	if *long > 0 {
		length, rate = *long, 50<<20
	}
	if testing.Short() {
		t.Skip("writes 400 MB")
	}
	opt := Options{Dir: t.TempDir()}
	if v, _ := strconv.Atoi(os.Getenv("STORE_MEM")); v > 0 {
		opt.MemTable = int64(v) << 10
	}
	if v, _ := strconv.Atoi(os.Getenv("STORE_VLOG")); v > 0 {
		opt.ValueFile = int64(v) << 20
	}
	s := openAt(t, opt)
	defer closeStore(t, s)
	f := &flow{s: s, t: t, op: put(1, 0, 1, 1, 64<<10-45)}
	size := int64(f.op.Desc.Size)
	lag := uint64(rate / size)
	var maxDisk, maxFile, maxAnon int64
	start, cpu := time.Now(), cpuTime()
	report := start
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for now := range tick.C {
		if now.Sub(start) > length {
			break
		}
		due := uint64(int64(now.Sub(start)) / 1000 * (rate / 1000) / size / 1000)
		for f.next < due && f.pending.Load() < 256 {
			f.put()
		}
		if f.next > f.oldest+lag {
			f.remove(int(f.next - f.oldest - lag))
		}
		if now.Sub(report) > time.Second/2 {
			report = now
			u, err := s.diskUse()
			must(t, err)
			maxDisk = max(maxDisk, u.all)
			anon, file := rss()
			maxAnon, maxFile = max(maxAnon, anon), max(maxFile, file)
			if bound := 4*s.live.Load() + 1<<30; u.all > bound {
				t.Errorf("after %v: %s on disk, %s live", now.Sub(start), mb(u.all), mb(s.live.Load()))
			}
		}
	}
	used := cpuTime() - cpu
	st := s.Stats()
	t.Logf("%s in %v: disk at most %s; %.0f%% of a core; %d commits, %d syncs, %d files collected; private %s, mapped %s",
		mb(st.Bytes), length, mb(maxDisk), 100*used.Seconds()/time.Since(start).Seconds(), st.Commits, st.Syncs, st.GCRuns,
		mb(maxAnon), mb(maxFile))
	f.remove(int(f.next - f.oldest))
	must(t, do(t, s, &block.Op{Kind: block.OpBarrier}))
	limit = 300 << 20
	drained := time.Now()
	for {
		u, err := s.diskUse()
		must(t, err)
		if u.all < limit {
			t.Logf("drained: %s on disk after %v", mb(u.all), time.Since(drained))
			return
		}
		if time.Since(drained) > time.Minute {
			t.Fatalf("%s on disk a minute after the drain", mb(u.all))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestBacklog builds a backlog of large blocks, takes it down again, and reports memory and disk. With -store.flow it is one of
// 750 MB, as 5 million small messages are, and its memory is checked.
func TestBacklog(t *testing.T) {
	blocks := 400
	if *long > 0 {
		blocks = 12_000
	}
	s := openAt(t, Options{Dir: t.TempDir(), look: 100 * time.Millisecond})
	defer closeStore(t, s)
	f := &flow{s: s, t: t, op: put(1, 0, 1, 1, 64<<10-45)}
	anon0, file0 := rss()
	var maxAnon, maxFile int64
	see := func() {
		anon, file := rss()
		maxAnon, maxFile = max(maxAnon, anon), max(maxFile, file)
	}
	start, cpu := time.Now(), cpuTime()
	for f.next < uint64(blocks) {
		if f.pending.Load() < 64 {
			f.put()
		} else {
			see()
			time.Sleep(time.Millisecond)
		}
	}
	must(t, do(t, s, &block.Op{Kind: block.OpBarrier}))
	t.Logf("%d blocks written in %v, %v of processor time", blocks, time.Since(start), cpuTime()-cpu)
	start, cpu = time.Now(), cpuTime()
	for f.oldest < f.next {
		d := f.op.Desc
		d.Base = f.oldest
		if _, err := s.Load(1, d); err != nil {
			t.Fatal(err)
		}
		f.remove(1)
		if f.oldest%64 == 0 {
			see()
		}
	}
	must(t, do(t, s, &block.Op{Kind: block.OpBarrier}))
	t.Logf("read and deleted in %v, %v of processor time", time.Since(start), cpuTime()-cpu)
	t.Logf("memory: private %s + %s, mapped %s + %s", mb(anon0), mb(maxAnon-anon0), mb(file0), mb(maxFile-file0))
	start = time.Now()
	within(t, time.Minute, "too much on disk after the drain", func() bool {
		u, err := s.diskUse()
		must(t, err)
		return u.all < 200<<20
	})
	t.Logf("below 200 MB after %v", time.Since(start))
	if *long > 0 && maxAnon+maxFile > 300<<20 {
		t.Errorf("resident memory reached %s", mb(maxAnon+maxFile))
	}
}
