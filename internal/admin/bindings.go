package admin

import (
	"context"
	"iter"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// bindingSource yields the bindings that a request asks for, from the shortest list that has them.
func bindingSource(s *meta.State, r *adminv1.ListBindingsRequest) iter.Seq[*meta.Binding] {
	switch {
	case r.GetVhost() == "":
		return s.Bindings()
	case r.Source != nil:
		return s.BindingsFrom(r.GetVhost(), r.GetSource())
	}
	return s.BindingsIn(r.GetVhost())
}

// ListBindings implements adminv1.BindingServiceServer.
func (a *api) ListBindings(ctx context.Context, r *adminv1.ListBindingsRequest) (*adminv1.ListBindingsResponse, error) {
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
	match := func(b *meta.Binding) bool {
		switch {
		case r.Source != nil && b.Source != r.GetSource(), r.GetDestination() != "" && b.Destination != r.GetDestination():
			return false
		case r.GetDestinationType() == adminv1.DestinationType_DESTINATION_TYPE_QUEUE && b.DestinationKind != meta.ToQueue,
			r.GetDestinationType() == adminv1.DestinationType_DESTINATION_TYPE_EXCHANGE && b.DestinationKind != meta.ToExchange:
			return false
		}
		return f.match(b.Destination) && sees(b.VHost)
	}
	list, next, total := take(p, func(yield func(string, *meta.Binding) bool) {
		for b := range bindingSource(s, r) {
			if match(b) && !yield(bindingKey(b), b) {
				return
			}
		}
	})
	out := &adminv1.ListBindingsResponse{NextPageToken: next, TotalSize: total}
	for _, b := range list {
		out.Bindings = append(out.Bindings, bindingOf(b))
	}
	return out, nil
}

// bindingKey sorts as the state does. What comes after the routing key there is a digest of the arguments, in which order bindings
// that differ in nothing else are; the page token has to find its place among them again.
func bindingKey(b *meta.Binding) string { return string(b.Key()) }

func bindingOf(b *meta.Binding) *adminv1.Binding {
	to := adminv1.DestinationType_DESTINATION_TYPE_QUEUE
	if b.DestinationKind == meta.ToExchange {
		to = adminv1.DestinationType_DESTINATION_TYPE_EXCHANGE
	}
	return &adminv1.Binding{Vhost: text(b.VHost), Source: text(b.Source), Destination: text(b.Destination), DestinationType: to,
		RoutingKey: text(b.RoutingKey), Arguments: argumentsOf(b.Arguments)}
}

// readBinding reads a binding of a request.
func readBinding(b *adminv1.Binding) (spec cluster.BindingSpec, kind meta.DestinationKind, err error) {
	if b == nil {
		return spec, kind, violation("binding", "want a binding")
	}
	for _, f := range []struct{ name, value string }{
		{"source", b.GetSource()}, {"destination", b.GetDestination()}, {"routing_key", b.GetRoutingKey()},
	} {
		if len(f.value) > maxShort {
			return spec, kind, violation("binding."+f.name, "got %d bytes, want at most %d", len(f.value), maxShort)
		}
	}
	if b.GetDestinationType() == adminv1.DestinationType_DESTINATION_TYPE_EXCHANGE {
		kind = meta.ToExchange
	}
	spec = cluster.BindingSpec{Source: b.GetSource(), Destination: b.GetDestination(), RoutingKey: b.GetRoutingKey()}
	spec.Arguments, err = tableOf("binding.arguments", b.GetArguments())
	return spec, kind, err
}

// findBinding returns the stored binding that equals spec for people, nil if there is none: integers of different widths are equal.
func findBinding(s *meta.State, vhost string, spec *cluster.BindingSpec, kind meta.DestinationKind) *meta.Binding {
	want := meta.Binding{VHost: vhost, Source: spec.Source, Destination: spec.Destination, DestinationKind: kind,
		RoutingKey: spec.RoutingKey, Arguments: spec.Arguments.Encode()}
	if b := s.Binding(&want); b != nil {
		return b
	}
	shown := bindingOf(&want).String()
	for b := range s.BindingsFrom(vhost, spec.Source) {
		if b.Destination == spec.Destination && b.DestinationKind == kind && b.RoutingKey == spec.RoutingKey && bindingOf(b).String() == shown {
			return b
		}
	}
	return nil
}

// DeclareBinding implements adminv1.BindingServiceServer.
func (a *api) DeclareBinding(ctx context.Context, r *adminv1.DeclareBindingRequest) (*adminv1.DeclareBindingResponse, error) {
	spec, kind, err := readBinding(r.GetBinding())
	if err != nil {
		return nil, err
	}
	vhost := r.GetBinding().GetVhost()
	access, err := a.act(ctx, vhost)
	if err != nil {
		return nil, err
	}
	existed := findBinding(a.Broker.State(), vhost, &spec, kind) != nil
	if !existed {
		if kind == meta.ToExchange {
			err = access.BindExchange(spec)
		} else {
			err = access.BindQueue(spec)
		}
	}
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.DeclareBindingResponse{Created: !existed}, nil
}

// DeleteBinding implements adminv1.BindingServiceServer.
func (a *api) DeleteBinding(ctx context.Context, r *adminv1.DeleteBindingRequest) (*adminv1.DeleteBindingResponse, error) {
	spec, kind, err := readBinding(r.GetBinding())
	if err != nil {
		return nil, err
	}
	vhost := r.GetBinding().GetVhost()
	access, err := a.act(ctx, vhost)
	if err != nil {
		return nil, err
	}
	stored := findBinding(a.Broker.State(), vhost, &spec, kind)
	if stored != nil {
		spec.Arguments = tableIn(stored.Arguments)
	}
	if kind == meta.ToExchange {
		err = access.UnbindExchange(spec)
	} else {
		err = access.UnbindQueue(spec)
	}
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.DeleteBindingResponse{Deleted: stored != nil}, nil
}
