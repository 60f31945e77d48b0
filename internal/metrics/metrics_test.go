package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/deadletter"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/store"
)

// world is a node with n queues, half of them in each of two virtual hosts.
func world(n int) Source {
	var defs []*meta.Queue
	for i := range n {
		defs = append(defs, &meta.Queue{VHost: []string{"/", "other"}[i%2], Name: fmt.Sprintf("orders.of.customer.%05d", i)})
	}
	queues := func() iter.Seq2[*meta.Queue, queue.Status] {
		return func(yield func(*meta.Queue, queue.Status) bool) {
			for i, d := range defs {
				if !yield(d, queue.Status{Ready: i, Unacked: 1, Consumers: 2, Resident: 1000}) {
					return
				}
			}
		}
	}
	var h server.Histogram
	h.Observe(3 * time.Microsecond)
	latencies := server.Latencies{Read: &h, Write: &h, Dispatch: &h}
	return Source{Queues: queues, Snapshot: func() *Snapshot {
		return &Snapshot{
			Node: "n1", Cluster: "c\xff", ClusterID: "id", Release: "brokerd 1", Compatible: "4.1.0", Ready: true,
			Server: server.Stats{Connections: 7, Received: 100}, Latencies: latencies,
			Broker: cluster.Figures{DeadLettered: map[deadletter.Reason]uint64{deadletter.Expired: 5}},
			Store:  store.Stats{Free: 1 << 30}, Queues: Sum(queues()), CertificateExpires: time.Unix(2e9, 0),
		}
	}}
}

func newExporter(t testing.TB, s Source) *Exporter {
	t.Helper()
	e, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func scrape(t testing.TB, h http.Handler, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

func expectLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestNodeMetrics(t *testing.T) {
	text := scrape(t, newExporter(t, world(10)).Handler(), "/metrics")
	expectLines(t, text,
		"brokerd_connections 7", "rabbitmq_connections 7",
		`rabbitmq_global_messages_received_total{protocol="amqp091"} 100`, "brokerd_messages_received_total 100",
		"brokerd_queues 10", "rabbitmq_queue_messages_ready 45", "rabbitmq_queue_messages_unacked 10", "rabbitmq_queue_messages 55",
		"rabbitmq_consumers 20", "rabbitmq_disk_space_available_bytes 1.073741824e+09",
		`rabbitmq_global_messages_dead_lettered_expired_total{dead_letter_strategy="at_least_once",queue_type="rabbit_classic_queue"} 5`,
		`brokerd_build_info{version="brokerd 1"} 1`,
		`rabbitmq_identity_info{rabbitmq_cluster="c`+"\uFFFD"+`",rabbitmq_cluster_permanent_id="id",rabbitmq_node="n1"} 1`,
		`brokerd_dispatch_seconds_bucket{le="3.072e-06"} 1`, "brokerd_dispatch_seconds_count 1",
		"brokerd_tls_certificate_expiry_timestamp_seconds 2e+09",
	)
	for _, name := range []string{"go_sync_mutex_wait_total_seconds_total", "go_gc_heap_allocs_objects_total", "go_sched_latencies_seconds_bucket",
		"go_sched_pauses_total_gc_seconds_bucket", "go_cpu_classes_gc_total_cpu_seconds_total", "process_cpu_seconds_total"} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}
}

// TestStarting scrapes a node that has no figures yet.
func TestStarting(t *testing.T) {
	text := scrape(t, newExporter(t, Source{Snapshot: func() *Snapshot { return nil }}).Handler(), "/metrics")
	if strings.Contains(text, "brokerd_") || !strings.Contains(text, "go_goroutines") {
		t.Errorf("got %s", text)
	}
}

func TestPerObject(t *testing.T) {
	h := newExporter(t, world(10)).PerObject()
	all := scrape(t, h, "/metrics/per-object")
	expectLines(t, all, `rabbitmq_queue_messages_ready{queue="orders.of.customer.00003",vhost="other"} 3`,
		`rabbitmq_queue_messages{queue="orders.of.customer.00002",vhost="/"} 3`, "brokerd_per_object_queues_left_out 0")
	for query, want := range map[string]int{
		"": 10, "?vhost=%2F": 5, "?vhost=none": 0, "?queue=orders.of.customer.00003": 1, "?queue=orders.of.customer.0000*": 10,
		"?queue=orders.of.customer.00003&vhost=%2F": 0, "?queue=*&vhost=other": 5, "?queue=orders": 0,
	} {
		if got := strings.Count(scrape(t, h, "/metrics/per-object"+query), "\nrabbitmq_queue_consumers{"); got != want {
			t.Errorf("%s: %d queues, want %d", query, got, want)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics/per-object?qeue=x", nil))
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "unknown parameter qeue") {
		t.Errorf("unknown parameter: %d %s", w.Code, w.Body)
	}
}

// TestPerObjectIsBounded has more queues than fit.
func TestPerObjectIsBounded(t *testing.T) {
	text := scrape(t, newExporter(t, world(10_000)).PerObject(), "/metrics/per-object")
	series := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	if series > MaxSeries || series < MaxSeries-len(perQueue) || len(text) > 2<<20 {
		t.Errorf("%d series in %d bytes, want at most %d in 2 MiB", series, len(text), MaxSeries)
	}
	expectLines(t, text, fmt.Sprintf("brokerd_per_object_queues_left_out %d", 10_000-(MaxSeries-1)/len(perQueue)))
}

// TestPromtool has Prometheus's own tool look at everything.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; it is in the Debian package prometheus")
	}
	e := newExporter(t, world(3))
	for name, text := range map[string]string{
		"metrics": scrape(t, e.Handler(), "/metrics"), "per-object": scrape(t, e.PerObject(), "/metrics/per-object"),
	} {
		cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "config", "../../deploy/prometheus.yml")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("deploy/prometheus.yml: %v\n%s", err, out)
	}
}

// TestDashboard has every metric of the dashboard exist.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile("../../deploy/grafana/brokerd.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	text := "\n" + scrape(t, newExporter(t, world(1)).Handler(), "/metrics")
	names := regexp.MustCompile(`\b(brokerd|rabbitmq|go|process)_[a-z0-9_]+`)
	exists := func(name string) bool {
		return strings.Contains(text, "\n"+name+" ") || strings.Contains(text, "\n"+name+"{")
	}
	if n := len(dashboard.Panels); n < 10 {
		t.Errorf("%d panels", n)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			found := names.FindAllString(target.Expr, -1)
			if len(found) == 0 {
				t.Errorf("%s: no metric in %s", p.Title, target.Expr)
			}
			for _, name := range found {
				if !exists(name) {
					t.Errorf("%s: there is no metric %s", p.Title, name)
				}
			}
		}
	}
}

// BenchmarkScrape is a scrape of a node with 10,000 queues; it should stay under 100 ms and 2 MB.
func BenchmarkScrape(b *testing.B) {
	e := newExporter(b, world(10_000))
	for name, h := range map[string]http.Handler{"node": e.Handler(), "per_object": e.PerObject()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				w.Body = new(bytes.Buffer)
				h.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), "GET", "/", nil))
				size = w.Body.Len()
				_, _ = io.Copy(io.Discard, w.Body)
			}
			b.ReportMetric(float64(size), "bytes/scrape")
		})
	}
}
