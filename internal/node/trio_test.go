package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/internal/config"
)

// trio is a cluster of three nodes in this process. What the others say to a node goes through its proxy.
type trio struct {
	t       *testing.T
	dir     string
	nodes   [3]*Node
	proxies [3]*proxy

	mu    sync.Mutex
	addrs [3]string // where they serve clients
}

func (c *trio) addr(i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addrs[i]
}

func startTrio(t *testing.T) *trio {
	t.Helper()
	c := &trio{t: t, dir: t.TempDir()}
	for i := range c.proxies {
		c.proxies[i] = newProxy(t)
	}
	for i := range c.nodes {
		c.start(i)
	}
	t.Cleanup(func() {
		var work sync.WaitGroup
		for i := range c.nodes {
			if c.nodes[i] != nil {
				work.Go(func() { c.stop(i) })
			}
		}
		work.Wait()
	})
	c.linked()
	return c
}

// linked waits until all nodes that run are linked.
func (c *trio) linked() {
	c.t.Helper()
	c.wait("links", func() bool {
		for _, n := range c.nodes {
			for _, o := range c.nodes {
				if n != nil && o != nil && !n.Broker().Reachable(o.dir.NodeID()) {
					return false
				}
			}
		}
		return true
	})
}

func (c *trio) start(i int) {
	c.t.Helper()
	cfg := config.Default()
	cfg.DataDir = filepath.Join(c.dir, fmt.Sprint(i))
	cfg.Node.Name = fmt.Sprintf("n%d", i)
	cfg.AMQP.Listen = []string{"127.0.0.1:0"}
	cfg.Cluster.Listen = c.proxies[i].target
	cfg.Cluster.Advertise = c.proxies[i].addr()
	cfg.Cluster.Secret = "0123456789abcdef0123456789abcdef"
	cfg.Cluster.NodeTimeout = 2 * time.Second
	if i > 0 {
		cfg.Cluster.Join = []string{c.proxies[0].addr()}
	}
	var out io.Writer = io.Discard
	if testing.Verbose() {
		out = os.Stderr
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n, err := Start(ctx, cfg, slog.New(slog.NewTextHandler(out, nil)).With("on", cfg.Node.Name))
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
	c.mu.Lock()
	c.addrs[i] = n.Addrs()[0]
	c.mu.Unlock()
}

func (c *trio) stop(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	if err := c.nodes[i].Shutdown(ctx); err != nil {
		c.t.Error(err)
	}
	c.nodes[i] = nil
}

// wait waits for a condition.
func (c *trio) wait(what string, ok func() bool) {
	c.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			c.t.Fatalf("no %s within 30 s", what)
		}
	}
}

func (c *trio) dial(i int) *amqp.Connection {
	c.t.Helper()
	conn, err := amqp.Dial("amqp://guest:guest@" + c.addr(i) + "/")
	if err != nil {
		c.t.Fatal(err)
	}
	return conn
}

func (c *trio) channel(i int) *amqp.Channel {
	c.t.Helper()
	conn := c.dial(i)
	c.t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		c.t.Fatal(err)
	}
	return ch
}

// leader returns the node that leads a queue, as node 0 knows it.
func (c *trio) leader(queue string) int {
	id := c.nodes[0].Broker().State().Queue("/", queue).Leader
	for i, n := range c.nodes {
		if n != nil && n.dir.NodeID() == id {
			return i
		}
	}
	return -1
}

// move has any node move a queue to node to.
func (c *trio) move(by int, queue string, to int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return c.nodes[by].Broker().MoveQueue(ctx, "/", queue, fmt.Sprintf("n%d", to))
}

// proxy passes connections on, and can cut them.
type proxy struct {
	listener net.Listener
	target   string // where the node listens
	work     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	down  bool
}

func newProxy(t *testing.T) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := free.Addr().String() // free until the node listens, most likely
	_ = free.Close()
	p := &proxy{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()
		if down {
			_ = in.Close()
			continue
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = struct{}{}, struct{}{}
		if p.down {
			_, _ = in.Close(), out.Close()
		}
		p.mu.Unlock()
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_, _ = to.Close(), from.Close()
			p.mu.Lock()
			delete(p.conns, from)
			p.mu.Unlock()
		}
		p.work.Go(func() { pass(out, in) })
		p.work.Go(func() { pass(in, out) })
	}
}

// cut ends all connections, and refuses others until heal.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}
