package perf

import (
	"slices"

	"github.com/brokerd/brokerd/amqp/wire"
)

// template holds the frames of a message (basic.publish, header, body) as they go on the wire; only the stamp changes.
type template struct {
	frames []byte
	stamp  int // where the stamp starts in frames
	room   int // its length: stampLen, timeLen or 0
}

// newTemplate prepares the frames of messages of size bytes for one channel and routing key. frameMax is the agreed one; it is
// at least wire.FrameMinSize, so that the stamp is within the first body frame.
func newTemplate(channel uint16, exchange, routingKey string, mandatory bool, p *wire.Properties, size int, frameMax uint32) template {
	frames := wire.AppendPublish(nil, channel, exchange, routingKey, mandatory)
	frames = wire.AppendContentHeader(frames, channel, wire.ClassBasic, uint64(size), p.Append(nil))
	t := template{stamp: len(frames) + wire.FrameHeaderLen}
	switch {
	case size >= stampLen:
		t.room = stampLen
	case size >= timeLen:
		t.room = timeLen
	}
	body := make([]byte, size)
	for i := range body {
		body[i] = 'a' + byte(i%26)
	}
	t.frames = slices.Clip(wire.AppendBody(frames, channel, body, frameMax))
	return t
}

// append appends the message with its stamp to b.
func (t *template) append(b []byte, sent int64, id messageID) []byte {
	at := len(b) + t.stamp
	b = append(b, t.frames...)
	if t.room > 0 {
		putStamp(b[at:at+t.room], sent, id)
	}
	return b
}

// patch stamps the template itself and returns its frames, valid until the next call. It saves the copy of a large message.
func (t *template) patch(sent int64, id messageID) []byte {
	if t.room > 0 {
		putStamp(t.frames[t.stamp:t.stamp+t.room], sent, id)
	}
	return t.frames
}
