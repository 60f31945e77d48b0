package admin

import (
	"context"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// policySets are the compiled policies of vhosts, for one answer.
type policySets struct {
	state *meta.State
	sets  map[string]*policy.Set
}

func (p *policySets) of(vhost string) *policy.Set {
	set, ok := p.sets[vhost]
	if !ok {
		set = policy.Compile(p.state.PoliciesIn(vhost))
		if p.sets == nil {
			p.sets = make(map[string]*policy.Set)
		}
		p.sets[vhost] = set
	}
	return set
}

// ListExchanges implements adminv1.ExchangeServiceServer.
func (a *api) ListExchanges(ctx context.Context, r *adminv1.ListExchangesRequest) (*adminv1.ListExchangesResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	s := a.Broker.State()
	sees := a.visible(a.callerOf(ctx), monitoring)
	match := func(x *meta.Exchange) bool {
		return f.match(x.Name) && (r.GetType() == "" || x.Type == r.GetType()) && sees(x.VHost)
	}
	list, next, total := take(p, func(yield func(string, *meta.Exchange) bool) {
		for v := range s.VHosts() {
			if r.GetVhost() != "" && v.Name != r.GetVhost() {
				continue
			}
			if x := defaultExchange(v.Name); match(x) && !yield(keyOf(x.VHost, x.Name), x) {
				return
			}
			for x := range s.ExchangesIn(v.Name) {
				if match(x) && !yield(keyOf(x.VHost, x.Name), x) {
					return
				}
			}
		}
	})
	out := &adminv1.ListExchangesResponse{NextPageToken: next, TotalSize: total}
	sets := policySets{state: s}
	for _, x := range list {
		out.Exchanges = append(out.Exchanges, exchangeOf(s, x, &sets))
	}
	return out, nil
}

// defaultExchange stands for the default exchange of a vhost, which the state does not have.
func defaultExchange(vhost string) *meta.Exchange {
	return &meta.Exchange{VHost: vhost, Type: exchange.Direct, Durable: true}
}

func exchangeOf(s *meta.State, x *meta.Exchange, sets *policySets) *adminv1.Exchange {
	out := &adminv1.Exchange{Vhost: text(x.VHost), Name: text(x.Name), Type: text(x.Type), Durable: x.Durable, AutoDelete: x.AutoDelete,
		Internal: x.Internal, Arguments: argumentsOf(x.Arguments)}
	if x.Name != "" {
		for range s.BindingsFrom(x.VHost, x.Name) {
			out.Bindings++
		}
		effective := sets.of(x.VHost).ForExchange(x.Name, x.Type)
		out.Policy = text(effective.Policy)
	}
	return out
}

// GetExchange implements adminv1.ExchangeServiceServer.
func (a *api) GetExchange(_ context.Context, r *adminv1.GetExchangeRequest) (*adminv1.GetExchangeResponse, error) {
	s := a.Broker.State()
	if s.VHost(r.GetVhost()) == nil {
		return nil, toStatus(&meta.NameError{Err: meta.ErrNoVHost, Name: r.GetVhost()})
	}
	if r.GetName() == "" {
		return &adminv1.GetExchangeResponse{Exchange: exchangeOf(s, defaultExchange(r.GetVhost()), nil)}, nil
	}
	x := s.Exchange(r.GetVhost(), r.GetName())
	if x == nil {
		return nil, toStatus(&meta.NameError{Err: meta.ErrNoExchange, VHost: r.GetVhost(), Name: r.GetName()})
	}
	settings, _ := a.Broker.EffectiveSettings(nil, x)
	return &adminv1.GetExchangeResponse{Exchange: exchangeOf(s, x, &policySets{state: s}), Settings: settingsOf(settings)}, nil
}

// act returns what the caller may do in a vhost.
func (a *api) act(ctx context.Context, vhost string) (*cluster.Access, error) {
	if vhost == "" {
		return nil, violation("vhost", "want the name of a virtual host")
	}
	access, err := a.Broker.Act(a.actor(ctx), a.callerOf(ctx).as(), vhost)
	return access, toStatus(err)
}

// DeclareExchange implements adminv1.ExchangeServiceServer.
func (a *api) DeclareExchange(ctx context.Context, r *adminv1.DeclareExchangeRequest) (*adminv1.DeclareExchangeResponse, error) {
	x := r.GetExchange()
	if x == nil {
		return nil, violation("exchange", "want an exchange")
	}
	if len(x.GetName()) > maxShort {
		return nil, violation("exchange.name", "got %d bytes, want at most %d", len(x.GetName()), maxShort)
	}
	if exchange.Lookup(x.GetType()) == nil && x.GetType() != exchange.Delayed {
		return nil, violation("exchange.type", "got %q, want one of %v", x.GetType(), append(exchange.Names(), exchange.Delayed))
	}
	args, err := tableOf("exchange.arguments", x.GetArguments())
	if err != nil {
		return nil, err
	}
	access, err := a.act(ctx, x.GetVhost())
	if err != nil {
		return nil, err
	}
	existed := a.Broker.State().Exchange(x.GetVhost(), x.GetName()) != nil
	err = access.DeclareExchange(cluster.ExchangeSpec{Name: x.GetName(), Type: x.GetType(), Durable: x.GetDurable(),
		AutoDelete: x.GetAutoDelete(), Internal: x.GetInternal(), Arguments: args})
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.DeclareExchangeResponse{Created: !existed}, nil
}

// DeleteExchange implements adminv1.ExchangeServiceServer.
func (a *api) DeleteExchange(ctx context.Context, r *adminv1.DeleteExchangeRequest) (*adminv1.DeleteExchangeResponse, error) {
	access, err := a.act(ctx, r.GetVhost())
	if err != nil {
		return nil, err
	}
	if r.GetName() != "" && a.Broker.State().Exchange(r.GetVhost(), r.GetName()) == nil {
		return nil, toStatus(&meta.NameError{Err: meta.ErrNoExchange, VHost: r.GetVhost(), Name: r.GetName()})
	}
	return &adminv1.DeleteExchangeResponse{}, toStatus(access.DeleteExchange(r.GetName(), r.GetIfUnused()))
}
