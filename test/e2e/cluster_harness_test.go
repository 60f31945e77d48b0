//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// commitTimeout is cluster.commit_timeout of the clusters here: short, since some tests wait for it.
const commitTimeout = 2 * time.Second

// testSecret is cluster.secret of the clusters here.
const testSecret = "a secret for tests only"

// member is a node of a cluster: a broker with an address for the others.
type member struct {
	*broker
	index   int
	name    string
	listen  string // cluster.listen
	address string // where the others reach it: listen, or a splitter before it
}

// group is a cluster of real processes. It belongs to the test's goroutine, like its brokers.
type group struct {
	t     *testing.T
	nodes []*member
	wires *wires // nil: the nodes talk to each other directly
}

// groupOption changes how a group is made.
type groupOption func(*group)

// withWires puts a proxy into each direction of each pair of nodes, so that links can be cut, hung and slowed.
func withWires(g *group) { g.wires = newWires(g.t) }

// newGroup prepares n nodes that form a cluster by cluster.initial when they are launched.
func newGroup(t *testing.T, n int, options ...groupOption) *group {
	t.Helper()
	g := &group{t: t}
	for _, o := range options {
		o(g)
	}
	for range n {
		g.add()
	}
	var initial []string
	for _, m := range g.nodes {
		initial = append(initial, m.address)
	}
	for _, m := range g.nodes {
		m.set("cluster.initial", strings.Join(initial, ","))
	}
	return g
}

// startGroup is newGroup with all nodes up and linked.
func startGroup(t *testing.T, n int, options ...groupOption) *group {
	t.Helper()
	g := newGroup(t, n, options...)
	for _, m := range g.nodes {
		m.launch()
	}
	for _, m := range g.nodes {
		m.awaitUp()
	}
	g.awaitLinks()
	return g
}

// add prepares one more node, with neither cluster.initial nor cluster.join.
func (g *group) add() *member {
	g.t.Helper()
	m := &member{broker: newBroker(g.t), index: len(g.nodes), name: fmt.Sprintf("node%d", len(g.nodes)), listen: freeAddress(g.t)}
	m.address = m.listen
	m.set("node.name", m.name)
	m.set("cluster.listen", m.listen)
	m.set("cluster.secret", testSecret)
	m.set("cluster.commit_timeout", commitTimeout.String())
	m.set("cluster.node_timeout", "2s")
	m.set("memory.limit", "512MiB") // so that several nodes do not set off each other's alarms
	m.set("log.level", "debug")
	g.nodes = append(g.nodes, m)
	if g.wires != nil {
		m.address = g.wires.add(m)
		m.set("cluster.advertise", m.address)
	}
	return m
}

// join prepares and starts one more node that joins by way of another one.
func (g *group) join(via *member) *member {
	g.t.Helper()
	m := g.add()
	m.set("cluster.join", via.address)
	m.start()
	return m
}

// probeQueue is led by the node of that index, for awaitLinks.
func probeQueue(m *member) string { return "probe-" + m.name }

// awaitLinks waits until each running node can use queues that each other running node leads.
func (g *group) awaitLinks() {
	g.t.Helper()
	var running []*member
	for _, m := range g.nodes {
		if m.running() {
			running = append(running, m)
		}
	}
	channels := make([]*again, len(running))
	for i, m := range running {
		channels[i] = &again{b: m.broker}
		defer channels[i].close()
		channels[i].must(g.t, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(probeQueue(m), true, false, false, false, nil)
			return err
		})
	}
	for _, c := range channels {
		for _, m := range running {
			c.must(g.t, func(ch *amqp.Channel) error {
				_, _, err := ch.Get(probeQueue(m), true)
				return err
			})
		}
	}
}

// again is a channel that is opened again after an error. It belongs to one goroutine.
type again struct {
	b    *broker
	conn *amqp.Connection
	ch   *amqp.Channel
}

// try calls f with an open channel. After an error of f the channel is closed, and the next call opens another.
func (a *again) try(f func(*amqp.Channel) error) (err error) {
	if a.ch == nil || a.ch.IsClosed() {
		if a.conn == nil || a.conn.IsClosed() {
			if a.conn, err = a.b.tryDial(); err != nil {
				a.conn = nil
				return err
			}
		}
		if a.ch, err = a.conn.Channel(); err != nil {
			a.ch = nil
			return err
		}
	}
	if err = f(a.ch); err != nil && !a.ch.IsClosed() {
		_ = a.ch.Close() // the error of f is the one that counts
	}
	return err
}

