package policy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func policy(name, pattern string, priority int32, definition string) *meta.Policy {
	return &meta.Policy{VHost: "/", Name: name, Pattern: pattern, ApplyTo: "all", Priority: priority, Definition: []byte(definition)}
}

func operator(name, pattern string, priority int32, definition string) *meta.Policy {
	p := policy(name, pattern, priority, definition)
	p.Operator = true
	return p
}

func set(policies ...*meta.Policy) *Set { return Compile(slices.Values(policies)) }

// describe prints the values with where they come from.
func describe(e Effective) string {
	var out []string
	for _, v := range e.Values {
		out = append(out, fmt.Sprintf("%s=%v from %s", v.Key, e.Definition()[v.Key], v.Origin))
	}
	return strings.Join(out, "; ")
}

func TestKeys(t *testing.T) {
	if len(keys) > keyCount {
		t.Fatalf("%d keys, room for %d", len(keys), keyCount)
	}
	if !slices.IsSortedFunc(keys, func(a, b key) int { return strings.Compare(a.name, b.name) }) {
		t.Error("keys are not in order")
	}
	var mine []string
	for _, k := range keys {
		if k.operator {
			mine = append(mine, k.name)
		}
	}
	want := []string{"delivery-limit", "expires", "max-in-memory-bytes", "max-in-memory-length", "max-length", "max-length-bytes",
		"message-ttl", "overflow", "queue-version", "target-group-size"}
	if !slices.Equal(mine, want) {
		t.Errorf("operator policies may have %v, want %v", mine, want)
	}
}

// TestValues has for each key values that are allowed and values that are not.
func TestValues(t *testing.T) {
	long := `"` + strings.Repeat("x", 256) + `"`
	texts := []string{`5`, `true`, `null`, `["a"]`}
	numbers := []string{`"5"`, `5.0`, `1e3`, `true`, `null`, `[1]`, `99999999999999999999`}
	for _, c := range []struct {
		key       string
		good, bad []string
	}{
		{"alternate-exchange", []string{`""`, `"amq.direct"`}, append(texts, long)},
		{"dead-letter-exchange", []string{`""`, `"dlx"`}, append(texts, long)},
		{"dead-letter-routing-key", []string{`""`, `"k"`}, append(texts, long)},
		{"dead-letter-strategy", []string{`"at-most-once"`, `"at-least-once"`}, append(texts, `""`, `"once"`)},
		{"message-ttl", []string{`0`, `315360000000`}, append(numbers, `-1`, `315360000001`)},
		{"expires", []string{`1`, `315360000000`}, append(numbers, `0`, `315360000001`)},
		{"max-length", []string{`0`, `9223372036854775807`}, append(numbers, `-1`)},
		{"max-length-bytes", []string{`0`, `9223372036854775807`}, append(numbers, `-1`)},
		{"overflow", []string{`"drop-head"`, `"reject-publish"`, `"reject-publish-dlx"`}, append(texts, `"drop-tail"`, `""`)},
		{"delivery-limit", []string{`-1`, `0`, `20`}, append(numbers, `-2`)},
		{"consumer-timeout", []string{`0`, `1800000`}, append(numbers, `-1`)},
		{"consumer-disconnected-timeout", []string{`0`, `60000`}, append(numbers, `-1`)},
		{"delayed-retry-type", []string{`"disabled"`, `"all"`, `"failed"`, `"returned"`}, append(texts, `"some"`)},
		{"delayed-retry-min", []string{`1`}, append(numbers, `0`)},
		{"delayed-retry-max", []string{`1`}, append(numbers, `0`)},
		{"queue-leader-locator", []string{`"client-local"`, `"balanced"`, `"random"`, `"least-leaders"`, `"min-masters"`},
			append(texts, `"here"`)},
		{"target-group-size", []string{`1`}, append(numbers, `0`)},
		{"max-age", []string{`"7D"`, `"1Y"`, `"10M"`, `"3h"`, `"09m"`, `"5s"`}, append(texts, `"0D"`, `"7"`, `"7d"`, `"D"`, `""`)},
		{"stream-max-segment-size-bytes", []string{`0`, `3000000000`}, append(numbers, `-1`, `3000000001`)},
		{"stream-filter-size-bytes", []string{`16`, `255`}, append(numbers, `15`, `256`)},
		{"initial-cluster-size", []string{`1`}, append(numbers, `0`)},
		{"federation-upstream", []string{`"u"`}, append(texts, `""`)},
		{"federation-upstream-set", []string{`"all"`}, append(texts, `""`)},
		{"federation-upstream-pattern", []string{`""`, `"^u"`}, append(texts, `"("`)},
		{"queue-mode", []string{`"lazy"`, `"default"`}, append(texts, `"eager"`)},
		{"queue-version", []string{`1`, `2`}, append(numbers, `0`, `3`)},
		{"max-in-memory-length", []string{`0`}, append(numbers, `-1`)},
		{"max-in-memory-bytes", []string{`0`}, append(numbers, `-1`)},
	} {
		t.Run(c.key, func(t *testing.T) {
			for _, v := range c.good {
				p := policy("p", "", 0, `{"`+c.key+`": `+v+`}`)
				if err := Validate(p); err != nil {
					t.Errorf("%s: %v", v, err)
				}
				p.Operator = true
				if err, allowed := Validate(p), keys[keyOf(c.key)].operator; (err == nil) != allowed {
					t.Errorf("%s in an operator policy: error %v, want it allowed: %v", v, err, allowed)
				}
			}
			for _, v := range c.bad {
				var e *Error
				err := Validate(policy("p", "", 0, `{"`+c.key+`": `+v+`}`))
				if !errors.As(err, &e) || e.Field != c.key || !errors.Is(err, ErrInvalid) || e.Got != shorten([]byte(v)) || e.Want == "" {
					t.Errorf("%s: error %v, want one that names %s", v, err, c.key)
				}
			}
		})
	}
}

