package cluster

import (
	"strings"
	"testing"

	"github.com/brokerd/brokerd/cluster/meta"
)

// Texts are those of RabbitMQ 3.10 on the wire.

func TestDeclareExchange(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	must(t, a.DeclareExchange(ExchangeSpec{Name: "e3", Type: "direct"}))
	must(t, a.DeclareExchange(ExchangeSpec{Name: "eae", Type: "direct", Arguments: table("alternate-exchange", "x")}))
	for _, c := range []struct {
		name string
		s    ExchangeSpec
		text string
	}{
		{"direct", ExchangeSpec{Name: "d", Type: "direct"}, ""},
		{"fanout", ExchangeSpec{Name: "f", Type: "fanout"}, ""},
		{"topic", ExchangeSpec{Name: "t", Type: "topic"}, ""},
		{"headers", ExchangeSpec{Name: "h", Type: "headers"}, ""},
		{"unknown type", ExchangeSpec{Name: "e1", Type: "nosuch"}, "COMMAND_INVALID - unknown exchange type 'nosuch'"},
		{"empty type", ExchangeSpec{Name: "e1"}, "COMMAND_INVALID - invalid exchange type ''"},
		{"unknown type goes before the default exchange", ExchangeSpec{Type: "nosuch"},
			"COMMAND_INVALID - unknown exchange type 'nosuch'"},
		{"passive, missing", ExchangeSpec{Name: "missing", Type: "direct", Passive: true},
			"NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{"passive compares nothing", ExchangeSpec{Name: "e3", Type: "topic", Passive: true, Durable: true}, ""},
		{"type", ExchangeSpec{Name: "e3", Type: "topic"},
			"PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e3' in vhost '/': received 'topic' but current is 'direct'"},
		{"durable", ExchangeSpec{Name: "e3", Type: "direct", Durable: true},
			"PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'e3' in vhost '/': received 'true' but current is 'false'"},
		{"auto-delete", ExchangeSpec{Name: "e3", Type: "direct", AutoDelete: true},
			"PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange 'e3' in vhost '/': received 'true' but current is 'false'"},
		{"internal", ExchangeSpec{Name: "e3", Type: "direct", Internal: true},
			"PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'e3' in vhost '/': received 'true' but current is 'false'"},
		{"alternate added", ExchangeSpec{Name: "e3", Type: "direct", Arguments: table("alternate-exchange", "x")},
			"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'e3' in vhost '/': " +
				"received the value 'x' of type 'longstr' but current is none"},
		{"unknown argument", ExchangeSpec{Name: "e3", Type: "direct", Arguments: table("foo", "bar")}, ""},
		{"alternate dropped", ExchangeSpec{Name: "eae", Type: "direct"},
			"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'eae' in vhost '/': " +
				"received none but current is the value 'x' of type 'longstr'"},
		{"alternate changed", ExchangeSpec{Name: "eae", Type: "direct", Arguments: table("alternate-exchange", "y")},
			"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'eae' in vhost '/': received 'y' but current is 'x'"},
		{"alternate of wrong type", ExchangeSpec{Name: "enew", Type: "direct", Arguments: table("alternate-exchange", 5)},
			"PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'enew' in vhost '/'"},
		{"cache size of wrong type", ExchangeSpec{Name: "enew", Type: "direct", Arguments: table("x-cache-size", "1")},
			"PRECONDITION_FAILED - invalid arg 'x-cache-size' for exchange 'enew' in vhost '/': \"expected integer, got longstr\""},
		{"deduplication added", ExchangeSpec{Name: "e3", Type: "direct", Arguments: table("x-message-deduplication", true)},
			"PRECONDITION_FAILED - inequivalent arg 'x-message-deduplication' for exchange 'e3' in vhost '/': " +
				"received the value 'true' of type 'bool' but current is none"},
		{"reserved", ExchangeSpec{Name: "amq.foo", Type: "direct"},
			"ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'"},
		{"passive reserved", ExchangeSpec{Name: "amq.foo", Type: "direct", Passive: true},
			"NOT_FOUND - no exchange 'amq.foo' in vhost '/'"},
		{"amq.direct as it is", ExchangeSpec{Name: "amq.direct", Type: "direct", Durable: true}, ""},
		{"amq.direct not durable", ExchangeSpec{Name: "amq.direct", Type: "direct"},
			"PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true'"},
		{"default", ExchangeSpec{Type: "direct", Durable: true},
			"ACCESS_REFUSED - operation not permitted on the default exchange"},
		{"passive default", ExchangeSpec{Type: "direct", Passive: true},
			"ACCESS_REFUSED - operation not permitted on the default exchange"},
		{"passive trace", ExchangeSpec{Name: "amq.rabbitmq.trace", Type: "topic", Passive: true}, ""},
		{"passive amq.direct", ExchangeSpec{Name: "amq.direct", Passive: true}, ""},
		{"passive amq.fanout", ExchangeSpec{Name: "amq.fanout", Passive: true}, ""},
		{"passive amq.topic", ExchangeSpec{Name: "amq.topic", Passive: true}, ""},
		{"passive amq.headers", ExchangeSpec{Name: "amq.headers", Passive: true}, ""},
		{"passive amq.match", ExchangeSpec{Name: "amq.match", Passive: true}, ""},
		{"no log exchange", ExchangeSpec{Name: "amq.rabbitmq.log", Passive: true},
			"NOT_FOUND - no exchange 'amq.rabbitmq.log' in vhost '/'"},
		{"space and slash", ExchangeSpec{Name: "a b/c", Type: "direct"}, ""},
		{"line break", ExchangeSpec{Name: "a\r\nb", Type: "direct"}, ""},
		{"line breaks are stripped", ExchangeSpec{Name: "ab", Passive: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, a.DeclareExchange(c.s), c.text) })
	}
}

