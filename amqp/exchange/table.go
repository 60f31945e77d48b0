package exchange

import (
	"slices"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Names of the types. Those with "x-" are plugins of RabbitMQ, or were for most of its life.
const (
	Direct         = "direct"
	Fanout         = "fanout"
	Topic          = "topic"
	Headers        = "headers"
	ConsistentHash = "x-consistent-hash"
	ModulusHash    = "x-modulus-hash"
	Random         = "x-random"
	LocalRandom    = "x-local-random"
	Delayed        = "x-delayed-message"
	RecentHistory  = "x-recent-history"
)

// Destination is what a binding leads to. Two destinations with the same ID are the same.
type Destination interface {
	// ID is unique among all destinations in a table. IDs counted up make the cheapest tables.
	ID() uint64
	// Identity is unique among all destinations in a table, and the same in every process: nodes that choose by hash agree on
	// nothing else.
	Identity() string
	// Local reports whether this node leads the destination, if it is a queue.
	Local() bool
}

// Binding is one binding of the exchange that a table belongs to.
type Binding struct {
	Key string
	// Arguments is the content of a field table (see wire.Canonical), nil for none. A table keeps it; it must not be changed.
	Arguments []byte
	To        Destination
}

// Message is what a table may look at to find the destinations of a message.
type Message struct {
	Key   []byte   // routing key
	Extra [][]byte // further routing keys, those of CC and BCC
	// Headers is the content of the header table, nil for none. Content that is malformed has no header.
	Headers       []byte
	CorrelationID []byte // nil or empty: absent
	MessageID     []byte // nil or empty: absent
	Timestamp     uint64 // Unix seconds; 0: absent
}

// Basis is what a decision about a message rests on, beside the bindings. Each value includes those before it.
type Basis uint8

const (
	// ByKeys is a decision that is the same for all messages with the same routing keys.
	ByKeys Basis = iota
	// ByMessage is a decision that is the same for all messages with the same keys and properties.
	ByMessage
	// ByChance is a decision that may be another one the next time.
	ByChance
)

// Table is the immutable set of bindings of one exchange.
//
// A table counts bindings: With adds one and Without takes one away. A destination stays reachable as long as one binding leads
// to it, so bindings of the same destination with different keys or arguments do not disturb each other. Whoever calls With
// sees to it that the same binding is not added twice.
type Table interface {
	// With returns the table with b added. b should have passed the type's check; one that has not is never an error.
	With(b Binding) Table
	// Without returns the table without b, or the same table if b is not in it.
	Without(b Binding) Table
	// Len returns the number of bindings.
	Len() int
	// Match appends to buf the destinations of m. It keeps nothing of m. Unless the Basis is ByChance, the result and its order are
	// the same for each call on the same table with the same message. If the type says Repeats, a destination may come more than
	// once; with several keys it may in any case.
	Match(buf []Destination, m *Message) []Destination
	// Basis returns what Match looks at. It does not change with the bindings.
	Basis() Basis
}

// Type describes an exchange type.
type Type struct {
	Name string
	// Repeats says that Match may append the same destination several times, even with one routing key.
	Repeats bool
	// ReadsArguments says that New looks at the arguments.
	ReadsArguments bool

	table            func(arguments []byte) Table
	checkExchange    func(arguments wire.Table) error
	checkBinding     func(key string, arguments wire.Table) error
	checkDestination func(queueType string) error
}

// New returns a table without bindings for an exchange with these arguments: the content of a field table, nil for none. They
// should have passed CheckExchange; what is wrong with them is taken as absent. New keeps nothing of them.
func (t *Type) New(arguments []byte) Table { return t.table(arguments) }

// CheckExchange checks the arguments of an exchange that a client declares. The error is a *wire.Error with code 406 and, where it
// has one, RabbitMQ's text.
func (t *Type) CheckExchange(arguments wire.Table) error {
	if t.checkExchange == nil {
		return nil
	}
	return t.checkExchange(arguments)
}

// CheckBinding checks the key and the arguments of a binding that a client asks for. The error is a *wire.Error with code 406 and
// RabbitMQ's text.
func (t *Type) CheckBinding(key string, arguments wire.Table) error {
	if t.checkBinding == nil {
		return nil
	}
	return t.checkBinding(key, arguments)
}

// CheckDestination checks what a new binding leads to: a queue of the given type ("classic", "quorum", "stream"), or an exchange
// if that is empty. RabbitMQ looks at it after the key. The error is like that of CheckBinding.
func (t *Type) CheckDestination(queueType string) error {
	if t.checkDestination == nil {
		return nil
	}
	return t.checkDestination(queueType)
}

// of makes a Type.table of an empty table.
func of(empty Table) func([]byte) Table { return func([]byte) Table { return empty } }

var types = map[string]*Type{
	Direct:  {Name: Direct, table: of(direct{})},
	Fanout:  {Name: Fanout, table: of(fanout{})},
	Topic:   {Name: Topic, table: of(topic{}), Repeats: true},
	Headers: {Name: Headers, table: of(headers{}), checkBinding: checkXMatch, Repeats: true},
	ConsistentHash: {Name: ConsistentHash, table: newConsistent, ReadsArguments: true,
		checkExchange: checkHashOn, checkBinding: checkWeight},
	ModulusHash: {Name: ModulusHash, table: of(&oneOf{lot: byModulus})},
	Random:      {Name: Random, table: of(&oneOf{lot: byChance})},
	LocalRandom: {Name: LocalRandom, table: of(&oneOf{lot: byLocalChance}),
		checkBinding: checkNoKey, checkDestination: checkClassic},
	RecentHistory: {Name: RecentHistory, table: of(fanout{}), checkExchange: checkHistoryLength},
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
