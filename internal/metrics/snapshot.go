package metrics

import (
	"iter"
	"time"

	"github.com/prometheus/procfs"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/store"
)

// Source is where the figures come from. Both functions are called by scrapes, at any time, and must be cheap.
type Source struct {
	// Snapshot returns the node's figures; nil while the node is starting. The process's are filled in by the Exporter.
	Snapshot func() *Snapshot
	// Queues yields the queues that this node leads, in any order.
	Queues func() iter.Seq2[*meta.Queue, queue.Status]
}

// Snapshot is the figures of a node at one moment. Sizes are bytes.
type Snapshot struct {
	Node, Cluster, ClusterID string // names, and the cluster's permanent id
	Release, Compatible      string // own version, and RabbitMQ's that clients are told
	Ready                    bool   // the node serves

	Server    server.Stats
	Latencies server.Latencies
	Broker    cluster.Figures
	Store     store.Stats
	Queues    Totals

	VHosts, Users, Exchanges, Bindings, ClusterQueues int // of the cluster
	MetadataLeads, MetadataHasLeader                  bool

	MemoryUsed, MemoryLimit       int64
	MessageMemory, MessageBudget  int64
	DiskMinFree                   int64
	MemoryAlarm, DiskAlarm        bool
	CertificateExpires            time.Time // of the AMQP listener; zero without TLS
	OpenFiles, MaxFiles, Resident float64   // of the process; 0 where that is not known
}

// Totals are sums over the queues that a node leads.
type Totals struct {
	Queues, Ready, Unacked, Consumers int
	Resident                          int64 // bytes
}

// Sum adds up queues.
func Sum(queues iter.Seq2[*meta.Queue, queue.Status]) (t Totals) {
	for _, s := range queues {
		t.Queues++
		t.Ready += s.Ready
		t.Unacked += s.Unacked
		t.Consumers += s.Consumers
		t.Resident += s.Resident
	}
	return t
}

// process fills in what the system knows of the process.
func (s *Snapshot) process() {
	p, err := procfs.Self()
	if err != nil {
		return // no /proc here
	}
	if n, err := p.FileDescriptorsLen(); err == nil {
		s.OpenFiles = float64(n)
	}
	if l, err := p.Limits(); err == nil {
		s.MaxFiles = float64(l.OpenFiles)
	}
	if st, err := p.Stat(); err == nil {
		s.Resident = float64(st.ResidentMemory())
	}
}
