package meta

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Keys of the state's maps are tuples of strings. Each part ends with 0x00 0x01, and a zero byte within it becomes 0x00 0xff:
// so tuples sort as their parts do, and the first parts of a key are a prefix of the keys of exactly the tuples that start
// with them.

// keySpace is the length in bytes of the buffers in which look-ups build their keys without allocating; longer keys are right too.
const keySpace = 192

// appendKey appends the parts of a key to buf.
func appendKey(buf []byte, parts ...string) []byte {
	for _, p := range parts {
		buf = appendPart(buf, p)
	}
	return buf
}

func appendPart(buf []byte, p string) []byte {
	for i := 0; i < len(p); i++ {
		buf = append(buf, p[i])
		if p[i] == 0 {
			buf = append(buf, 0xff)
		}
	}
	return append(buf, 0, 1)
}

// key returns a key that a map may keep.
func key(parts ...string) []byte {
	n := 2 * len(parts)
	for _, p := range parts {
		n += len(p)
	}
	return appendKey(make([]byte, 0, n), parts...)
}

// idKey is the key of a queue id; ids sort by value.
func idKey(buf []byte, id uint64) []byte { return binary.BigEndian.AppendUint64(buf, id) }

func policyKind(operator bool) string {
	if operator {
		return "o"
	}
	return "p"
}

func (k DestinationKind) key() string {
	if k == ToExchange {
		return "x"
	}
	return "q"
}

// sourceKey and destinationKey are the two keys of a binding: sorted by where it comes from, and by where it leads.

// Key returns bytes by which bindings sort as State.Bindings yields them. No two bindings have the same.
func (b *Binding) Key() []byte { return b.sourceKey() }

func (b *Binding) sourceKey() []byte {
	return append(key(b.VHost, b.Source, b.DestinationKind.key(), b.Destination, b.RoutingKey), argumentsDigest(b.Arguments)...)
}

func (b *Binding) destinationKey() []byte {
	return append(key(b.VHost, b.DestinationKind.key(), b.Destination, b.Source, b.RoutingKey), argumentsDigest(b.Arguments)...)
}

// Owned entities sort by node, run, connection: what a run of a node or one of its connections owns is one range.

func ownerKey(o Owner) []byte { return binary.BigEndian.AppendUint64(key(o.Node), o.Incarnation) }

func (q *Queue) ownedKey() []byte {
	k := append(ownerKey(q.Owner), 'q')
	return appendKey(binary.BigEndian.AppendUint64(k, q.Connection), q.VHost, q.Name)
}

func (x *Exchange) ownedKey() []byte {
	return appendKey(append(ownerKey(x.Owner), 'x'), x.VHost, x.Name)
}

// argumentsDigest returns a value that is the same for two field tables exactly if they have the same fields, in whatever
// order; empty for an empty table. A digest bounds the key, however long the arguments are.
func argumentsDigest(arguments []byte) []byte {
	if len(arguments) == 0 {
		return nil
	}
	fields, ok := splitTable(arguments)
	if !ok {
		sum := sha256.Sum256(arguments)
		return sum[:]
	}
	// Stable, so that a table that repeats a key, which no client should send, has one digest on every node.
	slices.SortStableFunc(fields, func(a, b field) int { return bytes.Compare(a.key, b.key) })
	h := sha256.New()
	for _, f := range fields {
		h.Write(f.whole)
	}
	return h.Sum(nil)
}

// field is one entry of an encoded field table.
type field struct {
	key   []byte
	whole []byte // length of the key, key, type and value
}

// splitTable cuts an encoded field table (without its length) into its fields. ok is false if it is not well-formed.
func splitTable(t []byte) (fields []field, ok bool) {
	for len(t) > 0 {
		n := 1 + int(t[0])
		if len(t) < n+1 {
			return nil, false
		}
		v, ok := valueLen(t[n], t[n+1:])
		if !ok {
			return nil, false
		}
		fields = append(fields, field{key: t[1:n], whole: t[:n+1+v]})
		t = t[n+1+v:]
	}
	return fields, true
}

// valueLen returns the length of the field value of type kind at the start of b.
func valueLen(kind byte, b []byte) (n int, ok bool) {
	switch kind {
	case 'V':
		n = 0
	case 't', 'b', 'B':
		n = 1
	case 's', 'u':
		n = 2
	case 'I', 'i', 'f':
		n = 4
	case 'D':
		n = 5
	case 'l', 'L', 'd', 'T':
		n = 8
	case 'S', 'x', 'A', 'F':
		if len(b) < 4 {
			return 0, false
		}
		n = 4 + int(binary.BigEndian.Uint32(b))
	default:
		return 0, false
	}
	return n, n <= len(b)
}
