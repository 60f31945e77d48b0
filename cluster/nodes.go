package cluster

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/network"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// nodes is what this node knows of the others beside the metadata: who can be reached, how far they are, and what they are short of.
type nodes struct {
	broker *Broker

	mu     sync.Mutex
	others map[string]*other
	// moved is closed, and replaced, when something changes that a waiter may wait for.
	moved chan struct{}
	own   []string // alarms of this node

	// announcing is held while the others are told how far this node is, so that the last word is the latest. It guards gates: those
	// that are not open, by the index of the metadata at which they were made.
	announcing sync.Mutex
	gates      map[uint64]int

	// telling is held while others are told of alarms, so that the last they hear is the latest. It is locked before mu.
	telling sync.Mutex
}

// other is another node of the cluster.
type other struct {
	up      bool
	since   time.Time // when up changed last
	applied uint64    // index of the metadata that it said to have applied
	// unsettled is as in peerv1.Applied.
	unsettled uint64
	alarms    []string
}

func newNodes(b *Broker) *nodes {
	return &nodes{broker: b, others: make(map[string]*other), moved: make(chan struct{}), gates: make(map[uint64]int)}
}

// change calls edit and wakes those who wait. edit may return false for nothing changed.
func (n *nodes) change(edit func() bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if edit() {
		close(n.moved)
		n.moved = make(chan struct{})
	}
}

// follow keeps links to the nodes of a state, and to no others. It does not wait.
func (n *nodes) follow(s *meta.State) {
	b := n.broker
	if b.network == nil {
		return
	}
	var connect, disconnect []string
	n.change(func() bool {
		for m := range s.Nodes() {
			if m.Name == b.opts.NodeID {
				continue
			}
			if m.Address != "" {
				if err := b.network.Learn(network.Identity{Node: m.Name, Name: m.DisplayName, Address: m.Address}); err != nil {
					b.log.Warn("address of a node cannot be used", "node", m.DisplayName, "address", m.Address, "error", err)
				}
			}
			if n.others[m.Name] == nil {
				n.others[m.Name] = &other{since: time.Now()}
				connect = append(connect, m.Name)
			}
		}
		for name := range n.others {
			if s.Node(name) == nil {
				delete(n.others, name)
				disconnect = append(disconnect, name)
			}
		}
		return len(connect)+len(disconnect) > 0
	})
	for _, name := range connect {
		b.links.Connect(name)
	}
	if len(disconnect) > 0 {
		// Ending a link waits for those who use it, and this is called while a state takes effect.
		b.spawn(func() {
			for _, name := range disconnect {
				b.links.Disconnect(name)
				b.network.Forget(name)
			}
			n.tellAlarms()
		})
	}
}

// linked implements peer.Options.OnLink.
func (n *nodes) linked(node string, up bool) {
	n.change(func() bool {
		o := n.others[node]
		if o == nil || o.up == up {
			return false
		}
		o.up, o.since = up, time.Now()
		if !up {
			o.alarms, o.applied, o.unsettled = nil, 0, 0
		}
		return true
	})
	name := n.broker.nodeName(node)
	if !up {
		n.broker.log.Warn("node cannot be reached", "node", name)
		n.tellAlarms()
		return
	}
	n.broker.log.Info("node is reached", "node", name)
	n.sendAlarms(node)
	n.announcing.Lock()
	n.broker.links.Notify(node, &peerv1.Notice{Applied: &peerv1.Applied{Index: n.broker.meta.State().Index(), Unsettled: n.unsettled()}})
	n.announcing.Unlock()
}

