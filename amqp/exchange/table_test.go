package exchange

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/wire"
)

type dest uint64

func (d dest) ID() uint64       { return uint64(d) }
func (d dest) Identity() string { return fmt.Sprint("queue/q", uint64(d)) }
func (d dest) Local() bool      { return d%2 == 0 }

// model is the bindings of an exchange in a list, matched one by one.
type model struct {
	typ      string
	bindings []modelBinding
}

type modelBinding struct {
	key  string
	args wire.Table
	to   dest
}

func (b modelBinding) binding() Binding { return Binding{b.key, b.args.Encode(), b.to} }

func (m model) find(b modelBinding) int {
	return slices.IndexFunc(m.bindings, func(o modelBinding) bool {
		if o.to != b.to {
			return false
		}
		switch m.typ {
		case Fanout, ModulusHash:
			return true // which of a destination's bindings goes makes no difference
		case Headers:
			return slices.Equal(wire.Canonical(o.args.Encode()), wire.Canonical(b.args.Encode()))
		}
		return o.key == b.key
	})
}

func (m model) match(key string, h wire.Table) []dest {
	if m.typ == ConsistentHash || m.typ == ModulusHash { // as a new table chooses
		tab := Lookup(m.typ).New(nil)
		for _, b := range m.bindings {
			tab = tab.With(b.binding())
		}
		return matched(tab, key, h)
	}
	var to []dest
	for _, b := range m.bindings {
		ok := false
		switch m.typ {
		case Direct:
			ok = b.key == key
		case Fanout:
			ok = true
		case Topic:
			ok = naiveTopic(words(b.key), words(key))
		case Headers:
			ok = naiveHeaders(b.args, h)
		}
		if ok {
			to = append(to, b.to)
		}
	}
	slices.Sort(to)
	return slices.Compact(to)
}

func words(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

func naiveTopic(pattern, key []string) bool {
	// can[i][j]: the last i words of the pattern match the last j of the key.
	can := make([][]bool, len(pattern)+1)
	for i := range can {
		can[i] = make([]bool, len(key)+1)
		for j := range can[i] {
			if i == 0 {
				can[i][j] = j == 0
				continue
			}
			switch p := pattern[len(pattern)-i]; {
			case p == "#":
				can[i][j] = can[i-1][j] || j > 0 && can[i][j-1]
			case j > 0:
				can[i][j] = (p == "*" || p == key[len(key)-j]) && can[i-1][j-1]
			}
		}
	}
	return can[len(pattern)][len(key)]
}

func naiveHeaders(args, h wire.Table) bool {
	mode := "all"
	if v, ok := args.Get("x-match"); ok {
		mode = v.Str
	}
	all, any := true, false
	for _, f := range args {
		if f.Name == "x-match" || !strings.HasSuffix(mode, "-with-x") && strings.HasPrefix(f.Name, "x-") {
			continue
		}
		v, ok := h.Get(f.Name)
		if ok && (f.Value.Kind == wire.KindVoid || f.Value.Equal(v)) {
			any = true
		} else {
			all = false
		}
	}
	if strings.HasPrefix(mode, "any") {
		return any
	}
	return all
}

func matched(t Table, key string, h wire.Table) []dest {
	var to []dest
	for _, d := range t.Match(nil, &Message{Key: []byte(key), Headers: h.Encode()}) {
		to = append(to, d.(dest))
	}
	slices.Sort(to)
	return to
}

var (
	drawWord  = rapid.SampledFrom([]string{"a", "b", "c", "", "*", "#", "#"})
	drawKey   = rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(drawWord, 0, 6).Draw(t, "words"), ".") })
	drawValue = rapid.SampledFrom([]wire.Value{
		wire.String("1"), wire.String("2"), wire.String(""), wire.Int32(1), wire.Int64(1), wire.Int64(2), wire.Int64(-1),
		{Kind: wire.KindUint8, Int: 1}, {Kind: wire.KindInt8, Int: -1}, wire.Double(1), {Kind: wire.KindFloat, Float: 1}, wire.Bool(true),
		wire.Bool(false), wire.Timestamp(1), wire.Void(), wire.Binary([]byte("1")), {Kind: wire.KindDecimal, Scale: 1, Int: 1},
		wire.ArrayValue(wire.Int32(1)), wire.ArrayValue(wire.Int64(1)), wire.ArrayValue(wire.String("1")),
		wire.TableValue(wire.Table{{Name: "n", Value: wire.Int32(1)}}), wire.TableValue(wire.Table{{Name: "n", Value: wire.Int64(1)}}),
	})
	drawField = rapid.Custom(func(t *rapid.T) wire.Field {
		return wire.Field{Name: rapid.SampledFrom([]string{"a", "b", "x-c", "x-d", "e"}).Draw(t, "name"), Value: drawValue.Draw(t, "value")}
	})
	drawHeaders = rapid.Custom(func(t *rapid.T) wire.Table {
		return rapid.SliceOfNDistinct(drawField, 0, 5, func(f wire.Field) string { return f.Name }).Draw(t, "fields")
	})
)

