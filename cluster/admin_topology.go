package cluster

import (
	"context"

	"github.com/brokerd/brokerd/cluster/meta"
)

// Exchanges, queues and bindings as operators change them. The checks are those for clients, but for permissions, and exclusive
// queues are not locked. Errors: *wire.Error with the texts that clients get, *meta.NameError for what is not there, where a client
// would be told that all is well.

// administrator returns what stands for the administrator in a vhost, for one operation. It is not a connection: it is not counted
// and need not be closed.
func (b *Broker) administrator(ctx context.Context, vhost string) (*Access, error) {
	if b.State().VHost(vhost) == nil {
		return nil, &meta.NameError{Err: meta.ErrNoVHost, Name: vhost}
	}
	actor, _ := ctx.Value(actorKey{}).(string)
	return &Access{
		broker:        b,
		user:          User{Name: actor},
		vhost:         vhost,
		conn:          connection{broker: b},
		administrator: true,
		ctx:           ctx,
	}, nil
}

// DeclareExchange declares an exchange. If there is one with other properties, the error is 406. One that is not durable goes when
// this node stops.
func (b *Broker) DeclareExchange(ctx context.Context, vhost string, s ExchangeSpec) (created bool, err error) {
	a, err := b.administrator(ctx, vhost)
	if err != nil {
		return false, err
	}
	s.Passive = false
	existed := b.State().Exchange(vhost, cleanName(s.Name)) != nil
	if err := a.DeclareExchange(s); err != nil {
		return false, err
	}
	return !existed, nil
}

// DeleteExchange deletes an exchange with its bindings.
func (b *Broker) DeleteExchange(ctx context.Context, vhost, name string, ifUnused bool) error {
	a, err := b.administrator(ctx, vhost)
	if err != nil {
		return err
	}
	if b.State().Exchange(vhost, cleanName(name)) == nil {
		return &meta.NameError{Err: meta.ErrNoExchange, VHost: vhost, Name: name}
	}
	return a.DeleteExchange(name, ifUnused)
}

// DeclareQueue declares a queue, which this node leads. If there is one with other properties, the error is 406, or 405 if it is
// exclusive. One that is not durable goes when this node stops; exclusive ones are for connections, the error is 406.
func (b *Broker) DeclareQueue(ctx context.Context, vhost string, s QueueSpec) (info QueueInfo, created bool, err error) {
	a, err := b.administrator(ctx, vhost)
	if err != nil {
		return QueueInfo{}, false, err
	}
	if s.Exclusive {
		return QueueInfo{}, false, errPrecondition("%s cannot be exclusive: only a connection can declare such a queue",
			resource{kindQueue, s.Name, vhost})
	}
	s.Passive = false
	existed := b.State().Queue(vhost, cleanName(s.Name)) != nil
	info, err = a.DeclareQueue(s)
	return info, err == nil && !existed, err
}

// DeleteQueue deletes a queue and returns the number of ready messages that went with it.
func (b *Broker) DeleteQueue(ctx context.Context, vhost, name string, ifUnused, ifEmpty bool) (messages int, err error) {
	a, err := b.administrator(ctx, vhost)
	if err != nil {
		return 0, err
	}
	if b.State().Queue(vhost, cleanName(name)) == nil {
		return 0, &meta.NameError{Err: meta.ErrNoQueue, VHost: vhost, Name: name}
	}
	return a.DeleteQueue(name, ifUnused, ifEmpty)
}

// PurgeQueue removes the ready messages of a queue and returns their number.
func (b *Broker) PurgeQueue(ctx context.Context, vhost, name string) (messages int, err error) {
	a, err := b.administrator(ctx, vhost)
	if err != nil {
		return 0, err
	}
	return a.PurgeQueue(name)
}

// Bind makes a binding; one that is there is no error.
func (b *Broker) Bind(ctx context.Context, binding meta.Binding) (created bool, err error) {
	a, err := b.administrator(ctx, binding.VHost)
	if err != nil {
		return false, err
	}
	args, err := storedArguments(binding.Arguments, destination(&binding))
	if err != nil {
		return false, err
	}
	existed := b.State().Binding(&binding) != nil
	if err := a.bind(&binding, args); err != nil {
		return false, err
	}
	return !existed, nil
}

// Unbind deletes a binding; one that is not there is no error. Its arguments are compared as they are stored, whatever the order of
// the fields, so those of a binding in the State find exactly that one.
func (b *Broker) Unbind(ctx context.Context, binding meta.Binding) (deleted bool, err error) {
	a, err := b.administrator(ctx, binding.VHost)
	if err != nil {
		return false, err
	}
	existed := b.State().Binding(&binding) != nil
	if err := a.unbind(&binding); err != nil {
		return false, err
	}
	return existed, nil
}
