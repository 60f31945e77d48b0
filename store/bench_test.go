package store

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

// countdown completes when all its ops have.
type countdown struct {
	sync.WaitGroup
	t testing.TB
}

func (c *countdown) Claim(*block.Op) bool { return true }
func (c *countdown) Done(op *block.Op, err error) {
	if err != nil {
		c.t.Errorf("queue %d, offset %d: %v", op.Queue, op.Desc.Base, err)
	}
	c.WaitGroup.Done()
}

// commitGroups submits groups of ops with blocks of size bytes, each group when the one before is done.
func commitGroups(b *testing.B, opt Options, group, size int) {
	opt.Dir = b.TempDir()
	s := openAt(b, opt)
	defer closeStore(b, s)
	op := put(1, 0, 1, 1, size-45)
	b.SetBytes(int64(group * size))
	b.ReportAllocs()
	start, cpu := s.Stats(), cpuTime()
	b.ResetTimer()
	base := uint64(0)
	for b.Loop() {
		w := &countdown{t: b}
		w.Add(group)
		ops := make([]block.Op, group)
		for i := range ops {
			ops[i] = *op
			ops[i].Desc.Base = base
			ops[i].Owner = w
			base++
		}
		for i := range ops {
			s.Submit(&ops[i])
		}
		w.Wait()
	}
	end := s.Stats()
	b.ReportMetric(1000*float64(end.Syncs-start.Syncs)/float64(end.Ops-start.Ops), "syncs/1000ops")
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N*group), "cpu-ns/block")
}

func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct {
		name        string
		group, size int
	}{
		{"1x100", 1, 100},
		{"1x64K", 1, 64 << 10},
		{"16x64K", 16, 64 << 10},
		{"1000x100", 1000, 100},
	} {
		b.Run(c.name, func(b *testing.B) { commitGroups(b, Options{}, c.group, c.size) })
	}
}

// BenchmarkOption has a run for each alternative that the defaults were chosen from.
func BenchmarkOption(b *testing.B) {
	for _, kb := range []int64{512, 1024, 4096, 16384} {
		b.Run(fmt.Sprintf("memtable=%dK/1000x100", kb), func(b *testing.B) {
			commitGroups(b, Options{MemTable: kb << 10}, 1000, 100)
		})
		b.Run(fmt.Sprintf("memtable=%dK/16x64K", kb), func(b *testing.B) {
			commitGroups(b, Options{MemTable: kb << 10}, 16, 64<<10)
		})
	}
	for _, size := range []int{500, 1500, 5000, 15000} {
		for _, inline := range []int{256, 64 << 10} {
			b.Run(fmt.Sprintf("inline=%d/1x%d", inline, size), func(b *testing.B) {
				commitGroups(b, Options{Inline: inline}, 1, size)
			})
			b.Run(fmt.Sprintf("inline=%d/100x%d", inline, size), func(b *testing.B) {
				commitGroups(b, Options{Inline: inline}, 100, size)
			})
		}
	}
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncOS} {
		b.Run(fmt.Sprintf("sync=%s/1x64K", mode), func(b *testing.B) {
			commitGroups(b, Options{Sync: mode}, 1, 64<<10)
		})
	}
}

// cpuTime returns the processor time that the process has used.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func mb(n int64) string { return fmt.Sprintf("%d MB", n>>20) }
