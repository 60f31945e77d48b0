package cluster

import (
	"errors"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// TestAdministratorTopology: an administrator needs no permission, is refused what clients are refused, and is told what is missing.
func TestAdministratorTopology(t *testing.T) {
	n := startNode(t)
	ctx := WithActor(t.Context(), "nobody")
	_, err := n.PutVHost(ctx, meta.VHost{Name: "v"})
	must(t, err)
	queue := func(s QueueSpec) (created bool, err error) {
		_, created, err = n.DeclareQueue(ctx, "v", s)
		return created, err
	}
	exchange := func(s ExchangeSpec) (bool, error) { return n.DeclareExchange(ctx, "v", s) }
	b := meta.Binding{VHost: "v", Source: "x", Destination: "q", RoutingKey: "k"}
	for _, c := range []struct {
		name string
		do   func() (bool, error)
		done bool
		want string
	}{
		{"queue", func() (bool, error) { return queue(QueueSpec{Name: "q", Durable: true}) }, true, ""},
		{"queue again", func() (bool, error) { return queue(QueueSpec{Name: "q", Durable: true}) }, false, ""},
		{"other queue", func() (bool, error) { return queue(QueueSpec{Name: "q"}) }, false,
			"406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost 'v': received 'false' but current is 'true'"},
		{"exclusive queue", func() (bool, error) { return queue(QueueSpec{Name: "e", Exclusive: true}) }, false,
			"406 PRECONDITION_FAILED - queue 'e' in vhost 'v' cannot be exclusive: only a connection can declare such a queue"},
		{"reserved queue", func() (bool, error) { return queue(QueueSpec{Name: "amq.q"}) }, false,
			"403 ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'"},
		{"exchange", func() (bool, error) { return exchange(ExchangeSpec{Name: "x", Type: "topic", Durable: true}) }, true, ""},
		{"exchange again", func() (bool, error) { return exchange(ExchangeSpec{Name: "x", Type: "topic", Durable: true}) }, false, ""},
		{"other exchange", func() (bool, error) { return exchange(ExchangeSpec{Name: "x", Type: "fanout", Durable: true}) }, false,
			"406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost 'v': received 'fanout' but current is 'topic'"},
		{"bind", func() (bool, error) { return n.Bind(ctx, b) }, true, ""},
		{"bind again", func() (bool, error) { return n.Bind(ctx, b) }, false, ""},
		{"bind nothing", func() (bool, error) {
			return n.Bind(ctx, meta.Binding{VHost: "v", Source: "x", Destination: "none"})
		}, false, "404 NOT_FOUND - no queue 'none' in vhost 'v'"},
		{"bind the default exchange", func() (bool, error) { return n.Bind(ctx, meta.Binding{VHost: "v", Destination: "q"}) }, false,
			"403 ACCESS_REFUSED - operation not permitted on the default exchange"},
		{"delete in use", func() (bool, error) { return false, n.DeleteExchange(ctx, "v", "x", true) }, false,
			"406 PRECONDITION_FAILED - exchange 'x' in vhost 'v' in use"},
		{"unbind", func() (bool, error) { return n.Unbind(ctx, b) }, true, ""},
		{"unbind again", func() (bool, error) { return n.Unbind(ctx, b) }, false, ""},
		{"purge", func() (bool, error) { _, err := n.PurgeQueue(ctx, "v", "q"); return false, err }, false, ""},
		{"delete exchange", func() (bool, error) { return false, n.DeleteExchange(ctx, "v", "x", false) }, false, ""},
		{"delete no exchange", func() (bool, error) { return false, n.DeleteExchange(ctx, "v", "x", false) }, false, `no such exchange: "x" in vhost "v"`},
		{"delete queue", func() (bool, error) { _, err := n.DeleteQueue(ctx, "v", "q", true, true); return false, err }, false, ""},
		{"delete no queue", func() (bool, error) { _, err := n.DeleteQueue(ctx, "v", "q", false, false); return false, err }, false, `no such queue: "q" in vhost "v"`},
		{"no vhost", func() (bool, error) { return n.Bind(ctx, meta.Binding{VHost: "none"}) }, false, `no such vhost: "none"`},
	} {
		done, err := c.do()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want || done != c.done {
			t.Errorf("%s: %v, %q\nwant %v, %q", c.name, done, got, c.done, c.want)
		}
	}
	// What a check says is what the operation would say.
	var amqp *wire.Error
	if err := CheckQueue("v", &QueueSpec{Name: "q", Arguments: table("x-max-length", -1)}); !errors.As(err, &amqp) {
		t.Errorf("check of a queue: %v", err)
	}
	if err := CheckExchange("v", &ExchangeSpec{Name: "x", Type: "none"}); !errors.As(err, &amqp) {
		t.Errorf("check of an exchange: %v", err)
	}
	if err := CheckQueue("v", &QueueSpec{Name: "a\nb"}); err == nil || err.Error() != `queue: name: got "a\nb", want 1 to 255 bytes without line breaks` {
		t.Errorf("check of a name: %v", err)
	}
}
