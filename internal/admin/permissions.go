package admin

import (
	"context"

	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// ListPermissions implements adminv1.PermissionServiceServer.
func (a *api) ListPermissions(_ context.Context, r *adminv1.ListPermissionsRequest) (*adminv1.ListPermissionsResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	s := a.Broker.State()
	list, next, total := take(p, func(yield func(string, *meta.Permission) bool) {
		for m := range inVHost(r.GetVhost(), s.PermissionsIn, s.Permissions) {
			if f.match(m.User) && (r.GetUser() == "" || m.User == r.GetUser()) && !yield(keyOf(m.VHost, m.User), m) {
				return
			}
		}
	})
	out := &adminv1.ListPermissionsResponse{NextPageToken: next, TotalSize: total}
	for _, m := range list {
		out.Permissions = append(out.Permissions, &adminv1.Permission{User: text(m.User), Vhost: text(m.VHost),
			Configure: text(m.Configure), Write: text(m.Write), Read: text(m.Read)})
	}
	return out, nil
}

// SetPermission implements adminv1.PermissionServiceServer.
func (a *api) SetPermission(ctx context.Context, r *adminv1.SetPermissionRequest) (*adminv1.SetPermissionResponse, error) {
	p := r.GetPermission()
	if p == nil {
		return nil, violation("permission", "want a permission")
	}
	created, err := a.Broker.SetPermission(a.actor(ctx), meta.Permission{User: p.GetUser(), VHost: p.GetVhost(),
		Configure: p.GetConfigure(), Write: p.GetWrite(), Read: p.GetRead()})
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.SetPermissionResponse{Created: created}, nil
}

// ClearPermission implements adminv1.PermissionServiceServer.
func (a *api) ClearPermission(ctx context.Context, r *adminv1.ClearPermissionRequest) (*adminv1.ClearPermissionResponse, error) {
	return &adminv1.ClearPermissionResponse{}, toStatus(a.Broker.ClearPermission(a.actor(ctx), r.GetUser(), r.GetVhost()))
}

// ListTopicPermissions implements adminv1.PermissionServiceServer.
func (a *api) ListTopicPermissions(_ context.Context, r *adminv1.ListTopicPermissionsRequest) (*adminv1.ListTopicPermissionsResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	s := a.Broker.State()
	list, next, total := take(p, func(yield func(string, *meta.TopicPermission) bool) {
		for m := range inVHost(r.GetVhost(), s.TopicPermissionsIn, s.TopicPermissions) {
			if f.match(m.User) && (r.GetUser() == "" || m.User == r.GetUser()) && !yield(keyOf(m.VHost, m.User, m.Exchange), m) {
				return
			}
		}
	})
	out := &adminv1.ListTopicPermissionsResponse{NextPageToken: next, TotalSize: total}
	for _, m := range list {
		out.Permissions = append(out.Permissions, &adminv1.TopicPermission{User: text(m.User), Vhost: text(m.VHost),
			Exchange: text(m.Exchange), Write: text(m.Write), Read: text(m.Read)})
	}
	return out, nil
}

// SetTopicPermission implements adminv1.PermissionServiceServer.
func (a *api) SetTopicPermission(ctx context.Context, r *adminv1.SetTopicPermissionRequest) (*adminv1.SetTopicPermissionResponse, error) {
	p := r.GetPermission()
	if p == nil {
		return nil, violation("permission", "want a topic permission")
	}
	created, err := a.Broker.SetTopicPermission(a.actor(ctx), meta.TopicPermission{User: p.GetUser(), VHost: p.GetVhost(),
		Exchange: p.GetExchange(), Write: p.GetWrite(), Read: p.GetRead()})
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.SetTopicPermissionResponse{Created: created}, nil
}

// ClearTopicPermission implements adminv1.PermissionServiceServer.
func (a *api) ClearTopicPermission(ctx context.Context, r *adminv1.ClearTopicPermissionRequest) (*adminv1.ClearTopicPermissionResponse, error) {
	var err error
	if r.GetExchange() == "" {
		err = a.Broker.ClearTopicPermissions(a.actor(ctx), r.GetUser(), r.GetVhost())
	} else {
		err = a.Broker.ClearTopicPermission(a.actor(ctx), r.GetUser(), r.GetVhost(), r.GetExchange())
	}
	return &adminv1.ClearTopicPermissionResponse{}, toStatus(err)
}
