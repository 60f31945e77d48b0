package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// TestAcross uses what one node has from the others.
func TestAcross(t *testing.T) {
	c := newThree(t)
	t.Run("recent history", c.recentHistory)
	t.Run("delayed messages", c.delayed)
	t.Run("direct replies", c.directReplies)
	t.Run("alarms", c.alarms)
	t.Run("expiry", c.expiry)
	t.Run("auto-delete", c.autoDelete)
	t.Run("policies", c.policies)
	t.Run("exclusive queues", c.exclusive)
	t.Run("firehose", c.firehose)
	t.Run("limits", c.limits)
	t.Run("events", c.events)
	t.Run("dead letters for a node that is down", c.deadLetters)
}

func (c *three) recentHistory(t *testing.T) {
	a, b, d := c.channel(t, 0), c.channel(t, 1), c.channel(t, 2)
	a.exchange("recent", "x-recent-history", amqp.Table{"x-recent-history-length": int32(3)})
	b.send("recent", "", nil, "1", "2", "3", "4", "5")
	for i, ch := range []*channel{d, b} {
		name := fmt.Sprint("late", i)
		ch.declare(name, nil)
		ch.bind(name, "", "recent")
		got := bodies(take(t, ch.consume(name, ""), 3))
		if want := []string{"3", "4", "5"}; !slices.Equal(got, want) {
			t.Errorf("queue %d got %v, want %v", i, got, want)
		}
	}
	d.send("recent", "", nil, "6")
	a.declare("last", nil)
	a.bind("last", "", "recent")
	if got := bodies(take(t, b.consume("last", ""), 3)); !slices.Equal(got, []string{"4", "5", "6"}) {
		t.Errorf("the last queue got %v, want 4, 5, 6", got)
	}
}

func (c *three) delayed(t *testing.T) {
	a := c.channel(t, 0)
	a.exchange("later", "x-delayed-message", amqp.Table{"x-delayed-type": "topic"})
	var queues [3]<-chan amqp.Delivery
	for i := range 3 {
		ch := c.channel(t, i)
		name := fmt.Sprint("late", i)
		ch.declare(name, nil)
		ch.bind(name, "#", "later")
		queues[i] = c.channel(t, (i+1)%3).consume(name, "")
	}
	for i := range 3 {
		ch := c.channel(t, i)
		ch.send("later", "k", amqp.Table{"x-delay": int32(300)}, fmt.Sprint("late", i))
		ch.send("later", "k", amqp.Table{"x-delay": int32(1)}, fmt.Sprint("soon", i))
	}
	want := []string{"late0", "late1", "late2", "soon0", "soon1", "soon2"}
	for i, d := range queues {
		got := bodies(take(t, d, 6))
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("queue %d got %v, want %v", i, got, want)
		}
	}
}

func (c *three) directReplies(t *testing.T) {
	for _, where := range [][3]int{{0, 1, 2}, {2, 0, 1}, {1, 1, 0}} { // queue, client, server
		c.channel(t, where[0]).declare("questions", nil)
		client, server := c.channel(t, where[1]), c.channel(t, where[2])
		answers := client.consume("amq.rabbitmq.reply-to", "")
		questions := server.consume("questions", "")
		for i := range 20 {
			client.must(client.PublishWithContext(t.Context(), "", "questions", false, false,
				amqp.Publishing{ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: fmt.Sprint(i), Body: []byte("?")}))
			q := take(t, questions, 1)[0]
			server.must(server.PublishWithContext(t.Context(), "", q.ReplyTo, true, false,
				amqp.Publishing{CorrelationId: q.CorrelationId, Body: append(q.Body, '!')}))
			if m := take(t, answers, 1)[0]; m.CorrelationId != fmt.Sprint(i) || string(m.Body) != "?!" {
				t.Fatalf("answer %q to %q, want the one to %d", m.Body, m.CorrelationId, i)
			}
		}
		_, err := client.QueueDelete("questions", false, false, false)
		client.must(err)
	}
}

