package cluster

import (
	"strconv"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// A declare of something that exists must ask for what is there: SEMANTICS 3.3 for exchanges, 5.6 for queues. Arguments that
// the broker does not know are not compared.

// alternateExchange is the argument that names where an exchange sends what it cannot route.
const alternateExchange = "alternate-exchange"

// checkExchangeEquivalence compares the declare s with the exchange that exists.
func checkExchangeEquivalence(x *meta.Exchange, s *ExchangeSpec) error {
	r := resource{kindExchange, x.Name, x.VHost}
	if x.Type != s.Type {
		return errInequivalent("type", r, "'"+s.Type+"'", "'"+x.Type+"'")
	}
	for _, f := range []struct {
		name              string
		received, current bool
	}{
		{"durable", s.Durable, x.Durable},
		{"auto_delete", s.AutoDelete, x.AutoDelete},
		{"internal", s.Internal, x.Internal},
	} {
		if err := compareFlag(f.name, r, f.received, f.current); err != nil {
			return err
		}
	}
	current, err := storedArguments(x.Arguments, r)
	if err != nil {
		return err
	}
	if x.Type == exchange.Delayed {
		if err := compareArgument(exchange.DelayedTypeArgument, r, s.Arguments, current); err != nil {
			return err
		}
	}
	if err := compareArgument(alternateExchange, r, s.Arguments, current); err != nil {
		return err
	}
	for i := range exchangeArguments {
		if err := compareArgument(exchangeArguments[i].key, r, s.Arguments, current); err != nil {
			return err
		}
	}
	return nil
}

// checkQueueEquivalence compares the declare s, from the connection that owner names, with the queue that exists.
func checkQueueEquivalence(q *meta.Queue, s *QueueSpec, owner connection) error {
	r := resource{kindQueue, q.Name, q.VHost}
	if q.Exclusive != s.Exclusive || q.Exclusive && !owner.owns(q) {
		return errLocked(r)
	}
	if err := compareFlag("durable", r, s.Durable && !s.Exclusive, q.Durable); err != nil {
		return err
	}
	if err := compareFlag("auto_delete", r, s.AutoDelete, q.AutoDelete); err != nil {
		return err
	}
	current, err := storedArguments(q.Arguments, r)
	if err != nil {
		return err
	}
	if len(current) == 0 && len(s.Arguments) == 0 {
		return nil
	}
	received := withQueueType(s.Arguments)
	current = withQueueType(current)
	for i := range queueArguments {
		if a := &queueArguments[i]; a.types&classic != 0 {
			if err := compareArgument(a.key, r, received, current); err != nil {
				return err
			}
		}
	}
	return nil
}

// withQueueType returns t with its queue type spelt out: none means classic.
func withQueueType(t wire.Table) wire.Table {
	if _, ok := t.Get(argQueueType); ok {
		return t
	}
	return append(t[:len(t):len(t)], wire.Field{Name: argQueueType, Value: wire.String(typeClassic)})
}

func compareFlag(field string, r resource, received, current bool) error {
	if received == current {
		return nil
	}
	return errInequivalent(field, r, "'"+strconv.FormatBool(received)+"'", "'"+strconv.FormatBool(current)+"'")
}

// compareArgument compares one argument of two tables. When both have it, only the values are shown, else the kind as well.
func compareArgument(key string, r resource, received, current wire.Table) error {
	n, hasNew := received.Get(key)
	c, hasCurrent := current.Get(key)
	switch {
	case !hasNew && !hasCurrent:
		return nil
	case hasNew && hasCurrent:
		if n.Equal(c) {
			return nil
		}
		return errInequivalent(key, r, "'"+plainTerm(n)+"'", "'"+plainTerm(c)+"'")
	case hasNew:
		return errInequivalent(key, r, valueOfType(n), "none")
	default:
		return errInequivalent(key, r, "none", valueOfType(c))
	}
}

func valueOfType(v wire.Value) string {
	return "the value '" + plainTerm(v) + "' of type '" + v.Kind.String() + "'"
}

// storedArguments decodes the arguments of an entity in the metadata.
func storedArguments(b []byte, r resource) (wire.Table, error) {
	if len(b) == 0 {
		return nil, nil
	}
	t, err := wire.ParseTable(b)
	if err != nil {
		return nil, wire.Errorf(wire.InternalError, "arguments of %s are damaged", r)
	}
	return t, nil
}
