package cluster

import (
	"errors"
	"fmt"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// Constructors of the errors that clients get. They take the explanation, the name of the code goes in front.

func errAccessRefused(text string) error { return wire.Errorf(wire.AccessRefused, "%s", text) }

func errPrecondition(format string, args ...any) error {
	return wire.Errorf(wire.PreconditionFailed, format, args...)
}

// errNotFound says that an exchange or queue does not exist.
func errNotFound(r resource) error { return wire.Errorf(wire.NotFound, "no %s", r) }

// errLocked says that a queue belongs to another connection, or is not exclusive when it was asked for as exclusive.
func errLocked(r resource) error {
	return wire.Errorf(wire.ResourceLocked, "cannot obtain exclusive access to locked %s. It could be originally declared "+
		"on another connection or the exclusive property value does not match that of the original declaration.", r)
}

func errReserved(r resource) error {
	return errAccessRefused(fmt.Sprintf("%s name '%s' contains reserved prefix '%s*'", r.kind, r.name, reservedPrefix))
}

func errInequivalent(field string, r resource, received, current string) error {
	return errPrecondition("inequivalent arg '%s' for %s: received %s but current is %s", field, r, received, current)
}

// errInvalidType refuses an argument that must be a string.
func errInvalidType(kind, key string, r resource) error {
	return errPrecondition("invalid type '%s' for arg '%s' in %s", kind, key, r)
}

var errDefaultExchange = errAccessRefused("operation not permitted on the default exchange")

// errNotAllowed refuses connection.open.
func errNotAllowed(format string, args ...any) error {
	return wire.Errorf(wire.NotAllowed, format, args...)
}

// clientError turns what a proposal or a queue engine said about r into the error for the client. The errors of the
// metadata that say what is missing win over r.
func clientError(err error, r resource) error {
	var amqp *wire.Error
	if err == nil || errors.As(err, &amqp) {
		return err
	}
	var name *meta.NameError
	if errors.As(err, &name) {
		switch {
		case errors.Is(err, meta.ErrNoExchange):
			return errNotFound(resource{kindExchange, name.Name, name.VHost})
		case errors.Is(err, meta.ErrNoQueue):
			return errNotFound(resource{kindQueue, name.Name, name.VHost})
		case errors.Is(err, meta.ErrExchangeInUse):
			return errPrecondition("%s in use", resource{kindExchange, name.Name, name.VHost})
		case errors.Is(err, meta.ErrNoVHost):
			return wire.Errorf(wire.InternalError, "vhost '%s' is down", name.Name)
		}
	}
	switch {
	case errors.Is(err, queue.ErrGone):
		return errNotFound(r)
	case errors.Is(err, queue.ErrInUse):
		return errPrecondition("%s in use", r)
	case errors.Is(err, queue.ErrNotEmpty):
		return errPrecondition("%s not empty", r)
	case errors.Is(err, queue.ErrExclusiveUse):
		return errAccessRefused(r.String() + " in exclusive use")
	case errors.Is(err, queue.ErrUnavailable):
		return wire.Errorf(wire.NotFound, "home node of %s is down or inaccessible", r)
	case errors.Is(err, meta.ErrNotLeader), errors.Is(err, meta.ErrLeadershipLost), errors.Is(err, meta.ErrTimeout),
		errors.Is(err, meta.ErrShutdown), errors.Is(err, meta.ErrOwnerEnded):
		return wire.Errorf(wire.InternalError, "the cluster could not commit a change of %s: %v", r, err)
	}
	return wire.Errorf(wire.InternalError, "change of %s failed: %v", r, err)
}
