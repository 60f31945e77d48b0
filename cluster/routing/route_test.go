package routing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// fixture builds a vhost "/" with little writing.
type fixture struct {
	*Builder
	t  testing.TB
	id uint64
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{Builder: NewBuilder(), t: t}
	f.PutVHost(&meta.VHost{Name: "/"})
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) exchange(name, typ string, args ...wire.Field) {
	f.t.Helper()
	f.must(f.PutExchange(&meta.Exchange{VHost: "/", Name: name, Type: typ, Arguments: wire.Table(args).Encode()}))
}

func (f *fixture) queue(name string) {
	f.t.Helper()
	f.id++
	f.must(f.PutQueue(&meta.Queue{VHost: "/", Name: name, ID: f.id}, nil))
}

func (f *fixture) bind(source, key, queue string, args ...wire.Field) {
	f.t.Helper()
	f.must(f.PutBinding(meta.Binding{VHost: "/", Source: source, Destination: queue, RoutingKey: key, Arguments: wire.Table(args).Encode()}))
}

func (f *fixture) commit() *VHost { return f.Commit().VHost("/") }

func route(v *VHost, x, key string) []string {
	return names(v.Route(nil, v.Exchange(x), []byte(key), nil, nil))
}

func TestLookups(t *testing.T) {
	var table Table
	if table.Load().VHost("/") != nil {
		t.Fatal("the zero Table has a vhost")
	}
	f := newFixture(t)
	f.exchange("x", exchange.Direct)
	f.queue("q")
	f.bind("x", "k", "q")
	table.Store(f.Commit())
	v := table.Load().VHost("/")
	if v == nil || table.Load().VHost("other") != nil {
		t.Fatal("wrong vhosts")
	}
	if v.Exchange("") == nil || v.Exchange("") != v.ExchangeBytes(nil) || v.Exchange("").Def.Name != "" {
		t.Error("no default exchange")
	}
	if v.Exchange("x") != v.ExchangeBytes([]byte("x")) || v.Exchange("x").Bindings() != 1 || v.Exchange("y") != nil {
		t.Error("wrong exchanges")
	}
	if v.Queue("q") != v.QueueBytes([]byte("q")) || v.Queue("q").Def.Name != "q" || v.QueueBytes([]byte("r")) != nil {
		t.Error("wrong queues")
	}
	exchanges := 0
	v.EachExchange(func(*Exchange) bool { exchanges++; return true })
	if exchanges != 1 {
		t.Errorf("visited %d exchanges, want 1", exchanges)
	}
	q := v.Queue("q")
	f.DeleteVHost("/")
	if f.Commit().VHost("/") != nil || table.Load().VHost("/").Queue("q") != q {
		t.Error("a deleted vhost is there, or gone from an old snapshot")
	}
}

func TestErrors(t *testing.T) {
	f := newFixture(t)
	f.exchange("x", exchange.Direct)
	f.queue("q")
	before := f.Commit()
	for _, c := range []struct {
		err, want error
	}{
		{f.PutExchange(&meta.Exchange{VHost: "none", Name: "x", Type: exchange.Direct}), ErrMissing},
		{f.PutExchange(&meta.Exchange{VHost: "/", Type: exchange.Direct}), ErrMissing},
		{f.PutExchange(&meta.Exchange{VHost: "/", Name: "y", Type: "x-strange"}), ErrUnknownType},
		{f.PutQueue(&meta.Queue{VHost: "none", Name: "q"}, nil), ErrMissing},
		{f.PutBinding(meta.Binding{VHost: "none", Source: "x", Destination: "q"}), ErrMissing},
		{f.PutBinding(meta.Binding{VHost: "/", Source: "y", Destination: "q"}), ErrMissing},
		{f.PutBinding(meta.Binding{VHost: "/", Source: "", Destination: "q"}), ErrMissing},
		{f.PutBinding(meta.Binding{VHost: "/", Source: "x", Destination: "r"}), ErrMissing},
		{f.PutBinding(meta.Binding{VHost: "/", Source: "x", Destination: "y", DestinationKind: meta.ToExchange}), ErrMissing},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("got %v, want %v", c.err, c.want)
		}
	}
	f.DeleteExchange("/", "y")
	f.DeleteExchange("none", "y")
	f.DeleteQueue("/", "r")
	f.DeleteQueue("none", "r")
	f.DeleteBinding(meta.Binding{VHost: "/", Source: "x", Destination: "q", RoutingKey: "never"})
	f.DeleteBinding(meta.Binding{VHost: "/", Source: "y", Destination: "q"})
	f.DeleteBinding(meta.Binding{VHost: "none", Source: "x", Destination: "q"})
	f.DeleteVHost("none")
	if f.Commit() != before {
		t.Error("a new snapshot although nothing changed")
	}
}

