package exchange

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/wire"
)

func stringField(name, value string) wire.Field {
	return wire.Field{Name: name, Value: wire.String(value)}
}

// choose returns the destination of m, 0 for none.
func choose(t testing.TB, tab Table, m *Message) dest {
	t.Helper()
	switch got := tab.Match(nil, m); len(got) {
	case 0:
		return 0
	case 1:
		return got[0].(dest)
	default:
		t.Fatalf("%d destinations: %v", len(got), got)
		return 0
	}
}

const manyKeys = 100_000

// spread returns the destination of each of many keys.
func spread(t testing.TB, tab Table) []dest {
	t.Helper()
	to := make([]dest, manyKeys)
	for i := range to {
		to[i] = choose(t, tab, &Message{Key: fmt.Append(nil, "order.", i)})
	}
	return to
}

// checkShares checks that each destination has its share of the keys, to within 5 %.
func checkShares(t *testing.T, what string, to []dest, weights map[dest]int) {
	t.Helper()
	total, got := 0, map[dest]int{}
	for _, w := range weights {
		total += w
	}
	for _, d := range to {
		got[d]++
	}
	for d, w := range weights {
		want := float64(len(to)) * float64(w) / float64(total)
		if math.Abs(float64(got[d])-want) > 0.05*want {
			t.Errorf("%s: destination %d has %d keys, want %.0f", what, d, got[d], want)
		}
		delete(got, d)
	}
	if len(got) > 0 {
		t.Errorf("%s: keys at destinations without a binding: %v", what, got)
	}
}

func weighted(weights map[dest]int) Table {
	tab := Lookup(ConsistentHash).New(nil)
	for _, d := range slices.Sorted(maps.Keys(weights)) {
		tab = tab.With(Binding{Key: fmt.Sprint(weights[d]), To: d})
	}
	return tab
}

func TestShares(t *testing.T) {
	for _, weights := range []map[dest]int{
		{1: 1},
		{1: 1, 2: 1},
		{1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1, 10: 1},
		{1: 1, 2: 2, 3: 3, 4: 2, 5: 1},
		{1: 10_000, 2: 5000, 3: 1000},
	} {
		checkShares(t, fmt.Sprint("weights ", weights), spread(t, weighted(weights)), weights)
	}
	weights := map[dest]int{1: 1, 2: 3, 3: 1, 4: 2} // how often each is bound
	for _, typ := range []string{ModulusHash, Random} {
		tab := Lookup(typ).New(nil)
		for d, n := range weights {
			for i := range n {
				tab = tab.With(Binding{Key: fmt.Sprint(i), To: d})
			}
		}
		checkShares(t, typ, spread(t, tab), weights)
	}
	tab := Lookup(LocalRandom).New(nil)
	for d := range dest(9) {
		tab = tab.With(Binding{To: d + 1})
	}
	checkShares(t, LocalRandom, spread(t, tab), map[dest]int{2: 1, 4: 1, 6: 1, 8: 1})
}

// Keys that are counters or share long prefixes are spread as well.
func TestSharesOfSimilarKeys(t *testing.T) {
	weights := map[dest]int{1: 1, 2: 1, 3: 1, 4: 2, 5: 5}
	tab := weighted(weights)
	for name, key := range map[string]func(i int) []byte{
		"binary":   func(i int) []byte { return []byte{byte(i >> 16), byte(i >> 8), byte(i)} },
		"length":   func(i int) []byte { return make([]byte, i%10_000) },
		"aligned":  func(i int) []byte { return fmt.Appendf(nil, "%016d", i) },
		"prefixed": func(i int) []byte { return fmt.Appendf(nil, "a.long.prefix.of.all.keys.%d.and.a.suffix", i) },
	} {
		to := make([]dest, manyKeys)
		if name == "length" {
			to = to[:10_000]
		}
		for i := range to {
			to[i] = choose(t, tab, &Message{Key: key(i)})
		}
		if name != "length" {
			checkShares(t, name, to, weights)
			continue
		}
		for d := range weights { // fewer keys, so no more than that everybody has some
			if !slices.Contains(to, d) {
				t.Errorf("%s: no key for destination %d", name, d)
			}
		}
	}
}

// When a destination goes, only its own keys move; when it comes back, they return.
func TestOnlyKeysOfTheRemovedMove(t *testing.T) {
	for _, weights := range []map[dest]int{
		{1: 1, 2: 1, 3: 1, 4: 1, 5: 1},
		{1: 1, 2: 2, 3: 3, 4: 3, 5: 7},
	} {
		tab := weighted(weights)
		before := spread(t, tab)
		for d, w := range weights {
			b := Binding{Key: fmt.Sprint(w), To: d}
			less := tab.Without(b)
			if less.Len() != len(weights)-1 {
				t.Fatalf("%d bindings left, want %d", less.Len(), len(weights)-1)
			}
			rest := maps.Clone(weights)
			delete(rest, d)
			after := spread(t, less)
			for i := range after {
				if after[i] != before[i] && before[i] != d {
					t.Fatalf("weights %v: key %d moved from %d to %d when %d went", weights, i, before[i], after[i], d)
				}
			}
			checkShares(t, fmt.Sprint("without ", d), after, rest)
			if !slices.Equal(spread(t, less.With(b)), before) {
				t.Fatalf("weights %v: %d came back and has other keys", weights, d)
			}
		}
	}
}

