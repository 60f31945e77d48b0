package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/internal/http"
	"github.com/brokerd/brokerd/internal/metrics"
)

// What Node.phase says. What the node consists of may be used by HTTP while it serves, and not before.
const (
	phaseStarting int32 = iota
	phaseServing
	phaseStopping
)

// Goroutines inherit these labels, by which CPU profiles tell subsystems apart.
var (
	storeLabels    = pprof.WithLabels(context.Background(), pprof.Labels("subsystem", "store"))
	linkLabels     = pprof.WithLabels(context.Background(), pprof.Labels("subsystem", "links"))
	metadataLabels = pprof.WithLabels(context.Background(), pprof.Labels("subsystem", "metadata"))
)

// shortages are the resource alarms of this node.
type shortages struct{ memory, disk bool }

// openHTTP opens the HTTP listener, if there is to be one.
func (n *Node) openHTTP(ctx context.Context) error {
	if n.cfg.HTTP.Listen == "" {
		return nil
	}
	exporter, err := metrics.New(metrics.Source{Snapshot: n.snapshot, Queues: n.queues})
	if err != nil {
		return err
	}
	n.http, err = http.Listen(ctx, http.Options{
		Listen:        n.cfg.HTTP.Listen,
		Metrics:       exporter.Handler(),
		PerObject:     exporter.PerObject(),
		NotReady:      n.notReady,
		Administrator: n.administrator,
		Logger:        n.log,
	})
	if err != nil && n.optional("http.listen") && errors.Is(err, syscall.EADDRINUSE) {
		n.log.Warn("no HTTP, because the default address is in use; http.listen sets another one, or none", "http.listen", n.cfg.HTTP.Listen)
		n.http = nil
		return nil
	}
	return err
}

// maxHTTPGoodbye bounds the wait for HTTP answers under way when the node stops.
const maxHTTPGoodbye = time.Second

func (n *Node) closeHTTP(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxHTTPGoodbye)
	defer cancel()
	return n.http.Close(ctx)
}

// HTTPAddr returns the address on which HTTP is served, "" if it is not.
func (n *Node) HTTPAddr() string {
	if n.http == nil {
		return ""
	}
	return n.http.Addr().String()
}

// notReady says why the node does not serve clients as it should, "" if it does.
func (n *Node) notReady() string {
	switch n.phase.Load() {
	case phaseStarting:
		return "the node is starting"
	case phaseStopping:
		return "the node is stopping"
	}
	if n.broker.Meta().Leader() == "" {
		return "the metadata group has no leader: too few nodes of the cluster can be reached"
	}
	if s := n.shortages.Load(); s != nil {
		switch {
		case s.memory && s.disk:
			return "publishers are blocked: low on memory & disk"
		case s.memory:
			return "publishers are blocked: low on memory"
		case s.disk:
			return "publishers are blocked: low on disk"
		}
	}
	return ""
}

// administrator checks the login of an administrator.
func (n *Node) administrator(name, password string, loopback bool) error {
	if n.phase.Load() != phaseServing {
		return errors.New("the node does not serve, so that logins cannot be checked")
	}
	u, err := n.broker.Authenticate(name, password, loopback)
	if err != nil {
		return err
	}
	if !slices.Contains(u.Tags, "administrator") {
		return fmt.Errorf("user '%s' is no administrator", name)
	}
	return nil
}

// queues implements metrics.Source.Queues.
func (n *Node) queues() iter.Seq2[*meta.Queue, queue.Status] {
	if n.phase.Load() != phaseServing {
		return func(func(*meta.Queue, queue.Status) bool) {}
	}
	return n.broker.LedQueues()
}

// snapshot implements metrics.Source.Snapshot.
func (n *Node) snapshot() *metrics.Snapshot {
	if n.phase.Load() != phaseServing {
		return nil
	}
	s, group := n.broker.State(), n.broker.Meta()
	m := &metrics.Snapshot{
		Node: n.cfg.Node.Name, Cluster: n.broker.ClusterName(), ClusterID: n.broker.ClusterID(),
		Release: Release, Compatible: n.cfg.AMQP.Version, Ready: n.notReady() == "",
		Server: n.server.Stats(), Latencies: n.server.Latencies(), Broker: n.broker.Figures(), Store: n.store.Stats(),
		Queues:    metrics.Sum(n.broker.LedQueues()),
		Exchanges: s.NumExchanges(), Bindings: s.NumBindings(), ClusterQueues: s.NumQueues(),
		MetadataLeads: group.IsLeader(), MetadataHasLeader: group.Leader() != "",
		MemoryUsed: memoryInUse(), MemoryLimit: n.cfg.Memory.Limit,
		MessageMemory: n.memory.Resident(), MessageBudget: n.memory.Budget,
		DiskMinFree: n.cfg.Store.MinFree,
	}
	for range s.VHosts() {
		m.VHosts++
	}
	for range s.Users() {
		m.Users++
	}
	if a := n.shortages.Load(); a != nil {
		m.MemoryAlarm, m.DiskAlarm = a.memory, a.disk
	}
	if n.certs != nil {
		m.CertificateExpires = n.certs.Leaf().NotAfter
	}
	return m
}
