package perf

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds with three significant digits, up to an hour; what is longer counts as an hour.
const (
	maxLatency    = int64(time.Hour / time.Microsecond)
	latencyDigits = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency, latencyDigits) }

// recorder collects latencies from many goroutines. Each connection uses one shard, several may share one.
type recorder struct {
	shards []recorderShard
	spare  *hdrhistogram.Histogram // empty; swapped with a shard's by take
}

type recorderShard struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram
	_         [40]byte // a cache line each
}

func newRecorder(shards int) *recorder {
	r := &recorder{shards: make([]recorderShard, shards), spare: newHistogram()}
	for i := range r.shards {
		r.shards[i].histogram = newHistogram()
	}
	return r
}

func (r *recorder) shard(i int) *recorderShard { return &r.shards[i%len(r.shards)] }

// record adds the latencies of runs that were sent at their time and arrived at now, both in Unix nanoseconds. A time in the
// future, which can only come from another machine's clock or another program's message, is left out.
func (s *recorderShard) record(now int64, runs []sentRun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, run := range runs {
		if run.sent > now {
			continue
		}
		_ = s.histogram.RecordValues(min((now-run.sent)/int64(time.Microsecond), maxLatency), run.count) // cannot be out of range
	}
}

// take adds what was recorded since the last call to interval. For one goroutine.
func (r *recorder) take(interval *hdrhistogram.Histogram) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.histogram, r.spare = r.spare, s.histogram
		s.mu.Unlock()
		if r.spare.TotalCount() > 0 {
			interval.Merge(r.spare)
			r.spare.Reset()
		}
	}
}
