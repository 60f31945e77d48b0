package server

import (
	"slices"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

func TestParseExpiration(t *testing.T) {
	for _, tc := range []struct {
		text string
		want int64
		why  string
	}{
		{"0", 0, ""},
		{"5", 5, ""},
		{"+5", 5, ""},
		{"-0", 0, ""},
		{"007", 7, ""},
		{"4294967296", 4294967296, ""},
		{"315360000000", 315360000000, ""},
		{"00000000000000000000000000000000000001", 1, ""},
		{"", 0, "no_integer"},
		{"abc", 0, "no_integer"},
		{" 5", 0, "no_integer"},
		{"+", 0, "no_integer"},
		{"-", 0, "no_integer"},
		{"--1", 0, "no_integer"},
		{"-1", 0, "{value_negative,-1}"},
		{"-007", 0, "{value_negative,-7}"},
		{"-99999999999999999999", 0, "{value_negative,-99999999999999999999}"},
		{"10.5", 0, "{leftover_string,\".5\"}"},
		{"5 ", 0, "{leftover_string,\" \"}"},
		{"1e3", 0, "{leftover_string,\"e3\"}"},
		{"315360000001", 0, "{value_too_large,315360000001}"},
		{"1000000000000000", 0, "{value_too_large,1000000000000000}"},
		{"99999999999999999999", 0, "{value_too_large,99999999999999999999}"},
	} {
		got, err := parseExpiration([]byte(tc.text))
		text := ""
		if err != nil {
			text = err.Text
		}
		want := ""
		if tc.why != "" {
			want = "PRECONDITION_FAILED - invalid expiration '" + tc.text + "': " + tc.why
		}
		if got != tc.want || text != want {
			t.Errorf("%q: %d, %q; want %d, %q", tc.text, got, text, tc.want, want)
		}
	}
}

func TestCarbonCopies(t *testing.T) {
	field := func(name string, v wire.Value) wire.Field { return wire.Field{Name: name, Value: v} }
	mixed := wire.Value{Kind: wire.KindArray, Array: []wire.Value{wire.String("a"), wire.Int32(5), wire.String("b")}}
	one := field("o", wire.Int32(1))
	for _, tc := range []struct {
		name    string
		headers wire.Table
		keys    []string
		left    wire.Table
		text    string
	}{
		{"none", wire.Table{one}, nil, wire.Table{one}, ""},
		{"CC stays", wire.Table{field("CC", strings1("x")), one}, []string{"x"}, wire.Table{field("CC", strings1("x")), one}, ""},
		{"BCC goes", wire.Table{one, field("BCC", strings1("x", "y"))}, []string{"x", "y"}, wire.Table{one}, ""},
		{"only BCC", wire.Table{field("BCC", strings1("x"))}, []string{"x"}, wire.Table{}, ""},
		{"both", wire.Table{field("CC", strings1("x")), field("BCC", strings1("y")), one}, []string{"x", "y"},
			wire.Table{field("CC", strings1("x")), one}, ""},
		{"other items are left out", wire.Table{field("CC", mixed)}, []string{"a", "b"}, wire.Table{field("CC", mixed)}, ""},
		{"empty", wire.Table{field("CC", strings1())}, nil, wire.Table{field("CC", strings1())}, ""},
		{"names are exact", wire.Table{field("cc", wire.String("x"))}, nil, wire.Table{field("cc", wire.String("x"))}, ""},
		{"CC is a string", wire.Table{field("CC", wire.String("x"))}, nil, nil, `{unacceptable_type_in_header,"CC",longstr}`},
		{"CC is a number", wire.Table{field("CC", wire.Int32(5))}, nil, nil, `{unacceptable_type_in_header,"CC",signedint}`},
		{"BCC is a string", wire.Table{field("BCC", wire.String("x"))}, nil, nil, `{unacceptable_type_in_header,"BCC",longstr}`},
	} {
		p := wire.Properties{ContentType: "t", Headers: tc.headers, DeliveryMode: 2, MessageID: "m"}
		raw := p.Append(nil)
		var view wire.PropertyView
		check(wire.ScanProperties(raw, &view))
		keys, out, failure := carbonCopies(raw, &view)
		if tc.text != "" {
			if want := "PRECONDITION_FAILED - invalid message: " + tc.text; failure == nil || failure.Text != want {
				t.Errorf("%s: %v, want %s", tc.name, failure, want)
			}
			continue
		}
		p.Headers = tc.left
		if want := p.Append(nil); failure != nil || !slices.Equal(out, want) {
			t.Errorf("%s: properties\n%x, want\n%x (%v)", tc.name, out, want, failure)
		}
		if !slices.EqualFunc(keys, tc.keys, func(a []byte, b string) bool { return string(a) == b }) {
			t.Errorf("%s: keys %q, want %q", tc.name, keys, tc.keys)
		}
	}
}
