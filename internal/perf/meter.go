package perf

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// meter turns counters into the series of intervals and, in the end, into the report. It belongs to the goroutine of Run.
type meter struct {
	r           *run
	started     time.Time
	start       int64 // of what counts, Unix nanoseconds
	base        totals
	used        usage
	interrupted bool
	failed      bool

	at        int64 // end of the last interval
	last      totals
	intervals []Interval

	latency, confirms   *hdrhistogram.Histogram // since start
	fresh, freshConfirm *hdrhistogram.Histogram // of the interval
}

func newMeter(r *run, now int64) *meter {
	m := &meter{
		r: r, started: time.Unix(0, now), start: now, at: now, used: currentUsage(),
		latency: newHistogram(), confirms: newHistogram(), fresh: newHistogram(), freshConfirm: newHistogram(),
	}
	return m
}

// totals sums up the counters of all connections.
func (r *run) totals() totals {
	var t totals
	now := r.clock.now()
	for _, b := range r.publishing {
		t.add(&b.counters, now)
	}
	for _, b := range r.consuming {
		t.add(&b.counters, now)
	}
	return t
}

// begin forgets what was before: the warm-up is over.
func (m *meter) begin() {
	m.tick()
	m.start, m.base, m.used = m.at, m.last, currentUsage()
	m.intervals = nil
	m.latency.Reset()
	m.confirms.Reset()
}

// tick ends an interval.
func (m *meter) tick() {
	now, t := m.r.clock.now(), m.r.totals()
	m.fresh.Reset()
	m.freshConfirm.Reset()
	m.r.latency.take(m.fresh)
	m.r.confirms.take(m.freshConfirm)
	m.latency.Merge(m.fresh)
	m.confirms.Merge(m.freshConfirm)
	i := newInterval(time.Duration(now-m.start), time.Duration(now-m.at), t.since(m.last), m.fresh, m.freshConfirm)
	i.Blocked = t.blockedNow
	m.intervals = append(m.intervals, i)
	m.at, m.last = now, t
	if m.r.o.Progress != nil && time.Duration(i.Length*float64(time.Second)) >= m.r.o.ReportInterval/2 {
		m.r.notice("%s", i.line(m.r.o))
	}
}

// report is the end.
func (m *meter) report() *Report {
	m.tick()
	u := currentUsage().since(m.used)
	r := newReport(m.r.o, summary{
		elapsed:   time.Duration(m.at - m.start),
		start:     m.start,
		totals:    m.last.since(m.base),
		intervals: m.intervals,
		latency:   m.latency,
		confirms:  m.confirms,
		usage:     u,
	})
	r.Started = m.started.UTC()
	r.Interrupted = m.interrupted
	r.Blocked.Reasons = m.r.reasons
	for _, b := range m.r.publishing {
		if b.cut.Load() && !m.failed { // a failure cuts all
			r.ConnectionsCut++
		}
	}
	if r.Options.Confirm > 0 {
		r.Unconfirmed = m.last.published - m.last.confirmed - m.last.nacked
	}
	if v := m.r.verifier; v != nil {
		var published []stream
		for _, b := range m.r.publishing {
			for _, p := range b.producers {
				published = append(published, p.streams(m.r.topology)...)
			}
		}
		r.Verification = v.result(published)
	}
	return r
}

// line is the progress output of an interval.
func (i *Interval) line(o *Options) string {
	s := fmt.Sprintf("%7.1f s", i.At)
	if o.Producers > 0 {
		s += fmt.Sprintf("  sent %9.0f/s", i.Published)
		if o.Confirm > 0 {
			s += fmt.Sprintf("  confirmed %9.0f/s", i.Confirmed)
		}
	}
	if o.Consumers > 0 {
		s += fmt.Sprintf("  received %9.0f/s", i.Received)
	}
	if i.Latency != nil {
		s += fmt.Sprintf("  latency p50 %s p99 %s", micros(i.Latency.P50), micros(i.Latency.P99))
	}
	if i.ConfirmLatency != nil {
		s += fmt.Sprintf("  confirm p50 %s p99 %s", micros(i.ConfirmLatency.P50), micros(i.ConfirmLatency.P99))
	}
	if i.Blocked > 0 {
		s += fmt.Sprintf("  %d blocked", i.Blocked)
	}
	return s
}
