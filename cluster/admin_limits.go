package cluster

import (
	"context"
	"errors"
	"maps"

	"github.com/brokerd/brokerd/cluster/meta"
)

// SetVHostLimits replaces all limits of a vhost: MaxConnections and MaxQueues, none if l is empty. They count for what comes;
// nothing that is there is closed or deleted. MaxConnections counts the connections of each node.
func (b *Broker) SetVHostLimits(ctx context.Context, vhost string, l Limits) error {
	defer b.admin.lock(vhost)()
	return b.replaceVHostLimits(ctx, vhost, l)
}

// SetVHostLimit sets one limit of a vhost and leaves the others; a negative one is none.
func (b *Broker) SetVHostLimit(ctx context.Context, vhost string, k Limit, n int64) error {
	defer b.admin.lock(vhost)()
	return b.replaceVHostLimits(ctx, vhost, with(b.VHostLimits(vhost), k, n))
}

// SetUserLimits replaces all limits of a user: MaxConnections and MaxChannels, none if l is empty. They count as those of vhosts
// do.
func (b *Broker) SetUserLimits(ctx context.Context, user string, l Limits) error {
	defer b.admin.lock(user)()
	return b.replaceUserLimits(ctx, user, l)
}

// SetUserLimit sets one limit of a user and leaves the others; a negative one is none.
func (b *Broker) SetUserLimit(ctx context.Context, user string, k Limit, n int64) error {
	defer b.admin.lock(user)()
	return b.replaceUserLimits(ctx, user, with(b.UserLimits(user), k, n))
}

// with returns a copy of l with one limit changed.
func with(l Limits, k Limit, n int64) Limits {
	next := make(Limits, len(l)+1)
	maps.Copy(next, l)
	next[k] = n
	return next
}

func (b *Broker) replaceVHostLimits(ctx context.Context, vhost string, l Limits) error {
	if err := CheckVHostLimits(l); err != nil {
		return err
	}
	if b.State().VHost(vhost) == nil {
		return &meta.NameError{Err: meta.ErrNoVHost, Name: vhost}
	}
	return b.setLimits(ctx, limitsParameter(vhostLimitsComponent, vhost), l)
}

func (b *Broker) replaceUserLimits(ctx context.Context, user string, l Limits) error {
	if err := CheckUserLimits(l); err != nil {
		return err
	}
	if b.State().User(user) == nil {
		return &meta.NameError{Err: meta.ErrNoUser, Name: user}
	}
	return b.setLimits(ctx, limitsParameter(userLimitsComponent, user), l)
}

// setLimits stores l as the value of p. The caller has locked the name.
func (b *Broker) setLimits(ctx context.Context, p meta.Parameter, l Limits) error {
	if p.Value = l.encode(); p.Value != nil {
		_, err := b.administer(ctx, meta.PutParameter{Parameter: p})
		return err
	}
	if b.State().Parameter(p.VHost, p.Component, p.Name) == nil {
		return nil
	}
	_, err := b.administer(ctx, meta.DeleteParameter{VHost: p.VHost, Component: p.Component, Name: p.Name})
	if errors.Is(err, meta.ErrNoParameter) {
		return nil
	}
	return err
}

// PutParameter creates or replaces a runtime parameter; that of component vhost-limits sets the limits of its vhost. Policies and
// the limits of users have operations of their own.
func (b *Broker) PutParameter(ctx context.Context, p meta.Parameter) (created bool, err error) {
	if err := CheckParameter(&p); err != nil {
		return false, err
	}
	if p.Component == vhostLimitsComponent {
		return b.putVHostLimits(ctx, &p)
	}
	r, err := b.administer(ctx, meta.PutParameter{Parameter: p})
	return r.Created, err
}

func (b *Broker) putVHostLimits(ctx context.Context, p *meta.Parameter) (created bool, err error) {
	l, err := ParseLimits(p.Value)
	if err != nil {
		return false, errLimits(p)
	}
	created = b.State().Parameter(p.VHost, p.Component, p.Name) == nil
	return created, b.SetVHostLimits(ctx, p.VHost, l)
}

// DeleteParameter deletes a runtime parameter.
func (b *Broker) DeleteParameter(ctx context.Context, vhost, component, name string) error {
	_, err := b.administer(ctx, meta.DeleteParameter{VHost: vhost, Component: component, Name: name})
	return err
}
