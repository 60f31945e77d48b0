package metrics

import (
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/brokerd/brokerd/amqp/server"
)

// maxScrapes bounds the scrapes at a time; more are answered with 503.
const maxScrapes = 4

// Exporter serves metrics.
type Exporter struct {
	source   Source
	registry *prometheus.Registry
}

// New returns an exporter of what source knows, of the Go runtime and of the process. It fails if two metrics have one name.
func New(source Source) (*Exporter, error) {
	e := &Exporter{source: source, registry: prometheus.NewRegistry()}
	runtime := collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
		// Pauses, scheduling latencies and time waiting for locks; allocations and CPU time by what it was spent for.
		collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/(sched|gc|sync|cpu/classes|memory/classes)/.*`)},
	))
	for _, c := range []prometheus.Collector{newNodeCollector(source), runtime,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := e.registry.Register(c); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Handler serves the metrics of the node.
func (e *Exporter) Handler() http.Handler {
	return promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// nodeCollector collects the figures of a Snapshot.
type nodeCollector struct {
	source   Source
	families []family
	own      []*prometheus.Desc // of families, nil for those without
	rabbit   []*prometheus.Desc

	read, write, dispatch, expires, build, rabbitBuild, identity *prometheus.Desc
}

func newNodeCollector(source Source) *nodeCollector {
	c := &nodeCollector{source: source, families: families()}
	for _, f := range c.families {
		var own, rabbit *prometheus.Desc
		if f.own != "" {
			own = prometheus.NewDesc(f.own, f.help, nil, nil)
		}
		if f.rabbit != "" {
			rabbit = prometheus.NewDesc(f.rabbit, f.help, nil, f.labels)
		}
		c.own, c.rabbit = append(c.own, own), append(c.rabbit, rabbit)
	}
	c.read = prometheus.NewDesc("brokerd_frame_read_seconds", "Time of a read from a client that brings frames, of a sample.", nil, nil)
	c.write = prometheus.NewDesc("brokerd_frame_write_seconds", "Time of a write of frames to a client, of a sample.", nil, nil)
	c.dispatch = prometheus.NewDesc("brokerd_dispatch_seconds",
		"Time from a read until its frames are handled and its messages are with their queues, of a sample.", nil, nil)
	c.expires = prometheus.NewDesc("brokerd_tls_certificate_expiry_timestamp_seconds",
		"When the certificate of the AMQP listener expires.", nil, nil)
	c.build = prometheus.NewDesc("brokerd_build_info", "The version of the node; always 1.", []string{"version"}, nil)
	c.rabbitBuild = prometheus.NewDesc("rabbitmq_build_info", "The versions that clients are told; always 1.",
		[]string{"rabbitmq_version", "product_name", "product_version"}, nil)
	c.identity = prometheus.NewDesc("rabbitmq_identity_info", "The names of node and cluster; always 1.",
		[]string{"rabbitmq_node", "rabbitmq_cluster", "rabbitmq_cluster_permanent_id"}, nil)
	return c
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(to chan<- *prometheus.Desc) {
	for _, list := range [][]*prometheus.Desc{c.own, c.rabbit,
		{c.read, c.write, c.dispatch, c.expires, c.build, c.rabbitBuild, c.identity}} {
		for _, d := range list {
			if d != nil {
				to <- d
			}
		}
	}
}

// Collect implements prometheus.Collector. There is nothing to collect while the node is starting.
func (c *nodeCollector) Collect(to chan<- prometheus.Metric) {
	s := c.source.Snapshot()
	if s == nil {
		return
	}
	s.process()
	for i := range c.families {
		f := &c.families[i]
		v := f.value(s)
		for _, d := range []*prometheus.Desc{c.own[i], c.rabbit[i]} {
			if d != nil {
				to <- prometheus.MustNewConstMetric(d, f.kind, v)
			}
		}
	}
	l := &s.Latencies
	for _, h := range []struct {
		desc *prometheus.Desc
		of   *server.Histogram
	}{{c.read, l.Read}, {c.write, l.Write}, {c.dispatch, l.Dispatch}} {
		count, sum, below := h.of.Buckets()
		to <- prometheus.MustNewConstHistogram(h.desc, count, sum.Seconds(), below)
	}
	if !s.CertificateExpires.IsZero() {
		to <- prometheus.MustNewConstMetric(c.expires, gauge, float64(s.CertificateExpires.Unix()))
	}
	to <- prometheus.MustNewConstMetric(c.build, gauge, 1, valid(s.Release))
	to <- prometheus.MustNewConstMetric(c.rabbitBuild, gauge, 1, valid(s.Compatible), "brokerd", valid(s.Release))
	to <- prometheus.MustNewConstMetric(c.identity, gauge, 1, valid(s.Node), valid(s.Cluster), valid(s.ClusterID))
}
