package meta

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// logEntry is the log entry in which the collector would put the commands.
func logEntry(t interface{ Fatal(...any) }, index uint64, commands ...Command) *raft.Log {
	batch := make([]*proposal, len(commands))
	for i, c := range commands {
		data, err := proto.Marshal(c.encode())
		if err != nil {
			t.Fatal(err)
		}
		batch[i] = &proposal{data: data, version: versionOf(c)}
	}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: appendBatch(nil, batch)}
}

// machine drives a state machine directly, one command per entry.
type machine struct {
	t     *testing.T
	fsm   *fsm
	index uint64
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, fsm: newFSM(slog.New(slog.DiscardHandler), nil)}
	m.ok(Initialize{VHost: VHost{Name: "/"}, User: User{Name: "guest"}, Permission: Permission{User: "guest", VHost: "/"}})
	m.ok(StartNode{"n1"})
	return m
}

func (m *machine) do(c Command) (Result, error) {
	m.t.Helper()
	m.index++
	o, ok := m.fsm.Apply(logEntry(m.t, m.index, c)).([]outcome)
	if !ok || len(o) != 1 {
		m.t.Fatalf("%#v: response %#v", c, o)
	}
	return o[0].result, o[0].err
}

func (m *machine) ok(commands ...Command) (last Result) {
	m.t.Helper()
	for _, c := range commands {
		r, err := m.do(c)
		if err != nil {
			m.t.Fatalf("%#v: %v", c, err)
		}
		last = r
	}
	return last
}

func (m *machine) state() *State { return m.fsm.state.Load() }

func exchange(name string, autoDelete bool) DeclareExchange {
	return DeclareExchange{Exchange{VHost: "/", Name: name, Type: "topic", Durable: true, AutoDelete: autoDelete}}
}

func queue(name string) DeclareQueue {
	return DeclareQueue{Queue{VHost: "/", Name: name, Type: "classic", Durable: true, Leader: "n1"}}
}

func toQueue(source, q, routingKey string) Binding {
	return Binding{VHost: "/", Source: source, Destination: q, RoutingKey: routingKey}
}

func toExchange(source, x string) Binding {
	return Binding{VHost: "/", Source: source, Destination: x, DestinationKind: ToExchange}
}

