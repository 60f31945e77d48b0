package store

import (
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

// TestOpenFast opens a store with a million messages.
func TestOpenFast(t *testing.T) {
	const blocks, records = 1000, 1000
	dir := t.TempDir()
	s := openAt(t, Options{Dir: dir})
	op := put(1, 0, records, records, 16)
	w := &countdown{t: t}
	for i := range blocks {
		o := *op
		o.Desc.Base, o.Owner = uint64(i*records), w
		w.Add(1)
		s.Submit(&o)
	}
	w.Wait()
	killed := copyDir(t, dir)
	start := time.Now()
	closeStore(t, s)
	t.Logf("closed in %v", time.Since(start))
	for _, dir := range []string{dir, killed} {
		start = time.Now()
		s = openAt(t, Options{Dir: dir})
		took := time.Since(start)
		r := s.Recovered()[1]
		n := 0
		for _, d := range r.Blocks {
			n += int(d.Count)
		}
		start = time.Now()
		closeStore(t, s)
		t.Logf("clean %v: opened in %v, closed in %v", r.Clean, took, time.Since(start))
		if n != blocks*records {
			t.Errorf("%d messages recovered, want %d", n, blocks*records)
		}
		if took > time.Second {
			t.Errorf("opened in %v", took)
		}
	}
}

// BenchmarkOpen opens and closes a store with 16,000 blocks.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := openAt(b, Options{Dir: dir, Sync: SyncOS})
	op := put(1, 0, 10, 10, 16)
	w := &countdown{t: b}
	for i := range 16000 {
		o := *op
		o.Desc.Base, o.Owner = uint64(i*10), w
		w.Add(1)
		s.Submit(&o)
	}
	w.Wait()
	closeStore(b, s)
	var opening time.Duration
	for b.Loop() {
		start := time.Now()
		s := openAt(b, Options{Dir: dir})
		opening += time.Since(start)
		if n := len(s.Recovered()[1].Blocks); n != 16000 {
			b.Fatalf("%d blocks", n)
		}
		closeStore(b, s)
	}
	b.ReportMetric(opening.Seconds()*1000/float64(b.N), "ms-to-open")
}

var _ block.Log = (*Store)(nil)