// A table must choose the same whatever order its bindings came in, for nodes do not agree about that.
func TestChoiceDependsOnBindingsOnly(t *testing.T) {
	for _, typ := range []string{ConsistentHash, ModulusHash} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(r *rapid.T) {
				type binding struct {
					key string
					to  dest
				}
				wanted := rapid.SliceOfNDistinct(rapid.Custom(func(r *rapid.T) binding {
					return binding{rapid.SampledFrom([]string{"1", "2", "3", "9"}).Draw(r, "weight"), dest(rapid.IntRange(1, 20).Draw(r, "to"))}
				}), 0, 40, rapid.ID).Draw(r, "bindings")
				build := func(bindings []binding, detour bool) Table {
					tab := Lookup(typ).New(nil)
					for i, b := range bindings {
						tab = tab.With(Binding{Key: b.key, To: b.to})
						if detour {
							passing := Binding{Key: "5", To: dest(30 + i%3)}
							next := tab.With(passing)
							choose(t, next, &Message{Key: []byte("k")})
							tab = next.Without(passing)
						}
					}
					return tab
				}
				a, b := build(wanted, false), build(rapid.Permutation(wanted).Draw(r, "order"), true)
				if a.Len() != len(wanted) || b.Len() != len(wanted) {
					r.Fatalf("%d and %d bindings, want %d", a.Len(), b.Len(), len(wanted))
				}
				for i := range 100 {
					m := &Message{Key: fmt.Append(nil, i), Extra: [][]byte{fmt.Append(nil, i/7)}}
					got, other := choose(t, a, m), choose(t, b, m)
					if got != other {
						r.Fatalf("message %d goes to %d in one table and to %d in the other", i, got, other)
					}
					if (got == 0) != (len(wanted) == 0) || got != 0 && !slices.ContainsFunc(wanted, func(b binding) bool { return b.to == got }) {
						r.Fatalf("message %d goes to %d", i, got)
					}
				}
			})
		})
	}
}

// The choice by hash is part of what nodes and versions agree on.
func TestHashIsFixed(t *testing.T) {
	var consistent, modulus []dest
	equal, mod := weighted(map[dest]int{1: 1, 2: 1, 3: 2, 4: 5}), Lookup(ModulusHash).New(nil)
	for d := range dest(4) {
		mod = mod.With(Binding{To: d + 1})
	}
	for _, key := range []string{"", "a", "b", "order.1", "12345678", "a key of more than two words"} {
		m := &Message{Key: []byte(key)}
		consistent, modulus = append(consistent, choose(t, equal, m)), append(modulus, choose(t, mod, m))
	}
	if want := []dest{2, 1, 3, 3, 3, 4}; !slices.Equal(consistent, want) {
		t.Errorf("consistent hash: %v, want %v", consistent, want)
	}
	if want := []dest{4, 3, 1, 4, 2, 3}; !slices.Equal(modulus, want) {
		t.Errorf("modulus hash: %v, want %v", modulus, want)
	}
}

func TestDuplicatesAreIgnored(t *testing.T) {
	want := map[dest]int{1: 1, 2: 1, 3: 2}
	tab := weighted(want)
	before := spread(t, tab)
	same := Binding{Key: "1", Arguments: wire.Table{stringField("a", "b")}.Encode(), To: dest(1)}
	heavier := Binding{Key: "7", To: dest(1)}
	tab = tab.With(same).With(heavier)
	if tab.Len() != 5 || !slices.Equal(spread(t, tab), before) {
		t.Error("further bindings of a destination make a difference")
	}
	if tab.Without(Binding{Key: "6", To: dest(1)}) != tab || tab.Without(Binding{Key: "1", To: dest(9)}) != tab {
		t.Error("the removal of a binding that is not there makes another table")
	}
	tab = tab.Without(same)
	if !slices.Equal(spread(t, tab), before) {
		t.Error("the removal of a further binding makes a difference")
	}
	want[1] = 7
	checkShares(t, "with the heavier binding left", spread(t, tab.Without(Binding{Key: "1", To: dest(1)})), want)
}

