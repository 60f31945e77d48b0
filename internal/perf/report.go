package perf

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the result of a run. The names of its JSON fields are stable and explained in docs/performance.md.
type Report struct {
	Started     time.Time     `json:"started"`
	Elapsed     float64       `json:"elapsed_s"` // without warm-up
	Interrupted bool          `json:"interrupted"`
	Options     ReportOptions `json:"options"`

	Published Flow `json:"published"`
	Confirmed Flow `json:"confirmed"`
	Received  Flow `json:"received"`

	Nacked      int64 `json:"nacked"`
	Returned    int64 `json:"returned"`
	Unconfirmed int64 `json:"unconfirmed"` // neither confirmed nor refused until the end
	Redelivered int64 `json:"redelivered"`
	// ConnectionsCut is the number of producer connections that the broker did not let end in order.
	ConnectionsCut int `json:"connections_cut"`

	// IntendedTime says that latencies are measured from when a message was to be sent, not from when it was.
	IntendedTime   bool     `json:"latency_from_intended_time"`
	Latency        *Latency `json:"latency"`         // publish to delivery; nil without any
	ConfirmLatency *Latency `json:"confirm_latency"` // publish to confirm; nil without any

	Blocked      Blocked       `json:"blocked"`
	Verification *Verification `json:"verification"` // nil if not asked for
	Tool         Tool          `json:"tool"`
	Intervals    []Interval    `json:"intervals"`
}

// ReportOptions are the options that a result depends on.
type ReportOptions struct {
	Producers     int     `json:"producers"`
	Consumers     int     `json:"consumers"`
	Channels      int     `json:"channels"`
	Queues        int     `json:"queues"`
	Exchange      string  `json:"exchange"`
	ExchangeType  string  `json:"exchange_type"`
	Size          int     `json:"size"`
	Persistent    bool    `json:"persistent"`
	Durable       bool    `json:"durable"`
	Mandatory     bool    `json:"mandatory"`
	Confirm       int     `json:"confirm"`
	Prefetch      int     `json:"prefetch"`
	MultiAck      int     `json:"multi_ack"`
	AutoAck       bool    `json:"auto_ack"`
	Rate          float64 `json:"rate"`
	Count         int64   `json:"count"`
	Duration      float64 `json:"duration_s"`
	Warmup        float64 `json:"warmup_s"`
	ConsumerDelay float64 `json:"consumer_delay_s"`
	Verify        bool    `json:"verify"`
}

// Flow is what went one way.
type Flow struct {
	Total   int64   `json:"total"`
	Seconds float64 `json:"seconds"`     // from the begin to the last message
	Average float64 `json:"rate_avg"`    // per second
	Median  float64 `json:"rate_median"` // per second, of the whole intervals
}

// Latency is a distribution of times in microseconds.
type Latency struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50_us"`
	P75   int64 `json:"p75_us"`
	P95   int64 `json:"p95_us"`
	P99   int64 `json:"p99_us"`
	P999  int64 `json:"p999_us"`
	Max   int64 `json:"max_us"`
}

// Blocked is what connection.blocked has cost.
type Blocked struct {
	Count   int64    `json:"count"`
	Seconds float64  `json:"seconds"` // of all connections together
	Reasons []string `json:"reasons,omitempty"`
}

// Tool is what the load generator itself has used.
type Tool struct {
	User     float64 `json:"cpu_user_s"`
	System   float64 `json:"cpu_system_s"`
	Cores    float64 `json:"cpu_cores"`          // busy on average
	PerEvent float64 `json:"cpu_per_message_ns"` // per message published or received
	GCCycles uint32  `json:"gc_cycles"`
	GCPause  float64 `json:"gc_pause_ms"`
	Machine  int     `json:"machine_cores"`
}

