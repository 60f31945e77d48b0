package ctl

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

func TestParseArgument(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, name, want string }{
		{"x-max-length=100", "x-max-length", `100`},
		{"n=-5", "n", `-5`},
		{"big=9223372036854775807", "big", `9223372036854775807`},
		{"too-big=9223372036854775808", "too-big", `"9223372036854775808"`},
		{"f=1.5", "f", `1.5`},
		{"e=1e3", "e", `1000`},
		{"word=east", "word", `"east"`},
		{"inf=infinite.", "inf", `"infinite."`},
		{"version=1.2.3", "version", `"1.2.3"`},
		{"b=true", "b", `true`},
		{"b=TRUE", "b", `"TRUE"`},
		{"s=reject-publish", "s", `"reject-publish"`},
		{"s=", "s", `""`},
		{"s=a=b", "s", `"a=b"`},
		{`s:="5"`, "s", `"5"`},
		{`l:=[1,"a",null]`, "l", `[1,"a",null]`},
		{`t:={"b":{"c":false},"a":1.0}`, "t", `{"a":1,"b":{"c":false}}`},
		{`x:={"$bytes":"AP8="}`, "x", `{"$bytes":"AP8="}`},
		{`x:={"$timestamp":12}`, "x", `{"$timestamp":12}`},
		{`x:={"$decimal":"12.50"}`, "x", `{"$decimal":"12.50"}`},
	} {
		name, v, err := ParseArgument(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got, err := json.Marshal(Plain(v))
		if name != c.name || err != nil || string(got) != c.want {
			t.Errorf("%s: %s = %s, %v, want %s = %s", c.in, name, got, err, c.name, c.want)
		}
	}
}

func TestParseArgumentErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"x", "neither name=value nor name:=JSON"},
		{"=5", "neither name=value nor name:=JSON"},
		{":=5", "neither name=value nor name:=JSON"},
		{"a:=", "it ends too early"},
		{"a:={", "it ends too early"},
		{"a:=1 2", "something follows"},
		{"a:=x", "is not JSON"},
		{"a:=99999999999999999999", "not within 64 bits"},
		{`a:={"$bytes":"!"}`, "not base64"},
		{`a:={"$timestamp":"x"}`, "number of seconds"},
		{"a=\xff", "not UTF-8"},
		{"a:=" + strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper"},
	} {
		if _, _, err := ParseArgument(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.in, err, c.want)
		}
	}
	if _, err := ParseArguments([]string{"a=1", "a=2"}); err == nil || !strings.Contains(err.Error(), `"a" is given twice`) {
		t.Errorf("twice: %v", err)
	}
	if _, err := ParseTable([]byte("[]")); err == nil || !strings.Contains(err.Error(), "not a JSON object") {
		t.Errorf("no object: %v", err)
	}
}

// TestValueRoundTrip shows that what is printed of a value can be given as an argument and is the same value.
func TestValueRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := drawValue(t, 0)
		data, err := json.Marshal(Plain(v))
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseJSON(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		again, err := json.Marshal(Plain(back))
		if err != nil || string(again) != string(data) {
			t.Fatalf("%s came back as %s, %v", data, again, err)
		}
		if _, double := v.GetKind().(*adminv1.Value_DoubleValue); !double && !strings.Contains(v.String(), "double") && !proto.Equal(v, back) {
			t.Fatalf("%v came back as %v", v, back)
		}
	})
}

func drawValue(t *rapid.T, depth int) *adminv1.Value {
	most := 8
	if depth > 3 {
		most = 6
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		return &adminv1.Value{}
	case 1:
		return &adminv1.Value{Kind: &adminv1.Value_BoolValue{BoolValue: rapid.Bool().Draw(t, "bool")}}
	case 2:
		return intValue(rapid.Int64().Draw(t, "int"))
	case 3:
		return &adminv1.Value{Kind: &adminv1.Value_DoubleValue{DoubleValue: rapid.Float64Range(-1e6, 1e6).Draw(t, "double")}}
	case 4:
		return &adminv1.Value{Kind: &adminv1.Value_StringValue{StringValue: rapid.StringN(0, 10, 40).Draw(t, "text")}}
	case 5:
		return &adminv1.Value{Kind: &adminv1.Value_BytesValue{BytesValue: rapid.SliceOfN(rapid.Byte(), 1, 10).Draw(t, "bytes")}}
	case 6:
		return &adminv1.Value{Kind: &adminv1.Value_TimestampValue{TimestampValue: rapid.Int64().Draw(t, "time")}}
	case 7:
		a := &adminv1.Array{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			a.Values = append(a.Values, drawValue(t, depth+1))
		}
		return &adminv1.Value{Kind: &adminv1.Value_ArrayValue{ArrayValue: a}}
	}
	fields := map[string]*adminv1.Value{}
	for range rapid.IntRange(0, 3).Draw(t, "fields") {
		fields[rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "name")] = drawValue(t, depth+1)
	}
	return &adminv1.Value{Kind: &adminv1.Value_TableValue{TableValue: &adminv1.Table{Fields: fields}}}
}
