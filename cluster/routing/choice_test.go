package routing

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

func (f *fixture) bindExchange(source, key, destination string) {
	f.t.Helper()
	f.must(f.PutBinding(meta.Binding{
		VHost: "/", Source: source, Destination: destination, DestinationKind: meta.ToExchange, RoutingKey: key,
	}))
}

func (f *fixture) queueAt(name, node string) {
	f.t.Helper()
	f.id++
	f.must(f.PutQueue(&meta.Queue{VHost: "/", Name: name, ID: f.id, Leader: node}, nil))
}

// routes returns how often each queue is chosen, and the basis, which is always the same.
func routes(t *testing.T, v *VHost, x string, n int) (chosen map[string]int, basis exchange.Basis) {
	t.Helper()
	chosen = map[string]int{}
	for i := range n {
		queues, b := v.RouteMessage(nil, v.Exchange(x), &exchange.Message{Key: []byte("k")})
		if i > 0 && b != basis {
			t.Fatalf("basis %d, then %d", basis, b)
		}
		basis = b
		for _, q := range queues {
			chosen[q.Def.Name]++
		}
	}
	return chosen, basis
}

func TestRandom(t *testing.T) {
	f := newFixture(t)
	f.exchange("random", exchange.Random)
	for i := range 4 {
		f.queue(fmt.Sprint("q", i))
		f.bind("random", "anything", fmt.Sprint("q", i))
	}
	f.exchange("before", exchange.Fanout)
	f.bindExchange("before", "", "random")
	f.exchange("alternate", exchange.Direct, wire.Field{Name: "alternate-exchange", Value: wire.String("random")})
	v := f.commit()
	for _, x := range []string{"random", "before", "alternate"} {
		chosen, basis := routes(t, v, x, 10_000)
		if basis != exchange.ByChance {
			t.Errorf("exchange %q: basis %d", x, basis)
		}
		if len(chosen) != 4 {
			t.Errorf("exchange %q: chose %v", x, chosen)
		}
		for q, n := range chosen {
			if n < 2200 || n > 2800 { // six sigma
				t.Errorf("exchange %q: %q has %d of 10000 messages", x, q, n)
			}
		}
	}
	// With a match of its own the exchange does not get to chance.
	f.bind("alternate", "k", "q1")
	if chosen, basis := routes(t, f.commit(), "alternate", 100); basis != exchange.ByKeys || chosen["q1"] != 100 {
		t.Errorf("chose %v, basis %d", chosen, basis)
	}
}

func TestLocalRandom(t *testing.T) {
	f := newFixture(t)
	f.Node = "here"
	f.exchange("x", exchange.LocalRandom)
	for i := range 6 {
		name, node := fmt.Sprint("q", i), "there"
		if i%2 == 0 {
			node = "here"
		}
		f.queueAt(name, node)
		f.bind("x", "", name)
	}
	f.exchange("y", exchange.Fanout)
	f.bindExchange("x", "", "y") // never local
	if chosen, _ := routes(t, f.commit(), "x", 1000); len(chosen) != 3 || chosen["q0"]+chosen["q2"]+chosen["q4"] != 1000 {
		t.Errorf("chose %v", chosen)
	}
	// The leaders move.
	for i, node := range []string{"there", "here", "there", "there", "there", "there"} {
		def := *f.commit().Queue(fmt.Sprint("q", i)).Def
		def.Leader = node
		f.must(f.PutQueue(&def, nil))
	}
	v := f.commit()
	if chosen, _ := routes(t, v, "x", 100); chosen["q1"] != 100 {
		t.Errorf("chose %v after the leaders moved", chosen)
	}
	if !v.Queue("q1").Local() || v.Queue("q2").Local() {
		t.Error("wrong queues are local")
	}
	f.DeleteQueue("/", "q1")
	f.exchange("x", exchange.LocalRandom, wire.Field{Name: "alternate-exchange", Value: wire.String("y")})
	f.bind("y", "", "q3")
	if chosen, _ := routes(t, f.commit(), "x", 100); chosen["q3"] != 100 {
		t.Errorf("chose %v without a local queue", chosen)
	}
}

