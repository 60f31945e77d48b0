package definitions

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// fieldValue draws a value that JSON can hold, of any width that clients use.
func fieldValue(depth int) *rapid.Generator[wire.Value] {
	kinds := []*rapid.Generator[wire.Value]{
		rapid.Map(rapid.Int64(), wire.Int64),
		rapid.Map(rapid.Int32(), wire.Int32),
		rapid.Map(rapid.Bool(), wire.Bool),
		rapid.Map(rapid.String(), wire.String),
		rapid.Map(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), wire.Double),
		rapid.Map(rapid.Int64Range(-1000, 1000), func(n int64) wire.Value { return wire.Double(float64(n)) }),
		rapid.Just(wire.Void()),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.Map(rapid.SliceOfN(fieldValue(depth-1), 0, 3), func(v []wire.Value) wire.Value { return wire.ArrayValue(v...) }),
			rapid.Map(arguments(depth-1), wire.TableValue))
	}
	return rapid.OneOf(kinds...)
}

// arguments draws a field table whose names mean nothing to the broker.
func arguments(depth int) *rapid.Generator[wire.Table] {
	return rapid.Custom(func(t *rapid.T) (out wire.Table) {
		names := rapid.SliceOfNDistinct(rapid.StringN(0, 6, 20), 0, 3, rapid.ID[string]).Draw(t, "names")
		for _, n := range names {
			out = append(out, wire.Field{Name: "my-" + n, Value: fieldValue(depth).Draw(t, "value")})
		}
		return out
	})
}

// world makes random things in a broker.
type world struct {
	t      *rapid.T
	b      *cluster.Broker
	vhosts []string
	users  []string
	queues []meta.Queue
	xs     []meta.Exchange
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) name(what string, i int) string {
	return fmt.Sprintf("%s%d %s", what, i, rapid.StringMatching(`[a-zäß"\\/. ]{0,5}x`).Draw(w.t, "name"))
}

func (w *world) of(list []string) string { return rapid.SampledFrom(list).Draw(w.t, "of") }

func (w *world) make(ctx context.Context) {
	t, b := w.t, w.b
	w.vhosts, w.users = []string{"/"}, []string{"guest"}
	for i := range rapid.IntRange(0, 2).Draw(t, "vhosts") {
		v := meta.VHost{Name: w.name("v", i), Description: rapid.String().Draw(t, "description"),
			Tags:             rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 0, 2, rapid.ID[string]).Draw(t, "tags"),
			DefaultQueueType: rapid.SampledFrom([]string{"", "classic"}).Draw(t, "type"), Tracing: rapid.Bool().Draw(t, "tracing")}
		_, err := b.PutVHost(ctx, v)
		w.must(err)
		w.vhosts = append(w.vhosts, v.Name)
		if rapid.Bool().Draw(t, "limited") {
			w.must(b.SetVHostLimits(ctx, v.Name, cluster.Limits{cluster.MaxQueues: rapid.Int64Range(50, 90).Draw(t, "limit")}))
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "users") {
		s := cluster.Secret{}
		switch rapid.IntRange(0, 3).Draw(t, "secret") {
		case 0:
			s = cluster.Secret{Hash: rapid.SliceOfN(rapid.Byte(), 36, 36).Draw(t, "hash")}
		case 1:
			s = cluster.Secret{Hash: rapid.SliceOfN(rapid.Byte(), 68, 68).Draw(t, "hash"), Algorithm: meta.HashSHA512}
		case 2:
			s = cluster.Secret{Algorithm: meta.HashArgon2id,
				Hash: []byte("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")}
		}
		name := w.name("u", i)
		_, err := b.PutUser(ctx, name, s, rapid.SampledFrom([][]string{nil, {"management"}, {"monitoring", "policymaker"}}).Draw(t, "tags"))
		w.must(err)
		w.users = append(w.users, name)
		if rapid.Bool().Draw(t, "limited") {
			w.must(b.SetUserLimit(ctx, name, cluster.MaxChannels, rapid.Int64Range(-1, 9).Draw(t, "limit")))
		}
		expr := rapid.SampledFrom([]string{"", ".*", `^a\.`})
		_, err = b.SetPermission(ctx, meta.Permission{User: name, VHost: w.of(w.vhosts), Configure: expr.Draw(t, "c"), Write: expr.Draw(t, "w"), Read: expr.Draw(t, "r")})
		w.must(err)
		_, err = b.SetTopicPermission(ctx, meta.TopicPermission{User: name, VHost: w.of(w.vhosts), Exchange: "x", Write: expr.Draw(t, "w"), Read: expr.Draw(t, "r")})
		w.must(err)
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "policies") {
		_, err := b.PutPolicy(ctx, meta.Policy{VHost: w.of(w.vhosts), Name: w.name("p", i), Operator: rapid.Bool().Draw(t, "operator"),
			Pattern: "^q", ApplyTo: rapid.SampledFrom([]string{"", "all", "queues", "classic_queues"}).Draw(t, "to"),
			Priority: rapid.Int32().Draw(t, "priority"), Definition: []byte(`{ "max-length": 7, "expires": 60000 }`)})
		w.must(err)
		value := []byte(`{"b": [1, 2.0, null], "a": "x"}`)
		_, err = b.PutParameter(ctx, meta.Parameter{Name: w.name("g", i), Value: value})
		w.must(err)
		_, err = b.PutParameter(ctx, meta.Parameter{VHost: w.of(w.vhosts), Component: "shovel", Name: w.name("n", i), Value: value})
		w.must(err)
	}
	w.topology(ctx)
}

