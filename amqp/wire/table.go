package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// MaxDepth is how deep tables and arrays may be nested, the outermost included. RabbitMQ has no limit; a broker that recurses
// needs one.
const MaxDepth = 128

// Field is one name and value of a table.
type Field struct {
	Name  string // at most 255 bytes, cut when encoded
	Value Value
}

// Table is a field table. It keeps the order of its fields, and fields of the same name.
type Table []Field

// Get returns the first field with the given name.
func (t Table) Get(name string) (Value, bool) {
	for i := range t {
		if t[i].Name == name {
			return t[i].Value, true
		}
	}
	return Value{}, false
}

// Set replaces the value of the first field with the given name, or appends a field. It returns the table like append does.
func (t Table) Set(name string, v Value) Table {
	for i := range t {
		if t[i].Name == name {
			t[i].Value = v
			return t
		}
	}
	return append(t, Field{Name: name, Value: v})
}

// Equal reports whether t and u have the same fields in the same order (see [Value.Equal]).
func (t Table) Equal(u Table) bool {
	return slices.EqualFunc(t, u, func(a, b Field) bool { return a.Name == b.Name && a.Value.Equal(b.Value) })
}

// Append appends the table with its 4-byte length.
func (t Table) Append(b []byte) []byte {
	start := len(b)
	return patchLength(t.appendFields(appendUint32(b, 0)), start)
}

// Encode returns the table without its length, nil when it has no fields.
func (t Table) Encode() []byte { return t.appendFields(nil) }

func (t Table) appendFields(b []byte) []byte {
	for i := range t {
		b = appendShortstr(b, t[i].Name)
		b = t[i].Value.append(b)
	}
	return b
}

// patchLength stores at b[start:] the number of bytes behind that length.
func patchLength(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// ParseTable decodes the content of a table, without its length. Everything is copied out of b; a table without fields is nil.
// The error is a SYNTAX_ERROR: unknown type, wrong length, or nested deeper than [MaxDepth]. Memory for the result is bounded
// by some 100 times the length of b.
func ParseTable(b []byte) (Table, error) {
	if err := checkFields(b, 1); err != nil {
		return nil, err
	}
	return decodeTable(b), nil
}

// decodeTable decodes checked table content.
func decodeTable(b []byte) Table {
	n := 0
	for rest := b; len(rest) > 0; n++ {
		_, _, rest = nextField(rest)
	}
	if n == 0 {
		return nil
	}
	t := make(Table, 0, n)
	for len(b) > 0 {
		name, v, rest := nextField(b)
		t = append(t, Field{Name: string(name), Value: v.Value()})
		b = rest
	}
	return t
}

// decodeArray decodes checked array content.
func decodeArray(b []byte) []Value {
	n := 0
	for rest := b; len(rest) > 0; n++ {
		_, rest = nextValue(rest)
	}
	if n == 0 {
		return nil
	}
	a := make([]Value, 0, n)
	for len(b) > 0 {
		v, rest := nextValue(b)
		a = append(a, v.Value())
		b = rest
	}
	return a
}

// Canonical returns the content of a table with its fields sorted by name, so that tables which differ only in the order of
// their fields become the same bytes. Fields of the same name keep their order, nested tables stay as they are. The result is
// new memory, nil for an empty table; content that is malformed is copied as it is.
func Canonical(content []byte) []byte {
	if len(content) == 0 {
		return nil
	}
	if checkFields(content, 1) != nil {
		return bytes.Clone(content)
	}
	type field struct{ name, all []byte }
	var fields []field
	for rest := content; len(rest) > 0; {
		name, _, next := nextField(rest)
		fields = append(fields, field{name, rest[:len(rest)-len(next)]})
		rest = next
	}
	slices.SortStableFunc(fields, func(a, b field) int { return bytes.Compare(a.name, b.name) })
	out := make([]byte, 0, len(content))
	for _, f := range fields {
		out = append(out, f.all...)
	}
	return out
}
