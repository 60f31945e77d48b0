package perf

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestFlow(t *testing.T) {
	t.Parallel()
	series := func(rates ...float64) (s []Interval) {
		for i, r := range rates {
			s = append(s, Interval{At: float64(i + 1), Length: 1, Published: r})
		}
		return s
	}
	for _, c := range []struct {
		name      string
		total     int64
		after     time.Duration
		intervals []Interval
		want      Flow
	}{
		{"nothing", 0, 0, series(0, 0), Flow{}},
		{"odd", 60, 3 * time.Second, series(10, 40, 10), Flow{60, 3, 20, 10}},
		{"even", 100, 4 * time.Second, series(10, 40, 20, 30), Flow{100, 4, 25, 25}},
		{"ends within the last interval", 25, 2500 * time.Millisecond, series(10, 10, 5), Flow{25, 2.5, 10, 10}},
		{"the last tick is late", 20, 1970 * time.Millisecond, series(4, 16), Flow{20, 1.97, 20 / 1.97, 10}},
		{"standstill counts", 20, 3 * time.Second, series(10, 0, 0), Flow{20, 3, 20.0 / 3, 0}},
		{"no whole interval", 20, 500 * time.Millisecond, []Interval{{At: 0.9, Length: 0.9, Published: 22}}, Flow{20, 0.5, 40, 40}},
		{"short last interval", 21, 2100 * time.Millisecond,
			append(series(10, 10), Interval{At: 2.1, Length: 0.1, Published: 990}), Flow{21, 2.1, 10, 10}},
	} {
		got := newFlow(c.total, int64(c.after), c.intervals, func(i Interval) float64 { return i.Published })
		if got.Total != c.want.Total || math.Abs(got.Seconds-c.want.Seconds) > 1e-9 ||
			math.Abs(got.Average-c.want.Average) > 1e-9 || math.Abs(got.Median-c.want.Median) > 1e-9 {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	r := newRecorder(2)
	now := int64(2_000_000_000)
	r.shard(0).record(now, []sentRun{{now - 1_000_000, 98}, {now + 5, 1000}}) // 1 ms; a thousand from the future
	r.shard(3).record(now, []sentRun{{now - 50_000_000, 1}, {now - 1_500_000_000, 1}})
	interval := newHistogram()
	r.take(interval)
	l := newLatency(interval)
	if l.Count != 100 || l.P50 != 1000 || l.P99 < 49_900 || l.P99 > 50_100 || l.Max < 1_499_000 || l.Max > 1_502_000 {
		t.Errorf("%+v, want 98 of 1 ms, one of 50 ms and one of 1.5 s", *l)
	}
	interval.Reset()
	if r.take(interval); newLatency(interval) != nil {
		t.Error("a second take returns the same values")
	}
	r.shard(0).record(now, []sentRun{{now - 3600*2*1_000_000_000, 1}})
	if r.take(interval); interval.TotalCount() != 1 {
		t.Error("a latency of two hours is not counted")
	}
}

func TestReportOutput(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.Rate, o.Confirm, o.Verify = 100, 10, true
	h := newHistogram()
	if err := h.RecordValues(1500, 10); err != nil {
		t.Fatal(err)
	}
	r := newReport(&o, summary{
		elapsed: 2 * time.Second, start: 0,
		totals: totals{
			published: 200, confirmed: 190, nacked: 10, received: 190, blockages: 1, blockedFor: 5e8,
			lastPublished: 2e9, lastConfirmed: 2e9, lastReceived: 2e9,
		},
		intervals: []Interval{{At: 1, Length: 1, Published: 100}, {At: 2, Length: 1, Published: 100}},
		latency:   h, confirms: h,
		usage: usage{user: time.Second, system: 500 * time.Millisecond, gcCycles: 3, gcPause: time.Millisecond},
	})
	r.Blocked.Reasons = []string{"low on disk"}
	r.Verification = &Verification{Expected: 190, Received: 189, Lost: 1, Findings: []string{"lost: message 3 of producer 0 in queue q"}}
	var text, encoded strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"published           200 messages in    2.000 s:       100/s on average,       100/s median",
		"nacked               10 messages", "latency    p50 1.5ms", "to confirm p50 1.5ms", "coordinated omission",
		"blocked    1 times for 0.5 s: low on disk", "0.75 of", "3 GC cycles, 1.00 ms paused",
		"verified   FAILED: 190 expected, 189 received, 1 lost", "lost: message 3 of producer 0 in queue q",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, text.String())
		}
	}
	if err := r.WriteJSON(&encoded); err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal([]byte(encoded.String()), &back); err != nil {
		t.Fatal(err)
	}
	if back["latency"].(map[string]any)["p99_us"] == nil || back["published"].(map[string]any)["rate_avg"] != 100.0 ||
		back["latency_from_intended_time"] != true {
		t.Errorf("JSON: %s", encoded.String())
	}
}

func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(o *Options)
		want   string // part of the error, empty for none
	}{
		{"defaults", func(*Options) {}, ""},
		{"TLS", func(o *Options) { o.URIs = []string{"amqps://h"} }, "TLS"},
		{"nothing to do", func(o *Options) { o.Producers, o.Consumers = 0, 0 }, "a producer or a consumer"},
		{"same name twice", func(o *Options) { o.Queues, o.QueuePattern = 2, "q" }, "needs %d"},
		{"other verb", func(o *Options) { o.QueuePattern = "q%s" }, "no other %"},
		{"routing key without exchange", func(o *Options) { o.RoutingKey = "k" }, "default exchange"},
		{"routing key without queues", func(o *Options) { o.RoutingKey, o.Queues, o.Consumers = "k", 0, 0 }, ""},
		{"exchange type", func(o *Options) { o.Exchange, o.ExchangeType = "e", "x-random" }, "none of direct"},
		{"acknowledging too late", func(o *Options) { o.Prefetch, o.MultiAck = 10, 11 }, "multi-ack"},
		{"verifying small messages", func(o *Options) { o.Verify, o.Size = true, 15 }, "at least 16 bytes"},
		{"two mistakes", func(o *Options) { o.Size, o.Rate = -1, -1 }, "rate must be"},
	} {
		o := DefaultOptions()
		c.change(&o)
		err := o.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestParseURI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want endpoint
		bad  string
	}{
		{in: "amqp://h", want: endpoint{"h:5672", "guest", "guest", "/"}},
		{in: "amqp://u:p%40@h:1/", want: endpoint{"h:1", "u", "p@", "/"}},
		{in: "amqp://u:p@[::1]:1/%2f", want: endpoint{"[::1]:1", "u", "p", "/"}},
		{in: "amqp://u@h/my%20host", want: endpoint{"h:5672", "u", "", "my host"}},
		{in: "http://u:secret@h", bad: "does not start with amqp://"},
		{in: "amqp://u:secret@", bad: "no host"},
		{in: "amqp://u:secret@h?x=1", bad: "query"},
		{in: "amqp://u:secret@h:x", bad: "malformed"},
	} {
		got, err := parseURI(c.in)
		if c.bad == "" && (err != nil || got != c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.in, got, err, c.want)
		}
		if c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want an error with %q and no password", c.in, err, c.bad)
		}
	}
}