func TestHashOn(t *testing.T) {
	header := func(v wire.Value) *Message {
		return &Message{Key: []byte("k"), Headers: wire.Table{stringField("other", "x"), {Name: "h", Value: v}}.Encode()}
	}
	for _, c := range []struct {
		name      string
		arguments wire.Table
		basis     Basis
		vary      func(i int) *Message // messages that are spread
		constant  func(i int) *Message // messages that are not
	}{
		{"key", nil, ByKeys,
			func(i int) *Message { return &Message{Key: fmt.Append(nil, i)} },
			func(i int) *Message {
				return &Message{Key: []byte("k"), Extra: [][]byte{fmt.Append(nil, i)}, MessageID: fmt.Append(nil, i), Timestamp: uint64(i)}
			}},
		{"hash-header", wire.Table{stringField("hash-header", "h")}, ByMessage,
			func(i int) *Message { return header(wire.String(fmt.Sprint(i))) },
			func(i int) *Message {
				return &Message{Key: fmt.Append(nil, i), Headers: wire.Table{stringField("g", "x")}.Encode()}
			}},
		{"integer header", wire.Table{stringField("x-hash-on", "h")}, ByMessage,
			func(i int) *Message { return header(wire.Int64(int64(i))) },
			func(i int) *Message {
				return header([]wire.Value{wire.Int64(5), wire.Int32(5), {Kind: wire.KindUint8, Int: 5}}[i%3])
			}},
		{"table header", wire.Table{stringField("x-hash-on", "h")}, ByMessage,
			func(i int) *Message { return header(wire.TableValue(wire.Table{stringField("a", fmt.Sprint(i))})) },
			func(i int) *Message { return &Message{Headers: []byte{byte(i)}} }}, // malformed
		{"correlation_id", wire.Table{stringField("hash-property", "correlation_id")}, ByMessage,
			func(i int) *Message { return &Message{CorrelationID: fmt.Append(nil, i)} },
			func(i int) *Message { return &Message{Key: fmt.Append(nil, i), MessageID: fmt.Append(nil, i)} }},
		{"message_id", wire.Table{stringField("x-algorithm", "ring"), stringField("hash-property", "message_id")}, ByMessage,
			func(i int) *Message { return &Message{MessageID: fmt.Append(nil, i)} },
			func(i int) *Message { return &Message{Key: fmt.Append(nil, i), Timestamp: uint64(i)} }},
		{"timestamp", wire.Table{stringField("hash-property", "timestamp")}, ByMessage,
			func(i int) *Message { return &Message{Timestamp: uint64(i)} },
			func(i int) *Message { return &Message{Key: fmt.Append(nil, i), CorrelationID: fmt.Append(nil, i)} }},
	} {
		typ := Lookup(ConsistentHash)
		if err := typ.CheckExchange(c.arguments); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		tab := typ.New(c.arguments.Encode())
		for d := range dest(4) {
			tab = tab.With(Binding{Key: "1", To: d + 1})
		}
		if tab.Basis() != c.basis {
			t.Errorf("%s: basis %d, want %d", c.name, tab.Basis(), c.basis)
		}
		varied, constant := map[dest]bool{}, map[dest]bool{}
		for i := range 100 {
			varied[choose(t, tab, c.vary(i))] = true
			constant[choose(t, tab, c.constant(i))] = true
		}
		if len(varied) != 4 || len(constant) != 1 {
			t.Errorf("%s: %d destinations for different messages, want 4; %d for equal ones, want 1", c.name, len(varied), len(constant))
		}
	}
}

// A table for arguments that no check would let through works.
func TestUncheckedBindingsAndArguments(t *testing.T) {
	bad := wire.Table{{Name: "hash-header", Value: wire.Int32(1)}, stringField("hash-property", "priority")}
	tab := Lookup(ConsistentHash).New(bad.Encode())
	for i, key := range []string{"", "x", "-1", "0", "99999999999999999999"} {
		tab = tab.With(Binding{Key: key, To: dest(i + 1)})
	}
	if tab.Basis() != ByKeys {
		t.Errorf("basis %d", tab.Basis())
	}
	checkShares(t, "clamped", slices.DeleteFunc(spread(t, tab), func(d dest) bool { return d < 5 }), map[dest]int{5: 1})
	for i, key := range []string{"", "x", "-1", "0", "99999999999999999999"} {
		tab = tab.Without(Binding{Key: key, To: dest(i + 1)})
	}
	if tab.Len() != 0 || choose(t, tab, &Message{}) != 0 {
		t.Error("something is left")
	}
}