func TestVHostHasPredeclaredExchanges(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.ok(PutVHost{VHost{Name: "v"}})
	for _, vhost := range []string{"/", "v"} {
		var got []string
		for x := range m.state().ExchangesIn(vhost) {
			if !x.Durable || x.Internal != (x.Name == "amq.rabbitmq.trace") {
				t.Errorf("%+v", x)
			}
			got = append(got, x.Name+" "+x.Type)
		}
		want := []string{
			"amq.direct direct", "amq.fanout fanout", "amq.headers headers", "amq.match headers",
			"amq.rabbitmq.trace topic", "amq.topic topic",
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", vhost, got, want)
		}
	}
	if r := m.ok(PutVHost{VHost{Name: "v", Tracing: true}}); r.Created || !m.state().VHost("v").Tracing {
		t.Errorf("put of an existing vhost: %+v, %+v", r, m.state().VHost("v"))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.ok(exchange("x", false), queue("q"), Bind{toQueue("x", "q", "k")}, PutVHost{VHost{Name: "keep", Protected: true}})
	id := m.state().Queue("/", "q").ID
	before := m.snapshot()
	for _, tc := range []struct {
		command Command
		want    error
		name    string
	}{
		{Bind{toQueue("none", "gone", "")}, ErrNoExchange, "none"},
		{Bind{toQueue("x", "gone", "")}, ErrNoQueue, "gone"},
		{Bind{toExchange("x", "gone")}, ErrNoExchange, "gone"},
		{Bind{Binding{VHost: "nowhere"}}, ErrNoVHost, "nowhere"},
		{DeclareExchange{Exchange{VHost: "nowhere", Name: "x"}}, ErrNoVHost, "nowhere"},
		{DeclareQueue{Queue{VHost: "nowhere", Name: "q"}}, ErrNoVHost, "nowhere"},
		{DeclareQueue{Queue{VHost: "/", Name: "e", Owner: Owner{"n1", 2}}}, ErrOwnerEnded, "n1"},
		{DeclareQueue{Queue{VHost: "/", Name: "e", Owner: Owner{"n2", 1}}}, ErrOwnerEnded, "n2"},
		{DeclareExchange{Exchange{VHost: "/", Name: "e", Owner: Owner{"n2", 1}}}, ErrOwnerEnded, "n2"},
		{DeleteExchange{VHost: "/", Name: "gone"}, ErrNoExchange, "gone"},
		{DeleteExchange{VHost: "/", Name: "x", IfUnused: true}, ErrExchangeInUse, "x"},
		{DeleteQueue{VHost: "/", Name: "q", ID: id + 1}, ErrNoQueue, "q"},
		{DeleteVHost{"nowhere"}, ErrNoVHost, "nowhere"},
		{DeleteVHost{"keep"}, ErrVHostProtected, "keep"},
		{DeleteUser{"nobody"}, ErrNoUser, "nobody"},
		{SetPermission{Permission{User: "nobody", VHost: "/"}}, ErrNoUser, "nobody"},
		{SetPermission{Permission{User: "guest", VHost: "nowhere"}}, ErrNoVHost, "nowhere"},
		{SetTopicPermission{TopicPermission{User: "nobody", VHost: "/"}}, ErrNoUser, "nobody"},
		{PutPolicy{Policy{VHost: "nowhere", Name: "p"}}, ErrNoVHost, "nowhere"},
		{DeletePolicy{VHost: "/", Name: "p"}, ErrNoPolicy, "p"},
		{PutParameter{Parameter{VHost: "nowhere", Name: "p"}}, ErrNoVHost, "nowhere"},
		{DeleteParameter{VHost: "/", Component: "c", Name: "p"}, ErrNoParameter, "p"},
	} {
		_, err := m.do(tc.command)
		var named *NameError
		if !errors.Is(err, tc.want) || !errors.As(err, &named) || named.Name != tc.name {
			t.Errorf("%#v: got %v, want %v for %q", tc.command, err, tc.want, tc.name)
		}
	}
	if _, err := m.do(DeclareQueue{Queue{VHost: "/"}}); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("queue without a name: %v", err)
	}
	m.ok(Unbind{toQueue("x", "q", "other")}, Unbind{toQueue("none", "gone", "")})
	// Only the index in the header differs.
	if after := m.snapshot(); len(after) > len(before)+2 || m.state().NumBindings() != 1 {
		t.Errorf("refused commands changed the state: %d bytes, were %d", len(after), len(before))
	}
}

func (m *machine) snapshot() []byte {
	m.t.Helper()
	return snapshotBytes(m.t, m.state())
}

