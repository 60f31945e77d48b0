package server

import (
	"fmt"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/wire"
)

// Bodies on their way in. A body that comes in one frame is used where it is in the read buffer. Others are put together in
// memory of their own, which becomes the queues' when the body is large; most of a large frame is read straight into it.

const (
	// directRead is how much of a body frame must still be in the socket for it to be read straight into the body, in bytes.
	directRead = 16 << 10
	// sparseRead is how much is read at once, in bytes, behind a frame that was read straight into the body: as large frames rarely
	// come alone, that is the header of the next one and little else, as that would have to be copied.
	sparseRead = 4 << 10
	// claimLimit is how much memory all bodies of a node may have, in bytes, for what was announced and did not come yet.
	claimLimit = 64 << 20
)

// claims counts the bytes that bodies have memory for and that did not come yet.
type claims struct{ bytes atomic.Int64 }

// take claims n more bytes unless that would be too much.
func (c *claims) take(n int64) bool {
	if c.bytes.Add(n) > claimLimit {
		c.bytes.Add(-n)
		return false
	}
	return true
}

func (c *claims) giveBack(n int64) { c.bytes.Add(-n) }

// body takes the payload of a body frame, which is only used until finish if it is the whole body.
func (p *publisher) body(b []byte) {
	if p.bodyGot == nil && uint64(len(b)) == p.bodySize {
		p.bodyGot = b
		return
	}
	p.room(len(b))
	p.own = append(p.own, b...)
	p.bodyGot = p.own
}

// room makes room in own for n more bytes of the body, and one more.
func (p *publisher) room(n int) {
	if p.bodyGot == nil {
		p.own = p.own[:0]
	}
	have := len(p.own) + n
	if have < cap(p.own) {
		return
	}
	// The size is only a claim until the body is here. A large body becomes shared memory of its own, so it gets just what it needs.
	p.giveBackClaim()
	size := p.bodySize
	if rest := int64(size) - int64(have); p.c.srv.claims.take(rest) {
		p.claimed = rest
	} else {
		size = min(size, 2*uint64(have))
	}
	p.own = append(make([]byte, 0, size+1), p.own...)
}

func (p *publisher) giveBackClaim() {
	if p.claimed > 0 {
		p.c.srv.claims.giveBack(p.claimed)
		p.claimed = 0
	}
}

// release forgets the body.
func (p *publisher) release() {
	p.giveBackClaim()
	p.bodyGot = nil
	if cap(p.own) > block.LargeBody {
		p.own = nil
	}
}

// directFrame is a body frame the rest of which is read straight into the body. Meanwhile nothing else of the connection is read.
type directFrame struct {
	ch   *channel // nil: there is none
	pub  *publisher
	size int    // bytes of its payload
	own  []byte // the body with this frame's payload and end octet
	rest []byte // the end of own that is still to be read
}

// startDirect begins to read the frame at the start of b, which is not all there, straight into its body. It returns false if that
// cannot or need not be done. b is copied.
func (c *conn) startDirect(b []byte) bool {
	if len(b) < wire.FrameHeaderLen {
		return false
	}
	typ, id, size := wire.ParseFrameHeader(b)
	b = b[wire.FrameHeaderLen:]
	if typ != wire.FrameBody || int(size)-len(b) < directRead {
		return false
	}
	ch := c.channels[id]
	if ch == nil || ch.busy.Load() || ch.state != channelOpen || !ch.content.wants(uint64(size)) {
		return false
	}
	p := ch.pub
	if uint64(size) == p.bodySize {
		// One copy of a body in one frame costs no more than the further system calls for reading it apart from its neighbours.
		return false
	}
	p.room(int(size))
	start := len(p.own)
	own := p.own[:start+int(size)+1]
	n := copy(own[start:], b)
	p.bodyGot = p.own
	c.direct = directFrame{ch: ch, pub: p, size: int(size), own: own, rest: own[start+n:]}
	return true
}

// wants reports whether the payload of a body frame with the given size is a part of the message, rather than dropped.
func (k *content) wants(size uint64) bool {
	return k.expect == expectBody && !k.discard && !k.overrun && size <= k.remaining
}

// endDirect takes the frame that was read.
func (c *conn) endDirect() error {
	f := c.direct
	c.direct = directFrame{}
	end := len(f.own) - 1
	if f.own[end] != wire.FrameEnd {
		return wire.MalformedFrame(wire.FrameBody, f.own[end-f.size:end], fmt.Sprintf("{invalid_frame_end_marker,%d}", f.own[end]))
	}
	ch := f.ch
	if ch.busy.Load() || ch.state != channelOpen || ch.pub != f.pub {
		return nil // the channel was closed meanwhile because of something else, and drops what still comes
	}
	f.pub.own = f.own[:end]
	f.pub.bodyGot = f.pub.own
	c.touch(ch)
	c.in.sparse = true
	return c.handled(ch, nil, ch.arrived(uint64(f.size)))
}
