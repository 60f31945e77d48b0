package server

import (
	"context"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// openIn opens a connection to a vhost, with channel 1.
func (s *testServer) openIn(vhost string) *client {
	s.t.Helper()
	c := s.dial()
	c.raw([]byte(wire.ProtocolHeader))
	expect[*wire.ConnectionStart](c, 0)
	c.send(0, startOk())
	expect[*wire.ConnectionTune](c, 0)
	c.send(0, &usualTune)
	c.send(0, &wire.ConnectionOpen{VirtualHost: vhost})
	expect[*wire.ConnectionOpenOk](c, 0)
	c.channel(1)
	return c
}

func TestFirehose(t *testing.T) {
	ctx := context.Background()
	setTracing := func(on bool) {
		_, err := node.PutVHost(ctx, meta.VHost{Name: "traced", Tracing: on})
		check(err)
	}
	setTracing(false)
	t.Cleanup(func() { check(node.DeleteVHost(ctx, "traced")) })
	_, err := node.SetPermission(ctx, meta.Permission{User: "guest", VHost: "traced", Configure: ".*", Write: ".*", Read: ".*"})
	check(err)
	s := startServer(t, Options{NodeID: "node-1"})
	c, watcher := s.openIn("traced"), s.openIn("traced")
	watcher.send(1, &wire.QueueDeclare{Queue: "traces", Exclusive: true})
	expect[*wire.QueueDeclareOk](watcher, 1)
	watcher.send(1, &wire.QueueBind{Queue: "traces", Exchange: traceExchange, RoutingKey: "#"})
	expect[*wire.QueueBindOk](watcher, 1)
	watcher.send(1, &wire.BasicConsume{Queue: "traces", NoAck: true})
	expect[*wire.BasicConsumeOk](watcher, 1)
	c.send(1, &wire.QueueDeclare{Queue: "q", Exclusive: true})
	expect[*wire.QueueDeclareOk](c, 1)

	name := c.nc.LocalAddr().String() + " -> " + c.nc.RemoteAddr().String()
	saw := func(key, body string, exchange string, keys []string, properties wire.Table, last wire.Field) {
		t.Helper()
		m := expect[*wire.BasicDeliver](watcher, 1)
		p, got := watcher.content(1)
		if m.Exchange != traceExchange || m.RoutingKey != key || got != body {
			t.Fatalf("saw %s of %s with %.30q, want %s with %.30q", m.RoutingKey, m.Exchange, got, key, body)
		}
		want := wire.Table{
			{Name: "exchange_name", Value: wire.String(exchange)}, {Name: "routing_keys", Value: strings1(keys...)},
			{Name: "properties", Value: wire.TableValue(properties)}, {Name: "node", Value: wire.String("node-1")},
			{Name: "vhost", Value: wire.String("traced")}, {Name: "connection", Value: wire.String(name)},
			{Name: "channel", Value: wire.Int32(1)}, {Name: "user", Value: wire.String("guest")}, last,
		}
		if !p.Headers.Equal(want) {
			t.Errorf("%s: headers\n%v\nwant\n%v", key, p.Headers, want)
		}
	}
	routed := func(queues ...string) wire.Field {
		return wire.Field{Name: "routed_queues", Value: strings1(queues...)}
	}
	redelivered := func(n int32) wire.Field { return wire.Field{Name: "redelivered", Value: wire.Int32(n)} }

	c.raw(publish(1, "", "q", "not seen"))
	c.send(1, &wire.BasicGet{Queue: "q", NoAck: true})
	expect[*wire.BasicGetOk](c, 1)
	c.content(1)

	setTracing(true)
	for _, body := range []string{"small", strings.Repeat("large", 50_000)} {
		all := wire.Properties{ContentType: "t", DeliveryMode: 2, Priority: 1, Timestamp: 9, CorrelationID: "c",
			Headers: wire.Table{{Name: "CC", Value: strings1("other")}}}
		table := wire.Table{
			{Name: "content_type", Value: wire.String("t")}, {Name: "headers", Value: wire.TableValue(all.Headers)},
			{Name: "delivery_mode", Value: wire.Int32(2)}, {Name: "priority", Value: wire.Int32(1)},
			{Name: "correlation_id", Value: wire.String("c")}, {Name: "timestamp", Value: wire.Int64(9)},
		}
		c.raw(publishWith(1, "", "q", body, false, all))
		saw("publish.", body, "", []string{"q", "other"}, table, routed("q"))
		c.send(1, &wire.BasicGet{Queue: "q"})
		tag := expect[*wire.BasicGetOk](c, 1).DeliveryTag
		c.content(1)
		saw("deliver.q", body, "", []string{"q", "other"}, table, redelivered(0))
		c.send(1, &wire.BasicReject{DeliveryTag: tag, Requeue: true})
		c.send(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "t", NoAck: true})
		expect[*wire.BasicConsumeOk](c, 1)
		expect[*wire.BasicDeliver](c, 1)
		c.content(1)
		saw("deliver.q", body, "", []string{"q", "other"}, table, redelivered(1))
		c.send(1, &wire.BasicCancel{ConsumerTag: "t"})
		expect[*wire.BasicCancelOk](c, 1)
	}
	c.raw(publish(1, "amq.fanout", "nobody", "unrouted"))
	saw("publish.amq.fanout", "unrouted", "amq.fanout", []string{"nobody"}, wire.Table{}, routed())

	setTracing(false)
	c.raw(publish(1, "amq.fanout", "nobody", "not seen"))
	c.sync(1)
	watcher.sync(1)
}

// BenchmarkFirehoseOff is what a delivery pays for the firehose while it is off.
func BenchmarkFirehoseOff(b *testing.B) {
	user, err := node.Authenticate("guest", "guest", true)
	check(err)
	a, err := node.Open(user, "/", 1<<40)
	check(err)
	defer a.Close()
	c := &conn{access: a}
	b.ReportAllocs()
	for b.Loop() {
		if c.firehose() != nil {
			b.Fatal("tracing")
		}
	}
}
