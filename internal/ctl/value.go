package ctl

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

// Names of the members that stand for what JSON has no value for: {"$bytes": "base64"}, {"$timestamp": seconds},
// {"$decimal": "12.50"}.
const (
	bytesMember     = "$bytes"
	timestampMember = "$timestamp"
	decimalMember   = "$decimal"
)

// maxDepth bounds how deep tables and arrays may be nested.
const maxDepth = 16

// ParseArgument reads name=value or name:=JSON. Of name=value, an integer is one, a number with a decimal point or an exponent is a
// double, true and false are booleans and everything else is text; name:="5" makes a text of what looks like a number.
func ParseArgument(s string) (name string, _ *adminv1.Value, _ error) {
	name, value, ok := strings.Cut(s, "=")
	forced := strings.HasSuffix(name, ":")
	name = strings.TrimSuffix(name, ":")
	if !ok || name == "" {
		return "", nil, fmt.Errorf("%q is neither name=value nor name:=JSON", s)
	}
	if !utf8.ValidString(s) {
		return "", nil, fmt.Errorf("%q is not UTF-8", s)
	}
	if !forced {
		return name, plainValue(value), nil
	}
	v, err := ParseJSON([]byte(value))
	if err != nil {
		return "", nil, fmt.Errorf("%q: %w", s, err)
	}
	return name, v, nil
}

// ParseArguments reads arguments as ParseArgument does; a name that comes twice is refused.
func ParseArguments(list []string) (map[string]*adminv1.Value, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m := make(map[string]*adminv1.Value, len(list))
	for _, s := range list {
		name, v, err := ParseArgument(s)
		if err != nil {
			return nil, err
		}
		if m[name] != nil {
			return nil, fmt.Errorf("%q is given twice", name)
		}
		m[name] = v
	}
	return m, nil
}

func plainValue(s string) *adminv1.Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return intValue(n)
	}
	if strings.ContainsAny(s, ".eE") && strings.ContainsAny(s, "0123456789") && !strings.ContainsAny(s, "xXpP_") {
		if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsInf(f, 0) {
			return &adminv1.Value{Kind: &adminv1.Value_DoubleValue{DoubleValue: f}}
		}
	}
	switch s {
	case "true", "false":
		return &adminv1.Value{Kind: &adminv1.Value_BoolValue{BoolValue: s == "true"}}
	}
	return &adminv1.Value{Kind: &adminv1.Value_StringValue{StringValue: s}}
}

func intValue(n int64) *adminv1.Value {
	return &adminv1.Value{Kind: &adminv1.Value_IntValue{IntValue: n}}
}

// ParseJSON reads a value in the JSON that Plain shows.
func ParseJSON(data []byte) (*adminv1.Value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("is not JSON: it ends too early")
		}
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("is not JSON: something follows the value")
	}
	return valueOf(v, 0)
}

// ParseTable reads a JSON object as arguments.
func ParseTable(data []byte) (map[string]*adminv1.Value, error) {
	v, err := ParseJSON(data)
	if err != nil {
		return nil, err
	}
	if t := v.GetTableValue(); t != nil {
		return t.GetFields(), nil
	}
	return nil, errors.New(`is not a JSON object, such as {"x-max-length": 1000}`)
}

func valueOf(v any, depth int) (*adminv1.Value, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("is nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return &adminv1.Value{}, nil
	case bool:
		return &adminv1.Value{Kind: &adminv1.Value_BoolValue{BoolValue: v}}, nil
	case string:
		return &adminv1.Value{Kind: &adminv1.Value_StringValue{StringValue: v}}, nil
	case json.Number:
		return numberOf(v)
	case []any:
		a := &adminv1.Array{}
		for _, e := range v {
			item, err := valueOf(e, depth+1)
			if err != nil {
				return nil, err
			}
			a.Values = append(a.Values, item)
		}
		return &adminv1.Value{Kind: &adminv1.Value_ArrayValue{ArrayValue: a}}, nil
	case map[string]any:
		return objectOf(v, depth)
	}
	return nil, fmt.Errorf("cannot be used: %T", v)
}

