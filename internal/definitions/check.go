package definitions

import (
	"fmt"
	"maps"
	"slices"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// checker finds out whether definitions fit together and to a state. Single definitions were checked when they were parsed.
type checker struct {
	s    *meta.State
	d    *Definitions
	want map[Kind]map[string]item
	// needed is what the state has and the definitions refer to without having it themselves; by kind and id, a definition that
	// refers to it.
	needed map[Kind]map[string]item
	wrong  problems
}

func (c *checker) check() {
	c.needed = map[Kind]map[string]item{VHosts: {}, Users: {}, Exchanges: {}, Queues: {}}
	for _, k := range kinds {
		for _, i := range c.d.items[k] {
			if v := i.in(); v != "" {
				c.refer(i, VHosts, v, "vhost", c.s.VHost(v) != nil)
			}
			switch i := i.(type) {
			case *permission:
				c.refer(i, Users, i.User, "user", c.s.User(i.User) != nil)
			case *topicPermission:
				c.refer(i, Users, i.User, "user", c.s.User(i.User) != nil)
			case *binding:
				c.binding(i)
			}
		}
	}
	if len(c.wrong.list) == 0 {
		c.queueLimits()
	}
}

// refer notes that i refers to another definition by name in a field, and says whether that is defined or exists.
func (c *checker) refer(i item, k Kind, id, field string, exists bool) bool {
	if c.want[k][id] != nil {
		return true
	}
	if exists {
		if c.needed[k][id] == nil {
			c.needed[k][id] = i
		}
		return true
	}
	value := id
	if v := i.in(); v != "" && k != VHosts && k != Users {
		value = id[len(v)+1:]
	}
	c.wrong.add(&Problem{Position: i.where().position(), Field: i.path() + "." + field, Value: quote(value),
		Text: fmt.Sprintf("there is no such %s, neither in the file nor in the cluster; add it to %s or remove this", nouns[k], k)})
	return false
}

// binding checks the ends of a binding, and what the types of the ends say about it.
func (c *checker) binding(b *binding) {
	source := c.exchange(b, b.Source, "source")
	destinationType := ""
	ok := true
	if b.DestinationKind == meta.ToExchange {
		ok = c.exchange(b, b.Destination, "destination") != nil
	} else {
		id := join(b.VHost, b.Destination)
		q := c.s.Queue(b.VHost, b.Destination)
		if ok = c.refer(b, Queues, id, "destination", q != nil); ok {
			if q == nil {
				q = &c.want[Queues][id].(*queue).Queue
			}
			destinationType = q.Type
		}
	}
	if source == nil || !ok {
		return
	}
	if err := cluster.CheckBinding(source, b.spec(), destinationType); err != nil {
		c.wrong.add(refusal(b.where(), b.path(), err))
	}
}

// predeclared are the types of the exchanges that a new vhost has.
var predeclared = map[string]string{"amq.direct": "direct", "amq.fanout": "fanout", "amq.headers": "headers", "amq.match": "headers",
	"amq.rabbitmq.trace": "topic", "amq.topic": "topic"}

// exchange returns the exchange of this name that there will be, nil for none. One that exists stays as it is.
func (c *checker) exchange(b *binding, name, field string) *meta.Exchange {
	x := c.s.Exchange(b.VHost, name)
	if typ, ok := predeclared[name]; ok && x == nil {
		return &meta.Exchange{VHost: b.VHost, Name: name, Type: typ}
	}
	id := join(b.VHost, name)
	if !c.refer(b, Exchanges, id, field, x != nil) {
		return nil
	}
	if x == nil {
		x = &c.want[Exchanges][id].(*exchange).Exchange
	}
	return x
}

// queueLimits refuses more new queues than the limits of their vhosts allow (SEMANTICS 19.4).
func (c *checker) queueLimits() {
	added := make(map[string][]item)
	for _, i := range c.d.items[Queues] {
		if q := i.(*queue); c.s.Queue(q.VHost, q.Name) == nil {
			added[q.VHost] = append(added[q.VHost], i)
		}
	}
	for _, v := range slices.Sorted(maps.Keys(added)) {
		queues := added[v]
		limit, limited := c.limit(v)
		if !limited {
			continue
		}
		there := 0
		for range c.s.QueuesIn(v) {
			there++
		}
		if int64(there+len(queues)) > limit {
			first := queues[max(0, int(limit)-there)]
			c.wrong.add(&Problem{Position: first.where().position(), Field: first.path(), Value: quote(first.label()),
				Text: fmt.Sprintf("one queue too many: the limit %s of the vhost %s is %d, it has %d queues and the file adds %d; raise the limit or remove queues",
					cluster.MaxQueues, quote(v), limit, there, len(queues))})
		}
	}
}

// limit returns how many queues a vhost may have once the parameters are applied.
func (c *checker) limit(v string) (n int64, limited bool) {
	p := c.s.Parameter(v, cluster.VHostLimitsComponent, cluster.VHostLimitsName)
	if i := c.want[Parameters][join(v, cluster.VHostLimitsComponent, cluster.VHostLimitsName)]; i != nil {
		p = &i.(*parameter).Parameter
	}
	if p == nil {
		return 0, false
	}
	limits, err := cluster.ParseLimits(p.Value)
	if err != nil {
		return 0, false
	}
	n, limited = limits[cluster.MaxQueues]
	return n, limited && n >= 0
}
