package output

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// item has a value of each kind.
type item struct {
	name  string
	count uint64
	tags  []string
	raw   string
}

var columns = Columns[item]{
	{Name: "name", Get: func(i item) any { return i.name }},
	{Name: "count", Get: func(i item) any { return i.count }},
	{Name: "tags", Get: func(i item) any { return i.tags }},
	{Name: "definition", Get: func(i item) any { return json.RawMessage(i.raw) }},
	{Name: "when", Get: func(i item) any {
		if i.count == 0 {
			return time.Time{}
		}
		return time.Unix(int64(i.count), 0)
	}, Extra: true},
	{Name: "arguments", Get: func(i item) any { return Object{{"n", i.count}, {"l", []any{true, nil, 1.5}}} }, Extra: true},
}

var items = []item{
	{"orders", 7, []string{"a", "b"}, `{"max-length":10}`},
	{"a much longer name", 0, nil, `{}`},
	{"evil\x1b[2J\nname <&>", 12345, []string{"x"}, `{"p":"<"}`},
}

func render(t *testing.T, format Format, headers bool, names []string, list []item) string {
	t.Helper()
	selected, err := columns.Select(names, format)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	l := NewList(&b, format, selected.Names(), headers)
	for _, i := range list {
		if err := l.Row(selected.Values(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLists(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format  Format
		headers bool
		names   []string
		want    string
	}{
		{Table, true, nil, `name                   count  tags  definition
orders                     7  a,b   {"max-length":10}
a much longer name         0        {}
evil\x1b[2J\nname <&>  12345  x     {"p":"<"}
`},
		{Table, false, []string{"count", "when"}, "    7  1970-01-01T00:00:07Z\n    0\n12345  1970-01-01T03:25:45Z\n"},
		{CSV, true, []string{"name", "tags"}, "name,tags\norders,\"a,b\"\na much longer name,\n" + `evil\x1b[2J\nname <&>,x` + "\n"},
		{TSV, true, []string{"name", "count"}, "name\tcount\norders\t7\na much longer name\t0\n" + `evil\x1b[2J\nname <&>` + "\t12345\n"},
		{JSON, true, []string{"name", "tags", "when", "arguments"}, `[
  {"name":"orders","tags":["a","b"],"when":"1970-01-01T00:00:07Z","arguments":{"n":7,"l":[true,null,1.5]}},
  {"name":"a much longer name","tags":[],"when":null,"arguments":{"n":0,"l":[true,null,1.5]}},
  {"name":"evil\u001b[2J\nname <&>","tags":["x"],"when":"1970-01-01T03:25:45Z","arguments":{"n":12345,"l":[true,null,1.5]}}
]
`},
		{YAML, true, []string{"name", "tags", "definition"}, `- name: orders
  tags:
    - a
    - b
  definition:
    max-length: 10
- name: a much longer name
  tags: []
  definition: {}
- name: "evil\e[2J\nname <&>"
  tags:
    - x
  definition:
    p: <
`},
	} {
		got := render(t, c.format, c.headers, c.names, items)
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.format, got, c.want)
		}
	}
}

func TestEmptyLists(t *testing.T) {
	t.Parallel()
	for format, want := range map[Format]string{Table: "name  count\n", CSV: "name,count\n", JSON: "[]\n", YAML: "[]\n", TSV: "name\tcount\n"} {
		if got := render(t, format, true, []string{"name", "count"}, nil); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

func TestUnknownColumn(t *testing.T) {
	t.Parallel()
	if _, err := columns.Select([]string{"nam"}, Table); err == nil || !strings.Contains(err.Error(), `no column "nam"; there are name, count`) {
		t.Error(err)
	}
}

// TestManyRows shows that a table goes on after its widths are fixed.
func TestManyRows(t *testing.T) {
	t.Parallel()
	list := make([]item, 3*sample)
	for i := range list {
		list[i] = item{name: fmt.Sprintf("q%d", i), count: uint64(i)}
	}
	got := strings.Split(render(t, Table, false, []string{"name"}, list), "\n")
	if len(got) != len(list)+1 || got[0] != "q0" || got[len(list)-1] != fmt.Sprintf("q%d", len(list)-1) {
		t.Errorf("%d lines, the first is %q", len(got), got[0])
	}
}

// TestAnyText shows that whatever a client calls its objects, programs read the same back and terminals see no control characters.
func TestAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		i := item{name: rapid.String().Draw(r, "name"), count: rapid.Uint64().Draw(r, "count"), raw: "{}"}
		var asJSON, asYAML []map[string]any
		if err := json.Unmarshal([]byte(render(t, JSON, true, []string{"name"}, []item{i, i})), &asJSON); err != nil || asJSON[1]["name"] != i.name {
			r.Fatalf("JSON: %v, %v", asJSON, err)
		}
		if err := yaml.Unmarshal([]byte(render(t, YAML, true, []string{"name"}, []item{i, i})), &asYAML); err != nil || asYAML[1]["name"] != i.name {
			r.Fatalf("YAML: %q, %v", asYAML, err)
		}
		if rows, err := csv.NewReader(strings.NewReader(render(t, CSV, true, []string{"name", "count"}, []item{i, i}))).ReadAll(); err != nil || len(rows) != 3 {
			r.Fatalf("CSV: %q, %v", rows, err)
		}
		for _, format := range []Format{Table, TSV, CSV} {
			text := render(t, format, true, []string{"name", "count"}, []item{i})
			if strings.Count(text, "\n") != 2 {
				r.Fatalf("%s: %q has not two lines", format, text)
			}
			if at := strings.IndexFunc(text, func(c rune) bool { return c != '\n' && c != '\t' && unicode.IsControl(c) }); at >= 0 {
				r.Fatalf("%s: %q has a control character", format, text)
			}
		}
	})
}

func TestItem(t *testing.T) {
	t.Parallel()
	o := Object{{"name", "orders"}, {"messages", uint64(3)}, {"arguments", Object{{"x-max-length", int64(5)}}},
		{"settings", []Object{{{"key", "max-length"}, {"value", json.RawMessage("5")}}}}, {"alarms", []Object(nil)}}
	for format, want := range map[Format]string{
		Table: `name:      orders
messages:  3
arguments: {"x-max-length":5}

settings:
key         value
max-length  5
`,
		JSON: `{
  "name": "orders",
  "messages": 3,
  "arguments": {
    "x-max-length": 5
  },
  "settings": [
    {
      "key": "max-length",
      "value": 5
    }
  ],
  "alarms": []
}
`,
		YAML: `name: orders
messages: 3
arguments:
  x-max-length: 5
settings:
  - key: max-length
    value: 5
alarms: []
`,
		CSV: `name,messages,arguments,settings,alarms
orders,3,"{""x-max-length"":5}","[{""key"":""max-length"",""value"":5}]",[]
`,
	} {
		var b strings.Builder
		if err := Item(&b, format, o); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", format, err, b.String(), want)
		}
	}
}