func (c *three) alarms(t *testing.T) {
	conn := c.dial(t, 0)
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	ch := newChannel(t, conn)
	ch.declare("blocked", nil)
	ch.send("", "blocked", nil, "before")
	c.nodes[1].Broker().SetAlarms([]string{"memory"})
	next := func(active bool, reason string) {
		t.Helper()
		select {
		case b := <-blocked:
			if b.Active != active || b.Reason != reason {
				t.Errorf("blocked %v, %q; want %v, %q", b.Active, b.Reason, active, reason)
			}
		case <-time.After(patience):
			t.Fatalf("no word of blocked %v", active)
		}
	}
	waitFor(t, "alarm", func() bool { return len(c.nodes[0].Broker().Alarms()) == 1 })
	ch.must(ch.PublishWithContext(t.Context(), "", "blocked", false, false, amqp.Publishing{})) // shows that this one publishes
	next(true, "low on memory")
	d, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", "blocked", false, false, amqp.Publishing{})
	ch.must(err)
	select {
	case <-d.Done():
		t.Error("a message was taken while a node was short of memory")
	default:
	}
	c.nodes[1].Broker().SetAlarms(nil)
	next(false, "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if ok, err := d.WaitContext(ctx); !ok || err != nil {
		t.Errorf("after the alarm: confirmed %v, %v", ok, err)
	}
}

func (c *three) expiry(t *testing.T) {
	a, b := c.channel(t, 0), c.channel(t, 1)
	arguments := amqp.Table{"x-expires": int32(500)}
	a.declare("used", arguments)
	deliveries := b.consume("used", "user")
	a.declare("unused", arguments)
	on := c.dial(t, 2)
	gone := func(queue string) func() bool { // asking over AMQP would be a use
		return func() bool { return c.nodes[2].Broker().State().Queue("/", queue) == nil }
	}
	waitFor(t, "end of the queue that nobody uses", gone("unused"))
	if ready(on, "used") < 0 {
		t.Fatal("a queue expired though it has a consumer on another node")
	}
	a.send("", "used", nil, "still here")
	take(t, deliveries, 1)
	b.must(b.Cancel("user", false))
	waitFor(t, "end of the queue that nobody uses any more", gone("used"))
}

func (c *three) autoDelete(t *testing.T) {
	for _, how := range []string{"cancel", "channel", "connection"} {
		a, on := c.channel(t, 0), c.dial(t, 2)
		_, err := a.QueueDeclare("fleeting", true, true, false, false, nil)
		a.must(err)
		conn := c.dial(t, 1)
		b := newChannel(t, conn)
		one := b.consume("fleeting", "one")
		a.send("", "fleeting", nil, "hello")
		take(t, one, 1)
		switch how {
		case "cancel":
			b.must(b.Cancel("one", false))
		case "channel":
			b.must(b.Close())
		case "connection":
			b.must(conn.Close())
		}
		waitFor(t, "end of an auto-delete queue after "+how, func() bool { return ready(on, "fleeting") < 0 })
	}
	a, b := c.channel(t, 0), c.channel(t, 1)
	a.declare("deleted", nil)
	cancelled := b.NotifyCancel(make(chan string, 1))
	b.consume("deleted", "two")
	_, err := c.channel(t, 2).QueueDelete("deleted", false, false, false)
	a.must(err)
	select {
	case tag := <-cancelled:
		if tag != "two" {
			t.Errorf("consumer %q was cancelled, want two", tag)
		}
	case <-time.After(patience):
		t.Error("the consumer of a deleted queue was not cancelled")
	}
}

func (c *three) policies(t *testing.T) {
	a, b, on := c.channel(t, 0), c.channel(t, 1), c.dial(t, 2)
	a.declare("ruled", nil)
	a.declare("ruled.dead", nil)
	set := func(definition string) {
		t.Helper()
		_, err := c.nodes[2].Broker().PutPolicy(t.Context(), meta.Policy{
			VHost: "/", Name: "rule", Pattern: "^ruled$", ApplyTo: "queues", Definition: []byte(definition)})
		b.must(err)
	}
	has := func(n int) {
		t.Helper()
		waitFor(t, fmt.Sprintf("%d messages", n), func() bool { return ready(on, "ruled") == n })
	}
	b.send("", "ruled", nil, "1", "2", "3", "4", "5")
	has(5)
	set(`{"max-length": 3, "dead-letter-exchange": "", "dead-letter-routing-key": "ruled.dead"}`)
	has(3)
	waitFor(t, "dead letters", func() bool { return ready(on, "ruled.dead") == 2 })
	b.send("", "ruled", nil, "6")
	has(3)
	set(`{"max-length": 3, "overflow": "reject-publish"}`)
	d, err := b.PublishWithDeferredConfirmWithContext(t.Context(), "", "ruled", false, false, amqp.Publishing{})
	b.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if ok, err := d.WaitContext(ctx); ok || err != nil {
		t.Errorf("a full queue of another node: confirmed %v, %v", ok, err)
	}
	set(`{"message-ttl": 1}`)
	b.send("", "ruled", nil, "short-lived")
	has(3) // those that were there before do not get a deadline
	b.must(c.nodes[1].Broker().DeletePolicy(t.Context(), "/", "rule", false))
	b.send("", "ruled", nil, "7", "8")
	has(5)
}

