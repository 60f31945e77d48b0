package wire

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var allKinds = []Kind{
	KindBool, KindInt8, KindUint8, KindInt16, KindUint16, KindInt32, KindUint32, KindInt64, KindFloat, KindDouble,
	KindDecimal, KindString, KindTimestamp, KindVoid, KindBinary, KindArray, KindTable,
}

// drawTable returns a random table, nested at most depth deep, as ParseTable would return it.
func drawTable(t *rapid.T, depth int) Table {
	n := rapid.IntRange(0, 4).Draw(t, "fields")
	if n == 0 {
		return nil
	}
	table := make(Table, n)
	for i := range table {
		table[i] = Field{Name: rapid.StringN(-1, -1, 255).Draw(t, "name"), Value: drawValue(t, depth)}
	}
	return table
}

func drawValue(t *rapid.T, depth int) Value {
	kinds := allKinds
	if depth <= 1 {
		kinds = kinds[:len(kinds)-2]
	}
	v := Value{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	switch v.Kind {
	case KindBool:
		v.Int = rapid.Int64Range(0, 1).Draw(t, "bool")
	case KindInt8:
		v.Int = int64(rapid.Int8().Draw(t, "int8"))
	case KindUint8:
		v.Int = int64(rapid.Uint8().Draw(t, "uint8"))
	case KindInt16:
		v.Int = int64(rapid.Int16().Draw(t, "int16"))
	case KindUint16:
		v.Int = int64(rapid.Uint16().Draw(t, "uint16"))
	case KindInt32:
		v.Int = int64(rapid.Int32().Draw(t, "int32"))
	case KindUint32:
		v.Int = int64(rapid.Uint32().Draw(t, "uint32"))
	case KindInt64, KindTimestamp:
		v.Int = rapid.Int64().Draw(t, "int64")
	case KindFloat:
		v.Float = float64(rapid.Float32().Draw(t, "float32"))
	case KindDouble:
		v.Float = rapid.Float64().Draw(t, "float64")
	case KindDecimal:
		v.Scale = rapid.Uint8().Draw(t, "scale")
		v.Int = int64(rapid.Uint32().Draw(t, "unscaled"))
	case KindString:
		v.Str = rapid.String().Draw(t, "string")
	case KindBinary:
		v.Str = string(rapid.SliceOf(rapid.Byte()).Draw(t, "binary"))
	case KindTable:
		v.Table = drawTable(t, depth-1)
	case KindArray:
		for range rapid.IntRange(0, 4).Draw(t, "values") {
			v.Array = append(v.Array, drawValue(t, depth-1))
		}
	}
	return v
}

func TestTableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t, 5)
		b := table.Encode()
		got, err := ParseTable(b)
		if err != nil || !reflect.DeepEqual(got, table) || !got.Equal(table) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, table)
		}
		if withLen := table.Append(nil); !bytes.Equal(withLen[4:], b) || len(withLen) != len(b)+4 {
			t.Fatalf("with length %x, without %x", withLen, b)
		}
		var walked Table
		if err := WalkTable(b, func(name []byte, v RawValue) bool {
			walked = append(walked, Field{string(name), v.Value()})
			return true
		}); err != nil || !reflect.DeepEqual(walked, table) {
			t.Fatalf("walked %+v, error %v, want %+v", walked, err, table)
		}
		for _, f := range table {
			if v, ok := table.Get(f.Name); !ok || v.Kind == 0 {
				t.Fatalf("%q is not found", f.Name)
			}
		}
	})
}

// Every cut of a table is an error, unless it is between two fields.
func TestTableTruncation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t, 3)
		borders := map[int]bool{0: true}
		for i := range table {
			borders[len(table[:i+1].Encode())] = true
		}
		b := table.Encode()
		for n := range b {
			_, err := ParseTable(b[:n])
			if (err == nil) != borders[n] {
				t.Fatalf("%d of %d bytes: error %v", n, len(b), err)
			}
		}
	})
}

func TestTableBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		v    Value
		want string
	}{
		{"bool", Bool(true), "t\x01"},
		{"byte", Value{Kind: KindInt8, Int: -1}, "b\xff"},
		{"unsignedbyte", Value{Kind: KindUint8, Int: 255}, "B\xff"},
		{"short", Value{Kind: KindInt16, Int: -2}, "s\xff\xfe"},
		{"unsignedshort", Value{Kind: KindUint16, Int: 65534}, "u\xff\xfe"},
		{"signedint", Int32(-2), "I\xff\xff\xff\xfe"},
		{"unsignedint", Value{Kind: KindUint32, Int: 1<<32 - 2}, "i\xff\xff\xff\xfe"},
		{"long", Int64(-2), "l\xff\xff\xff\xff\xff\xff\xff\xfe"},
		{"float", Value{Kind: KindFloat, Float: 1.5}, "f\x3f\xc0\x00\x00"},
		{"double", Double(1.5), "d\x3f\xf8\x00\x00\x00\x00\x00\x00"},
		{"decimal", Value{Kind: KindDecimal, Scale: 2, Int: 314}, "D\x02\x00\x00\x01\x3a"},
		{"longstr", String("ab"), "S\x00\x00\x00\x02ab"},
		{"array", ArrayValue(Bool(false), Void()), "A\x00\x00\x00\x03t\x00V"},
		{"timestamp", Timestamp(1 << 32), "T\x00\x00\x00\x01\x00\x00\x00\x00"},
		{"table", TableValue(Table{{"k", Void()}}), "F\x00\x00\x00\x03\x01kV"},
		{"void", Void(), "V"},
		{"binary", Binary([]byte{0}), "x\x00\x00\x00\x01\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.v.Kind.String(); got != c.name {
				t.Errorf("kind is called %q", got)
			}
			if got := string(Table{{"n", c.v}}.Encode()); got != "\x01n"+c.want {
				t.Errorf("got %x, want 016e%x", got, c.want)
			}
			got, err := ParseTable([]byte("\x01n" + c.want))
			if err != nil || !reflect.DeepEqual(got, Table{{"n", c.v}}) {
				t.Errorf("got %+v, error %v", got, err)
			}
		})
	}
	for _, v := range []Value{{}, {Kind: '?', Int: 5}} {
		if got := string(Table{{"n", v}}.Encode()); got != "\x01nV" {
			t.Errorf("%+v is encoded as %q", v, got)
		}
	}
}

// nested returns the content of a table in which n tables or arrays are nested, itself included.
func nested(n int, kind Kind) []byte {
	v := Void()
	for range n - 1 {
		if kind == KindTable {
			v = TableValue(Table{{"k", v}})
		} else {
			v = ArrayValue(v)
		}
	}
	return Table{{"k", v}}.Encode()
}

func TestTableDepth(t *testing.T) {
	for _, kind := range []Kind{KindTable, KindArray} {
		if _, err := ParseTable(nested(MaxDepth, kind)); err != nil {
			t.Errorf("%v, %d deep: %v", kind, MaxDepth, err)
		}
		_, err := ParseTable(nested(MaxDepth+1, kind))
		wantError(t, err, SyntaxError, "SYNTAX_ERROR - field table is nested deeper than 128 levels", 0)
		err = WalkTable(nested(10000, kind), func([]byte, RawValue) bool { return true })
		wantError(t, err, SyntaxError, "SYNTAX_ERROR - field table is nested deeper than 128 levels", 0)
	}
}

func TestWalkTableStops(t *testing.T) {
	content := append(Table{{"a", Int32(1)}, {"b", Int32(2)}}.Encode(), "junk"...)
	var names string
	err := WalkTable(content, func(name []byte, v RawValue) bool {
		names += string(name)
		return v.Data[3] != 2
	})
	if names != "ab" || err != nil {
		t.Errorf("visited %q, error %v", names, err)
	}
	if err := WalkTable(content, func([]byte, RawValue) bool { return true }); err == nil {
		t.Error("junk behind the fields is no error")
	}
}

func TestRawValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawValue(t, 1)
		err := WalkTable(Table{{"k", v}}.Encode(), func(_ []byte, raw RawValue) bool {
			n, ok := raw.Int()
			if ok != v.IsInteger() || ok && n != v.Int {
				t.Fatalf("%+v: got %d, %v", v, n, ok)
			}
			b, ok := raw.Bool()
			if ok != (v.Kind == KindBool) || b != (ok && v.Int == 1) {
				t.Fatalf("%+v: got %v, %v", v, b, ok)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestValueEqual(t *testing.T) {
	tab := func(f ...Field) Value { return TableValue(f) }
	for _, c := range []struct {
		a, b Value
		want bool
	}{
		{Int32(5), Int64(5), true},
		{Int32(5), Value{Kind: KindUint8, Int: 5}, true},
		{Int32(5), Int32(6), false},
		{Int32(5), Double(5), false},
		{Int32(5), Timestamp(5), false},
		{Int32(1), Bool(true), false},
		{Int32(5), String("5"), false},
		{Value{Kind: KindFloat, Float: 0.5}, Double(0.5), true},
		{Double(math.NaN()), Double(math.NaN()), true},
		{Double(1), Double(2), false},
		{String("a"), String("a"), true},
		{String("a"), Binary([]byte("a")), false},
		{Void(), Value{}, true},
		{Void(), String(""), false},
		{Bool(true), Bool(true), true},
		{Bool(true), Bool(false), false},
		{Value{Kind: KindDecimal, Scale: 1, Int: 5}, Value{Kind: KindDecimal, Scale: 1, Int: 5}, true},
		{Value{Kind: KindDecimal, Scale: 1, Int: 5}, Value{Kind: KindDecimal, Scale: 2, Int: 5}, false},
		{ArrayValue(Int32(1)), ArrayValue(Int64(1)), true},
		{ArrayValue(Int32(1)), ArrayValue(), false},
		{ArrayValue(Int32(1)), ArrayValue(Int32(2)), false},
		{tab(Field{"a", Int32(1)}), tab(Field{"a", Int64(1)}), true},
		{tab(Field{"a", Int32(1)}), tab(Field{"b", Int32(1)}), false},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%+v and %+v: got %v", c.a, c.b, got)
		}
		if got := c.b.Equal(c.a); got != c.want {
			t.Errorf("%+v and %+v: got %v", c.b, c.a, got)
		}
	}
}

func TestTableSet(t *testing.T) {
	var table Table
	table = table.Set("a", Int32(1)).Set("b", Int32(2)).Set("a", Int32(3))
	if want := (Table{{"a", Int32(3)}, {"b", Int32(2)}}); !reflect.DeepEqual(table, want) {
		t.Errorf("got %+v, want %+v", table, want)
	}
	if _, ok := table.Get("c"); ok {
		t.Error("found a field that is not there")
	}
}

func TestCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := drawTable(t, 3)
		content := table.Encode()
		before := bytes.Clone(content)
		canonical := Canonical(content)
		if !bytes.Equal(content, before) {
			t.Fatal("the argument was changed")
		}
		sorted, err := ParseTable(canonical)
		if err != nil || len(sorted) != len(table) || len(canonical) != len(content) {
			t.Fatalf("got %d fields in %d bytes, error %v", len(sorted), len(canonical), err)
		}
		for i := 1; i < len(sorted); i++ {
			if sorted[i-1].Name > sorted[i].Name {
				t.Fatalf("%q stands before %q", sorted[i-1].Name, sorted[i].Name)
			}
		}
		names := map[string]bool{}
		for _, f := range table {
			names[f.Name] = true
		}
		if len(names) == len(table) && len(table) > 0 { // without repeated names any order gives the same
			shuffled := Table(rapid.Permutation([]Field(table)).Draw(t, "order"))
			if got := Canonical(shuffled.Encode()); !bytes.Equal(got, canonical) {
				t.Fatalf("got %x, want %x", got, canonical)
			}
		}
	})
	if got := Canonical(nil); got != nil {
		t.Errorf("empty table: got %x", got)
	}
	if got := Canonical([]byte("junk")); string(got) != "junk" {
		t.Errorf("malformed table: got %q", got)
	}
}

func FuzzTable(f *testing.F) {
	f.Add(Table{
		{"bool", Bool(true)}, {"int", Int32(-1)}, {"long", Int64(1)}, {"str", String("s")}, {"time", Timestamp(1)},
		{"decimal", Value{Kind: KindDecimal, Scale: 1, Int: 2}}, {"double", Double(1)}, {"void", Void()},
		{"array", ArrayValue(Int32(1), TableValue(Table{{"x", Binary([]byte("y"))}}))},
	}.Encode())
	f.Add(nested(MaxDepth+1, KindTable))
	f.Add(nested(MaxDepth+1, KindArray))
	f.Add([]byte("\x01a?"))
	f.Add([]byte("\x01aS\xff\xff\xff\xff"))
	f.Add([]byte(strings.Repeat("\x00V", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := ParseTable(b)
		fields := 0
		walkErr := WalkTable(b, func(_ []byte, v RawValue) bool {
			if fields++; err == nil && !v.Value().Equal(table[fields-1].Value) {
				t.Fatalf("field %d: walked %+v, parsed %+v", fields-1, v.Value(), table[fields-1])
			}
			return true
		})
		if (err == nil) != (walkErr == nil) {
			t.Fatalf("parsed with error %v, walked with error %v", err, walkErr)
		}
		canonical := Canonical(b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != SyntaxError || !bytes.Equal(canonical, b) {
				t.Fatalf("error %v, canonical %x", err, canonical)
			}
			return
		}
		if fields != len(table) {
			t.Fatalf("walked %d fields, parsed %d", fields, len(table))
		}
		again, err := ParseTable(table.Encode())
		if err != nil || !again.Equal(table) {
			t.Fatalf("encoded again: %+v, error %v, was %+v", again, err, table)
		}
		if len(canonical) != len(b) || !bytes.Equal(Canonical(canonical), canonical) {
			t.Fatalf("canonical form %x of %x", canonical, b)
		}
	})
}