func TestDeleteExchange(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	must(t, a.DeclareExchange(ExchangeSpec{Name: "e6", Type: "direct"}))
	must(t, a.BindExchange(BindingSpec{Source: "e6", Destination: "amq.fanout", RoutingKey: "k"}))
	for _, c := range []struct {
		name     string
		ifUnused bool
		text     string
	}{
		{"", false, "ACCESS_REFUSED - operation not permitted on the default exchange"},
		{"amq.direct", false, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"},
		{"amq.rabbitmq.trace", false, "ACCESS_REFUSED - deletion of system exchange 'amq.rabbitmq.trace' in vhost '/' not allowed"},
		{"missing", false, ""},
		{"e6", true, "PRECONDITION_FAILED - exchange 'e6' in vhost '/' in use"},
		{"e6", false, ""},
	} {
		want(t, a.DeleteExchange(c.name, c.ifUnused), c.text)
	}
	want(t, a.DeclareExchange(ExchangeSpec{Name: "e6", Passive: true}), "NOT_FOUND - no exchange 'e6' in vhost '/'")
}

func TestBind(t *testing.T) {
	n := startNode(t)
	a, other := n.connect(), n.connect()
	_, err := a.DeclareQueue(QueueSpec{Name: "q5"})
	must(t, err)
	_, err = other.DeclareQueue(QueueSpec{Name: "kx", Exclusive: true})
	must(t, err)
	const notDefault = "ACCESS_REFUSED - operation not permitted on the default exchange"
	locked := "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'kx' in vhost '/'. It could be originally declared " +
		"on another connection or the exclusive property value does not match that of the original declaration."
	for _, c := range []struct {
		name string
		do   func(BindingSpec) error
		b    BindingSpec
		text string
	}{
		{"default as source", a.BindQueue, BindingSpec{Source: "", Destination: "q5", RoutingKey: "k"}, notDefault},
		{"unbind default", a.UnbindQueue, BindingSpec{Source: "", Destination: "q5", RoutingKey: "q5"}, notDefault},
		{"e2e default as source", a.BindExchange, BindingSpec{Source: "", Destination: "amq.direct"}, notDefault},
		{"e2e default as destination", a.BindExchange, BindingSpec{Source: "amq.direct", Destination: ""}, notDefault},
		{"e2e missing source", a.BindExchange, BindingSpec{Source: "missing", Destination: "amq.direct"},
			"NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{"e2e missing destination", a.BindExchange, BindingSpec{Source: "amq.direct", Destination: "missing"},
			"NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{"e2e unbind, no binding", a.UnbindExchange, BindingSpec{Source: "amq.direct", Destination: "amq.fanout"}, ""},
		{"e2e unbind, no exchanges", a.UnbindExchange, BindingSpec{Source: "missing2", Destination: "missing1"}, ""},
		{"missing queue", a.BindQueue, BindingSpec{Source: "amq.direct", Destination: "missing"},
			"NOT_FOUND - no queue 'missing' in vhost '/'"},
		{"missing exchange", a.BindQueue, BindingSpec{Source: "missing", Destination: "q5"},
			"NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{"both missing", a.BindQueue, BindingSpec{Source: "missing", Destination: "missingq"},
			"NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{"unbind missing queue", a.UnbindQueue, BindingSpec{Source: "amq.direct", Destination: "missing"}, ""},
		{"unbind missing exchange", a.UnbindQueue, BindingSpec{Source: "missing", Destination: "q5"}, ""},
		{"unbind missing binding", a.UnbindQueue, BindingSpec{Source: "amq.direct", Destination: "q5"}, ""},
		{"bind", a.BindQueue, BindingSpec{Source: "amq.direct", Destination: "q5", RoutingKey: "k"}, ""},
		{"bind again", a.BindQueue, BindingSpec{Source: "amq.direct", Destination: "q5", RoutingKey: "k"}, ""},
		{"unbind", a.UnbindQueue, BindingSpec{Source: "amq.direct", Destination: "q5", RoutingKey: "k"}, ""},
		{"exclusive to another", a.BindQueue, BindingSpec{Source: "amq.direct", Destination: "kx"}, locked},
		{"unbind of another's, no binding", a.UnbindQueue, BindingSpec{Source: "amq.direct", Destination: "kx"}, ""},
		{"the owner binds", other.BindQueue, BindingSpec{Source: "amq.direct", Destination: "kx"}, ""},
		{"unbind of another's binding", a.UnbindQueue, BindingSpec{Source: "amq.direct", Destination: "kx"}, locked},
		{"volatile", a.BindQueue, BindingSpec{Source: "amq.direct", Destination: "amq.rabbitmq.reply-to.x"},
			"ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue"},
		{"x-match value", a.BindQueue, BindingSpec{Source: "amq.headers", Destination: "q5", Arguments: table("x-match", "foo")},
			`PRECONDITION_FAILED - Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x`},
		{"x-match type", a.BindQueue, BindingSpec{Source: "amq.headers", Destination: "q5", Arguments: table("x-match", 1)},
			"PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, c.do(c.b), c.text) })
	}
}

// What exists already costs no entry of the Raft log.
func TestRepeatsAreLocal(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	all := func() {
		must(t, a.DeclareExchange(ExchangeSpec{Name: "e", Type: "topic", Durable: true}))
		_, err := a.DeclareQueue(QueueSpec{Name: "q", Durable: true, Arguments: table("x-queue-mode", "lazy")})
		must(t, err)
		must(t, a.BindQueue(BindingSpec{Source: "e", Destination: "q", RoutingKey: "a.#", Arguments: table("a", 1, "b", 2)}))
		must(t, a.UnbindQueue(BindingSpec{Source: "e", Destination: "q", RoutingKey: "none"}))
		must(t, a.DeleteExchange("none", false))
		_, err = a.DeleteQueue("none", false, false)
		must(t, err)
	}
	all()
	before := n.Meta().State().Index()
	all()
	if after := n.Meta().State().Index(); after != before {
		t.Errorf("index went from %d to %d", before, after)
	}
	if got := strings.Count(n.logs.String(), "without a meaning here"); got != 1 {
		t.Errorf("%d warnings, want 1", got)
	}
}

func TestRouting(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	must(t, a.DeclareExchange(ExchangeSpec{Name: "e11", Type: "topic", AutoDelete: true}))
	q, err := a.DeclareQueue(QueueSpec{})
	must(t, err)
	must(t, a.BindQueue(BindingSpec{Source: "e11", Destination: q.Name, RoutingKey: "a.#"}))
	r := a.Routes()
	got := r.Route(nil, r.Exchange("e11"), []byte("a.b"), nil, nil)
	if len(got) != 1 || got[0].Def.Name != q.Name {
		t.Fatalf("routed to %v, want %s", got, q.Name)
	}
	h, err := a.QueueForRead(q.Name)
	must(t, err)
	if got[0].Handle != h {
		t.Error("the route leads to another handle than reading")
	}
	// The auto-delete exchange goes with the queue of its last binding.
	_, err = a.DeleteQueue(q.Name, false, false)
	must(t, err)
	if a.Routes().Exchange("e11") != nil || a.Routes().Queue(q.Name) != nil {
		t.Error("exchange or queue is still routed to")
	}
	n.propose(meta.DeleteVHost{Name: "/"})
	if a.Routes() != nil {
		t.Error("vhost is still there")
	}
	_, err = a.DeclareQueue(QueueSpec{Name: "late"})
	if err == nil {
		t.Error("declared in a vhost that is gone")
	}
}
