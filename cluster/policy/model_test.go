package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/cluster/meta"
	"pgregory.net/rapid"
)

// drawn is a policy with its definition as a map.
type drawn struct {
	*meta.Policy
	definition map[string]any
}

// TestModel compares the merged values with what the rules say when they are applied naively.
func TestModel(t *testing.T) {
	candidates := map[string][]any{
		"max-length": {int64(0), int64(1), int64(2)}, "expires": {int64(1), int64(2)}, "delivery-limit": {int64(-1), int64(0), int64(5)},
		"overflow": {"drop-head", "reject-publish", "reject-publish-dlx"}, "queue-version": {int64(1), int64(2)},
		"dead-letter-exchange": {"x", "y"}, "max-age": {"1D", "2D"}, "alternate-exchange": {"x", "y"},
		"max-length-bytes": {int64(3), int64(4)},
	}
	names := []string{"max-length", "expires", "delivery-limit", "overflow", "queue-version", "dead-letter-exchange", "max-age",
		"alternate-exchange", "max-length-bytes"}
	mayHave := map[string][]string{
		"classic":  {"max-length", "expires", "overflow", "delivery-limit", "queue-version", "dead-letter-exchange", "max-length-bytes"},
		"quorum":   {"max-length", "expires", "overflow", "delivery-limit", "dead-letter-exchange", "max-length-bytes"},
		"stream":   {"max-age", "max-length-bytes"},
		"exchange": {"alternate-exchange"},
	}
	takes := map[string][]string{
		"all": {"classic", "quorum", "stream", "exchange"}, "queues": {"classic", "quorum", "stream"}, "exchanges": {"exchange"},
		"classic_queues": {"classic"}, "quorum_queues": {"quorum"}, "streams": {"stream"},
	}
	rapid.Check(t, func(t *rapid.T) {
		var policies []drawn
		var stored []*meta.Policy
		for i := range rapid.IntRange(0, 8).Draw(t, "policies") {
			p := drawn{&meta.Policy{
				VHost: "/", Name: fmt.Sprintf("p%d", 9-i), Operator: rapid.Bool().Draw(t, "operator"),
				Priority: rapid.Int32Range(-1, 1).Draw(t, "priority"),
				Pattern:  rapid.SampledFrom([]string{"", "^a", "a", "b$", "^ab$", "^a.*", "a|c"}).Draw(t, "pattern"),
				ApplyTo:  rapid.SampledFrom([]string{"all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams"}).Draw(t, "apply-to"),
			}, map[string]any{}}
			for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "keys") {
				if p.Operator && (k == "dead-letter-exchange" || k == "max-age" || k == "alternate-exchange") {
					k = "max-length"
				}
				p.definition[k] = rapid.SampledFrom(candidates[k]).Draw(t, k)
			}
			p.Definition, _ = json.Marshal(p.definition)
			if err := Validate(p.Policy); err != nil {
				t.Fatal(err)
			}
			policies, stored = append(policies, p), append(stored, p.Policy)
		}
		name := rapid.SampledFrom([]string{"a", "b", "ab", "ba", "c", ""}).Draw(t, "name")
		kind := rapid.SampledFrom([]string{"classic", "quorum", "stream", "exchange"}).Draw(t, "kind")

		// best is the value of a key by the highest priority, then the first name, among one kind of policy.
		best := func(operator bool, key string) (v any, ok bool) {
			var by *meta.Policy
			for _, p := range policies {
				value, has := p.definition[key]
				if !has || p.Operator != operator || !slices.Contains(takes[p.ApplyTo], kind) ||
					!regexp.MustCompile(p.Pattern).MatchString(name) || kind == "quorum" && value == "reject-publish-dlx" {
					continue
				}
				if by == nil || p.Priority > by.Priority || p.Priority == by.Priority && p.Name < by.Name {
					by, v = p.Policy, value
				}
			}
			return v, by != nil
		}
		want := map[string]any{}
		for _, key := range mayHave[kind] {
			user, has := best(false, key)
			op, hasOp := best(true, key)
			switch {
			case !has && !hasOp:
			case !hasOp:
				want[key] = user
			case !has:
				want[key] = op
			case key == "overflow" || key == "queue-version":
				want[key] = op
			case key == "delivery-limit" && user.(int64) < 0:
				want[key] = op
			case key == "delivery-limit" && op.(int64) < 0:
				want[key] = user
			default:
				want[key] = min(user.(int64), op.(int64))
			}
		}

		set := Compile(slices.Values(stored))
		e := set.ForQueue(name, kind)
		if kind == "exchange" {
			e = set.ForExchange(name, "direct")
		}
		if got := e.Definition(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for _, v := range e.Values { // the origin has the value
			i := slices.IndexFunc(policies, func(p drawn) bool { return p.Name == v.Origin.Policy })
			if i < 0 || policies[i].definition[v.Key] != want[v.Key] || policies[i].Operator != (v.Origin.Source == OperatorPolicy) {
				t.Fatalf("%s does not come from %s", v.Key, v.Origin)
			}
		}
	})
}

