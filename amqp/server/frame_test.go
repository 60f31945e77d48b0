package server

import (
	"bytes"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

func rawFrame(typ byte, channel uint16, payload string) []byte {
	b := wire.AppendFrameHeader(nil, typ, channel, uint32(len(payload)))
	return append(append(b, payload...), wire.FrameEnd)
}

// contentHeader returns a content header frame of channel 1.
func contentHeader(size uint64, class, weight uint16, properties string) []byte {
	b := wire.AppendContentHeader(nil, 1, class, size, []byte(properties))
	b[wire.FrameHeaderLen+3] = byte(weight)
	return b
}

// TestFrames sends bytes on a connection with channel 1 and looks at the outcome.
func TestFrames(t *testing.T) {
	s := startServer(t, Options{})
	begin := wire.AppendPublish(nil, 1, "", "nowhere", false)
	qos := wire.AppendMethod(nil, 1, &wire.BasicQos{})
	badEnd := bytes.Clone(qos)
	badEnd[len(badEnd)-1] = 0
	body := func(n int) []byte { return rawFrame(wire.FrameBody, 1, string(make([]byte, n))) }
	const noMethod = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
	const noHeader = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
	const noBody = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
	for _, tc := range []struct {
		name   string
		input  [][]byte
		text   string // of connection.close; "ok": qos-ok; "nothing"; "": the socket is closed
		method wire.MethodKey
	}{
		{"wrong frame-end", [][]byte{badEnd},
			"FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,0}", 0},
		{"type 7", [][]byte{rawFrame(7, 1, "abc")}, "FRAME_ERROR - type 7, all octets = <<\"abc\">>: unknown_frame", 0},
		{"type 4 on channel 0", [][]byte{rawFrame(4, 0, "")}, "FRAME_ERROR - type 4, all octets = <<>>: unknown_frame", 0},
		{"too large", [][]byte{begin, contentHeader(140000, 60, 0, ""), body(140000)},
			"FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,140000,131064}", 0},
		{"largest", [][]byte{begin, contentHeader(131064, 60, 0, ""), body(131064), qos}, "ok", 0},
		{"one over", [][]byte{begin, contentHeader(131065, 60, 0, ""), body(131065), qos}, "ok", 0},
		{"header without method", [][]byte{contentHeader(1, 60, 0, "")}, noMethod, 0},
		{"body without method", [][]byte{body(1)}, noMethod, 0},
		{"method for header", [][]byte{begin, qos}, noHeader, wire.KeyBasicPublish},
		{"method for body", [][]byte{begin, contentHeader(5, 60, 0, ""), qos}, noBody, wire.KeyBasicPublish},
		{"body for header", [][]byte{begin, body(1)}, noHeader, wire.KeyBasicPublish},
		{"body too long", [][]byte{begin, contentHeader(2, 60, 0, ""), body(3)}, "nothing", 0},
		{"body too long, then a method", [][]byte{begin, contentHeader(2, 60, 0, ""), body(3), body(9), qos}, noBody, wire.KeyBasicPublish},
		{"other class", [][]byte{begin, contentHeader(2, 50, 0, "")},
			"UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead", wire.KeyBasicPublish},
		{"weight", [][]byte{begin, contentHeader(0, 60, 1, ""), qos}, noHeader, wire.KeyBasicPublish},
		{"truncated properties", [][]byte{begin, contentHeader(0, 60, 0, "\x80\x00\x20abc")}, "INTERNAL_ERROR", 0},
		{"junk behind properties", [][]byte{begin, contentHeader(0, 60, 0, "\x00\x00junk"), qos}, "INTERNAL_ERROR", 0},
		{"short content header", [][]byte{begin, rawFrame(wire.FrameHeader, 1, "ab")},
			"FRAME_ERROR - type 2, all octets = <<\"ab\">>: unknown_frame", 0},
		{"empty body", [][]byte{begin, contentHeader(0, 60, 0, ""), qos}, "ok", 0},
		{"empty body frame too many", [][]byte{begin, contentHeader(0, 60, 0, ""), body(0), qos}, noMethod, 0},
		{"empty body frames", [][]byte{begin, contentHeader(2, 60, 0, ""), body(0), body(1), body(0), body(1), qos}, "ok", 0},
		{"unknown method", [][]byte{rawFrame(wire.FrameMethod, 1, "\x00\x3c\x03\xe7")}, "", 0},
		{"unknown class", [][]byte{rawFrame(wire.FrameMethod, 1, "\x03\xe7\x00\x0a")}, "", 0},
		{"truncated arguments", [][]byte{rawFrame(wire.FrameMethod, 1, "\x00\x32\x00\x0a\x00\x00\x05ab")},
			"FRAME_ERROR - cannot decode <<0,0,5,97,98>>", wire.KeyQueueDeclare},
		{"junk behind arguments", [][]byte{rawFrame(wire.FrameMethod, 1, string(qos[7:len(qos)-1])+"junk")},
			"FRAME_ERROR - cannot decode <<0,0,0,0,0,0,0,106,117,110,107>>", wire.KeyBasicQos},
		{"short method", [][]byte{rawFrame(wire.FrameMethod, 1, "\x00\x3c")},
			"FRAME_ERROR - type 1, all octets = <<0,60>>: unknown_frame", 0},
		{"unknown field type", [][]byte{rawFrame(wire.FrameMethod, 1, "\x00\x32\x00\x0a\x00\x00\x02qt\x00\x00\x00\x00\x04\x01a?\x00")}, "", 0},
		{"malformed name", [][]byte{wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "\xff\xfe"})},
			"FRAME_ERROR - Malformed UTF-8 in shortstr", 0},
		{"deliver from a client", [][]byte{wire.AppendMethod(nil, 1, &wire.BasicDeliver{})}, "nothing", 0},
		{"whole deliver from a client", [][]byte{wire.AppendMethod(nil, 1, &wire.BasicDeliver{}), contentHeader(1, 60, 0, ""), body(1)},
			"COMMAND_INVALID - unimplemented method", wire.KeyBasicDeliver},
		{"heartbeat on channel 1", [][]byte{rawFrame(wire.FrameHeartbeat, 1, "")}, "UNEXPECTED_FRAME - type 8, all octets = <<>>", 0},
		{"heartbeat with payload", [][]byte{rawFrame(wire.FrameHeartbeat, 0, "ab")},
			"FRAME_ERROR - type 8, all octets = <<\"ab\">>: unknown_frame", 0},
		{"body on channel 0", [][]byte{rawFrame(wire.FrameBody, 0, "a long body on no channel")},
			"UNEXPECTED_FRAME - type 3, first 16 octets = <<\"a long body on n\">>", 0},
		{"heartbeat", [][]byte{rawFrame(wire.FrameHeartbeat, 0, ""), qos}, "ok", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := s.openChannel()
			c.t = t
			c.channel(2)
			c.raw(bytes.Join(tc.input, nil))
			switch tc.text {
			case "":
				c.expectEnd()
			case "ok":
				expect[*wire.BasicQosOk](c, 1)
			case "nothing":
				c.sync(2)
			default:
				c.expectClose(0, tc.text, tc.method)
				// What is still on its way must not disturb the leave-taking.
				c.raw(bytes.Join([][]byte{publish(2, "", "x", "y"), wire.AppendMethod(nil, 0, &wire.ConnectionCloseOk{})}, nil))
				c.expectEnd()
			}
		})
	}
}

