package cluster

import (
	"strings"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// listener reads what comes from the event exchange.
type listener struct {
	n *testNode
	h queue.Handle
}

// listen binds a new queue to the event exchange.
func (n *testNode) listen(keys ...string) *listener {
	n.t.Helper()
	a := n.connect()
	_, err := a.DeclareQueue(QueueSpec{Name: "events", Durable: true})
	must(n.t, err)
	h, err := a.QueueForRead("events")
	must(n.t, err)
	for _, k := range keys {
		must(n.t, a.BindQueue(BindingSpec{Source: EventExchange, Destination: "events", RoutingKey: k}))
	}
	return &listener{n, h}
}

// next waits for the next event.
func (l *listener) next() (key string, headers wire.Table) {
	l.n.t.Helper()
	var r block.Record
	eventually(l.n.t.(*testing.T), "an event", func() bool {
		piece, _, ok, err := l.h.Get(true)
		must(l.n.t, err)
		if !ok {
			return false
		}
		_, err = block.Parse(piece.Records, piece.Tail, &r)
		must(l.n.t, err)
		return true
	})
	p, err := wire.ParseProperties(r.Properties)
	must(l.n.t, err)
	if string(r.Exchange) != EventExchange || p.DeliveryMode != 2 || r.Flags != block.Persistent || len(r.Body) != 0 || p.Timestamp == 0 {
		l.n.t.Errorf("not an event: %+v %+v", r, p)
	}
	return string(r.RoutingKey), p.Headers
}

// expect skips to the next event with this key and checks some of its headers.
func (l *listener) expect(key string, headers ...any) {
	l.n.t.Helper()
	var skipped []string
	for {
		got, h := l.next()
		if got != key {
			if skipped = append(skipped, got); len(skipped) > 100 {
				l.n.t.Fatalf("no %s among %s", key, strings.Join(skipped, " "))
			}
			continue
		}
		for _, f := range table(headers...) {
			if v, _ := h.Get(f.Name); !v.Equal(f.Value) {
				l.n.t.Errorf("%s: header %s is %+v, want %+v", key, f.Name, v, f.Value)
			}
		}
		if v, _ := h.Get("timestamp_in_ms"); v.Int == 0 {
			l.n.t.Errorf("%s: no timestamp", key)
		}
		return
	}
}

func TestEvents(t *testing.T) {
	n := startNode(t)
	ctx := WithActor(t.Context(), "op")
	x := n.State().Exchange("/", EventExchange)
	if x == nil || x.Type != "topic" || !x.Internal || !x.Durable {
		t.Fatalf("event exchange: %+v", x)
	}
	l := n.listen("#")
	a := n.connectAs("guest")
	a.Announce(func() wire.Table { return table("name", "1.2.3.4:5 -> 6.7.8.9:10", "peer_port", 5) })
	l.expect("connection.created", "name", "1.2.3.4:5 -> 6.7.8.9:10", "peer_port", 5, "user", "guest", "vhost", "/", "node", node)
	must(t, a.OpenChannel())
	l.expect("channel.created", "connection", "1.2.3.4:5 -> 6.7.8.9:10")
	_, err := a.DeclareQueue(QueueSpec{Name: "q", Durable: true, Arguments: table("x-max-length", 3)})
	must(t, err)
	l.expect("queue.created", "name", "q", "vhost", "/", "durable", true, "auto_delete", false, "exclusive", false,
		"type", "rabbit_classic_queue", "arguments", wire.TableValue(table("x-max-length", 3)), "user_who_performed_action", "guest")
	must(t, a.DeclareExchange(ExchangeSpec{Name: "x", Type: "direct"}))
	l.expect("exchange.created", "name", "x", "type", "direct", "user_who_performed_action", "guest")
	must(t, a.BindQueue(BindingSpec{Source: "x", Destination: "q", RoutingKey: "k"}))
	l.expect("binding.created", "source_name", "x", "source_kind", "exchange", "destination_name", "q", "destination_kind", "queue",
		"routing_key", "k", "user_who_performed_action", "guest")
	must(t, a.UnbindQueue(BindingSpec{Source: "x", Destination: "q", RoutingKey: "k"}))
	l.expect("binding.deleted", "routing_key", "k")
	must(t, a.DeleteExchange("x", false))
	l.expect("exchange.deleted", "name", "x", "user_who_performed_action", "guest")
	_, err = a.DeleteQueue("q", false, false)
	must(t, err)
	l.expect("queue.deleted", "name", "q", "user_who_performed_action", "guest")
	_, err = a.DeclareQueue(QueueSpec{Name: "mine", Exclusive: true})
	must(t, err)
	l.expect("queue.created", "name", "mine", "exclusive", true)
	a.CloseChannel()
	l.expect("channel.closed", "user", "guest")
	a.Close()
	l.expect("queue.deleted", "name", "mine", "user_who_performed_action", nobody)
	l.expect("connection.closed", "name", "1.2.3.4:5 -> 6.7.8.9:10")

	_, err = n.PutVHost(ctx, meta.VHost{Name: "v", Description: "d"})
	must(t, err)
	l.expect("vhost.created", "name", "v", "description", "d", "user_who_performed_action", "op")
	_, err = n.PutUser(ctx, "u", secret("p"), []string{"management"})
	must(t, err)
	l.expect("user.created", "name", "u", "user_who_performed_action", "op")
	must(t, n.SetUserSecret(ctx, "u", secret("q")))
	l.expect("user.password.changed", "name", "u")
	must(t, n.SetUserSecret(ctx, "u", Secret{}))
	l.expect("user.password.cleared", "name", "u")
	must(t, n.SetUserTags(ctx, "u", []string{"t"}))
	l.expect("user.tags.set", "name", "u", "tags", wire.ArrayValue(wire.String("t")))
	_, err = n.SetPermission(ctx, meta.Permission{User: "u", VHost: "v", Write: "w"})
	must(t, err)
	l.expect("permission.created", "user", "u", "vhost", "v", "write", "w", "read", "")
	must(t, n.ClearPermission(ctx, "u", "v"))
	l.expect("permission.deleted", "user", "u", "vhost", "v", "user_who_performed_action", "op")
	_, err = n.SetTopicPermission(ctx, meta.TopicPermission{User: "u", VHost: "v", Exchange: "amq.topic", Read: "r"})
	must(t, err)
	l.expect("topic.permission.created", "exchange", "amq.topic", "read", "r")
	_, err = n.PutPolicy(ctx, meta.Policy{VHost: "v", Name: "p", Pattern: "^q", ApplyTo: "queues", Definition: []byte(`{"max-length":1}`)})
	must(t, err)
	l.expect("policy.set", "name", "p", "pattern", "^q", "definition", `{"max-length":1}`)
	must(t, n.DeletePolicy(ctx, "v", "p", false))
	l.expect("policy.cleared", "name", "p", "user_who_performed_action", "op")
	must(t, n.SetVHostLimit(ctx, "v", MaxQueues, 5))
	l.expect("vhost.limits.set", "name", "v", "max-queues", wire.Int64(5))
	must(t, n.SetUserLimits(ctx, "u", Limits{MaxChannels: 6}))
	l.expect("user.limits.set", "name", "u", "max-channels", wire.Int64(6))
	_, err = n.PutParameter(ctx, meta.Parameter{VHost: "v", Component: "c", Name: "n", Value: []byte("1")})
	must(t, err)
	l.expect("parameter.set", "component", "c", "name", "n", "value", "1")
	must(t, n.DeleteUser(ctx, "u"))
	l.expect("topic.permission.deleted", "user", "u", "user_who_performed_action", "op")
	l.expect("user.deleted", "name", "u", "user_who_performed_action", "op")
	l.expect("user.limits.cleared", "name", "u")
	must(t, n.DeleteVHost(ctx, "v"))
	l.expect("exchange.deleted", "name", "amq.direct", "vhost", "v")
	l.expect("vhost.deleted", "name", "v", "user_who_performed_action", "op")
	_, err = n.Authenticate("guest", "guest", true)
	must(t, err)
	l.expect("user.authentication.success", "name", "guest")
	if _, err = n.Authenticate("u", "x", true); err == nil {
		t.Error("a deleted user can log in")
	}
	l.expect("user.authentication.failure", "name", "u")
}

// Events go where the bindings of the exchange lead, and nowhere without them.
func TestEventRouting(t *testing.T) {
	n := startNode(t)
	l := n.listen()
	if n.events.listening.Load() {
		t.Error("somebody is said to listen")
	}
	a := n.connect()
	a.Announce(func() wire.Table { t.Error("details without a listener"); return nil })
	must(t, a.BindQueue(BindingSpec{Source: EventExchange, Destination: "events", RoutingKey: "queue.*"}))
	a.Announce(nil)
	_, err := a.DeclareQueue(QueueSpec{Name: "first"})
	must(t, err)
	must(t, a.DeclareExchange(ExchangeSpec{Name: "x", Type: "fanout"}))
	_, err = a.DeclareQueue(QueueSpec{Name: "second"})
	must(t, err)
	for _, name := range []string{"first", "second"} {
		key, headers := l.next()
		if v, _ := headers.Get("name"); key != "queue.created" || v.Str != name {
			t.Errorf("%s of %q, want queue.created of %q", key, v.Str, name)
		}
	}
	must(t, a.UnbindQueue(BindingSpec{Source: EventExchange, Destination: "events", RoutingKey: "queue.*"}))
	if n.events.listening.Load() {
		t.Error("somebody is still said to listen")
	}
	n.restart()
	if n.State().Exchange("/", EventExchange) == nil {
		t.Error("no event exchange after a restart")
	}
	want(t, n.connect().DeleteExchange(EventExchange, false),
		"ACCESS_REFUSED - deletion of system exchange 'amq.rabbitmq.event' in vhost '/' not allowed")
}