// Bindings that differ in their arguments are different ones, but not if only the order differs.
func TestBindingIdentity(t *testing.T) {
	f := newFixture(t)
	f.exchange("x", exchange.Direct)
	f.queue("q")
	one, two := wire.Field{Name: "one", Value: wire.Int32(1)}, wire.Field{Name: "two", Value: wire.Int32(2)}
	f.bind("x", "k", "q")
	f.bind("x", "k", "q", one, two)
	f.bind("x", "k", "q", two, one)
	if v := f.commit(); v.Exchange("x").Bindings() != 2 {
		t.Fatalf("%d bindings, want 2", v.Exchange("x").Bindings())
	}
	f.DeleteBinding(meta.Binding{VHost: "/", Source: "x", Destination: "q", RoutingKey: "k"})
	if got := route(f.commit(), "x", "k"); len(got) != 1 {
		t.Fatalf("routes to %v with one of two bindings left", got)
	}
	f.DeleteBinding(meta.Binding{VHost: "/", Source: "x", Destination: "q", RoutingKey: "k", Arguments: wire.Table{two, one}.Encode()})
	if got := route(f.commit(), "x", "k"); len(got) != 0 {
		t.Fatalf("routes to %v without bindings", got)
	}
}

// A vhost that did not change is the same value in the next snapshot, and so is a queue with new bindings.
func TestSharing(t *testing.T) {
	f := newFixture(t)
	f.PutVHost(&meta.VHost{Name: "other"})
	f.exchange("x", exchange.Fanout)
	f.exchange("y", exchange.Fanout)
	f.queue("q")
	old := f.Commit()
	f.bind("x", "", "q")
	cur := f.Commit()
	if old.VHost("other") != cur.VHost("other") || old.VHost("/") == cur.VHost("/") {
		t.Error("wrong vhosts are shared")
	}
	a, b := old.VHost("/"), cur.VHost("/")
	if a.Queue("q") != b.Queue("q") || a.Exchange("y") != b.Exchange("y") || a.Exchange("") != b.Exchange("") {
		t.Error("unchanged entities are not shared")
	}
	if len(route(a, "x", "")) != 0 || len(route(b, "x", "")) != 1 {
		t.Error("a new binding is visible in the wrong snapshot")
	}
}

// Every message goes to exactly one of two queues in every snapshot, while the builder moves the bindings about as fast as it can.
func TestReadsUnderChanges(t *testing.T) {
	f := newFixture(t)
	f.exchange("in", exchange.Topic)
	f.exchange("out", exchange.Direct)
	f.exchange("alt", exchange.Fanout)
	f.exchange("x", exchange.Direct, wire.Field{Name: "alternate-exchange", Value: wire.String("in")})
	f.queue("q0")
	f.queue("q1")
	f.must(f.PutBinding(meta.Binding{VHost: "/", Source: "in", Destination: "out", DestinationKind: meta.ToExchange, RoutingKey: "#"}))
	f.bind("out", "a.b", "q0")
	var table Table
	table.Store(f.Commit())
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var buf []*Queue
			key := []byte("a.b")
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := table.Load().VHost("/")
				if buf = v.Route(buf[:0], v.Exchange("x"), key, nil, nil); len(buf) != 1 {
					t.Errorf("routes to %v", names(buf))
					return
				}
			}
		})
	}
	for i := range 3000 {
		from, to := fmt.Sprint("q", i%2), fmt.Sprint("q", 1-i%2)
		f.DeleteBinding(meta.Binding{VHost: "/", Source: "out", Destination: from, RoutingKey: "a.b"})
		f.bind("out", "a.b", to)
		if i%7 == 0 {
			f.queue(from) // a new queue with the old name
		}
		if i%5 == 0 {
			f.bind("out", fmt.Sprint("other", i), to)
		}
		table.Store(f.Commit())
	}
	close(stop)
	readers.Wait()
}

func TestLargeFanOut(t *testing.T) {
	f := newFixture(t)
	const n = 1000
	for _, x := range []string{"a", "b", "c"} {
		f.exchange(x, exchange.Fanout)
	}
	for i := range n {
		name := fmt.Sprint("q", i)
		f.queue(name)
		f.bind("a", "", name)
		f.bind("b", "", name)
	}
	f.queue("last")
	f.bind("c", "", "last")
	f.bind("c", "", "q7")
	for _, e := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}} {
		f.must(f.PutBinding(meta.Binding{VHost: "/", Source: e[0], Destination: e[1], DestinationKind: meta.ToExchange}))
	}
	v := f.commit()
	for range 3 { // with pooled memory
		for _, x := range []string{"a", "b", "c"} {
			got := route(v, x, "")
			if len(got) != n+1 || len(slices.Compact(got)) != n+1 {
				t.Fatalf("%d queues, %d different, want %d", len(got), len(slices.Compact(got)), n+1)
			}
		}
	}
}

