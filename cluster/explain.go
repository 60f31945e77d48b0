package cluster

import (
	"fmt"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/routing"
)

// RouteStop is an exchange on the way of a message, with the bindings that it considers.
type RouteStop struct {
	routing.Stop
	Type      string
	Bindings  []RouteBinding // up to MaxRouteBindings
	NBindings int            // in all
	// Alternate is the alternate exchange, used or not, and where its name comes from; empty for none.
	Alternate, AlternateOrigin string
}

// MaxRouteBindings bounds the bindings of a RouteStop.
const MaxRouteBindings = 1000

// RouteBinding is a binding as a message meets it.
type RouteBinding struct {
	*meta.Binding
	Matched bool
	Why     string // in words
}

// ExplainRoute returns the way that a message would take now, and the names of the queues that would get it. Errors: 404 for the exchange.
func (a *Access) ExplainRoute(name, key string, headers wire.Table) (stops []RouteStop, queues []string, err error) {
	v := a.Routes()
	r := resource{kindExchange, cleanName(name), a.vhost}
	if v == nil {
		return nil, nil, &meta.NameError{Err: meta.ErrNoVHost, Name: a.vhost}
	}
	x := v.Exchange(r.name)
	if x == nil {
		return nil, nil, errNotFound(r)
	}
	m := exchange.Message{Key: []byte(key), Headers: headers.Encode()}
	way, found := v.Explain(x, &m)
	s := a.broker.State()
	for _, stop := range way {
		stops = append(stops, a.broker.explainStop(s, a.vhost, stop, &m))
	}
	for _, q := range found {
		queues = append(queues, q.Def.Name)
	}
	return stops, queues, nil
}

func (b *Broker) explainStop(s *meta.State, vhost string, stop routing.Stop, m *exchange.Message) RouteStop {
	x := stop.Exchange
	out := RouteStop{Stop: stop, Type: x.Type()}
	if x.Def == nil { // every queue is bound to the default exchange by its name
		out.Bindings = []RouteBinding{{
			Binding: &meta.Binding{VHost: vhost, Destination: string(m.Key), RoutingKey: string(m.Key)},
			Matched: len(stop.Queues) > 0,
			Why:     fmt.Sprintf("there is no queue '%s'", m.Key),
		}}
		out.NBindings = 1
		if len(stop.Queues) > 0 {
			out.Bindings[0].Why = "the routing key is the name of the queue"
		}
		return out
	}
	if name, ok := x.Alternate(); ok {
		out.Alternate, out.AlternateOrigin = name, "argument"
		args, _ := wire.ParseTable(x.Def.Arguments)
		if _, own := args.Get(alternateExchange); !own {
			_, effective := b.EffectiveSettings(nil, x.Def)
			out.AlternateOrigin = "policy " + effective.Policy
		}
	}
	leads := make(map[string]bool, len(stop.Queues)+len(stop.Exchanges))
	for _, q := range stop.Queues {
		leads[kindQueue+q.Def.Name] = true
	}
	for _, name := range stop.Exchanges {
		leads[kindExchange+name] = true
	}
	for binding := range s.BindingsFrom(vhost, x.Def.Name) {
		out.NBindings++
		if len(out.Bindings) >= MaxRouteBindings {
			continue
		}
		to := destination(binding)
		out.Bindings = append(out.Bindings, explainBinding(x, binding, m, leads[to.kind+to.name], stop.Delayed))
	}
	return out
}

// lone is the only destination of a table that tells whether one binding matches.
type lone struct{}

func (lone) ID() uint64       { return 1 }
func (lone) Identity() string { return "" }
func (lone) Local() bool      { return true }

func explainBinding(x *routing.Exchange, b *meta.Binding, m *exchange.Message, leads, delayed bool) RouteBinding {
	out := RouteBinding{Binding: b}
	t := exchange.TypeOf(x.Def.Type, x.Def.Arguments)
	if t == nil {
		out.Why = fmt.Sprintf("this node does not know the exchange type '%s'", x.Def.Type)
		return out
	}
	if delayed {
		out.Why = "considered when the delay is over"
		return out
	}
	switch t.Name {
	case exchange.Direct, exchange.Fanout, exchange.Topic, exchange.Headers:
		only := t.New(x.Def.Arguments).With(exchange.Binding{Key: b.RoutingKey, Arguments: b.Arguments, To: lone{}})
		out.Matched = len(only.Match(nil, m)) > 0
		out.Why = reason(t.Name, b, m, out.Matched)
	default:
		out.Matched = leads
		out.Why = "not chosen: the exchange chooses one of its bindings"
		if leads {
			out.Why = "chosen by the exchange"
		}
	}
	return out
}

// reason says why a binding matches or not.
func reason(kind string, b *meta.Binding, m *exchange.Message, matched bool) string {
	not := "is not"
	if matched {
		not = "is"
	}
	switch kind {
	case exchange.Direct:
		return fmt.Sprintf("the routing key '%s' %s the binding key", m.Key, not)
	case exchange.Topic:
		verb := "does not match"
		if matched {
			verb = "matches"
		}
		return fmt.Sprintf("the routing key '%s' %s the pattern '%s'", m.Key, verb, b.RoutingKey)
	case exchange.Headers:
		args, _ := wire.ParseTable(b.Arguments)
		mode := "all"
		if v, ok := args.Get("x-match"); ok {
			mode = v.Str
		}
		if matched {
			return fmt.Sprintf("the headers match the arguments (x-match: %s)", mode)
		}
		return fmt.Sprintf("the headers do not match the arguments (x-match: %s)", mode)
	}
	return "a fanout exchange takes every binding"
}
