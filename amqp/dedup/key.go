package dedup

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Bounds of a window.
const (
	// DefaultSize is the number of messages to remember unless another one is set. A full window takes some 130 bytes of memory for
	// each at most, and one that never fills only what it needs.
	DefaultSize = 100_000
	// MaxSize bounds the number of messages to remember.
	MaxSize = 10_000_000
)

// Options say how messages are compared.
type Options struct {
	Size int   // messages to remember; DefaultSize if 0
	TTL  int64 // milliseconds for which to remember them; 0 for as long as there is room
	// Header is the name of the header that identifies a message. "message_id" and "correlation_id" stand for the properties.
	Header string
}

// Key stands for the value that identifies a message. It is a cryptographic hash, so that nobody can make a message that is taken
// for another one. The zero Key stands for no value.
type Key [16]byte

// KeyOf returns the key of a message. ok is false for one without a value, or with an empty one: it is never a repetition.
// Integers are the same whatever their width, and so are the two kinds of strings.
func (o *Options) KeyOf(view *wire.PropertyView) (k Key, ok bool) {
	switch o.Header {
	case "message_id":
		return text(view.MessageID)
	case "correlation_id":
		return text(view.CorrelationID)
	}
	if len(view.Headers) == 0 {
		return k, false
	}
	_ = wire.WalkTable(view.Headers, func(name []byte, v wire.RawValue) bool {
		if string(name) != o.Header {
			return true
		}
		switch n, integer := v.Int(); {
		case integer:
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], uint64(n))
			k, ok = hash('i', b[:]), true
		case v.Kind == wire.KindString || v.Kind == wire.KindBinary:
			k, ok = text(v.Data)
		case v.Kind != wire.KindVoid:
			k, ok = hash(byte(v.Kind), v.Data), true
		}
		return false
	})
	return k, ok
}

func text(b []byte) (Key, bool) {
	if len(b) == 0 {
		return Key{}, false
	}
	return hash('S', b), true
}

// hash is the key of a value of some kind.
func hash(kind byte, value []byte) (k Key) {
	var buf [128]byte
	sum := sha256.Sum256(append(append(buf[:0], kind), value...))
	copy(k[:], sum[:])
	return k
}