func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := ids{generation: ^uint32(0) - 2}
		for range 5 {
			s.reset()
			seen := map[uint64]bool{}
			for _, id := range rapid.SliceOfN(rapid.Uint64Range(0, 300), 0, 400).Draw(t, "ids") {
				if s.add(id) == seen[id] {
					t.Fatalf("add(%d): want %v", id, !seen[id])
				}
				seen[id] = true
			}
		}
	})
}

// What a topic exchange remembers must not outlive a change of what it depends on, and is bounded.
func TestCache(t *testing.T) {
	f := newFixture(t)
	f.exchange("x", exchange.Topic, wire.Field{Name: "alternate-exchange", Value: wire.String("alt")})
	f.exchange("y", exchange.Topic)
	f.exchange("bare", exchange.Topic)
	f.queue("q1")
	f.queue("q2")
	f.bind("x", "a.*", "q1")
	f.bind("bare", "a.#", "q1")
	f.must(f.PutBinding(meta.Binding{VHost: "/", Source: "x", Destination: "y", DestinationKind: meta.ToExchange, RoutingKey: "e"}))
	f.bind("y", "e", "q1")
	want := map[string][]string{"a.b": {"q1"}, "b": nil, "e": {"q1"}}
	check := func(what string) {
		t.Helper()
		v := f.commit()
		for range 2 * cacheWarmup {
			for key, want := range want {
				if got := route(v, "x", key); !slices.Equal(got, want) {
					t.Fatalf("%s: key %q: got %v, want %v", what, key, got, want)
				}
			}
		}
	}
	check("at first")
	slot := f.last.VHost("/").Exchange("x").cache.slot([]byte("a.b"))
	if e := slot.Load(); e == nil || e.key != "a.b" {
		t.Fatalf("the route of a.b is not remembered but %v", e)
	}
	f.bind("x", "a.b", "q2")
	want["a.b"] = []string{"q1", "q2"}
	check("with another binding")
	f.exchange("alt", exchange.Fanout)
	f.bind("alt", "", "q2")
	want["b"] = []string{"q2"}
	check("with the alternate exchange")
	f.bind("y", "#", "q2")
	want["e"] = []string{"q1", "q2"}
	check("with another binding behind the exchange")
	f.DeleteQueue("/", "q1")
	want["a.b"], want["e"] = []string{"q2"}, []string{"q2"}
	check("without the first queue")

	f.queue("q1")
	f.bind("bare", "#.z", "q1")
	v := f.commit()
	for i := range 20 * cacheSlots {
		if got := route(v, "bare", fmt.Sprint("a.", i)); len(got) != 0 {
			t.Fatalf("routes to %v", got)
		}
	}
	long := strings.Repeat("a.", 200) + "z"
	if got := route(v, "bare", long); len(got) != 1 {
		t.Fatalf("a long key routes to %v", got)
	}
}

func TestRouteDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops values at random")
	}
	f := newFixture(t)
	match := wire.Field{Name: "a", Value: wire.String("1")}
	for _, typ := range exchange.Names() {
		f.exchange(typ, typ)
	}
	f.exchange("alternate", exchange.Direct, wire.Field{Name: "alternate-exchange", Value: wire.String("topic")})
	for i := range 30 {
		name := fmt.Sprint("q", i)
		f.queue(name)
		f.bind("direct", "k", name)
		f.bind("fanout", "k", name)
		f.bind(exchange.RecentHistory, "k", name)
		f.bind("topic", "#", name)
		f.bind("topic", "k.#", name)
		f.bind("headers", "", name, match)
		for _, typ := range []string{exchange.ConsistentHash, exchange.ModulusHash, exchange.Random, exchange.LocalRandom} {
			f.bind(typ, "1", name)
		}
		f.bind(exchange.Delayed, "k", name) // without a type in its arguments: like direct
	}
	f.must(f.PutBinding(meta.Binding{VHost: "/", Source: "topic", Destination: "direct", DestinationKind: meta.ToExchange, RoutingKey: "*"}))
	v := f.commit()
	buf := make([]*Queue, 0, 200)
	key, headers := []byte("k"), wire.Table{match}.Encode()
	extra := [][]byte{[]byte("cc"), []byte("k")}
	for _, name := range append([]string{"", "alternate"}, exchange.Names()...) {
		x := v.Exchange(name)
		if name == "" {
			key = []byte("q3")
		} else {
			key = []byte("k")
		}
		for _, extra := range [][][]byte{nil, extra} {
			if n := testing.AllocsPerRun(200, func() { buf = v.Route(buf[:0], x, key, extra, headers) }); n != 0 {
				t.Errorf("exchange %q, %d extra keys: %v allocations", name, len(extra), n)
			}
		}
		if len(buf) == 0 {
			t.Errorf("exchange %q: no route", name)
		}
	}
}
