package wire

import (
	"encoding/binary"
	"fmt"
)

// ProtocolHeader is what a client sends first, and what a server answers to any other header.
const ProtocolHeader = "AMQP\x00\x00\x09\x01"

// Frame types.
const (
	FrameMethod    = 1
	FrameHeader    = 2
	FrameBody      = 3
	FrameHeartbeat = 8
)

// Sizes in bytes and the octet that ends a frame.
const (
	FrameEnd       = 0xCE
	FrameHeaderLen = 7    // type, channel, payload size
	FrameOverhead  = 8    // header and end octet: a frame's size is its payload's plus this
	FrameMinSize   = 4096 // smallest frame-max that may be negotiated
	// FrameSlack is how much larger than allowed a payload may be. RabbitMQ tolerates it because some clients forget that
	// frame-max includes the overhead.
	FrameSlack = 8
)

// ParseFrameHeader returns the type, channel and payload size of the frame at the start of b, which must hold at least
// FrameHeaderLen bytes. Nothing is checked.
func ParseFrameHeader(b []byte) (typ byte, channel uint16, size uint32) {
	if len(b) >= 8 {
		v := binary.BigEndian.Uint64(b)
		return byte(v >> 56), uint16(v >> 40), uint32(v >> 8)
	}
	return b[0], binary.BigEndian.Uint16(b[1:3]), binary.BigEndian.Uint32(b[3:7])
}

// Frame is one frame. Payload points into the buffer it was parsed from.
type Frame struct {
	Type    byte
	Channel uint16
	Payload []byte
}

// ParseFrame reads the frame at the start of b and returns its length in bytes with header and end octet, or 0 when b does not
// hold the whole frame yet. frameMax is the negotiated frame-max, 0 for no limit. An error (FRAME_ERROR, with RabbitMQ's text)
// means that the stream cannot be read further: the frame is too large, which is told from its header alone, does not end with
// FrameEnd, is of unknown type, or is a heartbeat with a payload.
func ParseFrame(b []byte, frameMax uint32) (f Frame, n int, err error) {
	if len(b) < FrameHeaderLen {
		return Frame{}, 0, nil
	}
	typ, channel, size := ParseFrameHeader(b)
	if frameMax != 0 && uint64(size)+FrameOverhead > uint64(frameMax)+FrameSlack {
		return Frame{}, 0, FrameTooLarge(typ, size, frameMax)
	}
	if uint64(len(b)) < uint64(size)+FrameOverhead {
		return Frame{}, 0, nil
	}
	end := FrameHeaderLen + int(size)
	payload := b[FrameHeaderLen:end:end]
	if b[end] != FrameEnd {
		return Frame{}, 0, MalformedFrame(typ, payload, fmt.Sprintf("{invalid_frame_end_marker,%d}", b[end]))
	}
	switch typ {
	case FrameMethod, FrameHeader, FrameBody:
	case FrameHeartbeat:
		if size != 0 {
			return Frame{}, 0, MalformedFrame(typ, payload, "unknown_frame")
		}
	default:
		return Frame{}, 0, MalformedFrame(typ, payload, "unknown_frame")
	}
	return Frame{Type: typ, Channel: channel, Payload: payload}, end + 1, nil
}

// FrameTooLarge is the error for a frame with a payload of size bytes where frameMax is the agreed frame-max.
func FrameTooLarge(typ byte, size, frameMax uint32) *Error {
	return MalformedFrame(typ, nil, fmt.Sprintf("{frame_too_large,%d,%d}", size, max(frameMax, FrameOverhead)-FrameOverhead))
}

// AppendFrameHeader appends the header of a frame. The caller appends size bytes of payload and FrameEnd.
func AppendFrameHeader(b []byte, typ byte, channel uint16, size uint32) []byte {
	return append(b, typ, byte(channel>>8), byte(channel), byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
}

// AppendHeartbeat appends a heartbeat frame.
func AppendHeartbeat(b []byte) []byte {
	return append(b, FrameHeartbeat, 0, 0, 0, 0, 0, 0, FrameEnd)
}

// AppendMethod appends a whole method frame. Strings longer than 255 bytes in short string fields are cut.
func AppendMethod(b []byte, channel uint16, m Method) []byte {
	start := len(b)
	b = AppendFrameHeader(b, FrameMethod, channel, 0)
	b = appendUint32(b, uint32(m.Key()))
	b = m.AppendArgs(b)
	binary.BigEndian.PutUint32(b[start+3:], uint32(len(b)-start-FrameHeaderLen))
	return append(b, FrameEnd)
}

// ParseContentHeader splits the payload of a content header frame. properties points into payload and starts with the property
// flags; it is not checked (see [ScanProperties]).
func ParseContentHeader(payload []byte) (class uint16, weight uint16, bodySize uint64, properties []byte, err error) {
	if len(payload) < contentHeaderLen {
		return 0, 0, 0, nil, MalformedFrame(FrameHeader, payload, "unknown_frame")
	}
	return binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:]), binary.BigEndian.Uint64(payload[4:]),
		payload[contentHeaderLen:], nil
}

// contentHeaderLen is the length of class, weight and body size.
const contentHeaderLen = 12

// AppendContentHeader appends a content header frame. properties is as in [ParseContentHeader]; nil stands for no properties.
func AppendContentHeader(b []byte, channel, class uint16, bodySize uint64, properties []byte) []byte {
	if len(properties) == 0 {
		properties = noProperties
	}
	b = AppendFrameHeader(b, FrameHeader, channel, uint32(contentHeaderLen+len(properties)))
	b = append(b, byte(class>>8), byte(class), 0, 0)
	b = appendUint64(b, bodySize)
	b = append(b, properties...)
	return append(b, FrameEnd)
}

var noProperties = []byte{0, 0}

// AppendBody appends body as body frames with payloads of at most frameMax-FrameOverhead bytes, at least 1; frameMax 0 means no
// limit. An empty body has no frame.
func AppendBody(b []byte, channel uint16, body []byte, frameMax uint32) []byte {
	limit := len(body)
	if frameMax != 0 {
		limit = max(int(frameMax)-FrameOverhead, 1)
	}
	for len(body) > 0 {
		n := min(limit, len(body))
		b = AppendFrameHeader(b, FrameBody, channel, uint32(n))
		b = append(b, body[:n]...)
		b = append(b, FrameEnd)
		body = body[n:]
	}
	return b
}
