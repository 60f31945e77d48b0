package cluster

import (
	"strings"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// BindExchange is exchange.bind (SEMANTICS 4). Binding twice is no error.
func (a *Access) BindExchange(s BindingSpec) error {
	return a.bind(a.binding(meta.ToExchange, s), s.Arguments)
}

// UnbindExchange is exchange.unbind. Unbinding what is not there is no error.
func (a *Access) UnbindExchange(s BindingSpec) error { return a.unbind(a.binding(meta.ToExchange, s)) }

// BindQueue is queue.bind (SEMANTICS 4). Binding twice is no error.
func (a *Access) BindQueue(s BindingSpec) error {
	return a.bind(a.binding(meta.ToQueue, s), s.Arguments)
}

// UnbindQueue is queue.unbind. Unbinding what is not there is no error.
func (a *Access) UnbindQueue(s BindingSpec) error { return a.unbind(a.binding(meta.ToQueue, s)) }

func (a *Access) binding(kind meta.DestinationKind, s BindingSpec) *meta.Binding {
	return &meta.Binding{
		VHost:           a.vhost,
		Source:          cleanName(s.Source),
		Destination:     cleanName(s.Destination),
		DestinationKind: kind,
		RoutingKey:      s.RoutingKey,
		Arguments:       s.Arguments.Encode(),
	}
}

func destination(b *meta.Binding) resource {
	if b.DestinationKind == meta.ToExchange {
		return resource{kindExchange, b.Destination, b.VHost}
	}
	return resource{kindQueue, b.Destination, b.VHost}
}

// checkEnds checks names and permissions, for bind and unbind alike.
func (a *Access) checkEnds(b *meta.Binding) error {
	to := destination(b)
	if to.kind == kindQueue && strings.HasPrefix(to.name, replyToPrefix) {
		return errAccessRefused("cannot bind or unbind to a volatile (direct reply-to) queue")
	}
	if err := a.check(opWrite, to); err != nil {
		return err
	}
	if b.Source == "" || to.kind == kindExchange && to.name == "" {
		return errDefaultExchange
	}
	if err := a.check(opRead, resource{kindExchange, b.Source, a.vhost}); err != nil {
		return err
	}
	if a.administrator || a.broker.topicPermissions.Load() == 0 {
		return nil
	}
	return a.checkTopic(opRead, b.Source, []byte(b.RoutingKey))
}

func (a *Access) bind(b *meta.Binding, args wire.Table) error {
	if err := a.checkEnds(b); err != nil {
		return err
	}
	from, to := resource{kindExchange, b.Source, a.vhost}, destination(b)
	x, err := a.broker.findExchange(from)
	if err != nil {
		return err
	}
	if x == nil {
		return errNotFound(from)
	}
	var q *meta.Queue
	if to.kind == kindExchange {
		if err := a.FindExchange(to.name); err != nil {
			return err
		}
	} else if q, _, err = a.broker.findQueue(to); err != nil {
		return err
	} else if q == nil {
		return errNotFound(to)
	}
	queueType := ""
	if q != nil {
		queueType = q.Type
	}
	if err := checkBindingTo(x, b.RoutingKey, args, queueType); err != nil {
		return err
	}
	if q != nil {
		if err := a.checkExclusive(q); err != nil {
			return err
		}
	}
	if a.broker.State().Binding(b) != nil {
		a.broker.agreed()
		return nil
	}
	result, err := a.propose(meta.Bind{Binding: *b})
	if err == nil && result.Created && x.Type == exchange.RecentHistory {
		err = a.broker.replay(b)
	}
	return clientError(err, to)
}

// checkBindingTo checks what the type of x says about a binding to a queue of a type, or to an exchange if that is empty.
func checkBindingTo(x *meta.Exchange, key string, args wire.Table, queueType string) error {
	t := exchange.TypeOf(x.Type, x.Arguments)
	if t == nil {
		return nil
	}
	if err := t.CheckBinding(key, args); err != nil {
		return err
	}
	return t.CheckDestination(queueType)
}

func (a *Access) unbind(b *meta.Binding) error {
	if err := a.checkEnds(b); err != nil {
		return err
	}
	state := a.broker.State()
	if state.Binding(b) == nil {
		if err := a.broker.catchUp(destination(b)); err != nil {
			return err
		}
		if state = a.broker.State(); state.Binding(b) == nil {
			return nil
		}
	}
	// RabbitMQ looks at the owner of the queue only once it has found the binding.
	if b.DestinationKind == meta.ToQueue {
		if q := state.Queue(a.vhost, b.Destination); q != nil {
			if err := a.checkExclusive(q); err != nil {
				return err
			}
		}
	}
	_, err := a.propose(meta.Unbind{Binding: *b})
	return clientError(err, destination(b))
}