// noticed implements peer.Options.OnNotice and peer.ServiceOptions.OnNotice. It does not wait.
func (n *nodes) noticed(node string, notice *peerv1.Notice) {
	switch {
	case notice.GetApplied() != nil:
		a := notice.GetApplied()
		n.change(func() bool {
			o := n.others[node]
			if o == nil || o.applied >= a.GetIndex() && o.unsettled == a.GetUnsettled() {
				return false
			}
			o.applied, o.unsettled = max(o.applied, a.GetIndex()), a.GetUnsettled()
			return true
		})
		select {
		case <-n.broker.membership.opened:
			n.broker.meta.Committed(a.GetIndex(), a.GetTerm())
		default:
		}
	case notice.GetAlarms() != nil:
		n.change(func() bool {
			if o := n.others[node]; o != nil {
				o.alarms = notice.GetAlarms().GetNames()
			}
			return false
		})
		n.tellAlarms()
	case notice.GetReply() != nil:
		if deliver := n.broker.opts.DeliverReply; deliver != nil {
			r := notice.GetReply()
			deliver(string(r.GetVhost()), r.GetName(), r.GetRecord(), r.GetTail())
		}
	}
}

// announce tells the other nodes how far this one is. The latest word is all that counts, so one that is lost in between does no
// harm: the next link begins with it.
func (n *nodes) announce(index, term uint64) {
	n.mu.Lock()
	var up []string
	for name, o := range n.others {
		if o.up {
			up = append(up, name)
		}
	}
	n.mu.Unlock()
	n.announcing.Lock()
	defer n.announcing.Unlock()
	for _, name := range up {
		n.broker.links.Notify(name, &peerv1.Notice{Applied: &peerv1.Applied{Index: index, Term: term, Unsettled: n.unsettled()}})
	}
}

// unsettled returns the index of the first gate that is not open, 0 for none. announcing is held.
func (n *nodes) unsettled() (first uint64) {
	for index := range n.gates {
		if first == 0 || index < first {
			first = index
		}
	}
	return first
}

// shut notes that a gate was made by the change of the metadata at index.
func (n *nodes) shut(index uint64) {
	n.announcing.Lock()
	n.gates[index]++
	n.announcing.Unlock()
}

// opened notes that a gate is open, and tells the others.
func (n *nodes) opened(index uint64) {
	n.announcing.Lock()
	if n.gates[index]--; n.gates[index] == 0 {
		delete(n.gates, index)
	}
	n.announcing.Unlock()
	n.change(func() bool { return true })
	n.announce(n.broker.meta.State().Index(), 0)
}

