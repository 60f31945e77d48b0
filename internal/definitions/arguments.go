package definitions

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Bounds of what one item may hold, well below those of a change of the metadata (meta.MaxCommandLen).
const (
	maxFieldName = 255     // bytes of the name of an argument
	maxArguments = 1 << 20 // bytes of encoded arguments
	maxRaw       = 1 << 20 // bytes of the JSON of a parameter or policy
)

// argumentError is an argument that AMQP cannot hold.
type argumentError struct {
	value *value
	path  string // within the arguments, such as ["x-a"][2]
	want  string
}

func (e *argumentError) Error() string { return e.want }

// tableOf makes a field table of a JSON object.
func tableOf(v *value, path string) (wire.Table, *argumentError) {
	if len(v.members) == 0 {
		return nil, nil
	}
	t := make(wire.Table, 0, len(v.members))
	for i := range v.members {
		m := &v.members[i]
		inner := path + "." + m.name
		if len(m.name) > maxFieldName {
			return nil, &argumentError{&m.value, inner, fmt.Sprintf("the name of an argument has at most %d bytes", maxFieldName)}
		}
		field, wrong := fieldOf(&m.value, inner)
		if wrong != nil {
			return nil, wrong
		}
		t = append(t, wire.Field{Name: m.name, Value: field})
	}
	return t, nil
}

func fieldOf(v *value, path string) (wire.Value, *argumentError) {
	switch v.kind {
	case boolean:
		return wire.Bool(v.text == "true"), nil
	case text:
		return wire.String(v.text), nil
	case number:
		return numberOf(v, path)
	case array:
		list := make([]wire.Value, len(v.items))
		for i := range v.items {
			var wrong *argumentError
			if list[i], wrong = fieldOf(&v.items[i], fmt.Sprintf("%s[%d]", path, i)); wrong != nil {
				return wire.Value{}, wrong
			}
		}
		return wire.ArrayValue(list...), nil
	case object:
		t, wrong := tableOf(v, path)
		return wire.TableValue(t), wrong
	}
	return wire.Void(), nil
}

func numberOf(v *value, path string) (wire.Value, *argumentError) {
	if !strings.ContainsAny(v.text, ".eE") {
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil {
			return wire.Value{}, &argumentError{v, path, fmt.Sprintf("want an integer from %d to %d, or a float with a decimal point",
				math.MinInt64, math.MaxInt64)}
		}
		return wire.Int64(n), nil
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil && !errors.Is(err, strconv.ErrSyntax) {
		return wire.Value{}, &argumentError{v, path, "want a number that fits into 64 bits"}
	}
	return wire.Double(f), nil
}

// appendTable appends a field table as a JSON object; of fields of the same name the first counts.
func appendTable(b []byte, t wire.Table, sorted bool) []byte {
	if sorted {
		t = slices.Clone(t)
		slices.SortStableFunc(t, func(a, b wire.Field) int { return strings.Compare(a.Name, b.Name) })
	}
	t, _ = unrepeated(t)
	w := startObject(b)
	for i := range t {
		w.name(t[i].Name)
		w.b = appendField(w.b, t[i].Value, sorted)
	}
	return w.end()
}

// unrepeated returns t with the first of the fields of each name, and the name of one that is there several times, empty for none.
func unrepeated(t wire.Table) (u wire.Table, name string) {
	if len(t) < 2 {
		return t, ""
	}
	seen := make(map[string]bool, len(t))
	for i := range t {
		if seen[t[i].Name] {
			name = t[i].Name
			continue
		}
		seen[t[i].Name] = true
		u = append(u, t[i])
	}
	return u, name
}

func appendField(b []byte, v wire.Value, sorted bool) []byte {
	switch v.Kind {
	case wire.KindBool:
		return strconv.AppendBool(b, v.Int != 0)
	case wire.KindString, wire.KindBinary:
		return appendString(b, v.Str)
	case wire.KindFloat:
		// The shortest number that is the same in 32 bits, as it was most likely written.
		if f, err := strconv.ParseFloat(strconv.FormatFloat(v.Float, 'g', -1, 32), 64); err == nil {
			return appendFloat(b, f)
		}
		return appendFloat(b, v.Float)
	case wire.KindDouble:
		return appendFloat(b, v.Float)
	case wire.KindDecimal:
		return appendFloat(b, float64(uint32(v.Int))/math.Pow10(int(v.Scale)))
	case wire.KindTimestamp:
		return strconv.AppendUint(b, uint64(v.Int), 10)
	case wire.KindTable:
		return appendTable(b, v.Table, sorted)
	case wire.KindArray:
		b = append(b, '[')
		for i, e := range v.Array {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendField(b, e, sorted)
		}
		return append(b, ']')
	}
	if v.IsInteger() {
		return strconv.AppendInt(b, v.Int, 10)
	}
	return append(b, "null"...)
}

// argumentsJSON returns stored arguments as a JSON object. Damaged ones are shown as none.
func argumentsJSON(content []byte, sorted bool) []byte {
	if len(content) == 0 {
		return []byte("{}")
	}
	t, err := wire.ParseTable(content)
	if err != nil {
		return []byte("{}")
	}
	return appendTable(nil, t, sorted)
}

// lossy says what of stored arguments JSON changes beyond the widths of numbers; empty for nothing.
func lossy(content []byte) string {
	if len(content) == 0 {
		return ""
	}
	t, err := wire.ParseTable(content)
	if err != nil {
		return "damaged arguments are left out"
	}
	if name, why := lossyTable(t); why != "" {
		return "the argument " + quote(name) + " " + why
	}
	return ""
}

// lossyTable returns the first field that JSON changes, and in which way.
func lossyTable(t wire.Table) (name, why string) {
	if _, name := unrepeated(t); name != "" {
		return name, "is there several times, only the first is exported"
	}
	for i := range t {
		if why := lossyField(t[i].Value); why != "" {
			return t[i].Name, why
		}
	}
	return "", ""
}

func lossyField(v wire.Value) string {
	switch v.Kind {
	case wire.KindBinary:
		return "is a byte array and becomes a string"
	case wire.KindString:
		if !utf8.ValidString(v.Str) {
			return "holds bytes that are not UTF-8, which JSON cannot hold"
		}
	case wire.KindTimestamp, wire.KindDecimal:
		return "is a " + v.Kind.String() + " and becomes a number"
	case wire.KindFloat, wire.KindDouble:
		if math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
			return "is no number that JSON knows and becomes null"
		}
	case wire.KindTable:
		if name, why := lossyTable(v.Table); why != "" {
			return "holds " + quote(name) + ", which " + why
		}
	case wire.KindArray:
		for _, e := range v.Array {
			if why := lossyField(e); why != "" {
				return why
			}
		}
	}
	return ""
}