// TestPattern compares patterns with the regular expressions that they are.
func TestPattern(t *testing.T) {
	piece := rapid.SampledFrom([]string{"^", "$", "a", "b", "ab", ".*", "a*", ".", "|", "(a)", "(?i)", "\\.", "[ab]", "a?", "(?m)", "\uFFFD", "x{0}"})
	text := rapid.SampledFrom([]string{"a", "b", "A", "aa", "\n", ".", "\xff"})
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(piece, 0, 5).Draw(t, "pattern"), "")
		re, err := regexp.Compile(s)
		p, got := compilePattern(s)
		if (err == nil) != (got == nil) {
			t.Fatalf("%q: error %v, want %v", s, got, err)
		}
		if err != nil {
			return
		}
		for range 5 {
			name := strings.Join(rapid.SliceOfN(text, 0, 4).Draw(t, "name"), "")
			if got, want := p.match(name), re.MatchString(name); got != want {
				t.Fatalf("%q matches %q: %v, want %v (%+v)", s, name, got, want, p)
			}
		}
	})
}

// FuzzValidate makes sure that no definition panics, and that what is valid leaves no problem behind.
func FuzzValidate(f *testing.F) {
	f.Add("^a", "queues", `{"max-length":5,"overflow":"drop-head"}`, true)
	f.Add("(", "", `{"federation-upstream":"u","max-age":"7D","ha-mode":null}`, false)
	f.Fuzz(func(t *testing.T, pattern, applyTo, definition string, operator bool) {
		p := &meta.Policy{Name: "p", Pattern: pattern, ApplyTo: applyTo, Definition: []byte(definition), Operator: operator}
		err := Validate(p)
		s := Compile(slices.Values([]*meta.Policy{p}))
		if (err == nil) != (len(s.Problems()) == 0) {
			t.Fatalf("error %v, problems %v", err, s.Problems())
		}
		for _, kind := range []string{"classic", "quorum", "stream"} {
			QueueSettings(nil, s.ForQueue("abc", kind))
		}
		ExchangeSettings(nil, s.ForExchange("abc", "direct"))
	})
}

func thousand() []*meta.Policy {
	var out []*meta.Policy
	for i := range 1000 {
		pattern := fmt.Sprintf("^team%d\\.", i)
		switch i % 10 {
		case 8:
			pattern = fmt.Sprintf("team%d", i)
		case 9:
			pattern = fmt.Sprintf("^team%d\\..*\\.retry$", i)
		}
		out = append(out, policy(fmt.Sprint("p", i), pattern, int32(i%7), `{"max-length":5,"overflow":"drop-head","expires":60000}`))
	}
	return append(out, operator("all", "", 0, `{"max-length":1000000}`))
}

func BenchmarkCompile(b *testing.B) {
	policies := thousand()
	b.ReportAllocs()
	for b.Loop() {
		Compile(slices.Values(policies))
	}
}

// BenchmarkForQueue asks 1,000 policies about one queue.
func BenchmarkForQueue(b *testing.B) {
	s := Compile(slices.Values(thousand()))
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprintf("team%d.orders.%d.retry", i%1200, i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.ForQueue(names[i%len(names)], "classic")
		i++
	}
}

func BenchmarkQueueSettings(b *testing.B) {
	e := Compile(slices.Values(thousand())).ForQueue("team1.x", "classic")
	table := args("x-max-length", 5, "x-dead-letter-exchange", "x", "x-message-ttl", 100)
	b.ReportAllocs()
	for b.Loop() {
		QueueSettings(table, e)
	}
}
