package cluster

import (
	"fmt"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// apply makes a new state take effect: it is meta.Options.OnApply. It runs on the goroutine that applies the Raft log, before
// proposers get their answer, and waits for nothing but b.mu, which is never held while waiting.
func (b *Broker) apply(old, new *meta.State, changes []meta.Change) {
	for _, v := range b.takeEffect(old, new, changes) {
		if b.opts.CloseConnections != nil {
			b.opts.CloseConnections(v.match, v.reason)
		}
	}
}

// takeEffect brings everything on this node in line with a new state. It returns which connections must end.
func (b *Broker) takeEffect(old, new *meta.State, changes []meta.Change) (ending []victims) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.current.Store(new)
	if !b.running {
		return nil // start takes the state as a whole
	}
	if old == nil {
		return b.replace(new)
	}
	forget, members := false, false
	for _, c := range changes {
		switch e := c.Entity().(type) {
		case *meta.Queue:
			if was, ok := c.Before.(*meta.Queue); ok && !c.Deleted() && was.Leader != e.Leader {
				b.engines.move(was, e, new.Index())
			} else {
				b.applyQueue(e, c.Deleted())
			}
		case *meta.Policy:
			b.compilePolicies(new, e.VHost)
			b.reconfigure(e.VHost)
			b.routes.applyPolicies(new, e.VHost)
		case *meta.Node:
			members = true
			ending = append(ending, b.applyNode(e)...)
		case *meta.User:
			forget = forget || !c.Created()
			if c.Deleted() {
				ending = append(ending, b.revoke(usersVictims(e.Name)))
			}
		case *meta.VHost:
			if c.Deleted() {
				ending = append(ending, b.revoke(vhostsVictims(e.Name)))
			}
		case *meta.TopicPermission:
			if c.Created() {
				b.topicPermissions.Add(1)
			} else if c.Deleted() {
				b.topicPermissions.Add(-1)
			}
		}
		b.usage.follow(c)
		b.routes.change(c)
	}
	if forget {
		b.credentials.forget()
	}
	if members {
		b.nodes.follow(new)
	}
	b.routes.publish()
	b.events.follow(changes)
	b.arrivals.review(new)
	return ending
}

func (b *Broker) applyQueue(q *meta.Queue, deleted bool) {
	if deleted {
		b.engines.drop(q.ID)
		if b.links != nil {
			b.links.Drop(q.ID)
		}
	} else if q.Leader == b.opts.NodeID {
		b.engines.start(q, source{})
	}
}

// applyNode notices that the cluster has ended the run of this node. It returns which connections must end: those that had
// exclusive queues.
func (b *Broker) applyNode(n *meta.Node) (ending []victims) {
	run := b.run()
	if n.Name != b.opts.NodeID || n.Incarnation != run.Incarnation || !n.Ended {
		return nil
	}
	b.spawn(func() { b.revive(run) })
	return []victims{b.revoke(victims{match: b.usage.owning(), reason: "the cluster took this node for dead and deleted exclusive queues"})}
}

// replace makes a state take effect that has no known difference to the one before. It returns which connections must end.
func (b *Broker) replace(s *meta.State) (ending []victims) {
	before := b.State()
	for v := range before.VHosts() {
		if s.VHost(v.Name) == nil {
			ending = append(ending, b.revoke(vhostsVictims(v.Name)))
		}
	}
	for u := range before.Users() {
		if s.User(u.Name) == nil {
			ending = append(ending, b.revoke(usersVictims(u.Name)))
		}
	}
	if n := s.Node(b.opts.NodeID); n != nil {
		ending = append(ending, b.applyNode(n)...)
	}
	b.nodes.follow(s)
	b.credentials.forget()
	for q := range before.AllQueues() {
		if s.QueueByID(q.ID) == nil {
			b.applyQueue(q, true)
		}
	}
	b.compileAllPolicies(s)
	for q := range s.AllQueues() {
		if was := before.QueueByID(q.ID); was != nil && was.Leader != q.Leader {
			b.engines.move(was, q, s.Index())
		} else {
			b.applyQueue(q, false)
		}
	}
	b.arrivals.review(s)
	for v := range s.VHosts() {
		b.reconfigure(v.Name)
	}
	b.guards.keep(s)
	b.rebuild(s)
	return ending
}

// rebuild makes anew what is derived from the state, apart from the engines.
func (b *Broker) rebuild(s *meta.State) {
	b.topicPermissions.Store(countTopicPermissions(s))
	b.usage.rebuild(s)
	b.routes.rebuild(s)
	b.routes.publish()
	b.events.look()
}

// victims are connections that must end because their vhost or user is gone, or their exclusive queues are.
type victims struct {
	match  func(id uint64, vhost, user string) bool
	reason string
}

func vhostsVictims(name string) victims {
	return victims{
		match:  func(_ uint64, vhost, _ string) bool { return vhost == name },
		reason: fmt.Sprintf("vhost '%s' is deleted", name),
	}
}

func usersVictims(name string) victims {
	return victims{
		match:  func(_ uint64, _, user string) bool { return user == name },
		reason: fmt.Sprintf("user '%s' is deleted", name),
	}
}

// revoke marks the connections, so that those that the server does not know yet end as well.
func (b *Broker) revoke(v victims) victims {
	b.usage.revoke(wire.Errorf(wire.ConnectionForced, "%s", v.reason), v.match)
	return v
}