// settle waits until all nodes that can be reached know of the move of a queue at index, and nothing is on its way any more that was
// given to its former leader. It returns false if ctx ends first.
func (n *nodes) settle(ctx context.Context, index uint64) bool {
	for {
		n.announcing.Lock()
		own := n.unsettled()
		n.announcing.Unlock()
		n.mu.Lock()
		late := own != 0 && own <= index
		for _, o := range n.others {
			late = late || o.up && (o.applied < index || o.unsettled != 0 && o.unsettled <= index)
		}
		moved := n.moved
		n.mu.Unlock()
		if !late {
			return true
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}

// agree waits until every node that can be reached has applied what this one has up to index, at most for agreeTimeout: a node
// that is late for longer is about to count as unreachable.
func (n *nodes) agree(ctx context.Context, index uint64) {
	if n.broker.network == nil {
		return
	}
	var timeout <-chan time.Time
	for {
		n.mu.Lock()
		late := false
		for _, o := range n.others {
			late = late || o.up && o.applied < index
		}
		moved := n.moved
		n.mu.Unlock()
		if !late {
			return
		}
		if timeout == nil {
			t := time.NewTimer(agreeTimeout)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-moved:
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}

const agreeTimeout = 2 * time.Second

// SetAlarms says which resources this node is short of ("memory", "disk"), to all nodes of the cluster.
func (b *Broker) SetAlarms(names []string) {
	n := b.nodes
	var up []string
	n.mu.Lock()
	n.own = slices.Clone(names)
	for name, o := range n.others {
		if o.up {
			up = append(up, name)
		}
	}
	n.mu.Unlock()
	n.sendAlarms(up...)
	n.tellAlarms()
}

// sendAlarms tells other nodes what this one is short of. It does not wait for them.
func (n *nodes) sendAlarms(to ...string) {
	n.telling.Lock()
	defer n.telling.Unlock()
	n.mu.Lock()
	own := slices.Clone(n.own)
	n.mu.Unlock()
	for _, name := range to {
		n.broker.links.Notify(name, &peerv1.Notice{Alarms: &peerv1.Alarms{Names: own}})
	}
}

// tellAlarms tells the server what any node is short of: messages that are published here may go to queues there.
func (n *nodes) tellAlarms() {
	if n.broker.opts.Alarmed == nil {
		return
	}
	n.telling.Lock()
	defer n.telling.Unlock()
	n.mu.Lock()
	all := slices.Clone(n.own)
	for _, o := range n.others {
		all = append(all, o.alarms...)
	}
	n.mu.Unlock()
	slices.Sort(all)
	n.broker.opts.Alarmed(slices.Compact(all))
}

// Alarms returns what each node is short of, by node id.
func (b *Broker) Alarms() map[string][]string {
	n := b.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	all := map[string][]string{}
	if len(n.own) > 0 {
		all[b.opts.NodeID] = slices.Clone(n.own)
	}
	for name, o := range n.others {
		if len(o.alarms) > 0 {
			all[name] = slices.Clone(o.alarms)
		}
	}
	return all
}

// Reachable says whether a node can be used from here: it is this one, or a link to it is up.
func (b *Broker) Reachable(node string) bool {
	if node == b.opts.NodeID {
		return true
	}
	n := b.nodes
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.others[node]
	return o != nil && o.up
}

// nodeName returns what people call a node.
func (b *Broker) nodeName(id string) string {
	if s := b.State(); s != nil {
		if n := s.Node(id); n != nil && n.DisplayName != "" {
			return n.DisplayName
		}
	}
	return id
}

// watch ends the runs of nodes that cannot be reached for longer than the node timeout, while this node leads the metadata: what
// they own goes then. It returns when the Broker closes.
func (n *nodes) watch() {
	b := n.broker
	tick := time.NewTicker(max(b.opts.NodeTimeout/10, 50*time.Millisecond))
	defer tick.Stop()
	var leading time.Time // since when
	for {
		select {
		case <-b.leaving:
			return
		case <-tick.C:
		}
		if !b.meta.IsLeader() {
			leading = time.Time{}
			continue
		}
		if leading.IsZero() {
			leading = time.Now()
		}
		for _, run := range n.down(leading) {
			b.log.Warn("node counts as down: its exclusive and transient queues are deleted", "node", b.nodeName(run.Node),
				"run", run.Incarnation)
			ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
			if _, err := b.meta.Propose(ctx, meta.EndOwner{Owner: run}); err != nil {
				b.log.Warn("node could not be declared down, trying again", "node", b.nodeName(run.Node), "error", err)
			}
			cancel()
		}
	}
}

// down returns the runs that are to be ended; leading is since when this node has the right to do so.
func (n *nodes) down(leading time.Time) (runs []meta.Owner) {
	s := n.broker.State()
	n.mu.Lock()
	defer n.mu.Unlock()
	for m := range s.Nodes() {
		o := n.others[m.Name]
		if o == nil || o.up || m.Ended || m.Incarnation == 0 {
			continue
		}
		since := o.since
		if leading.After(since) {
			since = leading
		}
		if time.Since(since) > n.broker.opts.NodeTimeout {
			runs = append(runs, meta.Owner{Node: m.Name, Incarnation: m.Incarnation})
		}
	}
	slices.SortFunc(runs, func(a, b meta.Owner) int { return strings.Compare(a.Node, b.Node) })
	return runs
}

// revive begins another run of this node after the cluster declared the one before dead while it lived on: what that owned is
// gone.
func (b *Broker) revive(ended meta.Owner) {
	b.log.Warn("the cluster took this node for dead; its exclusive and transient queues are gone", "run", ended.Incarnation)
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
		r, err := b.meta.Propose(ctx, meta.StartNode{Node: b.opts.NodeID})
		cancel()
		if err == nil {
			b.owner.Store(&meta.Owner{Node: b.opts.NodeID, Incarnation: r.Incarnation})
			return
		}
		b.log.Warn("a new run of this node could not begin, trying on", "error", err)
		select {
		case <-time.After(wait):
		case <-b.leaving:
			return
		}
	}
}