// Nodes that learned of things in another order, and gave them other numbers, choose the same queues.
func TestNodesAgree(t *testing.T) {
	build := func(order []int) *VHost {
		f := newFixture(t)
		for _, typ := range []string{exchange.ConsistentHash, exchange.ModulusHash} {
			f.exchange(typ, typ)
			f.exchange("q0", exchange.Fanout) // the name of a queue, too
		}
		for _, i := range order {
			f.queue(fmt.Sprint("q", i))
		}
		f.bind("q0", "", "q9")
		for _, typ := range []string{exchange.ConsistentHash, exchange.ModulusHash} {
			f.bindExchange(typ, "1", "q0")
			for _, i := range order {
				f.bind(typ, fmt.Sprint(i%3+1), fmt.Sprint("q", i))
			}
		}
		return f.commit()
	}
	order := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	a := build(order)
	slices.Reverse(order)
	b := build(order)
	for _, x := range []string{exchange.ConsistentHash, exchange.ModulusHash} {
		seen := map[string]bool{}
		for i := range 1000 {
			key := fmt.Sprint("key", i)
			one, other := route(a, x, key), route(b, x, key)
			if len(one) != 1 || !slices.Equal(one, other) {
				t.Fatalf("%s: key %q leads to %v and to %v", x, key, one, other)
			}
			seen[one[0]] = true
		}
		if len(seen) != 10 {
			t.Errorf("%s: %d queues have messages, want 10", x, len(seen))
		}
	}
}

func TestPropertiesDecide(t *testing.T) {
	f := newFixture(t)
	f.exchange("x", exchange.ConsistentHash, wire.Field{Name: "hash-property", Value: wire.String("message_id")})
	for i := range 4 {
		f.queue(fmt.Sprint("q", i))
		f.bind("x", "1", fmt.Sprint("q", i))
	}
	v := f.commit()
	chosen := map[*Queue]bool{}
	for i := range 100 {
		queues, basis := v.RouteMessage(nil, v.Exchange("x"), &exchange.Message{MessageID: fmt.Append(nil, i)})
		if len(queues) != 1 || basis != exchange.ByMessage {
			t.Fatalf("routes to %v, basis %d", names(queues), basis)
		}
		chosen[queues[0]] = true
	}
	if len(chosen) != 4 {
		t.Errorf("%d queues have messages, want 4", len(chosen))
	}
	if chosen, _ := routes(t, v, "x", 100); len(chosen) != 1 {
		t.Errorf("messages without an id go to %v", chosen)
	}
	f.exchange("x", exchange.ConsistentHash) // with other arguments and the same bindings
	v = f.commit()
	chosen = map[*Queue]bool{}
	for i := range 100 {
		queues, basis := v.RouteMessage(nil, v.Exchange("x"), &exchange.Message{Key: fmt.Append(nil, i)})
		if len(queues) != 1 || basis != exchange.ByKeys {
			t.Fatalf("routes to %v, basis %d", names(queues), basis)
		}
		chosen[queues[0]] = true
	}
	if len(chosen) != 4 {
		t.Errorf("%d queues have messages by key, want 4", len(chosen))
	}
}

func TestPolicyAlternate(t *testing.T) {
	f := newFixture(t)
	argument := wire.Field{Name: "alternate-exchange", Value: wire.String("a1")}
	f.exchange("x", exchange.Direct)
	f.queue("k") // where the default exchange leads to
	for i := 1; i <= 2; i++ {
		f.exchange(fmt.Sprint("a", i), exchange.Fanout)
		f.queue(fmt.Sprint("q", i))
		f.bind(fmt.Sprint("a", i), "", fmt.Sprint("q", i))
	}
	check := func(what, want string) {
		t.Helper()
		got := route(f.commit(), "x", "k")
		if want == "" && len(got) > 0 || want != "" && !slices.Equal(got, []string{want}) {
			t.Errorf("%s: routes to %v, want %q", what, got, want)
		}
	}
	check("without an alternate exchange", "")
	f.must(f.SetAlternate("/", "x", "a2", true))
	check("with a policy", "q2")
	before := f.Commit()
	f.must(f.SetAlternate("/", "x", "a2", true))
	if f.Commit() != before {
		t.Error("a new snapshot although nothing changed")
	}
	f.exchange("x", exchange.Direct, argument)
	check("with an argument as well", "q1")
	f.exchange("x", exchange.Direct)
	check("with the policy left", "q2")
	f.must(f.SetAlternate("/", "x", "ignored", false))
	check("with nothing left", "")
	for _, err := range []error{
		f.SetAlternate("/", "", "a1", true), f.SetAlternate("/", "none", "a1", true), f.SetAlternate("none", "x", "a1", true),
	} {
		if !errors.Is(err, ErrMissing) {
			t.Errorf("got %v, want %v", err, ErrMissing)
		}
	}
}
