package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/internal/config"
)

// three is a cluster of three nodes in this process.
type three struct {
	t     testing.TB
	cfgs  [3]*config.Config
	nodes [3]*Node // nil while a node is down
}

const patience = 30 * time.Second

func newThree(t testing.TB) *three {
	t.Helper()
	c := &three{t: t}
	for i := range c.cfgs {
		cfg := config.Default()
		cfg.DataDir = t.TempDir()
		cfg.AMQP.Listen, cfg.HTTP.Listen = []string{"127.0.0.1:0"}, ""
		cfg.Node.Name, cfg.Cluster.Listen, cfg.Cluster.Secret = fmt.Sprintf("node%d", i), "127.0.0.1:0", "the secret of three"
		cfg.Cluster.CommitTimeout = 5 * time.Second
		c.cfgs[i] = cfg
	}
	t.Cleanup(c.stopAll)
	for i := range c.cfgs {
		if i > 0 {
			c.cfgs[i].Cluster.Join = []string{c.address(0)}
		}
		c.start(i)
	}
	c.linked()
	return c
}

// address returns where the other nodes reach node i.
func (c *three) address(i int) string {
	b := c.nodes[i].Broker()
	return b.State().Node(b.NodeID()).Address
}

// start starts node i, with the data that it has.
func (c *three) start(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	n, err := Start(ctx, c.cfgs[i], c.log(i))
	if err != nil {
		c.t.Fatalf("node %d: %v", i, err)
	}
	c.nodes[i] = n
	c.cfgs[i].Cluster.Listen = c.address(i) // also after a restart
}

// linked waits until all nodes that are up have links to each other.
func (c *three) linked() {
	c.t.Helper()
	for _, from := range c.nodes {
		for _, to := range c.nodes {
			if from != nil && to != nil {
				waitFor(c.t, "link", func() bool { return from.Broker().Reachable(to.Broker().NodeID()) })
			}
		}
	}
}

// stop stops node i in order.
func (c *three) stop(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.nodes[i].Shutdown(ctx); err != nil {
		c.t.Errorf("node %d: %v", i, err)
	}
	c.nodes[i] = nil
}

// stopAll stops all nodes at once. Those that are last have nobody to agree with, so what they say does not count.
func (c *three) stopAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		if n != nil {
			wg.Go(func() { _ = n.Shutdown(ctx) })
		}
	}
	wg.Wait()
}

// id returns the id of node i.
func (c *three) id(i int) string { return c.nodes[i].Broker().NodeID() }

// dial opens a connection to node i.
func (c *three) dial(t testing.TB, i int) *amqp.Connection {
	t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + c.nodes[i].Addrs()[0] + "/")
	if err != nil {
		t.Fatalf("node %d: %v", i, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// channel opens a channel of a new connection to node i, which confirms what is published.
func (c *three) channel(t testing.TB, i int) *channel {
	t.Helper()
	return newChannel(t, c.dial(t, i))
}

// channel is a channel whose methods must succeed.
type channel struct {
	*amqp.Channel
	t testing.TB
}

func newChannel(t testing.TB, conn *amqp.Connection) *channel {
	t.Helper()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &channel{ch, t}
}

func (c *channel) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// declare declares a durable queue.
func (c *channel) declare(name string, arguments amqp.Table) {
	c.t.Helper()
	_, err := c.QueueDeclare(name, true, false, false, false, arguments)
	c.must(err)
}

// exchange declares a durable exchange.
func (c *channel) exchange(name, kind string, arguments amqp.Table) {
	c.t.Helper()
	c.must(c.ExchangeDeclare(name, kind, true, false, false, false, arguments))
}

func (c *channel) bind(queue, key, exchange string) {
	c.t.Helper()
	c.must(c.QueueBind(queue, key, exchange, false, nil))
}

// send publishes persistent messages and waits until they are confirmed.
func (c *channel) send(exchange, key string, headers amqp.Table, bodies ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var all []*amqp.DeferredConfirmation
	for _, body := range bodies {
		d, err := c.PublishWithDeferredConfirmWithContext(ctx, exchange, key, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Headers: headers, Body: []byte(body)})
		c.must(err)
		all = append(all, d)
	}
	for i, d := range all {
		if ok, err := d.WaitContext(ctx); err != nil || !ok {
			c.t.Fatalf("message %q for %q, %q: confirmed %v, %v", bodies[i], exchange, key, ok, err)
		}
	}
}

// consume begins to consume without acknowledgements.
func (c *channel) consume(queue, tag string) <-chan amqp.Delivery {
	c.t.Helper()
	d, err := c.Consume(queue, tag, true, false, false, false, nil)
	c.must(err)
	return d
}

// ready returns how many messages are ready in a queue, -1 if there is none.
func ready(conn *amqp.Connection, queue string) int {
	ch, err := conn.Channel()
	if err != nil {
		return -1
	}
	defer func() { _ = ch.Close() }()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return -1
	}
	return q.Messages
}

// take receives n messages and returns them.
func take(t testing.TB, d <-chan amqp.Delivery, n int) (list []amqp.Delivery) {
	t.Helper()
	timeout := time.After(patience)
	for len(list) < n {
		select {
		case m, ok := <-d:
			if !ok {
				t.Fatalf("the consumer ended after %d messages of %d", len(list), n)
			}
			list = append(list, m)
		case <-timeout:
			t.Fatalf("%d messages came, want %d", len(list), n)
		}
	}
	return list
}

func bodies(list []amqp.Delivery) (all []string) {
	for _, m := range list {
		all = append(all, string(m.Body))
	}
	return all
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; !ok(); wait = min(2*wait, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
		time.Sleep(wait)
	}
}

// log logs what node i says if BROKERD_TEST_LOG is set.
func (c *three) log(i int) *slog.Logger {
	if os.Getenv("BROKERD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("test_node", i)
}
