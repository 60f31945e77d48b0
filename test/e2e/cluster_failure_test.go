//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/amqp/wire"
)

// detection is how long a node may take to see that another one is gone, on a busy machine: five seconds without a sign of life, the
// node timeout, and what it takes to agree on it.
const detection = 20 * time.Second

// TestClusterLeaderDies kills the node that leads queues which clients of other nodes use, and starts it again.
func TestClusterLeaderDies(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	dying, other := g.nodes[0], g.nodes[1]
	dying.led("durable", nil)
	owner := dying.channel()
	if _, err := owner.QueueDeclare("transient", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.QueueDeclare("exclusive", true, false, true, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := owner.ExchangeDeclare("kept", amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := owner.QueueBind("durable", "", "kept", false, nil); err != nil {
		t.Fatal(err)
	}
	if nacked := other.publishAll("durable", 50); nacked != 0 {
		t.Fatalf("%d messages of 50 were refused", nacked)
	}
	ch := other.channel()
	if err := ch.Qos(10, 0, false); err != nil {
		t.Fatal(err)
	}
	consumer := collect(t, ch, "durable", "c", false, nil)
	eventually(t, patience, "a consumer on another node gets its prefetch", func() bool { return consumer.count() == 10 })
	confirms := newConfirmer(t, other.dial(), 100)
	raw := noncancellable(t, other.broker, "durable") // a second consumer, which gets the next messages
	raw.expectDeliveries(10)

	dying.kill()
	begin := time.Now()
	eventually(t, detection, "basic.cancel", consumer.wasCancelled)
	t.Logf("basic.cancel after %s", time.Since(begin).Round(time.Millisecond))
	consumer.mu.Lock()
	late := consumer.got[0]
	consumer.mu.Unlock()
	if err := late.Ack(true); err != nil {
		t.Errorf("ack of what is gone: %v", err)
	}
	confirms.publish("durable", []byte("refused"))
	if !confirms.answer(patience) || confirms.nacked != 1 {
		t.Error("a message for a queue of a dead node was not nacked")
	}
	if ch.IsClosed() {
		t.Error("an acknowledgement of what is gone closed the channel")
	}
	ops := &again{b: other.broker}
	defer ops.close()
	const home = "home node 'node0' of durable queue 'durable' in vhost '/' is down or inaccessible"
	for what, f := range map[string]func(*amqp.Channel) error{
		"passive declare": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("durable", true, false, false, false, nil)
			return err
		},
		"declare": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("durable", true, false, false, false, nil)
			return err
		},
		"consume": func(ch *amqp.Channel) error {
			_, err := ch.Consume("durable", "", true, false, false, false, nil)
			return err
		},
		"get": func(ch *amqp.Channel) error {
			_, _, err := ch.Get("durable", true)
			return err
		},
		"purge": func(ch *amqp.Channel) error {
			_, err := ch.QueuePurge("durable", false)
			return err
		},
	} {
		wantRefusal(t, what, ops.try(f), 404, home)
	}
	// What the node owned goes for good, once it counts as down.
	for _, queue := range []string{"transient", "exclusive"} {
		eventually(t, detection, queue+" queue is gone", func() bool {
			_, text := refusal(ops.try(func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
				return err
			}))
			return strings.Contains(text, "no queue")
		})
	}

	took := dying.start()
	t.Logf("the node serves again after %s", took.Round(time.Millisecond))
	g.awaitLinks()
	// The consumer that does not understand basic.cancel comes back by itself and gets what it had, and what the other one had.
	raw.expectDeliveries(50)
	raw.send(1, &wire.BasicAck{DeliveryTag: 0, Multiple: true})
	raw.close()
	if got := g.nodes[2].takeAll("durable"); len(got) != 0 {
		t.Errorf("left after all was acknowledged: %q", got)
	}
	ops.must(t, func(ch *amqp.Channel) error {
		routed, err := publishMandatory(t, ops.conn, "kept", "")
		if err == nil && !routed {
			err = fmt.Errorf("the binding of the durable queue is gone")
		}
		return err
	})
	for _, queue := range []string{"transient", "exclusive"} {
		_, err := dying.channel().QueueDeclarePassive(queue, false, false, false, false, nil)
		wantRefusal(t, queue, err, 404, "no queue '"+queue+"'")
	}
}

// rawConsumer is a client without the capability consumer_cancel_notify.
type rawConsumer struct{ *raw }

