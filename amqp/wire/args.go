package wire

import (
	"encoding/binary"
	"unicode/utf8"
)

// argReader reads the arguments of one method in order. It remembers the first thing that is wrong and goes on with zero
// values, so that decoders need no error handling.
//
// RabbitMQ matches the framing of all arguments first and looks into strings and tables afterwards; done keeps that
// precedence.
type argReader struct {
	args  []byte // all arguments
	rest  []byte
	short bool  // the arguments end too early
	inner error // malformed string or table
}

// done returns the error of the method as a whole.
func (r *argReader) done(k MethodKey) error {
	if r.short || len(r.rest) != 0 {
		return cannotDecode(k, r.args)
	}
	if e, ok := r.inner.(*Error); ok && e != errMalformedUTF8 {
		return e.WithMethod(k)
	}
	return r.inner
}

// take returns the next n bytes, nil when there are fewer.
func (r *argReader) take(n int) []byte {
	if r.short || n > len(r.rest) {
		r.short = true
		return nil
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

func (r *argReader) octet() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *argReader) uint16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *argReader) uint32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *argReader) uint64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// bits reads one octet and stores its bits, lowest first.
func (r *argReader) bits(to ...*bool) {
	v := r.octet()
	for _, p := range to {
		*p = v&1 != 0
		v >>= 1
	}
}

// shortstr reads a short string, which must be UTF-8.
func (r *argReader) shortstr() string {
	p := r.take(int(r.octet()))
	if r.inner == nil && !utf8.Valid(p) {
		r.inner = errMalformedUTF8
	}
	return string(p)
}

// anyShortstr reads a short string of any bytes. RabbitMQ checks no strings in methods with content.
func (r *argReader) anyShortstr() string { return string(r.take(int(r.octet()))) }

// long returns the bytes of a long string or table.
func (r *argReader) long() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.rest)) {
		r.short = true
		return nil
	}
	return r.take(int(n))
}

func (r *argReader) longstr() string { return string(r.long()) }

func (r *argReader) longBytes() []byte {
	if p := r.long(); len(p) > 0 {
		return append([]byte(nil), p...)
	}
	return nil
}

func (r *argReader) table() Table {
	p := r.long()
	if r.short {
		return nil
	}
	t, err := ParseTable(p)
	if r.inner == nil {
		r.inner = err
	}
	return t
}

func appendUint16(b []byte, v uint16) []byte { return append(b, byte(v>>8), byte(v)) }

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// appendShortstr appends s, cut to 255 bytes.
func appendShortstr(b []byte, s string) []byte {
	s = cut(s)
	b = append(b, byte(len(s)))
	return append(b, s...)
}

func appendLong[S ~string | ~[]byte](b []byte, s S) []byte {
	b = appendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// appendBits appends one octet with up to eight bits, lowest first.
func appendBits(b []byte, bits ...bool) []byte {
	var v byte
	for i, bit := range bits {
		if bit {
			v |= 1 << i
		}
	}
	return append(b, v)
}