func TestChecksOfChoices(t *testing.T) {
	exchange := func(typ string, arguments ...wire.Field) error { return Lookup(typ).CheckExchange(arguments) }
	binding := func(typ, key string) error { return Lookup(typ).CheckBinding(key, nil) }
	to := func(typ, queueType string) error { return Lookup(typ).CheckDestination(queueType) }
	for _, c := range []struct {
		err  error
		want string // "" for accepted
	}{
		{binding(ConsistentHash, "1"), ""},
		{binding(ConsistentHash, "10000"), ""},
		{binding(ConsistentHash, "+7"), ""},
		{binding(ConsistentHash, "ten"), `The binding key must be an integer: <<"ten">>`},
		{binding(ConsistentHash, ""), `The binding key must be an integer: <<>>`},
		{binding(ConsistentHash, "1.5"), `The binding key must be an integer: <<"1.5">>`},
		{binding(ConsistentHash, "0"), `The binding key must be greater than 0`},
		{binding(ConsistentHash, "-99999999999999999999"), `The binding key must be greater than 0`},
		{binding(ConsistentHash, "10001"), `The binding key must not exceed 10000`},
		{binding(ConsistentHash, "99999999999999999999"), `The binding key must not exceed 10000`},
		{to(ConsistentHash, ""), ""},
		{exchange(ConsistentHash), ""},
		{exchange(ConsistentHash, stringField("hash-header", "h"), stringField("x-algorithm", "jump")), ""},
		{exchange(ConsistentHash, stringField("hash-property", "h")), `Unsupported property: h`},
		{exchange(ConsistentHash, stringField("hash-property", "message_id"), stringField("hash-header", "h")),
			`hash-header and hash-property are mutually exclusive`},
		{exchange(ConsistentHash, stringField("x-hash-on", "a"), stringField("hash-header", "h")),
			`hash-header and x-hash-on are mutually exclusive`},
		{exchange(ConsistentHash, stringField("x-algorithm", "maglev")), `Unsupported algorithm: maglev`},
		{exchange(ConsistentHash, wire.Field{Name: "hash-header", Value: wire.Int32(1)}), `invalid type 'signedint' for arg 'hash-header'`},
		{exchange(Direct, stringField("hash-property", "h")), ""},
		{binding(ModulusHash, "anything"), ""},
		{binding(Random, "anything"), ""},
		{binding(LocalRandom, ""), ""},
		{binding(LocalRandom, "k"), `Non empty binding 'k' key not permitted`},
		{to(LocalRandom, "classic"), ""},
		{to(LocalRandom, "quorum"), `Queue type rabbit_quorum_queue not valid for this exchange type`},
		{to(LocalRandom, ""), `Destination not found`},
	} {
		if c.want == "" {
			if c.err != nil {
				t.Errorf("%v, want no error", c.err)
			}
			continue
		}
		e, ok := c.err.(*wire.Error)
		if !ok || e.Code != wire.PreconditionFailed || e.Text != "PRECONDITION_FAILED - "+c.want {
			t.Errorf("got %v, want %s", c.err, c.want)
		}
	}
}

// The first matches of a table may come at the same time.
func TestFirstMatchesAtOnce(t *testing.T) {
	for _, typ := range []string{ConsistentHash, ModulusHash, Random} {
		tab := Lookup(typ).New(nil)
		for i := range 100 {
			tab = tab.With(Binding{Key: fmt.Sprint(i%3 + 1), To: dest(i + 1)})
		}
		results := make(chan []Destination)
		for range 4 {
			go func() { results <- tab.Match(nil, &Message{Key: []byte("k")}) }()
		}
		var first []Destination
		for i := range 4 {
			got := <-results
			if i == 0 {
				first = got
			}
			if len(got) != 1 || typ != Random && got[0] != first[0] {
				t.Errorf("%s: got %v and %v", typ, first, got)
			}
		}
	}
}

func BenchmarkChoice(b *testing.B) {
	for _, c := range []struct {
		name, typ string
		arguments wire.Table
		n, weight int // of destinations; different weights
	}{
		{"consistent/4", ConsistentHash, nil, 4, 1},
		{"consistent/16", ConsistentHash, nil, 16, 1},
		{"consistent/16/weights", ConsistentHash, nil, 16, 4},
		{"consistent/1000", ConsistentHash, nil, 1000, 1},
		{"consistent/16/header", ConsistentHash, wire.Table{stringField("hash-header", "h")}, 16, 1},
		{"modulus/1000", ModulusHash, nil, 1000, 1},
		{"random/1000", Random, nil, 1000, 1},
		{"local-random/1000", LocalRandom, nil, 1000, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			tab := Lookup(c.typ).New(c.arguments.Encode())
			for i := range c.n {
				tab = tab.With(Binding{Key: fmt.Sprint(i%c.weight + 1), To: dest(i + 1)})
			}
			m := &Message{Key: []byte("region5.device17.temperature"), Headers: wire.Table{stringField("g", "x"), stringField("h", "1234567")}.Encode()}
			buf := make([]Destination, 0, 1)
			b.ReportAllocs()
			for b.Loop() {
				tab.Match(buf, m)
			}
		})
	}
}
