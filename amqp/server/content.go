package server

import "github.com/brokerd/brokerd/amqp/wire"

// expectation is the kind of frame that a channel is waiting for.
type expectation uint8

const (
	expectMethod expectation = iota
	expectHeader
	expectBody
)

// content is the state of a method with content whose frames are arriving.
type content struct {
	expect    expectation
	method    wire.MethodKey
	discard   bool        // the body is read and dropped
	failure   *wire.Error // why; raised after the body, as clients expect
	remaining uint64      // bytes of the body to come
	overrun   bool        // the body is longer than announced
}

// begin starts the content of a method. A failure is raised once the content was consumed.
func (ch *channel) beginContent(key wire.MethodKey, failure *wire.Error) {
	ch.content = content{expect: expectHeader, method: key, discard: failure != nil, failure: failure}
}

// header handles a content header frame.
func (ch *channel) header(payload []byte) error {
	class, weight, size, properties, err := wire.ParseContentHeader(payload)
	if err != nil {
		return err
	}
	k := &ch.content
	switch {
	case k.expect != expectHeader:
		return ch.misplaced()
	case weight != 0:
		return ch.misplaced()
	case class != k.method.Class():
		return wire.Errorf(wire.UnexpectedFrame, "expected content header for class %d, got one for class %d instead",
			k.method.Class(), class).WithMethod(k.method)
	}
	if limit := ch.conn.opts.MaxMessageSize; !k.discard && size > uint64(limit) {
		k.discard = true
		k.failure = wire.Errorf(wire.PreconditionFailed, "message size %d is larger than configured max size %d", size, limit).
			WithMethod(k.method)
	}
	if !k.discard {
		if err := ch.pub.header(size, properties); err != nil {
			return err
		}
	}
	k.remaining = size
	if size == 0 {
		return ch.endContent()
	}
	k.expect = expectBody
	return nil
}

// body handles a body frame.
func (ch *channel) body(b []byte) error {
	k := &ch.content
	if k.expect != expectBody {
		return ch.misplaced()
	}
	if uint64(len(b)) > k.remaining || k.overrun {
		// RabbitMQ goes on waiting for the end of a body that is longer than announced. What came is no message.
		k.overrun = true
		return nil
	}
	if !k.discard {
		ch.pub.body(b)
	}
	return ch.arrived(uint64(len(b)))
}

// arrived notes that n more bytes of the body are here.
func (ch *channel) arrived(n uint64) error {
	k := &ch.content
	k.remaining -= n
	if k.remaining > 0 {
		return nil
	}
	return ch.endContent()
}

// endContent is called when all of the body is here.
func (ch *channel) endContent() error {
	failure, discard := ch.content.failure, ch.content.discard
	ch.content = content{}
	if failure != nil {
		return failure
	}
	if discard {
		return nil
	}
	return named(ch.pub.finish(), wire.KeyBasicPublish)
}

// misplaced is the error for a frame that does not follow the one before it.
func (ch *channel) misplaced() *wire.Error {
	k := &ch.content
	switch k.expect {
	case expectHeader:
		return wire.Errorf(wire.UnexpectedFrame, "expected content header for class %d, got non content header frame instead",
			k.method.Class()).WithMethod(k.method)
	case expectBody:
		return wire.Errorf(wire.UnexpectedFrame, "expected content body, got non content body frame instead").WithMethod(k.method)
	}
	return wire.Errorf(wire.UnexpectedFrame, "expected method frame, got non method frame instead")
}
