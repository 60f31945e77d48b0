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

// BenchmarkCommit measures group commits of one size: n ops in flight, each resubmitted when its group is done.
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
		b.Run(c.name, func(b *testing.B) {
			s := openAt(b, Options{Dir: b.TempDir()})
			defer closeStore(b, s)
			op := put(1, 0, 1, 1, c.size-45)
			b.SetBytes(int64(c.group * c.size))
			b.ReportAllocs()
			start := s.Stats()
			b.ResetTimer()
			base := uint64(0)
			for b.Loop() {
				w := &countdown{t: b}
				w.Add(c.group)
				ops := make([]block.Op, c.group)
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
			msgs := float64(end.Ops - start.Ops)
			b.ReportMetric(1000*float64(end.Syncs-start.Syncs)/msgs, "syncs/1000ops")
			b.ReportMetric(float64(end.Commits-start.Commits)/b.Elapsed().Seconds(), "commits/s")
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
