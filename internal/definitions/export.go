package definitions

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// ExportOptions say what to export.
type ExportOptions struct {
	// VHost is the only vhost to export; empty for the whole cluster. One that does not exist has nothing in it.
	VHost string
}

// clusterName is the global parameter with the cluster's name; names that start with internalPrefix are the broker's own business
// and neither exported nor imported.
const (
	clusterName    = "cluster_name"
	internalPrefix = "internal"
)

// Export returns what a state defines, sorted by vhost and name. As in RabbitMQ, exclusive queues, what has a name with amq., the
// bindings that lead to these and the implicit bindings are left out (SEMANTICS 19.3); internal exchanges are not, for the bindings
// between exchanges need them. Warnings say which arguments JSON cannot hold as they are.
func Export(s *meta.State, o ExportOptions) *Definitions {
	d := collect(s, o.VHost, false)
	d.sortBindings()
	return d
}

// sortBindings sorts the bindings by what JSON shows of them, because the state sorts them by the bytes of their arguments. Of those
// that JSON cannot tell apart, whose arguments differ in the width of a number alone, it leaves one.
func (d *Definitions) sortBindings() {
	type keyed struct {
		id string
		item
	}
	list := make([]keyed, len(d.items[Bindings]))
	for n, i := range d.items[Bindings] {
		list[n] = keyed{i.id(), i}
	}
	slices.SortStableFunc(list, func(a, b keyed) int { return strings.Compare(a.id, b.id) })
	sorted := d.items[Bindings][:0]
	for n, i := range list {
		if n == 0 || i.id != list[n-1].id {
			sorted = append(sorted, i.item)
		} else if len(d.Warnings) < maxProblems {
			d.Warnings = append(d.Warnings, &Problem{Field: string(Bindings), Value: quote(i.label()),
				Text: "is there several times with numbers of different widths, which JSON cannot tell apart; one is exported"})
		}
	}
	d.items[Bindings] = sorted
}

// collect makes definitions of a state; with hidden, of what Export leaves out as well.
func collect(s *meta.State, only string, hidden bool) *Definitions {
	c := &collector{d: newDefinitions(), s: s, only: only, hidden: hidden}
	c.d.VHost = only
	for _, k := range kinds {
		c.d.sections[k] = true
	}
	if only == "" {
		c.cluster()
	}
	c.parameters()
	c.topology()
	c.d.Warnings = c.warnings.all()
	return c.d
}

type collector struct {
	d        *Definitions
	s        *meta.State
	only     string
	hidden   bool
	warnings problems
}

func (c *collector) wants(vhost string) bool { return c.only == "" || c.only == vhost }

// cluster collects what is in no vhost, and the permissions.
func (c *collector) cluster() {
	for v := range c.s.VHosts() {
		c.d.add(&vhost{VHost: *v})
	}
	for u := range c.s.Users() {
		c.d.add(userOf(c.s, u))
	}
	for p := range c.s.Permissions() {
		c.d.add(&permission{Permission: *p})
	}
	for p := range c.s.TopicPermissions() {
		c.d.add(&topicPermission{TopicPermission: *p})
	}
}

func userOf(s *meta.State, u *meta.User) *user {
	limits := cluster.Limits{}
	if p := s.Parameter("", cluster.UserLimitsComponent, u.Name); p != nil {
		if stored, err := cluster.ParseLimits(p.Value); err == nil {
			limits = stored
		}
	}
	return &user{User: *u, limits: limits, limitsGiven: true}
}

func (c *collector) parameters() {
	for p := range c.s.Parameters() {
		switch {
		case p.VHost != "" && c.wants(p.VHost):
			c.d.add(&parameter{Parameter: *p})
		case p.VHost == "" && c.only == "" && p.Component == "" && !strings.HasPrefix(p.Name, internalPrefix):
			c.d.add(&parameter{Parameter: *p})
			if p.Name == clusterName {
				// A name of another type is no name.
				_ = json.Unmarshal(p.Value, &c.d.cluster)
			}
		}
	}
	for p := range c.s.Policies() {
		if c.wants(p.VHost) {
			c.d.add(&policy{Policy: *p})
		}
	}
}

func (c *collector) topology() {
	for x := range c.s.Exchanges() {
		if c.wants(x.VHost) && (c.hidden || !reserved(x.Name)) {
			c.topologyItem(&exchange{Exchange: *x}, x.Arguments)
		}
	}
	for q := range c.s.Queues() {
		if c.wants(q.VHost) && (c.hidden || exported(q)) {
			c.topologyItem(&queue{Queue: *q}, q.Arguments)
		}
	}
	for b := range c.s.Bindings() {
		if c.wants(b.VHost) && (c.hidden || c.exportedBinding(b)) {
			c.topologyItem(&binding{Binding: *b}, b.Arguments)
		}
	}
}

// exported says whether a queue can be declared again elsewhere.
func exported(q *meta.Queue) bool { return !q.Exclusive && !reserved(q.Name) }

func (c *collector) exportedBinding(b *meta.Binding) bool {
	if b.DestinationKind == meta.ToExchange {
		return true
	}
	q := c.s.Queue(b.VHost, b.Destination)
	return q != nil && exported(q)
}

func (c *collector) topologyItem(i item, arguments []byte) {
	c.d.add(i)
	if why := lossy(arguments); why != "" && !c.hidden {
		c.warnings.add(&Problem{Field: string(i.kind()), Value: quote(i.label()), Text: why})
	}
}