// Interval is a point of the series. Rates are per second.
type Interval struct {
	At             float64  `json:"at_s"` // its end
	Length         float64  `json:"length_s"`
	Published      float64  `json:"published_rate"`
	Confirmed      float64  `json:"confirmed_rate"`
	Received       float64  `json:"received_rate"`
	Latency        *Latency `json:"latency"`
	ConfirmLatency *Latency `json:"confirm_latency"`
	Blocked        int      `json:"blocked_connections"`
}

// summary is what a report is made from.
type summary struct {
	elapsed           time.Duration
	start             int64
	totals            totals // since start
	intervals         []Interval
	latency, confirms *hdrhistogram.Histogram
	usage             usage
}

func newInterval(at, length time.Duration, t totals, latency, confirms *hdrhistogram.Histogram) Interval {
	seconds := max(length.Seconds(), 1e-9)
	return Interval{
		At:             at.Seconds(),
		Length:         length.Seconds(),
		Published:      float64(t.published) / seconds,
		Confirmed:      float64(t.confirmed) / seconds,
		Received:       float64(t.received) / seconds,
		Latency:        newLatency(latency),
		ConfirmLatency: newLatency(confirms),
	}
}

func newLatency(h *hdrhistogram.Histogram) *Latency {
	if h.TotalCount() == 0 {
		return nil
	}
	return &Latency{
		Count: h.TotalCount(),
		P50:   h.ValueAtQuantile(50),
		P75:   h.ValueAtQuantile(75),
		P95:   h.ValueAtQuantile(95),
		P99:   h.ValueAtQuantile(99),
		P999:  h.ValueAtQuantile(99.9),
		Max:   h.Max(),
	}
}

func newReport(o *Options, s summary) *Report {
	t := s.totals
	r := &Report{
		Elapsed: s.elapsed.Seconds(),
		Options: ReportOptions{
			Producers: o.Producers, Consumers: o.Consumers, Channels: o.Channels, Queues: o.Queues, Exchange: o.Exchange,
			ExchangeType: o.ExchangeType, Size: o.Size, Persistent: o.Persistent, Durable: o.Durable, Mandatory: o.Mandatory,
			Confirm: o.Confirm, Prefetch: o.Prefetch, MultiAck: o.MultiAck, AutoAck: o.AutoAck, Rate: o.Rate, Count: o.Count,
			Duration: o.Duration.Seconds(), Warmup: o.Warmup.Seconds(), ConsumerDelay: o.ConsumerDelay.Seconds(), Verify: o.Verify,
		},
		Published:      newFlow(t.published, t.lastPublished-s.start, s.intervals, func(i Interval) float64 { return i.Published }),
		Confirmed:      newFlow(t.confirmed, t.lastConfirmed-s.start, s.intervals, func(i Interval) float64 { return i.Confirmed }),
		Received:       newFlow(t.received, t.lastReceived-s.start, s.intervals, func(i Interval) float64 { return i.Received }),
		Nacked:         t.nacked,
		Returned:       t.returned,
		Redelivered:    t.redelivered,
		IntendedTime:   o.Rate > 0,
		Latency:        newLatency(s.latency),
		ConfirmLatency: newLatency(s.confirms),
		Blocked:        Blocked{Count: t.blockages, Seconds: time.Duration(t.blockedFor).Seconds()},
		Tool: Tool{
			User:     s.usage.user.Seconds(),
			System:   s.usage.system.Seconds(),
			GCCycles: s.usage.gcCycles,
			GCPause:  float64(s.usage.gcPause) / float64(time.Millisecond),
			Machine:  runtime.NumCPU(),
		},
		Intervals: s.intervals,
	}
	cpu := s.usage.user + s.usage.system
	if s.elapsed > 0 {
		r.Tool.Cores = float64(cpu) / float64(s.elapsed)
	}
	if n := t.published + t.received; n > 0 {
		r.Tool.PerEvent = float64(cpu) / float64(n)
	}
	return r
}