func snapshotBytes(t interface{ Fatal(...any) }, s *State) []byte {
	var b bytes.Buffer
	if err := writeSnapshot(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRedeclareReturnsExisting(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	first := m.ok(queue("q"))
	again := m.ok(DeclareQueue{Queue{VHost: "/", Name: "q", AutoDelete: true}})
	if !first.Created || again.Created || again.Queue != first.Queue || again.Queue.AutoDelete {
		t.Errorf("first %+v, again %+v", first.Queue, again.Queue)
	}
	m.ok(DeleteQueue{VHost: "/", Name: "q", ID: first.Queue.ID})
	if m.state().QueueByID(first.Queue.ID) != nil {
		t.Error("deleted queue is still found by its id")
	}
	if anew := m.ok(queue("q")); anew.Queue.ID <= first.Queue.ID {
		t.Errorf("id %d was used before", anew.Queue.ID)
	}
	x := m.ok(exchange("x", false))
	if again := m.ok(exchange("x", true)); again.Created || again.Exchange != x.Exchange {
		t.Errorf("exchange: first %+v, again %+v", x.Exchange, again.Exchange)
	}
}

func TestBindingIdentity(t *testing.T) {
	t.Parallel()
	table := func(fields ...string) (b []byte) {
		for _, f := range fields {
			b = append(append(append(b, byte(len(f))), f...), 't', 1)
		}
		return b
	}
	bound := func(args []byte) Binding {
		b := toQueue("x", "q", "k")
		b.Arguments = args
		return b
	}
	m := newMachine(t)
	m.ok(exchange("x", false), queue("q"))
	for _, tc := range []struct {
		arguments []byte
		created   bool
	}{
		{nil, true}, {[]byte{}, false}, {table("a", "b"), true}, {table("b", "a"), false}, {table("a"), true},
		{table("a", "b", "b"), true}, {[]byte("\xffnot a table"), true}, {[]byte("\xffnot a table"), false},
	} {
		if r := m.ok(Bind{bound(tc.arguments)}); r.Created != tc.created {
			t.Errorf("%q: created %v, want %v", tc.arguments, r.Created, tc.created)
		}
	}
	m.ok(Unbind{bound(table("b", "a"))})
	b := bound(table("a", "b"))
	if got := m.state().Binding(&b); got != nil {
		t.Errorf("still bound: %+v", got)
	}
	if n := len(slices.Collect(m.state().BindingsTo("/", ToQueue, "q"))); n != 4 || m.state().NumBindings() != 4 {
		t.Errorf("%d bindings, want 4", n)
	}
}

func TestAutoDeleteCascade(t *testing.T) {
	t.Parallel()
	// a -> b -> c -> q, all auto-delete; d is auto-delete with a binding of which it is the destination only.
	build := func(t *testing.T) *machine {
		m := newMachine(t)
		m.ok(exchange("a", true), exchange("b", true), exchange("c", true), exchange("d", true), queue("q"),
			Bind{toExchange("a", "b")}, Bind{toExchange("b", "c")}, Bind{toQueue("c", "q", "1")}, Bind{toQueue("c", "q", "2")},
			Bind{toExchange("amq.topic", "d")})
		return m
	}
	left := func(m *machine) (names string) {
		for _, n := range []string{"a", "b", "c", "d"} {
			if m.state().Exchange("/", n) != nil {
				names += n
			}
		}
		return names
	}
	for name, tc := range map[string]struct {
		commands []Command
		want     string
	}{
		"one of two unbound":  {[]Command{Unbind{toQueue("c", "q", "1")}}, "abcd"},
		"both unbound":        {[]Command{Unbind{toQueue("c", "q", "1")}, Unbind{toQueue("c", "q", "2")}}, "d"},
		"queue deleted":       {[]Command{DeleteQueue{"/", "q", 1}}, "d"},
		"middle deleted":      {[]Command{DeleteExchange{VHost: "/", Name: "b"}}, "cd"},
		"unbound destination": {[]Command{Unbind{toExchange("amq.topic", "d")}}, "abcd"},
		"never bound stays":   {[]Command{DeleteExchange{VHost: "/", Name: "a"}}, "bcd"},
	} {
		t.Run(name, func(t *testing.T) {
			m := build(t)
			m.ok(tc.commands...)
			if got := left(m); got != tc.want {
				t.Errorf("left %q, want %q", got, tc.want)
			}
		})
	}
}

func TestOwners(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	run1 := Owner{"n1", 1}
	own := func(name string, o Owner, connection uint64) Command {
		return DeclareQueue{Queue{VHost: "/", Name: name, Owner: o, Connection: connection, Exclusive: connection != 0}}
	}
	queues := func() (names []string) {
		for q := range m.state().Queues() {
			names = append(names, q.Name)
		}
		return names
	}
	check := func(want ...string) {
		t.Helper()
		if got := queues(); !slices.Equal(got, want) {
			t.Errorf("queues %q, want %q", got, want)
		}
	}
	m.ok(StartNode{"n10"}, queue("durable"), own("c1", run1, 1), own("c2", run1, 2), own("c257", run1, 257),
		own("transient", run1, 0), own("other", Owner{"n10", 1}, 1))
	m.ok(DeclareExchange{Exchange{VHost: "/", Name: "x", Owner: run1}})
	if n := len(slices.Collect(m.state().Owned(run1))); n != 5 {
		t.Errorf("%d owned, want 5", n)
	}
	m.ok(EndOwner{Owner: run1, Connection: 1})
	check("c2", "c257", "durable", "other", "transient")
	if r := m.ok(StartNode{"n1"}); r.Incarnation != 2 {
		t.Errorf("incarnation %d, want 2", r.Incarnation)
	}
	check("durable", "other")
	if m.state().Exchange("/", "x") != nil {
		t.Error("transient exchange survived")
	}
	run2 := Owner{"n1", 2}
	m.ok(own("e", run2, 9), EndOwner{Owner: run2}, EndOwner{Owner: run2}, EndOwner{Owner: Owner{"never", 1}})
	check("durable", "other")
	if _, err := m.do(own("late", run2, 9)); !errors.Is(err, ErrOwnerEnded) {
		t.Errorf("declare for an ended run: %v", err)
	}
}

func TestDeleteVHostAndUser(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	before := m.snapshot()
	in := func(b Binding) Binding { b.VHost = "v"; return b }
	m.ok(PutVHost{VHost{Name: "v"}}, PutUser{User{Name: "u"}}, SetPermission{Permission{User: "u", VHost: "v"}},
		SetTopicPermission{TopicPermission{User: "u", VHost: "v", Exchange: "amq.topic"}},
		SetTopicPermission{TopicPermission{User: "u", VHost: "v", Exchange: "amq.direct"}},
		DeclareQueue{Queue{VHost: "v", Name: "q", Owner: Owner{"n1", 1}}}, Bind{in(toQueue("amq.topic", "q", "#"))},
		Bind{in(toExchange("amq.topic", "amq.fanout"))}, PutPolicy{Policy{VHost: "v", Name: "p"}},
		PutPolicy{Policy{VHost: "v", Name: "p", Operator: true}}, PutParameter{Parameter{VHost: "v", Component: "c", Name: "n"}},
		ClearTopicPermission{User: "u", VHost: "v", Exchange: "amq.direct"})
	if n := len(slices.Collect(m.state().TopicPermissionsIn("v"))); n != 1 {
		t.Errorf("%d topic permissions, want 1", n)
	}
	m.ok(DeleteUser{"u"})
	if n := len(slices.Collect(m.state().TopicPermissionsIn("v"))) + len(slices.Collect(m.state().PermissionsIn("v"))); n != 0 {
		t.Errorf("%d permissions of a deleted user", n)
	}
	m.ok(PutUser{User{Name: "u"}}, SetPermission{Permission{User: "u", VHost: "v"}}, DeleteVHost{"v"}, DeleteUser{"u"})
	restored, err := readSnapshot(bytes.NewReader(before), CommandVersion)
	if err != nil {
		t.Fatal(err)
	}
	restored.index, restored.lastQueue = m.state().index, m.state().lastQueue
	if !bytes.Equal(snapshotBytes(t, restored), m.snapshot()) {
		t.Error("something of the vhost or user is left")
	}
	if n := m.state().owned.Len() + m.state().queuesByID.Len() + m.state().bindingsTo.Len(); n != 0 {
		t.Errorf("%d entries left in the indexes", n)
	}
}

func TestIncompatibleEntryStopsApplying(t *testing.T) {
	t.Parallel()
	newer, err := proto.Marshal(&metav1.Batch{Version: CommandVersion + 1})
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := proto.Marshal(&metav1.Batch{Version: 1, Commands: []*metav1.Command{{}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"newer version": newer, "unknown command": unknown, "garbage": []byte("\xff\xff")} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			before := m.state()
			bad := &raft.Log{Index: 3, Type: raft.LogCommand, Data: seal(data)}
			responses := m.fsm.ApplyBatch([]*raft.Log{bad, logEntry(t, 4, queue("q"))})
			for i, r := range responses {
				if err, ok := r.(error); !ok || !errors.Is(err, ErrIncompatible) {
					t.Errorf("response %d: %v", i, r)
				}
			}
			if m.state() != before {
				t.Error("the state went on")
			}
			if _, err := m.fsm.Snapshot(); !errors.Is(err, ErrIncompatible) {
				t.Errorf("snapshot: %v", err)
			}
		})
	}
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.ok(queue("q"), Bind{toQueue("amq.topic", "q", "k")})
	whole := m.snapshot()
	for n := range whole {
		if err := newFSM(slog.New(slog.DiscardHandler), nil).Restore(io.NopCloser(bytes.NewReader(whole[:n]))); err == nil {
			t.Fatalf("%d of %d bytes were taken for a snapshot", n, len(whole))
		}
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	m := newMachine(t)
	m.ok(queue("q"))
	s := m.state()
	id := s.Queue("/", "q").ID
	if n := testing.AllocsPerRun(100, func() {
		if s.Queue("/", "q") == nil || s.Exchange("/", "amq.topic") == nil || s.QueueByID(id) == nil || s.VHost("/") == nil ||
			s.User("guest") == nil || s.Permission("guest", "/") == nil {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
