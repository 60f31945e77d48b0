package exchange

import (
	"encoding/binary"
	"hash/maphash"
	"strings"

	"github.com/brokerd/brokerd/amqp/exchange/pmap"
	"github.com/brokerd/brokerd/amqp/wire"
)

// headers routes by the fields of the message's headers. The binding argument x-match says how many of the other arguments must
// be met: "all" (also without x-match) and "any" leave out arguments whose names begin with "x-", "all-with-x" and "any-with-x"
// leave out x-match alone. An argument of type void is met by any value.
type headers struct {
	// patterns are kept under ascending numbers, so that the order of matching is the same in every process.
	patterns pmap.IDs[*pattern]
	numbers  pmap.Strings[uint64] // by identity
	next     uint64
	n        int
}

// pattern is the compiled form of a binding.
type pattern struct {
	to    Destination
	count int // bindings that differ in their key only, which does not matter here
	any   bool
	// need has the mark of every criterion. A message can meet all criteria only if it has all of these marks, and any of them only
	// if it has one of them. This decides nearly all comparisons.
	need     uint64
	criteria []criterion
}

// criterion is one binding argument.
type criterion struct {
	hash  uint64 // of name
	name  string
	value wire.Value
	raw   []byte // encoded value
}

var headerSeed = maphash.MakeSeed()

func (t headers) Len() int { return t.n }

// identity is the same for bindings that this table need not tell apart.
func identity(b Binding) string {
	id := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(b.Arguments)), b.To.ID())
	return string(append(id, wire.Canonical(b.Arguments)...))
}

func (t headers) With(b Binding) Table {
	t.n++
	key := identity(b)
	if number, ok := t.numbers.Get(key); ok {
		old, _ := t.patterns.Get(number)
		p := *old
		p.count++
		t.patterns = t.patterns.With(number, &p)
		return t
	}
	t.numbers = t.numbers.With(key, t.next)
	t.patterns = t.patterns.With(t.next, compile(b))
	t.next++
	return t
}

func (t headers) Without(b Binding) Table {
	key := identity(b)
	number, ok := t.numbers.Get(key)
	if !ok {
		return t
	}
	t.n--
	old, _ := t.patterns.Get(number)
	if old.count > 1 {
		p := *old
		p.count--
		t.patterns = t.patterns.With(number, &p)
		return t
	}
	t.numbers = t.numbers.Without(key)
	t.patterns = t.patterns.Without(number)
	return t
}

const xMatch = "x-match"

// parseXMatch returns what a value of x-match means. ok is false for values that are not defined.
func parseXMatch(v string) (any, withX, ok bool) {
	switch v {
	case "all":
		return false, false, true
	case "any":
		return true, false, true
	case "all-with-x":
		return false, true, true
	case "any-with-x":
		return true, true, true
	}
	return false, false, false
}

// checkXMatch accepts bindings without x-match or with one that is defined.
func checkXMatch(_ string, arguments wire.Table) error {
	v, ok := arguments.Get(xMatch)
	if !ok {
		return nil
	}
	if v.Kind != wire.KindString {
		return wire.Errorf(wire.PreconditionFailed, "Invalid x-match field type %s (value %s); expected longstr", v.Kind, erlangTerm(v))
	}
	if _, _, ok := parseXMatch(v.Str); !ok {
		return wire.Errorf(wire.PreconditionFailed,
			"Invalid x-match field value %s; expected all, any, all-with-x, or any-with-x", erlangTerm(v))
	}
	return nil
}

// compile makes a pattern. Arguments that cannot be read are no criteria: errors are dropped here because arguments were decoded
// once before they came into a Binding.
func compile(b Binding) *pattern {
	p := &pattern{to: b.To, count: 1}
	withX := false
	_ = wire.WalkTable(b.Arguments, func(name []byte, v wire.RawValue) bool {
		if string(name) != xMatch {
			return true
		}
		if v.Kind == wire.KindString {
			p.any, withX, _ = parseXMatch(string(v.Data))
		}
		return false
	})
	_ = wire.WalkTable(b.Arguments, func(name []byte, v wire.RawValue) bool {
		s := string(name)
		if s == xMatch || !withX && strings.HasPrefix(s, "x-") {
			return true
		}
		c := criterion{hash: maphash.String(headerSeed, s), name: s, value: v.Value(), raw: append([]byte(nil), v.Data...)}
		p.criteria = append(p.criteria, c)
		if bit, ok := valueMark(c.hash, v); ok && v.Kind != wire.KindVoid {
			p.need |= bit
		} else {
			p.need |= nameMark(c.hash)
		}
		return true
	})
	return p
}

// nameMark returns the mark of a field whose name has this hash.
func nameMark(hash uint64) uint64 { return 1 << (hash & 63) }

// valueMark returns the mark of a field with this value. Values that are equal have the same; ok is false for kinds of which only
// the name is marked.
func valueMark(hash uint64, v wire.RawValue) (bit uint64, ok bool) {
	if v.Kind == wire.KindString {
		return 1 << ((hash>>6 ^ maphash.Bytes(headerSeed, v.Data)) & 63), true
	}
	if n, ok := v.Int(); ok {
		const odd = 0x9e3779b97f4a7c15 // spreads small numbers over the upper bits
		return 1 << ((hash>>6 ^ uint64(n)*odd>>58) & 63), true
	}
	return 0, false
}

func (t headers) Basis() Basis { return ByMessage }

func (t headers) Match(buf []Destination, m *Message) []Destination {
	if t.n == 0 {
		return buf
	}
	h := readHeaders(m.Headers)
	if h == nil {
		return buf
	}
	t.patterns.Each(func(_ uint64, p *pattern) bool {
		if h.meets(p) {
			buf = append(buf, p.to)
		}
		return true
	})
	h.release()
	return buf
}