func noncancellable(t *testing.T, b *broker, queue string) rawConsumer {
	t.Helper()
	r := rawConsumer{openRawChannel(t, b)}
	r.send(1, &wire.BasicQos{PrefetchCount: 10})
	r.expect(wire.KeyBasicQosOk)
	r.send(1, &wire.BasicConsume{Queue: queue, ConsumerTag: "raw"})
	r.expect(wire.KeyBasicConsumeOk)
	return r
}

// expectDeliveries reads n deliveries. Those beyond the prefetch limit come because the ones before are acknowledged here.
func (r rawConsumer) expectDeliveries(n int) {
	r.t.Helper()
	for got := 0; got < n; {
		frame, err := r.read()
		if err != nil {
			r.t.Fatalf("%d deliveries of %d: %v", got, n, err)
		}
		if frame.Type != wire.FrameMethod {
			continue
		}
		m, err := wire.ParseMethod(frame.Payload)
		if err != nil {
			r.t.Fatal(err)
		}
		d, ok := m.(*wire.BasicDeliver)
		if !ok {
			r.t.Fatalf("a delivery expected, got %s: %+v", m.Key(), m)
		}
		got++
		if n > 10 {
			r.send(1, &wire.BasicAck{DeliveryTag: d.DeliveryTag})
		}
	}
}

// close closes the channel; no delivery must come any more.
func (r rawConsumer) close() {
	r.t.Helper()
	r.send(1, &wire.ChannelClose{})
	for {
		frame, err := r.read()
		if err != nil {
			r.t.Fatalf("channel.close-ok expected: %v", err)
		}
		if frame.Type != wire.FrameMethod {
			continue // the rest of the last delivery
		}
		m, err := wire.ParseMethod(frame.Payload)
		if err != nil {
			r.t.Fatal(err)
		}
		if m.Key() == wire.KeyChannelCloseOk {
			return
		}
		r.t.Errorf("channel.close-ok expected, got %s: %+v", m.Key(), m)
	}
}

// TestClusterNodeHangs stops a node without ending it, for longer than the others wait for a sign of life: first as the one that
// leads a queue, then as the one that clients are connected to.
func TestClusterNodeHangs(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	hung, well := g.nodes[0], g.nodes[1]
	hung.led("hung", nil)
	well.led("well", nil)
	if nacked := well.publishAll("well", 20); nacked != 0 {
		t.Fatal("refused")
	}
	away := collect(t, hung.channel(), "well", "away", false, nil) // its acknowledgements will not come
	eventually(t, patience, "a consumer on the node that will hang has all messages", func() bool { return away.count() == 20 })
	near := collect(t, well.channel(), "hung", "near", false, nil)
	owner := hung.channel()
	if _, err := owner.QueueDeclare("exclusive", false, false, true, false, nil); err != nil {
		t.Fatal(err)
	}
	confirms := newConfirmer(t, well.dial(), 100)

	hung.pause()
	begin := time.Now()
	defer func() {
		if hung.running() {
			hung.resume()
		}
	}()
	confirms.publish("hung", []byte("m"))
	if !confirms.answer(detection) || confirms.nacked != 1 {
		t.Error("a message for a queue of a node that hangs was not nacked")
	}
	t.Logf("nack after %s", time.Since(begin).Round(time.Millisecond))
	eventually(t, detection, "basic.cancel", near.wasCancelled)
	ops := &again{b: g.nodes[2].broker}
	defer ops.close()
	ops.must(t, func(ch *amqp.Channel) error { // whoever led the metadata, somebody does
		_, err := ch.QueueDeclare("new", true, false, false, false, nil)
		return err
	})
	eventually(t, detection, "what was delivered over the link is back in the queue", func() bool {
		n := 0
		ops.must(t, func(ch *amqp.Channel) error {
			q, err := ch.QueueDeclarePassive("well", true, false, false, false, nil)
			n = q.Messages
			return err
		})
		return n == 20
	})
	t.Logf("requeued after %s", time.Since(begin).Round(time.Millisecond))
	ops.must(t, func(ch *amqp.Channel) error {
		for i := range 20 {
			d, ok, err := ch.Get("well", true)
			if err != nil || !ok {
				return fmt.Errorf("message %d: %t, %w", i, ok, err)
			}
			if string(d.Body) != fmt.Sprint(i) || !d.Redelivered {
				t.Errorf("message %d came as %q, redelivered %t", i, d.Body, d.Redelivered)
			}
		}
		return nil
	})
	eventually(t, detection, "the exclusive queue of the node that hangs is gone", func() bool {
		_, text := refusal(ops.try(func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("exclusive", false, false, false, false, nil)
			return err
		}))
		return strings.Contains(text, "no queue")
	})

	hung.resume()
	g.awaitLinks()
	eventually(t, patience, "the connection that had the exclusive queue is closed", owner.IsClosed)
	if nacked := well.publishAll("hung", 10); nacked != 0 {
		t.Errorf("%d messages of 10 were refused after the node went on", nacked)
	}
	got := g.nodes[2].takeAll("hung")
	// The nacked one may have been waiting in a socket; a nack does not promise that it was not taken.
	if got = slices.DeleteFunc(got, func(b string) bool { return b == "m" }); len(got) != 10 {
		t.Errorf("messages after the node went on: %q", got)
	}
	_, err := g.nodes[0].channel().QueueDeclarePassive("new", true, false, false, false, nil)
	if err != nil {
		t.Errorf("a queue that was declared while the node hung: %v", err)
	}
}

