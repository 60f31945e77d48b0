package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// TestMoveKinds moves queues of all kinds with what they hold, to and fro.
func TestMoveKinds(t *testing.T) {
	c := startTrio(t)
	ch := c.channel(0)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	put := func(exchange, key string, p amqp.Publishing) {
		t.Helper()
		p.DeliveryMode = amqp.Persistent
		ok, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, p)
		if err != nil || !ok.Wait() {
			t.Fatalf("publish to %s%s: %v", exchange, key, err)
		}
	}
	move := func(queue string, to int) {
		t.Helper()
		if err := c.move(to, queue, to, 20*time.Second); err != nil {
			t.Fatalf("%s to n%d: %v", queue, to, err)
		}
	}
	want := func(ch *amqp.Channel, queue string, bodies ...string) {
		t.Helper()
		for _, b := range bodies {
			d, ok, err := ch.Get(queue, true)
			if err != nil || !ok || !strings.HasPrefix(string(d.Body), b) {
				t.Fatalf("%s: got %.20q %v %v, want %q", queue, d.Body, ok, err, b)
			}
		}
		if d, ok, err := ch.Get(queue, true); ok || err != nil {
			t.Fatalf("%s: got %.20q %v, want nothing", queue, d.Body, err)
		}
	}

	declare(t, ch, "priorities", amqp.Table{"x-max-priority": 5})
	for i := range 4 {
		put("", "priorities", amqp.Publishing{Priority: uint8(i), Body: []byte(fmt.Sprint(i))})
	}
	move("priorities", 1)
	put("", "priorities", amqp.Publishing{Priority: 4, Body: []byte("4")})
	move("priorities", 2)
	want(c.channel(1), "priorities", "4", "3", "2", "1", "0")

	declare(t, ch, "large", nil)
	big := strings.Repeat("x", 3<<20)
	put("", "large", amqp.Publishing{Body: []byte("a" + big)})
	put("", "large", amqp.Publishing{Body: []byte("b")})
	move("large", 2)
	c.stop(2) // what has moved is stored
	c.start(2)
	c.linked()
	want(c.channel(1), "large", "a"+big, "b")

	declare(t, ch, "unique", amqp.Table{"x-message-deduplication": true})
	for range 2 {
		put("", "unique", amqp.Publishing{Headers: amqp.Table{"x-deduplication-header": "k"}, Body: []byte("once")})
	}
	move("unique", 1)
	put("", "unique", amqp.Publishing{Headers: amqp.Table{"x-deduplication-header": "k"}, Body: []byte("twice")})
	want(c.channel(2), "unique", "once")

	declare(t, ch, "expiring", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
	declare(t, ch, "dead", nil)
	put("", "expiring", amqp.Publishing{Expiration: "300", Body: []byte("late")})
	put("", "expiring", amqp.Publishing{Body: []byte("stays")})
	move("expiring", 1)
	c.wait("dead letter", func() bool {
		q, err := ch.QueueDeclarePassive("dead", true, false, false, false, nil)
		return err == nil && q.Messages == 1
	})
	want(ch, "expiring", "stays")

	// A single active consumer stays the active one, with what it has.
	declare(t, ch, "single", amqp.Table{"x-single-active-consumer": true})
	for i := range 3 {
		put("", "single", amqp.Publishing{Body: []byte(fmt.Sprint(i))})
	}
	first, second := c.channel(1), c.channel(0)
	if err := first.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	active, err := first.Consume("single", "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	idle, err := second.Consume("single", "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := <-active
	move("single", 2)
	move("single", 1)
	_ = d.Ack(false)
	for i := 1; i < 3; i++ {
		if d = <-active; string(d.Body) != fmt.Sprint(i) || d.Redelivered {
			t.Fatalf("single: got %q redelivered %v, want %d", d.Body, d.Redelivered, i)
		}
		move("single", i)
		_ = d.Ack(false)
	}
	select {
	case d := <-idle:
		t.Errorf("single: the other consumer got %q", d.Body)
	default:
	}

	// What was got over the first node can be acknowledged there, and goes back when the channel closes.
	declare(t, ch, "got", nil)
	for i := range 3 {
		put("", "got", amqp.Publishing{Body: []byte(fmt.Sprint(i))})
	}
	getter := c.channel(2)
	one, _, err := getter.Get("got", false)
	if err != nil {
		t.Fatal(err)
	}
	local := c.channel(0)
	two, _, err := local.Get("got", false)
	if err != nil {
		t.Fatal(err)
	}
	move("got", 1)
	if err := errors.Join(one.Ack(false), getter.Close(), local.Close()); err != nil || string(one.Body)+string(two.Body) != "01" {
		t.Fatalf("got: %q %q %v", one.Body, two.Body, err)
	}
	c.wait("requeue", func() bool {
		q, err := ch.QueueDeclarePassive("got", true, false, false, false, nil)
		return err == nil && q.Messages == 2
	})
	want(c.channel(1), "got", "1", "2")

	if _, err := ch.QueueDeclare("mine", false, false, true, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.move(1, "mine", 1, 5*time.Second); !errors.Is(err, cluster.ErrCannotMove) || !strings.Contains(err.Error(), "exclusive") {
		t.Errorf("exclusive queue: %v", err)
	}
}

// TestRebalanceAndDrain spreads queues over the nodes, and empties a node while a client of another one goes on.
func TestRebalanceAndDrain(t *testing.T) {
	c := startTrio(t)
	ch := c.channel(1)
	for i := range 9 {
		declare(t, ch, fmt.Sprintf("q%d", i), amqp.Table{"x-queue-leader-locator": "client-local"})
	}
	led := func() (n [3]int) {
		for i := range 9 {
			n[c.leader(fmt.Sprintf("q%d", i))]++
		}
		return n
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var steps []string
	err := c.nodes[2].Broker().Rebalance(ctx, cluster.RebalanceFilter{QueuePattern: "^q"}, func(s cluster.RebalanceStep) {
		if s.Err != nil {
			t.Errorf("%s: %v", s.Queue, s.Err)
		}
		steps = append(steps, s.Queue)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := led(); n != [3]int{3, 3, 3} {
		t.Errorf("queues led: %v, steps %v", n, steps)
	}

	// Consumers of another node do not notice that their queues go elsewhere.
	in, err := ch.Consume("q0", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancelled := ch.NotifyCancel(make(chan string, 1))
	drained := c.leader("q0")
	if drained == 1 {
		drained = 0
		if err := c.move(1, "q0", 0, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	conn := c.dial(drained)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	if err := c.nodes[drained].Broker().Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
	if e := <-closed; e == nil || e.Code != 320 || e.Reason != "CONNECTION_FORCED - Node was put into maintenance mode" {
		t.Errorf("the node's clients were closed with %v", e)
	}
	if n := led(); n[drained] != 0 {
		t.Errorf("queues led after draining n%d: %v", drained, n)
	}
	if l, err := c.nodes[1].Broker().Meta().Members(); err != nil || slices.ContainsFunc(l, func(m meta.Member) bool { return m.Leader && m.ID == c.nodes[drained].dir.NodeID() }) {
		t.Errorf("the drained node still leads the metadata: %+v %v", l, err)
	}
	if _, err := amqp.Dial("amqp://guest:guest@" + c.addr(drained) + "/"); err == nil {
		t.Error("the drained node took a client")
	}
	if err := c.move(1, "q0", drained, 5*time.Second); !errors.Is(err, cluster.ErrCannotMove) {
		t.Errorf("move to a node that is drained: %v", err)
	}
	c.stop(drained)
	if err := ch.Publish("", "q0", false, false, amqp.Publishing{Body: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-in:
		if string(d.Body) != "hello" {
			t.Errorf("got %q", d.Body)
		}
	case tag := <-cancelled:
		t.Errorf("consumer %q was cancelled", tag)
	case <-time.After(20 * time.Second):
		t.Error("the consumer gets nothing any more")
	}
	c.start(drained)
	c.linked()
	if n := c.nodes[1].Broker().State().Node(c.nodes[drained].dir.NodeID()); n.Draining {
		t.Error("a restart did not end the draining")
	}
	_ = c.dial(drained).Close()
}
