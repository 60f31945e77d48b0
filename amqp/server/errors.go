package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/brokerd/brokerd/amqp/wire"
)

// errUnreadable: the client sent something after which RabbitMQ just closes the socket.
var errUnreadable = errors.New("unreadable method")

// errInternal is what a client is told when something failed that should not.
var errInternal = &wire.Error{Code: wire.InternalError, Text: wire.InternalError.String()}

// parseMethod decodes a method. The error is a *wire.Error, or errUnreadable.
func parseMethod(payload []byte) (wire.Method, error) {
	m, err := wire.ParseMethod(payload)
	if err == nil {
		return m, nil
	}
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code == wire.SyntaxError && strings.Contains(e.Text, "unknown type") {
		return nil, fmt.Errorf("%w: %v", errUnreadable, err) // not wrapped: it is not sent
	}
	return nil, e
}

// softError returns the error that closes only its channel, false if err ends the connection.
func softError(err error) (*wire.Error, bool) {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Hard() {
		return nil, false
	}
	return e, true
}

// isLocked reports whether err is the refusal of another connection's exclusive queue.
func isLocked(err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return ok && e.Code == wire.ResourceLocked
}

// internal turns err into an AMQP error. Anything that is not one is logged and becomes an internal error.
func (c *conn) internal(err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	c.log.Error("internal error", "user", c.userName(), "vhost", c.vhost, "cause", err)
	return errInternal
}

// classify turns err, which ends the connection, into an AMQP error, unless the socket is to be closed without one.
func (c *conn) classify(err error) error {
	if errors.Is(err, errUnreadable) {
		return err
	}
	return c.internal(err)
}

// named returns err with key as the method that failed, if it names none. Bare internal errors have no method on the wire.
func named(err error, key wire.MethodKey) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Method != 0 || e.Text == errInternal.Text {
		return err
	}
	return e.WithMethod(key)
}

// unexpectedFrame is the error for a frame that has no place on its channel, with RabbitMQ's text.
func unexpectedFrame(f wire.Frame) *wire.Error {
	which, payload := "all", f.Payload
	if len(payload) > 16 {
		which, payload = "first 16", payload[:16]
	}
	return wire.Errorf(wire.UnexpectedFrame, "type %d, %s octets = %s", f.Type, which, wire.ErlangBytes(payload))
}