// TestClusterLinks cuts, hangs and slows the link between two of three nodes, each of which can still reach the third.
func TestClusterLinks(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3, withWires)
	a, b, c := g.nodes[0], g.nodes[1], g.nodes[2]
	a.led("a", nil)
	for what, disturb := range map[string]func(){"cut": func() { g.wires.cut(a, b) }, "hung": func() { g.wires.hang(a, b) }} {
		consumer := collect(t, b.channel(), "a", "c", false, nil)
		if nacked := c.publishAll("a", 10); nacked != 0 {
			t.Errorf("%d messages of 10 were refused", nacked)
		}
		eventually(t, patience, "messages over the link", func() bool { return consumer.count() == 10 })
		confirms := newConfirmer(t, b.dial(), 10)
		disturb()
		begin := time.Now()
		confirms.publish("a", []byte("nacked"))
		if !confirms.answer(detection) || confirms.nacked != 1 {
			t.Errorf("%s: a message for the other side was not nacked", what)
		}
		eventually(t, detection, what+": basic.cancel", consumer.wasCancelled)
		left := &again{b: c.broker}
		eventually(t, detection, what+": requeued, for the third node to see", func() bool {
			n := 0
			left.must(t, func(ch *amqp.Channel) error {
				q, err := ch.QueueDeclarePassive("a", true, false, false, false, nil)
				n = q.Messages
				return err
			})
			return n >= 10
		})
		t.Logf("%s: all seen after %s", what, time.Since(begin).Round(time.Millisecond))
		// The third changes the topology, and at least one of the two: the other one may have lost the leader of the metadata, which
		// the third has not, so that there is no new one.
		worked := 0
		for _, m := range g.nodes {
			ops := &again{b: m.broker}
			err := ops.try(func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclare(what+m.name, true, false, false, false, nil)
				return err
			})
			ops.close()
			if err == nil {
				worked++
				continue
			}
			wantRefusal(t, what+": declare on "+m.name, err, 541, "timed out")
			if m == c {
				t.Errorf("%s: the node that reaches both others cannot declare: %v", what, err)
			}
		}
		if worked < 2 {
			t.Errorf("%s: only %d nodes of 3 can declare", what, worked)
		}
		left.close()
		g.wires.mend(a, b)
		g.awaitLinks()
		got := slices.DeleteFunc(b.takeAll("a"), func(b string) bool { return b == "nacked" })
		if want := strings.Fields("0 1 2 3 4 5 6 7 8 9"); !slices.Equal(got, want) {
			t.Errorf("%s: messages after the link came back: %q, want %q", what, got, want)
		}
	}
	g.wires.slow(a, b, 100*time.Millisecond)
	if nacked := b.publishAll("a", 500); nacked != 0 {
		t.Errorf("%d messages of 500 were refused by way of a slow link", nacked)
	}
	consumer := collect(t, b.channel(), "a", "c", true, nil)
	eventually(t, patience, "messages by way of a slow link", func() bool { return consumer.count() == 500 })
	for i, body := range consumer.bodies() {
		if body != fmt.Sprint(i) {
			t.Fatalf("message %d by way of a slow link is %q", i, body)
		}
	}
	g.wires.mend(a, b)
}

