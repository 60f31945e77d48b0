package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Member is a named value of an Object. A value is nil, a bool, a number, a string, a []string, a time.Time (zero for none), a
// json.RawMessage, an Object, an []Object, or an []any of these.
type Member struct {
	Name  string
	Value any
}

// Object is an object whose members keep their order.
type Object []Member

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := encode(m.Name)
		if err != nil {
			return nil, err
		}
		value, err := encode(jsonValue(m.Value))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// encode is json.Marshal without the escaping for HTML, which would spoil bindings and patterns.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// jsonValue makes empty lists [] and missing times null.
func jsonValue(v any) any {
	switch v := v.(type) {
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UTC().Format(time.RFC3339Nano)
	case []string:
		if v == nil {
			return []string{}
		}
	case []Object:
		if v == nil {
			return []Object{}
		}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = jsonValue(v[i])
		}
		return list
	case json.RawMessage:
		if !json.Valid(v) {
			return string(v)
		}
	}
	return v
}

// Text returns a value as one cell of a table or CSV file. Control characters are written as escapes.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return Clean(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format("2006-01-02T15:04:05Z")
	case []string:
		return Clean(strings.Join(v, ","))
	case json.RawMessage:
		return Clean(string(v))
	case Object, []Object, []any:
		b, err := encode(jsonValue(v))
		if err != nil {
			return Clean(fmt.Sprint(v))
		}
		return Clean(string(b))
	}
	return Clean(fmt.Sprint(v))
}

// Clean writes control characters and bytes that are not UTF-8 as escapes, so that a name cannot steer a terminal or break a line.
func Clean(s string) string {
	if strings.IndexFunc(s, hostile) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, width := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case hostile(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hostile says whether a character does something else than to be seen: control characters and those that turn the direction of
// the text.
func hostile(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// node returns a value as YAML.
func node(v any) (*yaml.Node, error) {
	switch v := jsonValue(v).(type) {
	case Object:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
		for _, m := range v {
			value, err := node(m.Value)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, stringNode(m.Name), value)
		}
		return n, nil
	case []Object:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return sequence(list)
	case []any:
		return sequence(v)
	case string:
		return stringNode(v), nil
	case json.RawMessage:
		d := json.NewDecoder(bytes.NewReader(v))
		d.UseNumber()
		var plain any
		if err := d.Decode(&plain); err != nil {
			return nil, err
		}
		return rawNode(plain)
	default:
		n := new(yaml.Node)
		return n, n.Encode(v)
	}
}

// rawNode is for values that came as JSON: integers stay integers, however large.
func rawNode(v any) (*yaml.Node, error) {
	n := new(yaml.Node)
	if number, ok := v.(json.Number); ok {
		n.Kind, n.Value = yaml.ScalarNode, number.String()
		return n, nil
	}
	return n, n.Encode(numbers(v))
}

// numbers replaces the numbers in what was decoded from JSON by those that YAML writes plainly.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

func sequence(list []any) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	if len(list) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, e := range list {
		item, err := node(e)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, item)
	}
	return n, nil
}

func stringNode(s string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(s)
	if n.Style == 0 { // the encoder quotes what would be read as something else
		n.Tag = "!!str"
	}
	return n
}