func drawArguments(t *rapid.T) wire.Table {
	args := drawHeaders.Draw(t, "arguments")
	if mode := rapid.SampledFrom([]string{"", "all", "any", "all-with-x", "any-with-x"}).Draw(t, "x-match"); mode != "" {
		args = append(args, wire.Field{Name: "x-match", Value: wire.String(mode)})
	}
	return args
}

func TestTablesAgainstModel(t *testing.T) {
	for _, typ := range []string{Direct, Fanout, Topic, Headers, ConsistentHash, ModulusHash} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				type version struct {
					table Table
					model model
				}
				cur := version{Lookup(typ).New(nil), model{typ: typ}}
				var history []version
				few := rapid.SampledFrom([]int{2, 14}).Draw(t, "destinations")
				for range rapid.IntRange(1, 40).Draw(t, "steps") {
					next := version{model: model{typ, slices.Clone(cur.model.bindings)}}
					b := modelBinding{to: dest(rapid.IntRange(1, few).Draw(t, "to")), key: drawKey.Draw(t, "key")}
					switch typ {
					case Headers:
						b.args = drawArguments(t)
					case ConsistentHash:
						b.key = fmt.Sprint(rapid.IntRange(1, 5).Draw(t, "weight"))
					}
					if n := len(cur.model.bindings); n > 0 && rapid.Bool().Draw(t, "known") {
						b = cur.model.bindings[rapid.IntRange(0, n-1).Draw(t, "which")]
					}
					if rapid.IntRange(0, 2).Draw(t, "op") > 0 {
						next.table = cur.table.With(b.binding())
						next.model.bindings = append(next.model.bindings, b)
					} else {
						next.table = cur.table.Without(b.binding())
						if i := cur.model.find(b); i >= 0 {
							next.model.bindings = slices.Delete(next.model.bindings, i, i+1)
						}
					}
					history, cur = append(history, cur), next
				}
				key, h := drawKey.Draw(t, "routing key"), drawHeaders.Draw(t, "headers")
				for i, v := range append(history, cur) {
					if v.table.Len() != len(v.model.bindings) {
						t.Fatalf("version %d: %d bindings, want %d", i, v.table.Len(), len(v.model.bindings))
					}
					got, want := matched(v.table, key, h), v.model.match(key, h)
					if Lookup(typ).Repeats {
						got = slices.Compact(got)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("version %d: key %q, headers %v: got %v, want %v", i, key, h, got, want)
					}
				}
				for _, b := range cur.model.bindings {
					cur.table = cur.table.Without(b.binding())
				}
				if got := matched(cur.table, key, h); len(got) > 0 || cur.table.Len() != 0 {
					t.Fatalf("%d bindings, matches %v after all were removed", cur.table.Len(), got)
				}
				if tt, ok := cur.table.(topic); ok && tt.root != nil {
					t.Fatal("nodes are left in an empty topic table")
				}
			})
		})
	}
}

func TestTopicLongKeysMatchAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := Lookup(Topic).New(nil)
		for i, p := range rapid.SliceOfN(drawKey, 1, 20).Draw(t, "patterns") {
			tab = tab.With(Binding{Key: p, To: dest(i)})
		}
		key := drawKey.Draw(t, "key")
		if key == "" {
			key = "a"
		}
		var long []dest
		for _, d := range matchLong(tab.(topic).root, []byte(key), nil) {
			long = append(long, d.(dest))
		}
		slices.Sort(long)
		if short := matched(tab, key, nil); !slices.Equal(short, long) {
			t.Fatalf("key %q: short form %v, long form %v", key, short, long)
		}
	})
}

// Keys around the limit of the short form, and patterns that would take time exponential in the number of "#".
func TestTopicManyWords(t *testing.T) {
	tab := Lookup(Topic).New(nil)
	tab = tab.With(Binding{Key: "#", To: dest(1)})
	tab = tab.With(Binding{Key: strings.Repeat("#.a.", 40) + "#", To: dest(2)})
	tab = tab.With(Binding{Key: strings.Repeat("#.*.", 40) + "z", To: dest(3)})
	tab = tab.With(Binding{Key: strings.Repeat("#.", 100) + "b", To: dest(4)})
	for _, n := range []int{1, 39, 40, 41, 61, 62, 63, 64, 65, 1000, 40000} {
		key := strings.Repeat("a.", n-1) + "a"
		want := []dest{1}
		if n >= 40 {
			want = append(want, 2)
		}
		if got := matched(tab, key, nil); !slices.Equal(got, want) {
			t.Errorf("%d words: got %v, want %v", n, got, want)
		}
		if got := matched(tab, key+".b", nil); !slices.Contains(got, 4) {
			t.Errorf("%d words and b: got %v, want 4 in it", n, got)
		}
	}
}

// The rows are those seen on RabbitMQ.
func TestTopicTable(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"a.*.c", []string{"a.b.c", "a..c"}, []string{"a.c", "a.b.b.c"}},
		{"a.#", []string{"a", "a.b", "a.b.c"}, []string{"b", ""}},
		{"#", []string{"", "a", "a.b"}, nil},
		{"*", []string{"a"}, []string{"", "a.b"}},
		{"#.b", []string{"b", "a.b", "a.a.b"}, []string{"b.a"}},
		{"a.#.*", []string{"a.b", "a.b.c"}, []string{"a"}},
		{"", []string{""}, []string{"a"}},
		{"a.b*", []string{"a.b*"}, []string{"a.bc"}},
		{"*.*", []string{".", "a.", "a.b"}, []string{"a"}},
		{"A.b", []string{"A.b"}, []string{"a.b"}},
	} {
		tab := Lookup(Topic).New(nil).With(Binding{Key: c.pattern, To: dest(1)})
		for _, key := range c.yes {
			if len(matched(tab, key, nil)) != 1 {
				t.Errorf("pattern %q does not match %q", c.pattern, key)
			}
		}
		for _, key := range c.no {
			if len(matched(tab, key, nil)) != 0 {
				t.Errorf("pattern %q matches %q", c.pattern, key)
			}
		}
	}
}

