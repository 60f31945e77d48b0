package cluster

import (
	"fmt"
	"testing"

	"github.com/brokerd/brokerd/cluster/meta"
)

func TestTopicPermissions(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	n.addUser("a.b")
	a := n.connectAs("a.b")
	must(t, a.DeclareExchange(ExchangeSpec{Name: "tx", Type: "topic"}))
	_, err := a.DeclareQueue(QueueSpec{Name: "q"})
	must(t, err)
	set := func(exchange, write, read string) {
		t.Helper()
		_, err := n.SetTopicPermission(ctx, meta.TopicPermission{User: "a.b", VHost: "/", Exchange: exchange, Write: write, Read: read})
		must(t, err)
	}
	refused := func(op, key, exchange string) string {
		return fmt.Sprintf("ACCESS_REFUSED - %s access to topic '%s' in exchange '%s' in vhost '/' refused for user 'a.b'", op, key, exchange)
	}
	write := func(exchange, key, text string) {
		t.Helper()
		want(t, a.CheckTopicWrite(exchange, []byte(key)), text)
	}
	bind := func(exchange, key, text string) {
		t.Helper()
		s := BindingSpec{Source: exchange, Destination: "q", RoutingKey: key}
		want(t, a.BindQueue(s), text)
		want(t, a.UnbindQueue(s), text)
	}
	write("tx", "anything", "") // nobody has an entry
	key := []byte("a.b./.x")
	if got := testing.AllocsPerRun(100, func() { _ = a.CheckTopicWrite("tx", key) }); got > 0 {
		t.Errorf("%v allocations without entries", got)
	}
	set("tx", `^{username}\.{vhost}\.`, `^{username}\.`)
	for _, c := range []struct{ key, text string }{
		{"a.b./.x", ""},
		{"axb./.x", refused("write", "axb./.x", "tx")}, // the name is no expression
		{"", refused("write", "", "tx")},
	} {
		write("tx", c.key, c.text)
	}
	bind("tx", "a.b.#", "")
	bind("tx", "#", refused("read", "#", "tx"))
	want(t, a.BindExchange(BindingSpec{Source: "tx", Destination: "amq.fanout", RoutingKey: "#"}), refused("read", "#", "tx"))
	// Other exchanges, other types, other users.
	write("amq.topic", "x", "")
	set("amq.direct", "^$", "^$")
	write("amq.direct", "x", "")
	bind("amq.direct", "x", "")
	set("later", "^$", "^$")
	write("later", "x", "")
	want(t, n.connect().CheckTopicWrite("tx", []byte("x")), "")
	// Changes count at once, and an empty expression allows only the empty key.
	set("tx", "", ".*")
	write("tx", "a.b./.x", refused("write", "a.b./.x", "tx"))
	write("tx", "", "")
	bind("tx", "#", "")
	n.restart()
	a = n.connectAs("a.b")
	set("amq.topic", "^k", "")
	write("amq.topic", "x", refused("write", "x", "amq.topic"))
	must(t, n.ClearTopicPermission(ctx, "a.b", "/", "amq.topic"))
	write("amq.topic", "x", "")
	must(t, n.ClearTopicPermissions(ctx, "a.b", "/"))
	if got := n.topicPermissions.Load(); got != 0 {
		t.Errorf("%d topic permissions are counted", got)
	}
}

func TestTopicCacheIsBounded(t *testing.T) {
	var c topicCache
	for i := range 10 * maxTopicGrants {
		p := &meta.TopicPermission{Exchange: fmt.Sprint(i), Write: ".*"}
		if g := c.of(p); c.of(p) != g {
			t.Fatal("compiled twice")
		}
		if n := len(*c.known.Load()); n > maxTopicGrants {
			t.Fatalf("%d entries", n)
		}
	}
}

func BenchmarkCheckTopicWrite(b *testing.B) {
	n := startNode(b)
	a := n.connect()
	key := []byte("orders.eu.created")
	b.Run("no entries", func(b *testing.B) {
		for b.Loop() {
			_ = a.CheckTopicWrite("amq.topic", key)
		}
	})
	n.propose(meta.SetTopicPermission{TopicPermission: meta.TopicPermission{User: "guest", VHost: "/", Exchange: "amq.topic", Write: "^orders\\."}})
	b.Run("entry", func(b *testing.B) {
		for b.Loop() {
			_ = a.CheckTopicWrite("amq.topic", key)
		}
	})
}
