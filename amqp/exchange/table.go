package exchange

import (
	"slices"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Names of the types that every broker has.
const (
	Direct  = "direct"
	Fanout  = "fanout"
	Topic   = "topic"
	Headers = "headers"
)

// Destination is what a binding leads to. Two destinations with the same ID are the same.
type Destination interface {
	// ID is unique among all destinations in a table. IDs counted up make the cheapest tables.
	ID() uint64
}

// Binding is one binding of the exchange that a table belongs to.
type Binding struct {
	Key string
	// Arguments is the content of a field table (see wire.Canonical), nil for none. A table keeps it; it must not be changed.
	Arguments []byte
	To        Destination
}

// Table is the immutable set of bindings of one exchange.
//
// A table counts bindings: With adds one and Without takes one away. A destination stays reachable as long as one binding leads
// to it, so bindings of the same destination with different keys or arguments do not disturb each other. Whoever calls With
// sees to it that the same binding is not added twice.
type Table interface {
	// With returns the table with b added. b must have passed the type's check.
	With(b Binding) Table
	// Without returns the table without b, or the same table if b is not in it.
	Without(b Binding) Table
	// Len returns the number of bindings.
	Len() int
	// Match appends to buf the destinations of a message with this routing key and these headers (content of a field table, nil
	// for none; content that is malformed matches nothing). It keeps neither. The order is the same for each call on the same
	// table. If the type says Repeats, a destination may come more than once.
	Match(buf []Destination, key, headers []byte) []Destination
}

// Type describes an exchange type.
type Type struct {
	Name string
	// IgnoresKey says that Match does not look at the key, so that a message with several keys need be matched only once.
	IgnoresKey bool
	// ReadsHeaders says that Match looks at headers.
	ReadsHeaders bool
	// Repeats says that Match may append the same destination several times.
	Repeats bool

	empty Table
	check func(key string, arguments wire.Table) error
}

// New returns a table without bindings.
func (t *Type) New() Table { return t.empty }

// CheckBinding checks a binding that a client asks for. The error is a *wire.Error with code 406 and RabbitMQ's text.
func (t *Type) CheckBinding(key string, arguments wire.Table) error {
	if t.check == nil {
		return nil
	}
	return t.check(key, arguments)
}

var types = map[string]*Type{
	Direct:  {Name: Direct, empty: direct{}},
	Fanout:  {Name: Fanout, empty: fanout{}, IgnoresKey: true},
	Topic:   {Name: Topic, empty: topic{}, Repeats: true},
	Headers: {Name: Headers, empty: headers{}, check: checkXMatch, IgnoresKey: true, ReadsHeaders: true, Repeats: true},
}

// Lookup returns the type with the given name, or nil if there is none.
func Lookup(name string) *Type { return types[name] }

// Names returns the names of all types in alphabetical order.
func Names() []string {
	names := make([]string, 0, len(types))
	for name := range types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
