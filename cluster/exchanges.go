package cluster

import (
	"errors"
	"fmt"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// checkExchangeType refuses types that do not exist. Like RabbitMQ 3.10 it is an error of the connection.
func checkExchangeType(name string) error {
	switch {
	case name == "":
		return wire.Errorf(wire.CommandInvalid, "invalid exchange type ''")
	case exchange.Lookup(name) != nil:
		return nil
	}
	return wire.Errorf(wire.CommandInvalid, "unknown exchange type '%s'", name)
}

func checkNotDefault(name string) error {
	if name == "" {
		return errDefaultExchange
	}
	return nil
}

// DeclareExchange is exchange.declare (SEMANTICS 3.2 to 3.4). A declare of what exists changes nothing and does not wait.
func (a *Access) DeclareExchange(s ExchangeSpec) error {
	s.Name = cleanName(s.Name)
	r := resource{kindExchange, s.Name, a.vhost}
	if s.Passive {
		return a.passiveExchange(r)
	}
	if err := checkExchangeType(s.Type); err != nil {
		return err
	}
	if err := checkNotDefault(s.Name); err != nil {
		return err
	}
	if err := a.check(opConfigure, r); err != nil {
		return err
	}
	if x := a.broker.State().Exchange(a.vhost, s.Name); x != nil {
		return checkExchangeEquivalence(x, &s)
	}
	if err := a.checkNewExchange(r, &s); err != nil {
		return err
	}
	result, err := a.propose(meta.DeclareExchange{Exchange: a.newExchange(&s)})
	if err != nil {
		return clientError(err, r)
	}
	// Somebody else may have declared it in between.
	return checkExchangeEquivalence(result.Exchange, &s)
}

func (a *Access) passiveExchange(r resource) error {
	if err := checkNotDefault(r.name); err != nil {
		return err
	}
	if err := a.checkAny(r); err != nil {
		return err
	}
	return a.FindExchange(r.name)
}

// checkNewExchange checks what is asked of an exchange only when it is made.
func (a *Access) checkNewExchange(r resource, s *ExchangeSpec) error {
	if reserved(s.Name) {
		return errReserved(r)
	}
	for i := range exchangeArguments {
		x := &exchangeArguments[i]
		if v, ok := s.Arguments.Get(x.key); ok {
			if d := x.check(v, s.Arguments); d != "" {
				return errInvalidArgument(x.key, r, d)
			}
		}
	}
	if err := exchange.Lookup(s.Type).CheckExchange(s.Arguments); err != nil {
		return err
	}
	v, ok := s.Arguments.Get(alternateExchange)
	if !ok {
		return nil
	}
	if v.Kind != wire.KindString {
		return errInvalidType(v.Kind.String(), alternateExchange, r)
	}
	if err := a.check(opRead, r); err != nil {
		return err
	}
	return a.check(opWrite, resource{kindExchange, v.Str, a.vhost})
}

func (a *Access) newExchange(s *ExchangeSpec) meta.Exchange {
	x := meta.Exchange{
		VHost:      a.vhost,
		Name:       s.Name,
		Type:       s.Type,
		Durable:    s.Durable,
		AutoDelete: s.AutoDelete,
		Internal:   s.Internal,
		Arguments:  s.Arguments.Encode(),
	}
	if !x.Durable {
		x.Owner = a.broker.run()
	}
	if x.Type == exchange.Delayed || x.Type == exchange.RecentHistory {
		x.Leader = a.broker.opts.NodeID
	}
	return x
}

// DeleteExchange is exchange.delete (SEMANTICS 3.5). Deleting what does not exist succeeds.
func (a *Access) DeleteExchange(name string, ifUnused bool) error {
	r := resource{kindExchange, cleanName(name), a.vhost}
	if err := checkNotDefault(r.name); err != nil {
		return err
	}
	if reserved(r.name) {
		return errAccessRefused(fmt.Sprintf("deletion of system %s not allowed", r))
	}
	if err := a.check(opConfigure, r); err != nil {
		return err
	}
	if x, err := a.broker.findExchange(r); x == nil {
		return err
	}
	_, err := a.propose(meta.DeleteExchange{VHost: a.vhost, Name: r.name, IfUnused: ifUnused})
	if errors.Is(err, meta.ErrNoExchange) { // another delete was faster
		return a.broker.catchUp(r)
	}
	return clientError(err, r)
}