func (c *three) exclusive(t *testing.T) {
	owner := c.channel(t, 0)
	_, err := owner.QueueDeclare("mine", false, false, true, false, nil)
	owner.must(err)
	for what, try := range map[string]func(*channel) error{
		"declare": func(ch *channel) error {
			_, err := ch.QueueDeclare("mine", false, false, true, false, nil)
			return err
		},
		"passive declare": func(ch *channel) error {
			_, err := ch.QueueDeclarePassive("mine", false, false, true, false, nil)
			return err
		},
		"consume": func(ch *channel) error {
			_, err := ch.Consume("mine", "", false, false, false, false, nil)
			return err
		},
		"get":    func(ch *channel) error { _, _, err := ch.Get("mine", true); return err },
		"purge":  func(ch *channel) error { _, err := ch.QueuePurge("mine", false); return err },
		"delete": func(ch *channel) error { _, err := ch.QueueDelete("mine", false, false, false); return err },
		"bind":   func(ch *channel) error { return ch.QueueBind("mine", "k", "amq.direct", false, nil) },
	} {
		var e *amqp.Error
		if err := try(c.channel(t, 1)); !errors.As(err, &e) || e.Code != amqp.ResourceLocked {
			t.Errorf("%s from another node: %v, want 405", what, err)
		}
	}
	c.channel(t, 1).send("", "mine", nil, "anybody may publish")
	take(t, owner.consume("mine", ""), 1)
}

func (c *three) firehose(t *testing.T) {
	set := func(on bool) {
		t.Helper()
		if _, err := c.nodes[0].Broker().PutVHost(t.Context(), meta.VHost{Name: "/", Tracing: on}); err != nil {
			t.Fatal(err)
		}
	}
	c.channel(t, 0).declare("watched", nil)
	d := c.channel(t, 2)
	d.declare("hose", nil)
	d.bind("hose", "publish.#", "amq.rabbitmq.trace")
	d.bind("hose", "deliver.#", "amq.rabbitmq.trace")
	hose := d.consume("hose", "")
	set(true)
	defer set(false)
	b := c.channel(t, 1)
	b.send("amq.direct", "nowhere", nil, "unrouted")
	b.send("", "watched", nil, "routed")
	take(t, d.consume("watched", ""), 1)
	got := map[string]string{}
	for _, m := range take(t, hose, 3) {
		got[m.RoutingKey+" "+string(m.Body)] = fmt.Sprint(m.Headers["routed_queues"])
	}
	for key, queues := range map[string]string{
		"publish.amq.direct unrouted": "[]", "publish. routed": "[watched]", "deliver.watched routed": "<nil>",
	} {
		if q, ok := got[key]; !ok || q != queues {
			t.Errorf("%s: %v with queues %s, want %s; all: %v", key, ok, q, queues, got)
		}
	}
}

// limits sets limits that count what clients have on all nodes.
func (c *three) limits(t *testing.T) {
	boss := c.nodes[0].Broker()
	must := func(_ bool, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(boss.PutVHost(t.Context(), meta.VHost{Name: "small"}))
	must(boss.PutUser(t.Context(), "few", cluster.Secret{Password: "pw"}, nil))
	must(boss.SetPermission(t.Context(), meta.Permission{User: "few", VHost: "small", Configure: ".*", Write: ".*", Read: ".*"}))
	dial := func(i int) (*amqp.Connection, error) {
		conn, err := amqp.Dial("amqp://few:pw@" + c.nodes[i].Addrs()[0] + "/small")
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
		}
		return conn, err
	}
	// taken waits until a connection to node i is taken, or refused.
	taken := func(i int, want bool) (conn *amqp.Connection) {
		t.Helper()
		waitFor(t, fmt.Sprintf("node %d: connection taken %v", i, want), func() bool {
			var err error
			conn, err = dial(i)
			if err == nil && !want {
				_ = conn.Close()
			}
			return err == nil == want
		})
		return conn
	}
	a, b := taken(0, true), taken(1, true)
	must(true, boss.SetVHostLimit(t.Context(), "small", cluster.MaxConnections, 2))
	for i := range 3 {
		taken(i, false)
	}
	must(true, a.Close())
	taken(2, true)
	must(true, boss.SetVHostLimit(t.Context(), "small", cluster.MaxConnections, -1))
	must(true, boss.SetUserLimit(t.Context(), "few", cluster.MaxConnections, 2))
	taken(0, false)
	must(true, boss.SetUserLimit(t.Context(), "few", cluster.MaxConnections, -1))
	must(true, boss.SetUserLimit(t.Context(), "few", cluster.MaxChannels, 1))
	_, err := b.Channel()
	must(true, err)
	waitFor(t, "refusal of a channel of another node", func() bool {
		conn, err := dial(2)
		must(true, err)
		defer func() { _ = conn.Close() }()
		_, err = conn.Channel()
		return err != nil
	})
	c.stop(1) // what its clients had counts no more
	waitFor(t, "channel", func() bool {
		conn, err := dial(2)
		must(true, err)
		_, err = conn.Channel()
		return err == nil
	})
	c.start(1)
	c.linked()
}