// newFlow computes the rates of total messages of which the last went after nanoseconds. The median is over the intervals that
// ended before that and are not much shorter than the longest; when there is none, it is the average.
func newFlow(total, nanoseconds int64, intervals []Interval, rate func(Interval) float64) Flow {
	if total == 0 {
		return Flow{}
	}
	f := Flow{Total: total, Seconds: time.Duration(nanoseconds).Seconds()}
	if f.Seconds > 0 {
		f.Average = float64(total) / f.Seconds
	}
	longest := 0.0
	for _, i := range intervals {
		longest = max(longest, i.Length)
	}
	var rates []float64
	for _, i := range intervals {
		// A tick comes a little after the last message, though the flow went on all the time.
		if i.Length >= longest/2 && i.At <= f.Seconds+longest/20 {
			rates = append(rates, rate(i))
		}
	}
	if f.Median = median(rates); len(rates) == 0 {
		f.Median = f.Average
	}
	return f
}

// median sorts v.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if m := len(v) / 2; len(v)%2 == 1 {
		return v[m]
	} else {
		return (v[m-1] + v[m]) / 2
	}
}

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the summary for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	flow := func(name string, f Flow) {
		if f.Total > 0 {
			fmt.Fprintf(&b, "%-10s %12d messages in %8.3f s: %9.0f/s on average, %9.0f/s median\n",
				name, f.Total, f.Seconds, f.Average, f.Median)
		}
	}
	flow("published", r.Published)
	flow("confirmed", r.Confirmed)
	flow("received", r.Received)
	for _, n := range []struct {
		name  string
		count int64
	}{{"nacked", r.Nacked}, {"returned", r.Returned}, {"unconfirmed", r.Unconfirmed}, {"redelivered", r.Redelivered}} {
		if n.count > 0 {
			fmt.Fprintf(&b, "%-10s %12d messages\n", n.name, n.count)
		}
	}
	latency := func(name string, l *Latency) {
		if l != nil {
			fmt.Fprintf(&b, "%-10s p50 %s  p75 %s  p95 %s  p99 %s  p99.9 %s  max %s\n", name,
				micros(l.P50), micros(l.P75), micros(l.P95), micros(l.P99), micros(l.P999), micros(l.Max))
		}
	}
	latency("latency", r.Latency)
	latency("to confirm", r.ConfirmLatency)
	if r.IntendedTime && (r.Latency != nil || r.ConfirmLatency != nil) {
		b.WriteString("           measured from the intended time of sending (corrected for coordinated omission)\n")
	}
	if r.Blocked.Count > 0 {
		fmt.Fprintf(&b, "blocked    %d times for %.1f s: %s\n", r.Blocked.Count, r.Blocked.Seconds, strings.Join(r.Blocked.Reasons, "; "))
	}
	if r.ConnectionsCut > 0 {
		fmt.Fprintf(&b, "cut        %d connections of producers, which the broker did not let end in order\n", r.ConnectionsCut)
	}
	fmt.Fprintf(&b, "this tool  %.2f of %d cores (user %.2f s, system %.2f s), %.0f ns per message, %d GC cycles, %.2f ms paused\n",
		r.Tool.Cores, r.Tool.Machine, r.Tool.User, r.Tool.System, r.Tool.PerEvent, r.Tool.GCCycles, r.Tool.GCPause)
	if v := r.Verification; v != nil {
		verdict := "ok"
		if !v.OK {
			verdict = "FAILED"
		}
		fmt.Fprintf(&b, "verified   %s: %d expected, %d received, %d lost, %d duplicated, %d reordered, %d redelivered, %d foreign\n",
			verdict, v.Expected, v.Received, v.Lost, v.Duplicated, v.Reordered, v.Redelivered, v.Foreign)
		for _, f := range v.Findings {
			fmt.Fprintf(&b, "           %s\n", f)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// micros prints microseconds with a fitting unit.
func micros(us int64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%dus", us)
	case us < 1_000_000:
		return fmt.Sprintf("%.3gms", float64(us)/1e3)
	}
	return fmt.Sprintf("%.3gs", float64(us)/1e6)
}