func (w *world) topology(ctx context.Context) {
	t, b := w.t, w.b
	for i := range rapid.IntRange(0, 4).Draw(t, "queues") {
		q := meta.Queue{VHost: w.of(w.vhosts), Name: w.name("q", i)}
		_, _, err := b.DeclareQueue(ctx, q.VHost, cluster.QueueSpec{Name: q.Name, Durable: rapid.Bool().Draw(t, "durable"),
			AutoDelete: rapid.Bool().Draw(t, "auto"), Arguments: arguments(2).Draw(t, "arguments")})
		w.must(err)
		w.queues = append(w.queues, q)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "exchanges") {
		x := meta.Exchange{VHost: w.of(w.vhosts), Name: w.name("x", i), Type: rapid.SampledFrom([]string{"direct", "fanout", "topic", "headers"}).Draw(t, "type")}
		_, err := b.DeclareExchange(ctx, x.VHost, cluster.ExchangeSpec{Name: x.Name, Type: x.Type, Durable: rapid.Bool().Draw(t, "durable"),
			Internal: rapid.Bool().Draw(t, "internal"), Arguments: arguments(1).Draw(t, "arguments")})
		w.must(err)
		w.xs = append(w.xs, x)
	}
	for range rapid.IntRange(0, 6).Draw(t, "bindings") {
		if len(w.queues) == 0 {
			return
		}
		q := rapid.SampledFrom(w.queues).Draw(t, "queue")
		bind := meta.Binding{VHost: q.VHost, Source: "amq.topic", Destination: q.Name, RoutingKey: rapid.StringN(0, 10, 60).Draw(t, "key"),
			Arguments: arguments(1).Draw(t, "arguments").Encode()}
		_, err := b.Bind(ctx, bind)
		w.must(err)
		for _, x := range w.xs {
			if x.VHost == q.VHost {
				bind.Destination, bind.DestinationKind = x.Name, meta.ToExchange
				_, err := b.Bind(ctx, bind)
				w.must(err)
			}
		}
	}
}

// TestRoundTrip makes random things in one broker and brings another to the same. Deleting everything again is part of it.
func TestRoundTrip(t *testing.T) {
	a, b := startBroker(t), startBroker(t)
	empty := Export(a.State(), ExportOptions{})
	reset := func(b *cluster.Broker) { mustApply(t, b, empty, ApplyOptions{Prune: true}) }
	rapid.Check(t, func(rt *rapid.T) {
		reset(a)
		reset(b)
		(&world{t: rt, b: a}).make(t.Context())
		out := export(a, "")
		d, err := Parse(out, "export")
		if err != nil {
			rt.Fatalf("%v\n%s", err, out)
		}
		if len(d.Warnings) > 0 {
			rt.Fatalf("warnings: %v", d.Warnings)
		}
		same, err := Diff(a.State(), d)
		if err != nil || !same.Empty() {
			rt.Fatalf("differs from its own export: %v %v\n%s", err, same.Count(), out)
		}
		plan, err := Diff(b.State(), d)
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := Apply(t.Context(), b, plan, ApplyOptions{Prune: true}); err != nil {
			rt.Fatal(err)
		}
		if copied := export(b, ""); !bytes.Equal(copied, out) {
			rt.Fatalf("the copy has\n%s\nthe original\n%s", copied, out)
		}
	})
}

// TestLossy: what JSON cannot hold is exported as near as can be, with a warning.
func TestLossy(t *testing.T) {
	b := startBroker(t)
	declare := func(name string, args wire.Table) {
		t.Helper()
		if _, _, err := b.DeclareQueue(t.Context(), "/", cluster.QueueSpec{Name: name, Durable: true, Arguments: args}); err != nil {
			t.Fatal(err)
		}
	}
	declare("bytes", wire.Table{{Name: "b", Value: wire.Binary([]byte("ab"))}})
	declare("decimal", wire.Table{{Name: "d", Value: wire.Value{Kind: wire.KindDecimal, Scale: 2, Int: 314}}})
	declare("float", wire.Table{{Name: "f", Value: wire.Value{Kind: wire.KindFloat, Float: float64(float32(0.1))}}})
	declare("nan", wire.Table{{Name: "n", Value: wire.ArrayValue(wire.Double(math.NaN()))}})
	declare("text", wire.Table{{Name: "s", Value: wire.TableValue(wire.Table{{Name: "t", Value: wire.String("\xff")}})}})
	declare("time", wire.Table{{Name: "t", Value: wire.Timestamp(7)}})
	declare("twice", wire.Table{{Name: "a", Value: wire.Int32(1)}, {Name: "a", Value: wire.Int32(2)}})
	d := Export(b.State(), ExportOptions{})
	const want = `queues = "bytes": the argument "b" is a byte array and becomes a string
queues = "decimal": the argument "d" is a decimal and becomes a number
queues = "nan": the argument "n" is no number that JSON knows and becomes null
queues = "text": the argument "s" holds "t", which holds bytes that are not UTF-8, which JSON cannot hold
queues = "time": the argument "t" is a timestamp and becomes a number
queues = "twice": the argument "a" is there several times, only the first is exported`
	if got := Errors(d.Warnings).Error(); got != want {
		t.Errorf("warnings\n%s\nwant\n%s", got, want)
	}
	out := d.AppendJSON(nil)
	for _, part := range []string{`{"b":"ab"}`, `{"d":3.14}`, `{"f":0.1}`, `{"n":[null]}`, "{\"s\":{\"t\":\"\ufffd\"}}", `{"t":7}`, `{"a":1}`} {
		if !bytes.Contains(out, []byte(part)) {
			t.Errorf("no %s in\n%s", part, out)
		}
	}
	mustParse(t, out, "export")
}
