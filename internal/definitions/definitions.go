package definitions

import (
	"fmt"
	"slices"
)

// Definitions are what a file or a state defines. They do not change; any number of goroutines may use them.
type Definitions struct {
	// VHost is the vhost that all of them are in, empty for those of a whole cluster.
	VHost string
	// Warnings say what is left out or has no effect.
	Warnings []*Problem

	items map[Kind][]item
	// sections are the kinds that stand in the file, if only as an empty list: deletions are made only among these.
	sections map[Kind]bool
	// detached is set for the definitions of one vhost that do not say which one, and not yet been told by In.
	detached bool
	cluster  string // original name
}

func newDefinitions() *Definitions {
	return &Definitions{items: make(map[Kind][]item), sections: make(map[Kind]bool)}
}

func (d *Definitions) add(i item) { d.items[i.kind()] = append(d.items[i.kind()], i) }

// Count returns the number of definitions of one kind; operator policies count as policies.
func (d *Definitions) Count(k Kind) int { return len(d.items[k]) }

// Detached says that these are definitions of one vhost, which In has to name before they can be compared or applied.
func (d *Definitions) Detached() bool { return d.detached }

// kinds are all kinds in the order of dependence.
var kinds = []Kind{VHosts, Users, Permissions, TopicPermissions, Parameters, GlobalParameters, Policies, Exchanges, Queues, Bindings}

// In returns the definitions of one vhost as those of another. The error says that they are of a whole cluster.
func (d *Definitions) In(vhost string) (*Definitions, error) {
	if !d.detached && d.VHost == "" {
		return nil, fmt.Errorf("these are definitions of a whole cluster; they cannot go into the vhost %s alone: import them without a vhost, "+
			"or export that vhost by itself", quote(vhost))
	}
	next := *d
	next.VHost, next.detached = vhost, false
	next.items = make(map[Kind][]item, len(d.items))
	for k, items := range d.items {
		moved := make([]item, len(items))
		for i, it := range items {
			moved[i] = inVHost(it, vhost)
		}
		next.items[k] = moved
	}
	return &next, nil
}

// inVHost returns a copy of an item in another vhost.
func inVHost(it item, vhost string) item {
	switch v := it.(type) {
	case *parameter:
		c := *v
		c.VHost = vhost
		return &c
	case *policy:
		c := *v
		c.VHost = vhost
		return &c
	case *exchange:
		c := *v
		c.VHost = vhost
		return &c
	case *queue:
		c := *v
		c.VHost = vhost
		return &c
	case *binding:
		c := *v
		c.VHost = vhost
		return &c
	}
	return it
}

// Versions that an export names. Tools switch features by them.
const (
	rabbitVersion = "4.1.0"
	product       = "RabbitMQ"
)

// AppendJSON appends the definitions as RabbitMQ writes them: its sections in its order, one definition a line.
func (d *Definitions) AppendJSON(b []byte) []byte {
	w := startObject(b)
	line := func(name string) {
		if w.comma {
			w.b = append(w.b, ',')
			w.comma = false
		}
		w.b = append(w.b, '\n')
		w.name(name)
	}
	header := func(name, value string) {
		line(name)
		w.b = appendString(w.b, value)
	}
	header("rabbit_version", rabbitVersion)
	header("rabbitmq_version", rabbitVersion)
	header("product_name", product)
	header("product_version", rabbitVersion)
	order := []Kind{Users, VHosts, Permissions, TopicPermissions, Parameters, GlobalParameters, Policies, Queues, Exchanges, Bindings}
	if single := d.detached || d.VHost != ""; single {
		header("rabbitmq_definition_format", formatVHost)
		if d.VHost != "" {
			header("original_vhost_name", d.VHost)
		}
		order = []Kind{Parameters, Policies, Queues, Exchanges, Bindings}
	} else {
		header("rabbitmq_definition_format", formatCluster)
		if d.cluster != "" {
			header("original_cluster_name", d.cluster)
		}
	}
	for _, k := range order {
		line(string(k))
		w.b = d.appendSection(w.b, k)
	}
	return append(w.end(), '\n')
}

// Values of rabbitmq_definition_format.
const (
	formatCluster = "cluster"
	formatVHost   = "single_virtual_host"
)

// appendSection appends a section. Operator policies stand among the parameters.
func (d *Definitions) appendSection(b []byte, k Kind) []byte {
	b = append(b, '[')
	comma := false
	one := func(i item) {
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = i.appendJSON(append(b, '\n'), d.VHost == "" && !d.detached)
	}
	isOperator := func(i item) bool { p, ok := i.(*policy); return ok && p.Operator }
	for _, i := range d.items[k] {
		if !isOperator(i) {
			one(i)
		}
	}
	if k == Parameters {
		for _, i := range d.items[Policies] {
			if isOperator(i) {
				one(i)
			}
		}
	}
	if comma {
		b = append(b, '\n')
	}
	return append(b, ']')
}

// merge adds the definitions of another file. What both define must be the same.
func (d *Definitions) merge(other *Definitions) {
	d.Warnings = append(d.Warnings, other.Warnings...)
	for k, items := range other.items {
		d.items[k] = append(d.items[k], items...)
	}
	for k := range other.sections {
		d.sections[k] = true
	}
}

// unique removes what is defined twice, and says what is defined twice in different ways.
func (d *Definitions) unique(wrong *problems) {
	for _, k := range kinds {
		first := make(map[string]item, len(d.items[k]))
		d.items[k] = slices.DeleteFunc(d.items[k], func(i item) bool {
			id := i.id()
			earlier, twice := first[id]
			if !twice {
				first[id] = i
				return false
			}
			if !same(earlier, i) {
				wrong.add(&Problem{Position: i.where().position(), Field: i.path(), Value: quote(i.label()),
					Text: fmt.Sprintf("is defined in another way at %s; remove one of them", earlier.where().position())})
			}
			return true
		})
	}
}