// must tries until f returns nil.
func (a *again) must(t *testing.T, f func(*amqp.Channel) error) {
	t.Helper()
	var err error
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err = a.try(f); err == nil {
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("%s: not after %s: %v", a.b.addr, patience, err)
		}
	}
}

func (a *again) close() {
	if a.conn != nil {
		closeQuietly(a.conn)
	}
}

// refusal returns code and text of an error from the broker, zero for none.
func refusal(err error) (code int, text string) {
	var e *amqp.Error
	if errors.As(err, &e) && e.Server {
		return e.Code, e.Reason
	}
	return 0, ""
}

// wantRefusal checks that the broker has refused something with a code and a text that contains all parts.
func wantRefusal(t *testing.T, what string, err error, code int, parts ...string) {
	t.Helper()
	got, text := refusal(err)
	ok := got == code
	for _, part := range parts {
		ok = ok && strings.Contains(text, part)
	}
	if !ok {
		t.Errorf("%s: %v; want %d with %q", what, err, code, parts)
	}
}

// pause stops the process without its knowledge (SIGSTOP); resume lets it go on. Both may be repeated.
func (m *member) pause() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		m.t.Fatalf("SIGSTOP: %v", err)
	}
}

func (m *member) resume() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		m.t.Fatalf("SIGCONT: %v", err)
	}
}

// led declares a durable queue that m leads.
func (m *member) led(name string, args amqp.Table) {
	m.t.Helper()
	conn, err := m.tryDial()
	if err != nil {
		m.t.Fatal(err)
	}
	defer closeQuietly(conn)
	ch := openChannel(m.t, conn)
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		m.t.Fatalf("declare %s on %s: %v", name, m.name, err)
	}
}

// publishAll publishes persistent messages "0", "1", ... to a queue and waits for the confirms. It returns how many were nacked.
func (m *member) publishAll(queue string, n int) (nacked int) {
	m.t.Helper()
	conn, err := m.tryDial()
	if err != nil {
		m.t.Fatal(err)
	}
	defer closeQuietly(conn)
	c := newConfirmer(m.t, conn, 100)
	for i := range n {
		c.publish(queue, fmt.Append(nil, i))
	}
	for c.answered < c.sent {
		if !c.answer(patience) {
			m.t.Fatalf("no confirm in %s, %d are missing", patience, c.sent-c.answered)
		}
	}
	return c.nacked
}

// takeAll gets and acknowledges all messages of a queue, in order.
func (m *member) takeAll(queue string) (bodies []string) {
	m.t.Helper()
	conn, err := m.tryDial()
	if err != nil {
		m.t.Fatal(err)
	}
	defer closeQuietly(conn)
	ch := openChannel(m.t, conn)
	for {
		d, ok, err := ch.Get(queue, true)
		if err != nil {
			m.t.Fatalf("get from %s on %s: %v", queue, m.name, err)
		}
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(d.Body))
	}
}

// collected are the deliveries of one consumer, kept by a goroutine that ends with the channel.
type collected struct {
	mu        sync.Mutex
	got       []amqp.Delivery
	cancelled bool // by the broker
	done      sync.WaitGroup
}

// collect consumes a queue and keeps what comes.
func collect(t *testing.T, ch *amqp.Channel, queue, tag string, autoAck bool, args amqp.Table) *collected {
	t.Helper()
	c := &collected{}
	cancels := ch.NotifyCancel(make(chan string, 1))
	deliveries, err := ch.Consume(queue, tag, autoAck, false, false, false, args)
	if err != nil {
		t.Fatalf("consume %s: %v", queue, err)
	}
	c.done.Go(func() {
		for d := range deliveries {
			c.mu.Lock()
			c.got = append(c.got, d)
			c.mu.Unlock()
		}
	})
	c.done.Go(func() {
		for range cancels {
			c.mu.Lock()
			c.cancelled = true
			c.mu.Unlock()
		}
	})
	return c
}

func (c *collected) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

func (c *collected) wasCancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cancelled
}

// bodies returns the bodies so far.
func (c *collected) bodies() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.got {
		list = append(list, string(d.Body))
	}
	return list
}
