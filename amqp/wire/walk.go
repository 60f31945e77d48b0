package wire

import (
	"encoding/binary"
	"math"
)

// Errors of malformed tables that need no detail, made once so that checking allocates nothing.
var (
	errTableTruncated = Errorf(SyntaxError, "field table is cut off")
	errTableDepth     = Errorf(SyntaxError, "field table is nested deeper than %d levels", MaxDepth)
)

// RawValue is an encoded value inside a table. Data points into the table: the value without its kind octet, and for strings,
// byte arrays, tables and arrays also without the 4-byte length.
type RawValue struct {
	Kind Kind
	Data []byte
}

// WalkTable calls visit for each field of a table's content (without its length) until visit returns false. It allocates
// nothing. name and v point into content. Each field is checked completely, nested values included, before it is visited; the
// fields behind one where visit stopped are not checked. The errors are those of [ParseTable].
func WalkTable(content []byte, visit func(name []byte, v RawValue) bool) error {
	for len(content) > 0 {
		if _, err := checkField(content, 1); err != nil {
			return err
		}
		name, v, rest := nextField(content)
		if !visit(name, v) {
			return nil
		}
		content = rest
	}
	return nil
}

// Int returns the value of an integer of any width. ok is false for other kinds.
func (v RawValue) Int() (n int64, ok bool) {
	switch v.Kind {
	case KindInt8:
		return int64(int8(v.Data[0])), true
	case KindUint8:
		return int64(v.Data[0]), true
	case KindInt16:
		return int64(int16(binary.BigEndian.Uint16(v.Data))), true
	case KindUint16:
		return int64(binary.BigEndian.Uint16(v.Data)), true
	case KindInt32:
		return int64(int32(binary.BigEndian.Uint32(v.Data))), true
	case KindUint32:
		return int64(binary.BigEndian.Uint32(v.Data)), true
	case KindInt64:
		return int64(binary.BigEndian.Uint64(v.Data)), true
	}
	return 0, false
}

// Bool returns the value of a boolean. ok is false for other kinds.
func (v RawValue) Bool() (b, ok bool) {
	return v.Kind == KindBool && v.Data[0] != 0, v.Kind == KindBool
}

// Value decodes v, which must come from [WalkTable]. The result is a copy.
func (v RawValue) Value() Value {
	out := Value{Kind: v.Kind}
	switch v.Kind {
	case KindBool:
		if v.Data[0] != 0 {
			out.Int = 1
		}
	case KindTimestamp:
		out.Int = int64(binary.BigEndian.Uint64(v.Data))
	case KindFloat:
		out.Float = float64(math.Float32frombits(binary.BigEndian.Uint32(v.Data)))
	case KindDouble:
		out.Float = math.Float64frombits(binary.BigEndian.Uint64(v.Data))
	case KindDecimal:
		out.Scale = v.Data[0]
		out.Int = int64(binary.BigEndian.Uint32(v.Data[1:]))
	case KindString, KindBinary:
		out.Str = string(v.Data)
	case KindTable:
		out.Table = decodeTable(v.Data)
	case KindArray:
		out.Array = decodeArray(v.Data)
	default:
		out.Int, _ = v.Int()
	}
	return out
}

// fixedLen returns the length of values of a kind without length prefix, -1 for kinds with one, -2 for unknown kinds.
func fixedLen(k Kind) int {
	switch k {
	case KindVoid:
		return 0
	case KindBool, KindInt8, KindUint8:
		return 1
	case KindInt16, KindUint16:
		return 2
	case KindInt32, KindUint32, KindFloat:
		return 4
	case KindDecimal:
		return 5
	case KindInt64, KindDouble, KindTimestamp:
		return 8
	case KindString, KindBinary, KindTable, KindArray:
		return -1
	}
	return -2
}

// checkFields checks the content of a table at the given nesting depth (1 for the outermost).
func checkFields(b []byte, depth int) error {
	for len(b) > 0 {
		n, err := checkField(b, depth)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// checkField checks the field at the start of b and returns its length.
func checkField(b []byte, depth int) (int, error) {
	n := 1 + int(b[0])
	if n >= len(b) {
		return 0, errTableTruncated
	}
	m, err := checkValue(b[n:], depth)
	return n + m, err
}

// checkValue checks the value at the start of b, kind octet first, in a table or array at the given depth, and returns its
// length with the kind octet.
func checkValue(b []byte, depth int) (int, error) {
	k := Kind(b[0])
	n := fixedLen(k)
	switch {
	case n >= 0:
		if n >= len(b) {
			return 0, errTableTruncated
		}
		return 1 + n, nil
	case n == -2:
		return 0, Errorf(SyntaxError, "field table has a value of unknown type %d", b[0])
	case len(b) < 5:
		return 0, errTableTruncated
	}
	size := binary.BigEndian.Uint32(b[1:])
	if uint64(size) > uint64(len(b)-5) {
		return 0, errTableTruncated
	}
	end := 5 + int(size)
	if k != KindTable && k != KindArray {
		return end, nil
	}
	if depth >= MaxDepth {
		return 0, errTableDepth
	}
	inner := b[5:end]
	if k == KindTable {
		return end, checkFields(inner, depth+1)
	}
	for len(inner) > 0 {
		m, err := checkValue(inner, depth+1)
		if err != nil {
			return 0, err
		}
		inner = inner[m:]
	}
	return end, nil
}

// nextField splits the field at the start of checked table content.
func nextField(b []byte) (name []byte, v RawValue, rest []byte) {
	n := 1 + int(b[0])
	name = b[1:n:n]
	v, rest = nextValue(b[n:])
	return name, v, rest
}

// nextValue splits the value at the start of checked content.
func nextValue(b []byte) (v RawValue, rest []byte) {
	k := Kind(b[0])
	start, n := 1, fixedLen(k)
	if n < 0 {
		start, n = 5, int(binary.BigEndian.Uint32(b[1:]))
	}
	end := start + n
	return RawValue{Kind: k, Data: b[start:end:end]}, b[end:]
}
