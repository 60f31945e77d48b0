package perf

import (
	"github.com/brokerd/brokerd/amqp/wire"
)

// content puts the frames of a message together, as far as the stamp is concerned. One per channel, for the frames of
// different channels come interleaved.
type content struct {
	expect    byte   // frame type that has to come next, 0 when no content is under way
	remaining uint64 // bytes of the body to come
	size      uint64
	head      [stampLen]byte // start of the body
}

// begin is called for a method that has content.
func (c *content) begin() { c.expect = wire.FrameHeader }

// header takes a content header frame and reports whether the message is complete.
func (c *content) header(payload []byte) (complete bool, err error) {
	if c.expect != wire.FrameHeader {
		return false, errUnexpectedFrame
	}
	_, _, size, _, err := wire.ParseContentHeader(payload)
	if err != nil {
		return false, err
	}
	c.size, c.remaining = size, size
	if size == 0 {
		c.expect = 0
		return true, nil
	}
	c.expect = wire.FrameBody
	return false, nil
}

// body takes a body frame and reports whether the message is complete.
func (c *content) body(payload []byte) (complete bool, err error) {
	if c.expect != wire.FrameBody || uint64(len(payload)) > c.remaining {
		return false, errUnexpectedFrame
	}
	if at := c.size - c.remaining; at < stampLen {
		copy(c.head[at:], payload)
	}
	if c.remaining -= uint64(len(payload)); c.remaining > 0 {
		return false, nil
	}
	c.expect = 0
	return true, nil
}

// sent returns the time of the stamp, if there is one.
func (c *content) sent() (unix int64, ok bool) {
	if c.size < timeLen {
		return 0, false
	}
	return stampTime(c.head[:]), true
}

// id returns the id of the stamp, if there is one.
func (c *content) id() (id messageID, ok bool) {
	if c.size < stampLen {
		return 0, false
	}
	return stampID(c.head[:]), true
}

var errUnexpectedFrame = wire.Errorf(wire.UnexpectedFrame, "a frame that does not belong to the message under way")