func TestInvalid(t *testing.T) {
	for _, c := range []struct {
		name string
		p    meta.Policy
		want string // the error
	}{
		{"no name", meta.Policy{}, `policy '' in vhost '/': name: got nothing, want a name`},
		{"lookahead", meta.Policy{Pattern: "^(?!amq)"}, "policy 'p' in vhost '/': pattern: got '^(?!amq)', want a regular expression of " +
			"RE2, which has no lookaround and no back-references (error parsing regexp: invalid or unsupported Perl syntax: `(?!`)"},
		{"apply-to", meta.Policy{ApplyTo: "topics"}, `policy 'p' in vhost '/': apply-to: got 'topics', want all, queues, exchanges, ` +
			`classic_queues, quorum_queues or streams`},
		{"value", meta.Policy{Definition: []byte(`{"max-length":"abc","expires":5}`)},
			`policy 'p' in vhost '/': max-length: got "abc", want an integer of 0 or more`},
		{"bounds", meta.Policy{Definition: []byte(`{"expires":0}`)},
			`policy 'p' in vhost '/': expires: got 0, want an integer from 1 to 315360000000, milliseconds`},
		{"unknown keys", meta.Policy{Definition: []byte(`{"max-length":"abc","zone":1,"ha-mode":"all"}`)},
			`policy 'p' in vhost '/': definition: got unrecognised ha-mode, zone, want only keys of ` + keyNames(false)},
		{"not for operators", meta.Policy{Operator: true, Definition: []byte(`{"dead-letter-exchange":"x"}`)},
			`operator policy 'p' in vhost '/': definition: got unrecognised dead-letter-exchange, want only keys of ` + keyNames(true)},
		{"only one upstream", meta.Policy{Definition: []byte(`{"federation-upstream":"a","federation-upstream-set":"b"}`)},
			`policy 'p' in vhost '/': definition: got several, want only one of federation-upstream, federation-upstream-pattern and ` +
				`federation-upstream-set`},
		{"no keys", meta.Policy{Definition: []byte(`{}`)}, `policy 'p' in vhost '/': definition: got no key, want at least one of ` + keyNames(false)},
		{"null", meta.Policy{Definition: []byte(`null`)}, `policy 'p' in vhost '/': definition: got no key, want at least one of ` + keyNames(false)},
		{"no definition", meta.Policy{Definition: []byte(``)}, `policy 'p' in vhost '/': definition: got nothing, want a JSON object`},
		{"a list", meta.Policy{Definition: []byte(`[1]`)}, `policy 'p' in vhost '/': definition: got [1], want a JSON object`},
		{"long", meta.Policy{Definition: []byte(`"` + strings.Repeat("ä", 200))}, `policy 'p' in vhost '/': definition: got "` +
			strings.Repeat("ä", 39) + `..., want a JSON object`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.p.VHost = "/"
			if c.name != "no name" {
				c.p.Name = "p"
			}
			if c.p.Definition == nil {
				c.p.Definition = []byte(`{"expires":5}`)
			}
			err := Validate(&c.p)
			if err == nil || err.Error() != c.want || !errors.Is(err, ErrInvalid) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestProblems has stored policies that are partly invalid.
func TestProblems(t *testing.T) {
	s := set(policy("a", "(", 9, `{"expires":1}`), policy("b", "", 0, `{"expires":5,"max-length":-1,"new-key":1}`))
	if got, want := describe(s.ForQueue("q", "classic")), "expires=5 from policy 'b'"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(s.Problems()) != 3 {
		t.Errorf("problems %v, want three", s.Problems())
	}
	var none *Set
	if e := none.ForQueue("q", "classic"); len(e.Values) != 0 || none.Problems() != nil {
		t.Errorf("without policies: %v", e)
	}
}

func TestApplyTo(t *testing.T) {
	for applyTo, want := range map[string]string{
		"": "classic quorum stream exchange", "all": "classic quorum stream exchange", "queues": "classic quorum stream",
		"exchanges": "exchange", "classic_queues": "classic", "quorum_queues": "quorum", "streams": "stream",
	} {
		p := policy("p", "", 0, `{"queue-leader-locator":"balanced","federation-upstream":"u"}`)
		p.ApplyTo = applyTo
		s := set(p)
		var got []string
		for _, kind := range []string{"classic", "quorum", "stream"} {
			if e := s.ForQueue("n", kind); len(e.Values) > 0 {
				got = append(got, kind)
			}
		}
		if e := s.ForExchange("n", "topic"); len(e.Values) > 0 {
			got = append(got, "exchange")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("apply-to %q: applies to %v, want %s", applyTo, got, want)
		}
	}
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name     string
		policies []*meta.Policy
		kind     string // classic, or exchange
		want     string
		policy   string
		operator string
	}{
		{name: "nothing matches", policies: []*meta.Policy{policy("a", "^other", 0, `{"expires":1}`)}},
		{name: "a pattern is not anchored", policies: []*meta.Policy{policy("a", "der", 0, `{"expires":1}`)},
			want: "expires=1 from policy 'a'", policy: "a"},
		{name: "an empty pattern matches all", policies: []*meta.Policy{policy("a", "", 0, `{"expires":1}`)},
			want: "expires=1 from policy 'a'", policy: "a"},
		{name: "the highest priority wins, key by key", policy: "b",
			policies: []*meta.Policy{policy("a", "", -1, `{"expires":1,"max-length":1,"message-ttl":7}`),
				policy("b", "", 5, `{"max-length":9}`), policy("c", "", 1, `{"max-length":2,"expires":2}`)},
			want: "expires=2 from policy 'c'; max-length=9 from policy 'b'; message-ttl=7 from policy 'a'"},
		{name: "the name decides between equals", policy: "a",
			policies: []*meta.Policy{policy("b", "", 0, `{"expires":1}`), policy("a", "", 0, `{"expires":2}`)},
			want:     "expires=2 from policy 'a'"},
		{name: "operator: the smaller number", policy: "a", operator: "o",
			policies: []*meta.Policy{policy("a", "", 0, `{"expires":5,"max-length":5,"message-ttl":5}`),
				operator("o", "", 0, `{"expires":4,"max-length":6,"message-ttl":5,"max-length-bytes":1}`)},
			want: "expires=4 from operator policy 'o'; max-length=5 from policy 'a'; max-length-bytes=1 from operator policy 'o'; " +
				"message-ttl=5 from policy 'a'"},
		{name: "operator: its overflow and queue-version", policy: "a", operator: "o",
			policies: []*meta.Policy{policy("a", "", 0, `{"overflow":"drop-head","queue-version":1}`),
				operator("o", "", 0, `{"overflow":"reject-publish","queue-version":2}`)},
			want: "overflow=reject-publish from operator policy 'o'; queue-version=2 from operator policy 'o'"},
		{name: "operators among themselves go by priority", operator: "p",
			policies: []*meta.Policy{operator("o", "", 0, `{"max-length":1,"expires":3}`), operator("p", "", 1, `{"max-length":2}`)},
			want:     "expires=3 from operator policy 'o'; max-length=2 from operator policy 'p'"},
		{name: "delivery-limit: the smaller", kind: "quorum", policy: "a", operator: "o",
			policies: []*meta.Policy{policy("a", "", 0, `{"delivery-limit":5}`), operator("o", "", 0, `{"delivery-limit":3}`)},
			want:     "delivery-limit=3 from operator policy 'o'"},
		{name: "delivery-limit: none of the operator's loses", kind: "quorum", policy: "a", operator: "o",
			policies: []*meta.Policy{policy("a", "", 0, `{"delivery-limit":5}`), operator("o", "", 0, `{"delivery-limit":-1}`)},
			want:     "delivery-limit=5 from policy 'a'"},
		{name: "delivery-limit: none of the user's loses", kind: "quorum", policy: "a", operator: "o",
			policies: []*meta.Policy{policy("a", "", 0, `{"delivery-limit":-1}`), operator("o", "", 0, `{"delivery-limit":5}`)},
			want:     "delivery-limit=5 from operator policy 'o'"},
		{name: "target-group-size: the smaller", kind: "quorum", policy: "a", operator: "o",
			policies: []*meta.Policy{policy("a", "", 0, `{"target-group-size":5}`), operator("o", "", 0, `{"target-group-size":3}`)},
			want:     "target-group-size=3 from operator policy 'o'"},
		{name: "exchange", kind: "exchange", policy: "a", operator: "o",
			policies: []*meta.Policy{policy("a", "", 0, `{"alternate-exchange":"ae","expires":1}`), operator("o", "", 0, `{"expires":1}`)},
			want:     "alternate-exchange=ae from policy 'a'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := set(c.policies...)
			var e Effective
			switch c.kind {
			case "exchange":
				e = s.ForExchange("orders", "topic")
			default:
				e = s.ForQueue("orders", c.kind)
			}
			if got := describe(e); got != c.want || e.Policy != c.policy || e.OperatorPolicy != c.operator {
				t.Errorf("got  %s, policy %q, operator policy %q\nwant %s, policy %q, operator policy %q",
					got, e.Policy, e.OperatorPolicy, c.want, c.policy, c.operator)
			}
			for _, v := range e.Values {
				if got, ok := e.Get(v.Key); !ok || got != v {
					t.Errorf("Get(%s) is %v, %v", v.Key, got, ok)
				}
			}
			if _, ok := e.Get("no-key"); ok || len(s.Problems()) > 0 {
				t.Errorf("unknown key has a value, or there are problems: %v", s.Problems())
			}
		})
	}
}

func TestSkippedAndTies(t *testing.T) {
	s := set(
		policy("a", "", 1, `{"delivery-limit":5,"expires":1,"overflow":"reject-publish-dlx","alternate-exchange":"x","max-age":"1D"}`),
		policy("b", "", 1, `{"expires":2,"overflow":"drop-head"}`),
		policy("c", "", 1, `{"expires":1}`),
		policy("d", "", 0, `{"expires":3}`),
		operator("o", "", 0, `{"max-in-memory-length":5}`),
	)
	const classicLack, quorumLack, streamLack, exchangeLack = "classic queues do not have this key",
		"quorum queues do not have this key", "streams do not have this key", "exchanges do not have this key"
	for _, c := range []struct {
		kind    string
		skipped []Skipped
		ties    []Tie
	}{
		{"classic", []Skipped{{"a", false, "alternate-exchange", classicLack},
			{"a", false, "max-age", classicLack}, {"o", true, "max-in-memory-length", classicLack}},
			[]Tie{{false, "expires", "a", "b"}, {false, "overflow", "a", "b"}}},
		{"quorum", []Skipped{{"a", false, "alternate-exchange", quorumLack}, {"a", false, "max-age", quorumLack},
			{"a", false, "overflow", "quorum queues do not have reject-publish-dlx"}},
			[]Tie{{false, "expires", "a", "b"}}},
		{"stream", []Skipped{{"a", false, "alternate-exchange", streamLack}, {"a", false, "delivery-limit", streamLack},
			{"a", false, "expires", streamLack}, {"a", false, "overflow", streamLack}, {"b", false, "expires", streamLack},
			{"b", false, "overflow", streamLack}, {"c", false, "expires", streamLack}, {"d", false, "expires", streamLack},
			{"o", true, "max-in-memory-length", streamLack}}, nil},
		{"exchange", []Skipped{{"a", false, "delivery-limit", exchangeLack}, {"a", false, "expires", exchangeLack},
			{"a", false, "max-age", exchangeLack}, {"a", false, "overflow", exchangeLack}, {"b", false, "expires", exchangeLack},
			{"b", false, "overflow", exchangeLack}, {"c", false, "expires", exchangeLack}, {"d", false, "expires", exchangeLack},
			{"o", true, "max-in-memory-length", exchangeLack}}, nil},
	} {
		t.Run(c.kind, func(t *testing.T) {
			e := s.ForQueue("q", c.kind)
			if c.kind == "exchange" {
				e = s.ForExchange("q", "direct")
			}
			if !reflect.DeepEqual(e.Skipped, c.skipped) {
				t.Errorf("skipped %v\nwant    %v", e.Skipped, c.skipped)
			}
			if !reflect.DeepEqual(e.Ties, c.ties) {
				t.Errorf("ties %v, want %v", e.Ties, c.ties)
			}
		})
	}
	if e := s.ForQueue("q", "quorum"); describe(e) != "delivery-limit=5 from policy 'a'; expires=1 from policy 'a'; "+
		"max-in-memory-length=5 from operator policy 'o'; overflow=drop-head from policy 'b'" {
		t.Errorf("quorum: %s", describe(e))
	}
}

func args(pairs ...any) wire.Table {
	var t wire.Table
	for i := 0; i < len(pairs); i += 2 {
		var v wire.Value
		switch p := pairs[i+1].(type) {
		case int:
			v = wire.Int32(int32(p))
		case string:
			v = wire.String(p)
		case bool:
			v = wire.Bool(p)
		}
		t = append(t, wire.Field{Name: pairs[i].(string), Value: v})
	}
	return t
}
