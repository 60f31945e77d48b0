package definitions

import (
	"slices"
	"strconv"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

type exchange struct {
	origin
	meta.Exchange
}

func (x *exchange) kind() Kind    { return Exchanges }
func (x *exchange) path() string  { return pathOf(Exchanges, x.index) }
func (x *exchange) in() string    { return x.VHost }
func (x *exchange) id() string    { return join(x.VHost, x.Name) }
func (x *exchange) label() string { return x.Name }
func (x *exchange) fields() []Field {
	return []Field{
		{"type", quoted(x.Type)},
		{"durable", strconv.FormatBool(x.Durable)},
		{"auto_delete", strconv.FormatBool(x.AutoDelete)},
		{"internal", strconv.FormatBool(x.Internal)},
		{"arguments", string(argumentsJSON(x.Arguments, true))},
	}
}

func (x *exchange) appendJSON(b []byte, withVHost bool) []byte {
	w := startObject(b)
	w.text("name", x.Name)
	if withVHost {
		w.text("vhost", x.VHost)
	}
	w.text("type", x.Type)
	w.flag("durable", x.Durable)
	w.flag("auto_delete", x.AutoDelete)
	w.flag("internal", x.Internal)
	w.raw("arguments", argumentsJSON(x.Arguments, false))
	return w.end()
}

func (x *exchange) spec() *cluster.ExchangeSpec {
	return &cluster.ExchangeSpec{Name: x.Name, Type: x.Type, Durable: x.Durable, AutoDelete: x.AutoDelete, Internal: x.Internal,
		Arguments: table(x.Arguments)}
}

// table decodes arguments that were encoded here.
func table(content []byte) wire.Table {
	if len(content) == 0 {
		return nil
	}
	t, err := wire.ParseTable(content)
	if err != nil {
		return nil
	}
	return t
}

type queue struct {
	origin
	meta.Queue
}

func (q *queue) kind() Kind    { return Queues }
func (q *queue) path() string  { return pathOf(Queues, q.index) }
func (q *queue) in() string    { return q.VHost }
func (q *queue) id() string    { return join(q.VHost, q.Name) }
func (q *queue) label() string { return q.Name }

// queueType is the argument that says of which type a queue is; classic stands for none.
const (
	queueType = "x-queue-type"
	classic   = "classic"
)

func (q *queue) fields() []Field {
	args := slices.Clone(table(q.Arguments))
	if v, ok := args.Get(queueType); !ok || v.Str == "" {
		args = args.Set(queueType, wire.String(classic))
	}
	return []Field{
		{"durable", strconv.FormatBool(q.Durable)},
		{"auto_delete", strconv.FormatBool(q.AutoDelete)},
		{"exclusive", strconv.FormatBool(q.Exclusive)},
		{"arguments", string(appendTable(nil, args, true))},
	}
}

func (q *queue) appendJSON(b []byte, withVHost bool) []byte {
	w := startObject(b)
	w.text("name", q.Name)
	if withVHost {
		w.text("vhost", q.VHost)
	}
	w.text("type", q.Type)
	w.flag("durable", q.Durable)
	w.flag("auto_delete", q.AutoDelete)
	w.raw("arguments", argumentsJSON(q.Arguments, false))
	return w.end()
}

func (q *queue) spec() *cluster.QueueSpec {
	return &cluster.QueueSpec{Name: q.Name, Durable: q.Durable, AutoDelete: q.AutoDelete, Arguments: table(q.Arguments)}
}

type binding struct {
	origin
	meta.Binding
}

func (b *binding) kind() Kind   { return Bindings }
func (b *binding) path() string { return pathOf(Bindings, b.index) }
func (b *binding) in() string   { return b.VHost }
func (b *binding) id() string {
	return join(b.VHost, b.Source, b.destinationType(), b.Destination, b.RoutingKey, string(argumentsJSON(b.Arguments, true)))
}

func (b *binding) label() string {
	s := b.Source + " -> " + b.destinationType() + " " + b.Destination + ", key " + quoted(b.RoutingKey)
	if len(b.Arguments) > 0 {
		s += ", arguments " + string(argumentsJSON(b.Arguments, false))
	}
	return s
}

// fields are none: all of a binding is its identity.
func (b *binding) fields() []Field { return nil }

func (b *binding) destinationType() string {
	if b.DestinationKind == meta.ToExchange {
		return "exchange"
	}
	return "queue"
}

func (b *binding) appendJSON(to []byte, withVHost bool) []byte {
	w := startObject(to)
	w.text("source", b.Source)
	if withVHost {
		w.text("vhost", b.VHost)
	}
	w.text("destination", b.Destination)
	w.text("destination_type", b.destinationType())
	w.text("routing_key", b.RoutingKey)
	w.raw("arguments", argumentsJSON(b.Arguments, false))
	return w.end()
}

func (b *binding) spec() *cluster.BindingSpec {
	return &cluster.BindingSpec{Source: b.Source, Destination: b.Destination, RoutingKey: b.RoutingKey, Arguments: table(b.Arguments)}
}