func numberOf(n json.Number) (*adminv1.Value, error) {
	if !strings.ContainsAny(n.String(), ".eE") {
		i, err := n.Int64()
		if err != nil {
			return nil, fmt.Errorf("%s is not within 64 bits", n)
		}
		return intValue(i), nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("%s is not within 64 bits", n)
	}
	return &adminv1.Value{Kind: &adminv1.Value_DoubleValue{DoubleValue: f}}, nil
}

func objectOf(m map[string]any, depth int) (*adminv1.Value, error) {
	if len(m) == 1 {
		if v, err := special(m); v != nil || err != nil {
			return v, err
		}
	}
	t := &adminv1.Table{Fields: make(map[string]*adminv1.Value, len(m))}
	for name, e := range m {
		v, err := valueOf(e, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.Fields[name] = v
	}
	return &adminv1.Value{Kind: &adminv1.Value_TableValue{TableValue: t}}, nil
}

// special reads the objects that stand for other values; nil for other objects.
func special(m map[string]any) (*adminv1.Value, error) {
	for name, v := range m {
		switch name {
		case bytesMember:
			s, _ := v.(string)
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil || s == "" && v != "" {
				return nil, fmt.Errorf("%s is not base64", name)
			}
			return &adminv1.Value{Kind: &adminv1.Value_BytesValue{BytesValue: b}}, nil
		case timestampMember:
			n, _ := v.(json.Number)
			i, err := n.Int64()
			if err != nil {
				return nil, fmt.Errorf("%s is not a number of seconds", name)
			}
			return &adminv1.Value{Kind: &adminv1.Value_TimestampValue{TimestampValue: i}}, nil
		case decimalMember:
			s, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf(`%s is not a text such as "12.50"`, name)
			}
			return &adminv1.Value{Kind: &adminv1.Value_DecimalValue{DecimalValue: s}}, nil
		}
	}
	return nil, nil
}

// Plain returns what output shows of a value.
func Plain(v *adminv1.Value) any {
	switch k := v.GetKind().(type) {
	case *adminv1.Value_BoolValue:
		return k.BoolValue
	case *adminv1.Value_IntValue:
		return k.IntValue
	case *adminv1.Value_DoubleValue:
		if math.IsNaN(k.DoubleValue) || math.IsInf(k.DoubleValue, 0) {
			return strconv.FormatFloat(k.DoubleValue, 'g', -1, 64) // JSON has no number for it
		}
		return k.DoubleValue
	case *adminv1.Value_StringValue:
		return k.StringValue
	case *adminv1.Value_BytesValue:
		return output.Object{{Name: bytesMember, Value: base64.StdEncoding.EncodeToString(k.BytesValue)}}
	case *adminv1.Value_TimestampValue:
		return output.Object{{Name: timestampMember, Value: k.TimestampValue}}
	case *adminv1.Value_DecimalValue:
		return output.Object{{Name: decimalMember, Value: k.DecimalValue}}
	case *adminv1.Value_TableValue:
		return PlainTable(k.TableValue.GetFields())
	case *adminv1.Value_ArrayValue:
		list := make([]any, 0, len(k.ArrayValue.GetValues()))
		for _, e := range k.ArrayValue.GetValues() {
			list = append(list, Plain(e))
		}
		return list
	}
	return nil
}

// PlainTable returns what output shows of a table: an object with its names in order.
func PlainTable(t map[string]*adminv1.Value) output.Object {
	o := make(output.Object, 0, len(t))
	for name, v := range t {
		o = append(o, output.Member{Name: name, Value: Plain(v)})
	}
	slices.SortFunc(o, func(a, b output.Member) int { return strings.Compare(a.Name, b.Name) })
	return o
}
