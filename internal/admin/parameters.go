package admin

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// ListParameters implements adminv1.ParameterServiceServer.
func (a *api) ListParameters(ctx context.Context, r *adminv1.ListParametersRequest) (*adminv1.ListParametersResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	s, c := a.Broker.State(), a.callerOf(ctx)
	sees := a.visible(c, administrator)
	match := func(m *meta.Parameter) bool {
		switch {
		case m.VHost == "" && !c.has(monitoring), m.VHost != "" && (r.GetGlobal() || !sees(m.VHost)):
			return false
		}
		return f.match(m.Name) && (r.GetComponent() == "" || m.Component == r.GetComponent())
	}
	list, next, total := take(p, func(yield func(string, *meta.Parameter) bool) {
		for m := range inVHost(r.GetVhost(), s.ParametersIn, s.Parameters) {
			if match(m) && !yield(keyOf(m.VHost, m.Component, m.Name), m) {
				return
			}
		}
	})
	out := &adminv1.ListParametersResponse{NextPageToken: next, TotalSize: total}
	for _, m := range list {
		out.Parameters = append(out.Parameters, parameterOf(m))
	}
	return out, nil
}

func parameterOf(p *meta.Parameter) *adminv1.Parameter {
	return &adminv1.Parameter{Vhost: text(p.VHost), Component: text(p.Component), Name: text(p.Name), Value: text(string(p.Value))}
}

// globalParameter refuses those who are no administrators.
func (a *api) globalParameter(ctx context.Context, vhost string, need tag) error {
	if c := a.callerOf(ctx); vhost == "" && !c.has(need) {
		return status.Errorf(codes.PermissionDenied, "user '%s' needs the tag %s for global parameters", c.name, need)
	}
	return nil
}

// GetParameter implements adminv1.ParameterServiceServer.
func (a *api) GetParameter(ctx context.Context, r *adminv1.GetParameterRequest) (*adminv1.GetParameterResponse, error) {
	if err := a.globalParameter(ctx, r.GetVhost(), monitoring); err != nil {
		return nil, err
	}
	p := a.Broker.State().Parameter(r.GetVhost(), r.GetComponent(), r.GetName())
	if p == nil {
		return nil, toStatus(&meta.NameError{Err: meta.ErrNoParameter, VHost: r.GetVhost(), Name: r.GetName()})
	}
	return &adminv1.GetParameterResponse{Parameter: parameterOf(p)}, nil
}

// PutParameter implements adminv1.ParameterServiceServer.
func (a *api) PutParameter(ctx context.Context, r *adminv1.PutParameterRequest) (*adminv1.PutParameterResponse, error) {
	p := r.GetParameter()
	if p == nil {
		return nil, violation("parameter", "want a parameter")
	}
	if err := a.globalParameter(ctx, p.GetVhost(), administrator); err != nil {
		return nil, err
	}
	created, err := a.Broker.PutParameter(a.actor(ctx), meta.Parameter{VHost: p.GetVhost(), Component: p.GetComponent(), Name: p.GetName(),
		Value: []byte(p.GetValue())})
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.PutParameterResponse{Created: created}, nil
}

// DeleteParameter implements adminv1.ParameterServiceServer.
func (a *api) DeleteParameter(ctx context.Context, r *adminv1.DeleteParameterRequest) (*adminv1.DeleteParameterResponse, error) {
	if err := a.globalParameter(ctx, r.GetVhost(), administrator); err != nil {
		return nil, err
	}
	err := a.Broker.DeleteParameter(a.actor(ctx), r.GetVhost(), r.GetComponent(), r.GetName())
	return &adminv1.DeleteParameterResponse{}, toStatus(err)
}