func TestHeadersTable(t *testing.T) {
	abc := wire.Table{{Name: "a", Value: wire.String("1")}, {Name: "b", Value: wire.Int32(2)}, {Name: "x-c", Value: wire.String("y")}}
	wrong := wire.Table{{Name: "a", Value: wire.String("2")}, {Name: "b", Value: wire.Int32(3)}}
	kind := wire.Table{{Name: "a", Value: wire.String("1")}, {Name: "b", Value: wire.String("2")}, abc[2]}
	messages := []wire.Table{abc, abc[:2], abc[:1], abc[2:], wrong, kind, nil}
	a12 := wire.Table{{Name: "a", Value: wire.String("1")}, {Name: "b", Value: wire.String("2")}}
	mode := func(args wire.Table, m string) wire.Table {
		return append(wire.Table{{Name: "x-match", Value: wire.String(m)}}, args...)
	}
	for _, c := range []struct {
		args     wire.Table
		messages []wire.Table
		want     string // y or n for each message
	}{
		{mode(abc, "all"), messages, "yynnnnn"},
		{mode(abc, "any"), messages, "yyynnyn"},
		{mode(abc, "all-with-x"), messages, "ynnnnnn"},
		{mode(abc, "any-with-x"), messages, "yyyynyn"},
		{a12, []wire.Table{a12[:1], a12, nil}, "nyn"},
		{wire.Table{{Name: "a", Value: wire.Void()}}, []wire.Table{a12[:1], a12, nil}, "yyn"},
		{nil, []wire.Table{a12[:1], a12, nil}, "yyy"},
		{mode(nil, "any"), []wire.Table{a12[:1], a12, nil}, "nnn"},
	} {
		tab := Lookup(Headers).New(nil).With(Binding{Arguments: c.args.Encode(), To: dest(1)})
		got := ""
		for _, h := range c.messages {
			got += "ny"[len(matched(tab, "", h)):][:1]
		}
		if got != c.want {
			t.Errorf("binding %v: got %s, want %s", c.args, got, c.want)
		}
	}
	tab := Lookup(Headers).New(nil).With(Binding{To: dest(1)})
	if got := tab.Match(nil, &Message{Headers: []byte{9, 'a'}}); len(got) != 0 {
		t.Errorf("malformed headers match %v", got)
	}
	first := wire.Table{{Name: "a", Value: wire.String("0")}, {Name: "a", Value: wire.String("1")}}
	tab = Lookup(Headers).New(nil).With(Binding{Arguments: a12[:1].Encode(), To: dest(1)})
	if got := matched(tab, "", first); len(got) != 0 {
		t.Errorf("the second of two fields with one name matches %v", got)
	}
}

func TestCheckBinding(t *testing.T) {
	for _, c := range []struct {
		typ  string
		v    wire.Value
		want string // "" for accepted
	}{
		{Headers, wire.String("any-with-x"), ""},
		{Topic, wire.String("foo"), ""},
		{Headers, wire.String("foo"), `Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x`},
		{Headers, wire.Int32(1), `Invalid x-match field type signedint (value 1); expected longstr`},
		{Headers, wire.Bool(true), `Invalid x-match field type bool (value true); expected longstr`},
		{Headers, wire.Void(), `Invalid x-match field type void (value undefined); expected longstr`},
		{Headers, wire.Double(1), `Invalid x-match field type double (value 1.0); expected longstr`},
		{Headers, wire.Double(1e30), `Invalid x-match field type double (value 1.0e30); expected longstr`},
		{Headers, wire.Timestamp(5), `Invalid x-match field type timestamp (value 5); expected longstr`},
		{Headers, wire.Value{Kind: wire.KindDecimal, Scale: 2, Int: 314}, `Invalid x-match field type decimal (value {2,314}); expected longstr`},
		{Headers, wire.ArrayValue(wire.String("all")), `Invalid x-match field type array (value [{longstr,<<"all">>}]); expected longstr`},
		{Headers, wire.TableValue(wire.Table{{Name: "a", Value: wire.Int64(-1)}}), `Invalid x-match field type table (value [{<<"a">>,long,-1}]); expected longstr`},
	} {
		err := Lookup(c.typ).CheckBinding("", wire.Table{{Name: "x-match", Value: c.v}})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s, %v: %v", c.typ, c.v, err)
			}
			continue
		}
		e, ok := err.(*wire.Error)
		if !ok || e.Code != wire.PreconditionFailed || e.Text != "PRECONDITION_FAILED - "+c.want {
			t.Errorf("%s, %v: got %v, want %s", c.typ, c.v, err, c.want)
		}
	}
	if err := Lookup(Headers).CheckBinding("", nil); err != nil {
		t.Error(err)
	}
}

