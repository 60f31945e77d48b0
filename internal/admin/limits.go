package admin

import (
	"context"
	"maps"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

func limitsOf(l cluster.Limits) map[string]int64 {
	out := make(map[string]int64, len(l))
	for k, n := range l {
		out[string(k)] = n
	}
	return out
}

// edited returns old with what was asked for. Negative limits are none.
func edited(old cluster.Limits, change map[string]int64) cluster.Limits {
	next := maps.Clone(old)
	if next == nil {
		next = make(cluster.Limits)
	}
	for k, n := range change {
		next[cluster.Limit(k)] = n
	}
	return next
}

// ListVHostLimits implements adminv1.LimitServiceServer.
func (a *api) ListVHostLimits(ctx context.Context, r *adminv1.ListVHostLimitsRequest) (*adminv1.ListVHostLimitsResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	sees := a.visible(a.callerOf(ctx), monitoring)
	list, next, total := take(p, func(yield func(string, *adminv1.VHostLimits) bool) {
		for v := range a.Broker.State().VHosts() {
			if r.GetVhost() != "" && v.Name != r.GetVhost() || !f.match(v.Name) || !sees(v.Name) {
				continue
			}
			l := a.Broker.VHostLimits(v.Name)
			if len(l) > 0 && !yield(keyOf(v.Name), &adminv1.VHostLimits{Vhost: text(v.Name), Limits: limitsOf(l)}) {
				return
			}
		}
	})
	return &adminv1.ListVHostLimitsResponse{Limits: list, NextPageToken: next, TotalSize: total}, nil
}

// SetVHostLimits implements adminv1.LimitServiceServer.
func (a *api) SetVHostLimits(ctx context.Context, r *adminv1.SetVHostLimitsRequest) (*adminv1.SetVHostLimitsResponse, error) {
	l := r.GetLimits()
	if len(l.GetLimits()) == 0 {
		return nil, violation("limits.limits", "want at least one of %s, %s", cluster.MaxConnections, cluster.MaxQueues)
	}
	err := a.Broker.SetVHostLimits(a.actor(ctx), l.GetVhost(), edited(a.Broker.VHostLimits(l.GetVhost()), l.GetLimits()))
	return &adminv1.SetVHostLimitsResponse{}, toStatus(err)
}

// ClearVHostLimits implements adminv1.LimitServiceServer.
func (a *api) ClearVHostLimits(ctx context.Context, r *adminv1.ClearVHostLimitsRequest) (*adminv1.ClearVHostLimitsResponse, error) {
	return &adminv1.ClearVHostLimitsResponse{}, toStatus(a.Broker.SetVHostLimits(a.actor(ctx), r.GetVhost(), nil))
}

// ListUserLimits implements adminv1.LimitServiceServer. Those without the tag monitoring see their own.
func (a *api) ListUserLimits(ctx context.Context, r *adminv1.ListUserLimitsRequest) (*adminv1.ListUserLimitsResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	c := a.callerOf(ctx)
	list, next, total := take(p, func(yield func(string, *adminv1.UserLimits) bool) {
		for u := range a.Broker.State().Users() {
			if r.GetUser() != "" && u.Name != r.GetUser() || !f.match(u.Name) || u.Name != c.name && !c.has(monitoring) {
				continue
			}
			l := a.Broker.UserLimits(u.Name)
			if len(l) > 0 && !yield(keyOf(u.Name), &adminv1.UserLimits{User: text(u.Name), Limits: limitsOf(l)}) {
				return
			}
		}
	})
	return &adminv1.ListUserLimitsResponse{Limits: list, NextPageToken: next, TotalSize: total}, nil
}

// SetUserLimits implements adminv1.LimitServiceServer.
func (a *api) SetUserLimits(ctx context.Context, r *adminv1.SetUserLimitsRequest) (*adminv1.SetUserLimitsResponse, error) {
	l := r.GetLimits()
	if len(l.GetLimits()) == 0 {
		return nil, violation("limits.limits", "want at least one of %s, %s", cluster.MaxConnections, cluster.MaxChannels)
	}
	err := a.Broker.SetUserLimits(a.actor(ctx), l.GetUser(), edited(a.Broker.UserLimits(l.GetUser()), l.GetLimits()))
	return &adminv1.SetUserLimitsResponse{}, toStatus(err)
}

// ClearUserLimits implements adminv1.LimitServiceServer.
func (a *api) ClearUserLimits(ctx context.Context, r *adminv1.ClearUserLimitsRequest) (*adminv1.ClearUserLimitsResponse, error) {
	if a.Broker.State().User(r.GetUser()) == nil {
		return nil, toStatus(&meta.NameError{Err: meta.ErrNoUser, Name: r.GetUser()})
	}
	return &adminv1.ClearUserLimitsResponse{}, toStatus(a.Broker.SetUserLimits(a.actor(ctx), r.GetUser(), nil))
}