// TestFramesByteByByte cuts a message at every position.
func TestFramesByteByByte(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	name := expect[*wire.QueueDeclareOk](c, 1).Queue
	for _, b := range publish(1, "", name, "body") {
		c.raw([]byte{b})
	}
	for _, b := range wire.AppendMethod(nil, 1, &wire.BasicGet{Queue: name, NoAck: true}) {
		c.raw([]byte{b})
	}
	expect[*wire.BasicGetOk](c, 1)
}

func TestMessageTooLarge(t *testing.T) {
	s := startServer(t, Options{MaxMessageSize: 1000})
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	name := expect[*wire.QueueDeclareOk](c, 1).Queue
	c.raw(publish(1, "", name, string(make([]byte, 1000))))
	c.sync(1)
	c.raw(wire.AppendPublish(nil, 1, "", name, false))
	c.raw(contentHeader(1001, 60, 0, ""))
	c.raw(rawFrame(wire.FrameBody, 1, string(make([]byte, 1000))))
	c.channel(2) // the error comes after the body
	c.raw(rawFrame(wire.FrameBody, 1, "x"))
	c.expectClose(1, "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000", wire.KeyBasicPublish)
}

func TestInterleavedPublishes(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.channel(2)
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	name := expect[*wire.QueueDeclareOk](c, 1).Queue
	one, two := publish(1, "", name, "ab"), publish(2, "", name, "AB")
	for _, b := range [][]byte{one, two} {
		_, n, err := wire.ParseFrame(b, 0)
		check(err)
		c.raw(b[:n])
	}
	for _, b := range [][]byte{one, two} {
		_, n, _ := wire.ParseFrame(b, 0)
		c.raw(b[n:])
	}
	c.sync(2)
	bodies := map[string]bool{}
	for range 2 {
		c.send(1, &wire.BasicGet{Queue: name, NoAck: true})
		expect[*wire.BasicGetOk](c, 1)
		_, err := c.frame()
		check(err)
		f, err := c.frame()
		check(err)
		bodies[string(f.Payload)] = true
	}
	if !bodies["ab"] || !bodies["AB"] {
		t.Errorf("bodies %v", bodies)
	}
}