// TestClusterPartition cuts one node off from both others. The majority goes on, the one alone refuses changes, and afterwards all
// have the state of the majority.
func TestClusterPartition(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3, withWires)
	alone, one, two := g.nodes[0], g.nodes[1], g.nodes[2]
	alone.led("alone", nil)
	one.led("one", nil)
	if nacked := one.publishAll("one", 5) + alone.publishAll("alone", 5); nacked != 0 {
		t.Fatal("refused")
	}
	g.wires.isolate(alone)

	majority, minority := &again{b: two.broker}, &again{b: alone.broker}
	defer majority.close()
	defer minority.close()
	majority.must(t, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare("new", true, false, false, false, nil)
		return err
	})
	majority.must(t, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete("probe-node2", false, false, false)
		return err
	})
	majority.must(t, func(ch *amqp.Channel) error { return ch.QueueBind("one", "key", "amq.direct", false, nil) })
	wantRefusal(t, "declare on the node alone", minority.try(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare("minority", true, false, false, false, nil)
		return err
	}), 541, "timed out")
	wantRefusal(t, "bind on the node alone", minority.try(func(ch *amqp.Channel) error {
		return ch.QueueBind("alone", "key", "amq.direct", false, nil)
	}), 541, "timed out")
	if nacked := alone.publishAll("alone", 5); nacked != 0 {
		t.Errorf("%d messages of 5 for a queue of the node alone were refused there", nacked)
	}
	if nacked := alone.publishAll("one", 5); nacked != 5 {
		t.Errorf("%d messages of 5 for a queue of the majority were refused on the node alone", nacked)
	}
	if nacked := two.publishAll("alone", 5); nacked != 5 {
		t.Errorf("%d messages of 5 for a queue of the node alone were refused by the majority", nacked)
	}

	g.wires.reunite(alone)
	two.led(probeQueue(two), nil)
	g.awaitLinks()
	want := map[string]int{"alone": 10, "one": 5, "new": 0}
	for _, m := range g.nodes {
		for queue, n := range want {
			if got := depth(t, m.channel(), queue); got != n {
				t.Errorf("%s has %d messages, seen from %s; want %d", queue, got, m.name, n)
			}
		}
		_, err := m.channel().QueueDeclarePassive("minority", true, false, false, false, nil)
		wantRefusal(t, "the queue that was refused, seen from "+m.name, err, 404, "no queue 'minority'")
	}
	for _, m := range g.nodes {
		before := depth(t, m.channel(), "one")
		routed, err := publishMandatory(t, m.dial(), "amq.direct", "key")
		if err != nil || !routed {
			t.Errorf("the binding of the majority, seen from %s: routed %t, %v", m.name, routed, err)
		}
		if got := depth(t, m.channel(), "one"); got != before+1 {
			t.Errorf("the binding of the majority, seen from %s, brought %d messages", m.name, got-before)
		}
	}
}

// TestClusterAlarm starts a cluster of which one node is short of disk space from the beginning: publishers of the others are blocked.
func TestClusterAlarm(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	short := g.nodes[2]
	short.set("store.min_free", "1000TiB")
	for _, m := range g.nodes {
		m.launch()
	}
	for _, m := range g.nodes {
		m.awaitUp()
	}
	g.awaitLinks()
	conn := g.nodes[0].dial()
	blockings := conn.NotifyBlocked(make(chan amqp.Blocking, 10))
	ch := openChannel(t, conn)
	sent := 0
	publish := func() { // a connection is blocked when it publishes
		t.Helper()
		if err := ch.Publish("", probeQueue(g.nodes[0]), false, false, amqp.Publishing{Body: []byte("m")}); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	await := func(active bool) {
		t.Helper()
		timer := time.NewTimer(patience)
		defer timer.Stop()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if active {
					publish()
				}
			case b := <-blockings:
				if b.Active != active {
					continue
				}
				if active && b.Reason != "low on disk" {
					t.Errorf("blocked because %q", b.Reason)
				}
				return
			case <-timer.C:
				t.Fatalf("no notice that the connection is blocked: %t", active)
			}
		}
	}
	await(true)
	short.kill() // what cannot be reached can block nobody
	await(false)
	seen := g.nodes[1].channel()
	eventually(t, patience, "what was published meanwhile goes on", func() bool { return depth(t, seen, probeQueue(g.nodes[0])) == sent })
}
