package routing

import (
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/exchange/pmap"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
)

// Snapshot is the routing state at one moment. It is immutable.
type Snapshot struct {
	vhosts pmap.Strings[*VHost]
}

// VHost returns the vhost with the given name, or nil.
func (s *Snapshot) VHost(name string) *VHost {
	v, _ := s.vhosts.Get(name)
	return v
}

// VHost is the routing state of one vhost. It is immutable.
type VHost struct {
	Def *meta.VHost

	exchanges pmap.Strings[*Exchange] // without the default exchange
	queues    pmap.Strings[*Queue]
	// standard is the default exchange.
	standard *Exchange
	// fresh says that no snapshot holds this value yet, so that the builder may still change it.
	fresh bool
}

// Exchange returns the exchange with the given name, or nil. The empty name is the default exchange, which is always there.
func (v *VHost) Exchange(name string) *Exchange {
	if name == "" {
		return v.standard
	}
	x, _ := v.exchanges.Get(name)
	return x
}

// ExchangeBytes is Exchange for a name in a buffer. It neither allocates nor keeps name.
func (v *VHost) ExchangeBytes(name []byte) *Exchange {
	if len(name) == 0 {
		return v.standard
	}
	x, _ := v.exchanges.GetBytes(name)
	return x
}

// Queue returns the queue with the given name, or nil.
func (v *VHost) Queue(name string) *Queue {
	q, _ := v.queues.Get(name)
	return q
}

// QueueBytes is Queue for a name in a buffer. It neither allocates nor keeps name.
func (v *VHost) QueueBytes(name []byte) *Queue {
	q, _ := v.queues.GetBytes(name)
	return q
}

// EachQueue calls visit for every queue, in no particular order, until it returns false.
func (v *VHost) EachQueue(visit func(*Queue) bool) {
	v.queues.Each(func(_ string, q *Queue) bool { return visit(q) })
}

// EachExchange calls visit for every exchange but the default one, in no particular order, until it returns false.
func (v *VHost) EachExchange(visit func(*Exchange) bool) {
	v.exchanges.Each(func(_ string, x *Exchange) bool { return visit(x) })
}

// Queue is a queue that messages can be routed to. All snapshots share it, as long as neither its definition nor its handle
// changes. Def and Handle are immutable.
type Queue struct {
	Def    *meta.Queue
	Handle queue.Handle

	id    uint64 // as a destination
	local bool
	store bool // of an x-delayed-message exchange
	past  bool // the history of an x-recent-history exchange
	in    *binding
}

// ID is the number of the queue as a destination. It is not the ID of its definition, and not the same on all nodes.
func (q *Queue) ID() uint64 { return q.id }

// Identity is unique among the destinations of the vhost, and the same on all nodes.
func (q *Queue) Identity() string { return "queue/" + q.Def.Name }

// Local reports whether this node leads the queue, see Builder.Node.
func (q *Queue) Local() bool { return q.local }

// Delays reports whether q is the store of an x-delayed-message exchange: a message for it must have the deadline until which it is
// kept back, and its properties as they were published.
func (q *Queue) Delays() bool { return q.store }

// History reports whether q is the history of an x-recent-history exchange: a message for it must have no deadline, and is not
// routed if nothing else takes it.
func (q *Queue) History() bool { return q.past }

// Exchange is an exchange with its bindings. It is immutable; a change makes a new one.
type Exchange struct {
	Def *meta.Exchange

	typ   *exchange.Type
	table exchange.Table
	node  *exchangeNode
	// alternate is the name of the alternate exchange if hasAlternate: that of the arguments, or else that of a policy.
	alternate    string
	hasAlternate bool
	policy       alternative
	store        *Queue // keeps back messages with a delay, or the latest ones for queues to come; nil: nothing is kept
	guard        *dedup.Guard
	cache        *cache // of a topic exchange, nil for others; made new with every change
	fresh        bool   // see VHost.fresh
}

// alternative is the name of an alternate exchange, or that there is none.
type alternative struct {
	name string
	ok   bool
}

// Bindings returns the number of bindings of which x is the source.
func (x *Exchange) Bindings() int { return x.table.Len() }

// Guard returns what keeps repetitions from passing x, nil if they may.
func (x *Exchange) Guard() *dedup.Guard { return x.guard }

// History returns the queue with the latest messages of an x-recent-history exchange, nil for other exchanges.
func (x *Exchange) History() *Queue {
	if x.store != nil && x.store.past {
		return x.store
	}
	return nil
}

// Internal reports whether clients may not publish to x.
func (x *Exchange) Internal() bool { return x.Def != nil && x.Def.Internal }

// exchangeNode is an exchange as the destination of bindings. It stays the same while the exchange lives; which Exchange it
// stands for depends on the snapshot and is found by name.
type exchangeNode struct {
	id   uint64
	name string

	in  *binding               // owned by the builder
	out map[bindingID]*binding // owned by the builder
}

func (n *exchangeNode) ID() uint64       { return n.id }
func (n *exchangeNode) Identity() string { return "exchange/" + n.name }
func (n *exchangeNode) Local() bool      { return false }

// Table holds the current snapshot. The zero value holds one without vhosts. It is safe for concurrent use.
type Table struct{ current atomic.Pointer[Snapshot] }

var nothing = &Snapshot{}

// Load returns the current snapshot, never nil.
func (t *Table) Load() *Snapshot {
	if s := t.current.Load(); s != nil {
		return s
	}
	return nothing
}

// Store makes s the current snapshot.
func (t *Table) Store(s *Snapshot) { t.current.Store(s) }
