package admin

import (
	"context"

	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// PublishMessage implements adminv1.MessageServiceServer.
func (a *api) PublishMessage(ctx context.Context, r *adminv1.PublishMessageRequest) (*adminv1.PublishMessageResponse, error) {
	for _, f := range []struct{ name, value string }{{"exchange", r.GetExchange()}, {"routing_key", r.GetRoutingKey()}} {
		if len(f.value) > maxShort {
			return nil, violation(f.name, "got %d bytes, want at most %d", len(f.value), maxShort)
		}
	}
	properties, err := readProperties(r.GetProperties())
	if err != nil {
		return nil, err
	}
	access, err := a.act(ctx, r.GetVhost())
	if err != nil {
		return nil, err
	}
	routed, confirmed, err := a.AMQP.Publish(ctx, access, &cluster.User{Name: a.callerOf(ctx).name}, r.GetVhost(), server.Message{
		Exchange: r.GetExchange(), RoutingKey: r.GetRoutingKey(), Properties: properties, Body: r.GetBody()})
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.PublishMessageResponse{Routed: routed, Confirmed: confirmed}, nil
}

// ExplainRoute implements adminv1.MessageServiceServer.
func (a *api) ExplainRoute(ctx context.Context, r *adminv1.ExplainRouteRequest) (*adminv1.ExplainRouteResponse, error) {
	headers, err := tableOf("headers", r.GetHeaders())
	if err != nil {
		return nil, err
	}
	if r.GetVhost() == "" {
		return nil, violation("vhost", "want the name of a virtual host")
	}
	// Who may look at the bindings may look at what they make of a message.
	access, err := a.Broker.Act(ctx, nil, r.GetVhost())
	if err != nil {
		return nil, toStatus(err)
	}
	stops, queues, err := access.ExplainRoute(r.GetExchange(), r.GetRoutingKey(), headers)
	if err != nil {
		return nil, toStatus(err)
	}
	out := &adminv1.ExplainRouteResponse{Queues: texts(queues), Unroutable: len(queues) == 0}
	for _, s := range stops {
		step := &adminv1.RouteStep{Type: s.Type, Depth: uint32(s.Depth), BindingCount: uint64(s.NBindings), AlternateExchange: text(s.Alternate),
			AlternateOrigin: text(s.AlternateOrigin), AlternateUsed: s.Diverted}
		if s.Exchange.Def != nil {
			step.Exchange = text(s.Exchange.Def.Name)
		}
		for _, b := range s.Bindings {
			step.Bindings = append(step.Bindings, &adminv1.RouteBinding{Destination: text(b.Destination), ToExchange: b.DestinationKind == meta.ToExchange,
				RoutingKey: text(b.RoutingKey), Arguments: argumentsOf(b.Arguments), Matched: b.Matched, Reason: text(b.Why)})
		}
		if s.Delayed {
			out.Unroutable = false
			step.Note = "the message is kept back here for the time that its header x-delay says, and routed when it is due"
		}
		out.Steps = append(out.Steps, step)
	}
	return out, nil
}
