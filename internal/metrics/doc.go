// Package metrics turns the counters of a node into what Prometheus scrapes: own names (brokerd_*), and beside them RabbitMQ's for
// whatever its dashboards and alert rules use, with the same meaning.
//
// internal/node gives it a [Source]; internal/http serves the [Exporter]. Nothing is counted here: a scrape reads counters that are
// kept anyway, and waits for no queue. Everything is aggregated for the node; series of single queues are given on a path of their
// own, and only so many. All is safe for concurrent use.
package metrics