func TestLookup(t *testing.T) {
	if got := strings.Join(Names(), " "); got != "direct fanout headers topic x-consistent-hash x-delayed-message x-local-random x-modulus-hash x-random x-recent-history" {
		t.Errorf("types are %s", got)
	}
	if Lookup("x-jms-topic") != nil || Lookup("") != nil {
		t.Error("unknown types are known")
	}
}

// raceEnabled says that the race detector is on.
var raceEnabled bool

func TestMatchDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops values at random")
	}
	buf := make([]Destination, 0, 100)
	h := wire.Table{{Name: "a", Value: wire.String("1")}, {Name: "b", Value: wire.Int32(1)}, {Name: "n", Value: wire.Double(1)}}.Encode()
	m := &Message{Key: []byte("a.b.c"), Headers: h}
	for _, typ := range Names() {
		tab := Lookup(typ).New(nil)
		for i := range 50 {
			for _, key := range []string{"a.b.c", "a.*.c", "#.c", "*.#"} {
				tab = tab.With(Binding{Key: key, Arguments: h, To: dest(i)})
			}
			if i == 20 && len(tab.Match(nil, m)) == 0 {
				t.Fatalf("%s: no match", typ)
			}
		}
		buf = make([]Destination, 0, tab.Len())
		if n := testing.AllocsPerRun(100, func() { tab.Match(buf, m) }); n != 0 {
			t.Errorf("%s: %v allocations", typ, n)
		}
	}
}

func benchmarkTable(typ string, n int) (Table, [][]byte, []byte) {
	tab := Lookup(typ).New(nil)
	keys := make([][]byte, n)
	for i := range n {
		key := fmt.Sprintf("region%d.device%d.temperature", i%17, i)
		keys[i] = []byte(key)
		args := wire.Table{{Name: "device", Value: wire.Int64(int64(i))}, {Name: "region", Value: wire.Int32(int32(i % 17))}}
		switch {
		case typ == Topic && i%4 == 1:
			key = fmt.Sprintf("*.device%d.*", i)
		case typ == Topic && i%4 == 2:
			key = fmt.Sprintf("region%d.device%d.#", i%17, i)
		}
		tab = tab.With(Binding{Key: key, Arguments: args.Encode(), To: dest(i)})
	}
	h := wire.Table{{Name: "device", Value: wire.Int64(5)}, {Name: "region", Value: wire.Int32(5)}, {Name: "colour", Value: wire.String("red")}}
	return tab, keys, h.Encode()
}

func BenchmarkMatch(b *testing.B) {
	for _, c := range []struct {
		typ string
		n   int
	}{{Direct, 10}, {Direct, 100_000}, {Topic, 10}, {Topic, 100_000}, {Fanout, 10}, {Fanout, 1000}, {Headers, 100}} {
		b.Run(fmt.Sprint(c.typ, "/", c.n), func(b *testing.B) {
			tab, keys, h := benchmarkTable(c.typ, c.n)
			buf := make([]Destination, 0, c.n)
			m := &Message{Headers: h}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Key = keys[i*7919%c.n]
				tab.Match(buf, m)
			}
		})
	}
}

func BenchmarkWith(b *testing.B) {
	for _, typ := range Names() {
		for _, n := range []int{10, 100_000} {
			b.Run(fmt.Sprint(typ, "/", n), func(b *testing.B) {
				tab, _, _ := benchmarkTable(typ, n)
				extra := Binding{Key: "region1.other.temperature", To: dest(n + 1)}
				b.ReportAllocs()
				for b.Loop() {
					tab.With(extra)
				}
			})
		}
	}
}