// events has each node make changes: every one is told once, with the user who made it.
func (c *three) events(t *testing.T) {
	a := c.channel(t, 0)
	a.declare("told", nil)
	a.bind("told", "queue.*", "amq.rabbitmq.event")
	a.bind("told", "vhost.*", "amq.rabbitmq.event")
	told := a.consume("told", "")
	var want []string
	for i := range 3 {
		ch := c.channel(t, i)
		name := fmt.Sprint("of", i)
		ch.declare(name, nil)
		_, err := ch.QueueDelete(name, false, false, false)
		ch.must(err)
		_, err = c.nodes[i].Broker().PutVHost(cluster.WithActor(t.Context(), fmt.Sprint("boss", i)), meta.VHost{Name: name})
		ch.must(err)
		want = append(want, "queue.created "+name+" guest", "queue.deleted "+name+" guest", fmt.Sprint("vhost.created ", name, " boss", i))
	}
	var got []string
	for _, m := range take(t, told, len(want)) {
		got = append(got, fmt.Sprint(m.RoutingKey, " ", m.Headers["name"], " ", m.Headers["user_who_performed_action"]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%q, want\n%q", got, want)
	}
	a.must(a.QueueUnbind("told", "queue.*", "amq.rabbitmq.event", nil))
}

// deadLetters has messages die whose dead-letter queue is on a node that is down. The node that they come from stops meanwhile, too.
func (c *three) deadLetters(t *testing.T) {
	const n = 50
	c.channel(t, 2).declare("dead", nil)
	a := c.channel(t, 0)
	for name, arguments := range map[string]amqp.Table{
		"expiring": {"x-message-ttl": int32(1)}, "rejecting": {}, "short": {"x-max-length": int32(0)},
	} {
		arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"] = "", "dead"
		a.declare(name, arguments)
	}
	c.stop(2)
	want := map[string]bool{}
	b := c.channel(t, 1) // also the node that publishes does not lead the queues
	for _, name := range []string{"expiring", "rejecting", "short"} {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprint(name, i))
			want[list[i]] = true
		}
		b.send("", name, nil, list...)
	}
	reject := func(again bool) {
		t.Helper()
		ch := c.channel(t, 1)
		d, err := ch.Consume("rejecting", "", false, false, false, false, nil)
		ch.must(err)
		for _, m := range take(t, d, n) {
			if m.Redelivered != again {
				t.Errorf("message %q: redelivered %v, want %v", m.Body, m.Redelivered, again)
			}
			ch.must(m.Reject(false))
		}
	}
	reject(false)
	conn := c.dial(t, 1)
	for _, name := range []string{"expiring", "rejecting", "short"} {
		waitFor(t, "end of the messages in "+name, func() bool { return ready(conn, name) == 0 })
	}
	c.stop(0) // what waits for node 2 is safe in the log, as part of the queue that it comes from
	c.start(0)
	waitFor(t, "link", func() bool { return c.nodes[1].Broker().Reachable(c.id(0)) })
	reject(true)
	c.start(2)
	deliveries := c.channel(t, 1).consume("dead", "")
	for timeout := time.After(patience); len(want) > 0; {
		select {
		case m := <-deliveries:
			if !want[string(m.Body)] {
				t.Errorf("message %q is not one of those or came twice", m.Body)
			}
			delete(want, string(m.Body))
		case <-timeout:
			t.Fatalf("these are lost: %v", slices.Sorted(maps.Keys(want)))
		}
	}
}
