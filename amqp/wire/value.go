package wire

import "math"

// Kind is the type of a field table value: the octet that stands before it on the wire, in RabbitMQ's dialect.
type Kind byte

// Kinds of values. The names give the width; RabbitMQ's own names come from [Kind.String].
const (
	KindBool      Kind = 't'
	KindInt8      Kind = 'b'
	KindUint8     Kind = 'B'
	KindInt16     Kind = 's'
	KindUint16    Kind = 'u'
	KindInt32     Kind = 'I'
	KindUint32    Kind = 'i'
	KindInt64     Kind = 'l'
	KindFloat     Kind = 'f' // 32 bits
	KindDouble    Kind = 'd' // 64 bits
	KindDecimal   Kind = 'D'
	KindString    Kind = 'S'
	KindArray     Kind = 'A'
	KindTimestamp Kind = 'T' // Unix seconds, unsigned 64 bits
	KindTable     Kind = 'F'
	KindVoid      Kind = 'V'
	KindBinary    Kind = 'x'
)

// String returns the name of the type in RabbitMQ's reply texts, such as "longstr".
func (k Kind) String() string {
	switch k {
	case KindBool:
		return "bool"
	case KindInt8:
		return "byte"
	case KindUint8:
		return "unsignedbyte"
	case KindInt16:
		return "short"
	case KindUint16:
		return "unsignedshort"
	case KindInt32:
		return "signedint"
	case KindUint32:
		return "unsignedint"
	case KindInt64:
		return "long"
	case KindFloat:
		return "float"
	case KindDouble:
		return "double"
	case KindDecimal:
		return "decimal"
	case KindString:
		return "longstr"
	case KindArray:
		return "array"
	case KindTimestamp:
		return "timestamp"
	case KindTable:
		return "table"
	case KindVoid:
		return "void"
	case KindBinary:
		return "binary"
	}
	return "unknown"
}

// IsInteger reports whether k is an integer of any width. Timestamps and booleans are not.
func (k Kind) IsInteger() bool {
	switch k {
	case KindInt8, KindUint8, KindInt16, KindUint16, KindInt32, KindUint32, KindInt64:
		return true
	}
	return false
}

// Value is one value of a field table. Kind says which of the other fields counts. A value
// whose Kind is none of the constants, such as the zero Value, is encoded as void.
type Value struct {
	Kind Kind
	// Scale is the number of decimal places of a decimal.
	Scale uint8
	// Int holds integers, booleans (0 or 1), timestamps (the bits of a uint64) and the unscaled value of a decimal (uint32).
	Int   int64
	Float float64 // float and double
	Str   string  // longstr and binary
	Table Table
	Array []Value
}

// String returns a longstr.
func String(s string) Value { return Value{Kind: KindString, Str: s} }

// Binary returns a byte array.
func Binary(b []byte) Value { return Value{Kind: KindBinary, Str: string(b)} }

// Bool returns a boolean.
func Bool(v bool) Value {
	if v {
		return Value{Kind: KindBool, Int: 1}
	}
	return Value{Kind: KindBool}
}

// Int32 returns a signedint.
func Int32(v int32) Value { return Value{Kind: KindInt32, Int: int64(v)} }

// Int64 returns a long.
func Int64(v int64) Value { return Value{Kind: KindInt64, Int: v} }

// Double returns a double.
func Double(v float64) Value { return Value{Kind: KindDouble, Float: v} }

// Timestamp returns a timestamp of the given Unix seconds.
func Timestamp(seconds uint64) Value { return Value{Kind: KindTimestamp, Int: int64(seconds)} }

// TableValue returns a nested table.
func TableValue(t Table) Value { return Value{Kind: KindTable, Table: t} }

// ArrayValue returns an array.
func ArrayValue(v ...Value) Value { return Value{Kind: KindArray, Array: v} }

// Void returns the value without a value.
func Void() Value { return Value{Kind: KindVoid} }

// IsInteger reports whether v is an integer of any width.
func (v Value) IsInteger() bool { return v.Kind.IsInteger() }

// Equal reports whether v and w are the same value of the same kind, where all integers are one kind and float and double
// another: what RabbitMQ asks of the arguments of a repeated declaration. NaN equals NaN. Nested tables must have the same
// fields in the same order.
func (v Value) Equal(w Value) bool {
	switch {
	case v.IsInteger():
		return w.IsInteger() && v.Int == w.Int
	case v.isFloat():
		return w.isFloat() && (v.Float == w.Float || math.IsNaN(v.Float) && math.IsNaN(w.Float))
	case v.isVoid():
		return w.isVoid()
	case v.Kind != w.Kind:
		return false
	}
	switch v.Kind {
	case KindString, KindBinary:
		return v.Str == w.Str
	case KindDecimal:
		return v.Scale == w.Scale && v.Int == w.Int
	case KindTable:
		return v.Table.Equal(w.Table)
	case KindArray:
		if len(v.Array) != len(w.Array) {
			return false
		}
		for i := range v.Array {
			if !v.Array[i].Equal(w.Array[i]) {
				return false
			}
		}
		return true
	default: // bool, timestamp
		return v.Int == w.Int
	}
}

func (v Value) isFloat() bool { return v.Kind == KindFloat || v.Kind == KindDouble }

func (v Value) isVoid() bool { return v.Kind == KindVoid || v.Kind == 0 }

// append appends the kind octet and the value.
func (v *Value) append(b []byte) []byte {
	b = append(b, byte(v.Kind))
	switch v.Kind {
	case KindBool:
		return appendBits(b, v.Int != 0)
	case KindInt8, KindUint8:
		return append(b, byte(v.Int))
	case KindInt16, KindUint16:
		return appendUint16(b, uint16(v.Int))
	case KindInt32, KindUint32:
		return appendUint32(b, uint32(v.Int))
	case KindInt64, KindTimestamp:
		return appendUint64(b, uint64(v.Int))
	case KindFloat:
		return appendUint32(b, math.Float32bits(float32(v.Float)))
	case KindDouble:
		return appendUint64(b, math.Float64bits(v.Float))
	case KindDecimal:
		return appendUint32(append(b, v.Scale), uint32(v.Int))
	case KindString, KindBinary:
		return appendLong(b, v.Str)
	case KindTable:
		return v.Table.Append(b)
	case KindArray:
		start := len(b)
		b = appendUint32(b, 0)
		for i := range v.Array {
			b = v.Array[i].append(b)
		}
		return patchLength(b, start)
	}
	b[len(b)-1] = byte(KindVoid) // any other kind would make the table unreadable
	return b
}
