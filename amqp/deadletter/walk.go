package deadletter

import (
	"encoding/binary"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Headers are taken apart and put together as bytes, so that what a client put there comes out unchanged. Everything here
// expects content that the wire package has checked.

// lengthEnd is where the content of a value with a length begins: behind the kind octet and the length.
const lengthEnd = 5

// field is one field of a table in place.
type field struct {
	name  []byte
	value []byte // kind octet first
	all   []byte // name and value as encoded
}

func (f *field) kind() wire.Kind { return wire.Kind(f.value[0]) }

// content returns the content of a longstr, array or table.
func (f *field) content() []byte { return f.value[lengthEnd:] }

// text returns the content of a longstr. ok is false for other kinds.
func (f *field) text() (s []byte, ok bool) {
	if f.kind() != wire.KindString {
		return nil, false
	}
	return f.content(), true
}

// splitField splits off the field at the start of b.
func splitField(b []byte) (f field, rest []byte) {
	n := 1 + int(b[0])
	f.name = b[1:n:n]
	f.value, rest = splitValue(b[n:])
	f.all = b[: n+len(f.value) : n+len(f.value)]
	return f, rest
}

// splitValue splits off the value at the start of b, kind octet included.
func splitValue(b []byte) (value, rest []byte) {
	n := 1
	switch wire.Kind(b[0]) {
	case wire.KindBool, wire.KindInt8, wire.KindUint8:
		n += 1
	case wire.KindInt16, wire.KindUint16:
		n += 2
	case wire.KindInt32, wire.KindUint32, wire.KindFloat:
		n += 4
	case wire.KindDecimal:
		n += 5
	case wire.KindInt64, wire.KindDouble, wire.KindTimestamp:
		n += 8
	case wire.KindString, wire.KindBinary, wire.KindArray, wire.KindTable:
		n = lengthEnd + int(binary.BigEndian.Uint32(b[1:]))
	}
	return b[:n:n], b[n:]
}

// find returns the first field of a table with the given name.
func find(table []byte, name string) (v wire.RawValue, found bool, err error) {
	err = wire.WalkTable(table, func(n []byte, value wire.RawValue) bool {
		if string(n) != name {
			return true
		}
		v, found = value, true
		return false
	})
	return v, found, err
}

func appendName(b []byte, name string) []byte { return append(append(b, byte(len(name))), name...) }

// appendText appends a field with a longstr.
func appendText[S ~string | ~[]byte](b []byte, name string, s S) []byte {
	return appendString(appendName(b, name), s)
}

// appendString appends a longstr.
func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	b = append(b, byte(wire.KindString))
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// appendLong appends a field with a 64-bit value.
func appendLong(b []byte, name string, k wire.Kind, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(appendName(b, name), byte(k)), v)
}

// open appends the head of an array or table. closeAt must be given the length of the result.
func open(b []byte, k wire.Kind) []byte { return append(b, byte(k), 0, 0, 0, 0) }

// closeAt stores the length of an array or table whose content begins at start.
func closeAt(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start-4:], uint32(len(b)-start))
	return b
}
