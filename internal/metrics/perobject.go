package metrics

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
)

// MaxSeries is the most series of single queues that one scrape gets.
const MaxSeries = 10_000

// perQueue are the series of one queue.
var perQueue = []struct {
	desc  *prometheus.Desc
	value func(queue.Status) float64
}{
	{queueDesc("rabbitmq_queue_messages", "Messages in the queue."), func(s queue.Status) float64 { return float64(s.Ready + s.Unacked) }},
	{queueDesc("rabbitmq_queue_messages_ready", "Messages ready to be delivered."), func(s queue.Status) float64 { return float64(s.Ready) }},
	{queueDesc("rabbitmq_queue_messages_unacked", "Messages delivered and not acknowledged yet."),
		func(s queue.Status) float64 { return float64(s.Unacked) }},
	{queueDesc("rabbitmq_queue_consumers", "Consumers of the queue."), func(s queue.Status) float64 { return float64(s.Consumers) }},
	{queueDesc("brokerd_queue_resident_bytes", "Messages of the queue in memory."), func(s queue.Status) float64 { return float64(s.Resident) }},
}

func queueDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"vhost", "queue"}, nil)
}

var leftOutDesc = prometheus.NewDesc("brokerd_per_object_queues_left_out",
	"Queues that match but are not shown because there would be more than 10000 series; narrow the scrape by vhost and queue.", nil, nil)

// PerObject serves series of single queues of this node. The query says which: vhost is the name of a virtual host, queue that of a
// queue, or its beginning with * behind it; without them all match. When there would be more than MaxSeries, the first queues by
// name are shown and brokerd_per_object_queues_left_out says how many are missing.
func (e *Exporter) PerObject() http.Handler {
	inFlight := make(chan struct{}, maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case inFlight <- struct{}{}:
			defer func() { <-inFlight }()
		default:
			http.Error(w, "too many scrapes at a time", http.StatusServiceUnavailable)
			return
		}
		query := r.URL.Query()
		for name := range query {
			if name != "vhost" && name != "queue" {
				http.Error(w, "unknown parameter "+name+": there are vhost and queue", http.StatusBadRequest)
				return
			}
		}
		registry := prometheus.NewRegistry()
		if err := registry.Register(&queueCollector{source: e.source, vhost: query.Get("vhost"), queue: query.Get("queue")}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
}

// queueCollector collects the series of the queues that match.
type queueCollector struct {
	source       Source
	vhost, queue string
}

// Describe implements prometheus.Collector.
func (c *queueCollector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range perQueue {
		to <- f.desc
	}
	to <- leftOutDesc
}

// shown is a queue with its counts.
type shown struct {
	def    *meta.Queue
	status queue.Status
}

// Collect implements prometheus.Collector.
func (c *queueCollector) Collect(to chan<- prometheus.Metric) {
	prefix, open := strings.CutSuffix(c.queue, "*")
	var list []shown
	for def, status := range c.source.Queues() {
		switch {
		case c.vhost != "" && def.VHost != c.vhost:
		case c.queue == "", open && strings.HasPrefix(def.Name, prefix), def.Name == c.queue:
			list = append(list, shown{def, status})
		}
	}
	slices.SortFunc(list, func(a, b shown) int {
		return cmp.Or(cmp.Compare(a.def.VHost, b.def.VHost), cmp.Compare(a.def.Name, b.def.Name))
	})
	most := min(len(list), (MaxSeries-1)/len(perQueue))
	for _, q := range list[:most] {
		vhost, name := valid(q.def.VHost), valid(q.def.Name)
		for _, f := range perQueue {
			to <- prometheus.MustNewConstMetric(f.desc, gauge, f.value(q.status), vhost, name)
		}
	}
	to <- prometheus.MustNewConstMetric(leftOutDesc, gauge, float64(len(list)-most))
}

// valid makes a name fit for a label, which has to be UTF-8.
func valid(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
