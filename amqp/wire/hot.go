package wire

import "encoding/binary"

// PublishArgs are the arguments of basic.publish in place.
type PublishArgs struct {
	Exchange, RoutingKey []byte // point into the frame; any bytes, not checked for UTF-8
	Mandatory, Immediate bool
}

// ParsePublish reads the arguments of basic.publish, without the 4 bytes of ids. The error is a FRAME_ERROR.
func ParsePublish(args []byte) (PublishArgs, error) {
	// Two octets of ticket, the length and bytes of exchange and routing key, one octet of bits.
	if len(args) >= 5 {
		ex := 3 + int(args[2])
		if ex < len(args) {
			rk := ex + 1 + int(args[ex])
			if rk == len(args)-1 {
				bits := args[rk]
				return PublishArgs{
					Exchange:   args[3:ex:ex],
					RoutingKey: args[ex+1 : rk : rk],
					Mandatory:  bits&1 != 0,
					Immediate:  bits&2 != 0,
				}, nil
			}
		}
	}
	return PublishArgs{}, cannotDecode(KeyBasicPublish, args)
}

// ParseAck reads the arguments of basic.ack, without the 4 bytes of ids. The error is a FRAME_ERROR.
func ParseAck(args []byte) (tag uint64, multiple bool, err error) {
	if len(args) != 9 {
		return 0, false, cannotDecode(KeyBasicAck, args)
	}
	return binary.BigEndian.Uint64(args), args[8]&1 != 0, nil
}

// ParseNack reads the arguments of basic.nack, without the 4 bytes of ids. The error is a FRAME_ERROR.
func ParseNack(args []byte) (tag uint64, multiple, requeue bool, err error) {
	if len(args) != 9 {
		return 0, false, false, cannotDecode(KeyBasicNack, args)
	}
	return binary.BigEndian.Uint64(args), args[8]&1 != 0, args[8]&2 != 0, nil
}

// ParseReject reads the arguments of basic.reject, without the 4 bytes of ids. The error is a FRAME_ERROR.
func ParseReject(args []byte) (tag uint64, requeue bool, err error) {
	if len(args) != 9 {
		return 0, false, cannotDecode(KeyBasicReject, args)
	}
	return binary.BigEndian.Uint64(args), args[8]&1 != 0, nil
}

// DeliverArgs are the arguments of basic.deliver in place.
type DeliverArgs struct {
	ConsumerTag, Exchange, RoutingKey []byte // point into the frame
	DeliveryTag                       uint64
	Redelivered                       bool
}

// ParseDeliver reads the arguments of basic.deliver, without the 4 bytes of ids. The error is a FRAME_ERROR.
func ParseDeliver(args []byte) (DeliverArgs, error) {
	if len(args) >= 12 {
		tag := 1 + int(args[0]) // where the delivery tag starts; the length of the exchange is 9 bytes further
		if tag+9 < len(args) {
			ex := tag + 10 + int(args[tag+9])
			if ex < len(args) && ex+1+int(args[ex]) == len(args) {
				return DeliverArgs{
					ConsumerTag: args[1:tag:tag],
					Exchange:    args[tag+10 : ex : ex],
					RoutingKey:  args[ex+1:],
					DeliveryTag: binary.BigEndian.Uint64(args[tag:]),
					Redelivered: args[tag+8]&1 != 0,
				}, nil
			}
		}
	}
	return DeliverArgs{}, cannotDecode(KeyBasicDeliver, args)
}

// The encoders below append one whole frame each. Names longer than 255 bytes are a mistake of the caller, for nothing that
// came off the wire is longer; they are cut at that length.

// appendMethodHead appends the frame header and ids of a method with n bytes of arguments.
func appendMethodHead(b []byte, channel uint16, k MethodKey, n int) []byte {
	n += methodKeyLen
	return append(b, FrameMethod, byte(channel>>8), byte(channel),
		byte(n>>24), byte(n>>16), byte(n>>8), byte(n),
		byte(k>>24), byte(k>>16), byte(k>>8), byte(k))
}

// appendName appends a short string that is at most 255 bytes.
func appendName[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(append(b, byte(len(s))), s...)
}

func cutName[S ~string | ~[]byte](s S) S {
	if len(s) > maxShortstr {
		return s[:maxShortstr]
	}
	return s
}

func bit(v bool, n byte) byte {
	if v {
		return n
	}
	return 0
}

// AppendPublish appends a basic.publish frame.
func AppendPublish[S ~string | ~[]byte](b []byte, channel uint16, exchange, routingKey S, mandatory bool) []byte {
	exchange, routingKey = cutName(exchange), cutName(routingKey)
	b = appendMethodHead(b, channel, KeyBasicPublish, 5+len(exchange)+len(routingKey))
	b = append(b, 0, 0)
	b = appendName(b, exchange)
	b = appendName(b, routingKey)
	return append(b, bit(mandatory, 1), FrameEnd)
}

// AppendDeliver appends a basic.deliver frame.
func AppendDeliver(b []byte, channel uint16, consumerTag string, tag uint64, redelivered bool,
	exchange, routingKey []byte,
) []byte {
	consumerTag, exchange, routingKey = cutName(consumerTag), cutName(exchange), cutName(routingKey)
	b = appendMethodHead(b, channel, KeyBasicDeliver, 12+len(consumerTag)+len(exchange)+len(routingKey))
	b = appendName(b, consumerTag)
	b = appendUint64(b, tag)
	b = append(b, bit(redelivered, 1))
	b = appendName(b, exchange)
	b = appendName(b, routingKey)
	return append(b, FrameEnd)
}

// AppendGetOk appends a basic.get-ok frame. messageCount is the number of ready messages left.
func AppendGetOk(b []byte, channel uint16, tag uint64, redelivered bool, exchange, routingKey []byte,
	messageCount uint32,
) []byte {
	exchange, routingKey = cutName(exchange), cutName(routingKey)
	b = appendMethodHead(b, channel, KeyBasicGetOk, 15+len(exchange)+len(routingKey))
	b = appendUint64(b, tag)
	b = append(b, bit(redelivered, 1))
	b = appendName(b, exchange)
	b = appendName(b, routingKey)
	b = appendUint32(b, messageCount)
	return append(b, FrameEnd)
}

// AppendReturn appends a basic.return frame.
func AppendReturn(b []byte, channel uint16, code ReplyCode, text string, exchange, routingKey []byte) []byte {
	text, exchange, routingKey = cut(text), cutName(exchange), cutName(routingKey)
	b = appendMethodHead(b, channel, KeyBasicReturn, 5+len(text)+len(exchange)+len(routingKey))
	b = append(b, byte(code>>8), byte(code))
	b = appendName(b, text)
	b = appendName(b, exchange)
	b = appendName(b, routingKey)
	return append(b, FrameEnd)
}

// AppendAck appends a basic.ack frame.
func AppendAck(b []byte, channel uint16, tag uint64, multiple bool) []byte {
	b = appendMethodHead(b, channel, KeyBasicAck, 9)
	b = appendUint64(b, tag)
	return append(b, bit(multiple, 1), FrameEnd)
}

// AppendNack appends a basic.nack frame.
func AppendNack(b []byte, channel uint16, tag uint64, multiple, requeue bool) []byte {
	b = appendMethodHead(b, channel, KeyBasicNack, 9)
	b = appendUint64(b, tag)
	return append(b, bit(multiple, 1)|bit(requeue, 2), FrameEnd)
}
