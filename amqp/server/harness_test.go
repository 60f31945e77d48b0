package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/store"
)

// One broker with its store serves all tests; each has a server of its own, and uses exclusive queues.
var node *cluster.Broker

// testDir is gone after the tests.
var testDir string

func TestMain(m *testing.M) {
	log := slog.New(slog.DiscardHandler)
	dir, err := os.MkdirTemp("", "server-test")
	check(err)
	testDir = dir
	st, err := store.Open(store.Options{Dir: filepath.Join(dir, "store"), Logger: log})
	check(err)
	node, err = cluster.Open(context.Background(), cluster.Options{
		NodeID: "n1", ClusterName: "test", Store: st, LoopbackUsers: []string{"guest"}, Logger: log,
		Meta: meta.Options{Dir: filepath.Join(dir, "meta"), Bootstrap: true},
	})
	check(err)
	code := m.Run()
	check(node.Close(context.Background()))
	check(st.Close(context.Background()))
	check(os.RemoveAll(dir))
	if code == 0 {
		check(goleak.Find())
	}
	os.Exit(code)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// testBroker is the real broker, with a gate in front of DeclareQueue.
type testBroker struct {
	*cluster.Broker
	gate *gate
}

func (b testBroker) Open(u *cluster.User, vhost string, id uint64) (Access, error) {
	a, err := b.Broker.Open(u, vhost, id)
	if err != nil {
		return nil, err
	}
	return gatedAccess{a, b.gate}, nil
}

// gate stops declarations of a queue named "slow" until it is opened.
type gate struct {
	open  chan struct{}
	waits chan struct{} // gets a value when a declaration has arrived
}

type gatedAccess struct {
	Access
	gate *gate
}

func (a gatedAccess) DeclareQueue(s cluster.QueueSpec) (cluster.QueueInfo, error) {
	if s.Name == "slow" {
		a.gate.waits <- struct{}{}
		<-a.gate.open
		return cluster.QueueInfo{Name: "slow"}, nil
	}
	return a.Access.DeclareQueue(s)
}

// testServer is a server on loopback.
type testServer struct {
	*Server
	t    *testing.T
	gate *gate
	logs *logLines
}

// logLines collects the log.
type logLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func startServer(t *testing.T, o Options) *testServer {
	t.Helper()
	if o.LoginDelay == 0 {
		o.LoginDelay = 20 * time.Millisecond
	}
	s := &testServer{t: t, gate: &gate{open: make(chan struct{}), waits: make(chan struct{}, 8)}, logs: new(logLines)}
	var err error
	s.Server, err = New(o, testBroker{node, s.gate}, slog.New(slog.NewTextHandler(s.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-s.gate.open:
		default:
			close(s.gate.open)
		}
		// Clients are gone or do not care: no use waiting for them.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx, "end of test")
		if t.Failed() {
			t.Log(s.logs.b.String())
		}
	})
	return s
}

// client is a raw AMQP client. Its methods fail the test.
type client struct {
	t        *testing.T
	nc       net.Conn
	buf      []byte
	patience time.Duration
}

func (s *testServer) dial() *client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		s.t.Fatal(err)
	}
	c := &client{t: s.t, nc: nc, patience: 5 * time.Second}
	s.t.Cleanup(func() { _ = nc.Close() })
	return c
}

var allCapabilities = wire.Table{{Name: "capabilities", Value: wire.TableValue(wire.Table{
	{Name: "consumer_cancel_notify", Value: wire.Bool(true)},
	{Name: "connection.blocked", Value: wire.Bool(true)},
	{Name: "authentication_failure_close", Value: wire.Bool(true)},
})}}

func startOk() *wire.ConnectionStartOk {
	return &wire.ConnectionStartOk{ClientProperties: allCapabilities, Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest"),
		Locale: "en_US"}
}

// openWith performs the handshake.
func (s *testServer) openWith(tune wire.ConnectionTuneOk, properties wire.Table) *client {
	s.t.Helper()
	c := s.dial()
	c.shake(tune, properties)
	return c
}

func (c *client) shake(tune wire.ConnectionTuneOk, properties wire.Table) {
	c.t.Helper()
	c.raw([]byte(wire.ProtocolHeader))
	expect[*wire.ConnectionStart](c, 0)
	start := startOk()
	start.ClientProperties = properties
	c.send(0, start)
	expect[*wire.ConnectionTune](c, 0)
	c.send(0, &tune)
	c.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
	expect[*wire.ConnectionOpenOk](c, 0)
}

var usualTune = wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072}

func (s *testServer) open() *client {
	s.t.Helper()
	return s.openWith(usualTune, allCapabilities)
}

// openChannel opens a connection with channel 1.
func (s *testServer) openChannel() *client {
	s.t.Helper()
	c := s.open()
	c.channel(1)
	return c
}

func (c *client) channel(id uint16) {
	c.t.Helper()
	c.send(id, &wire.ChannelOpen{})
	expect[*wire.ChannelOpenOk](c, id)
}

func (c *client) raw(b []byte) {
	c.t.Helper()
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) send(channel uint16, m wire.Method) {
	c.t.Helper()
	c.raw(wire.AppendMethod(nil, channel, m))
}

// frame returns the next frame, heartbeats aside.
func (c *client) frame() (wire.Frame, error) {
	for {
		f, n, err := wire.ParseFrame(c.buf, 0)
		if err != nil {
			return f, err
		}
		if n > 0 {
			c.buf = c.buf[n:]
			if f.Type == wire.FrameHeartbeat {
				continue
			}
			return f, nil
		}
		if err := c.fill(); err != nil {
			return f, err
		}
	}
}

func (c *client) fill() error {
	b := make([]byte, 64<<10)
	if err := c.nc.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
		return err
	}
	n, err := c.nc.Read(b)
	c.buf = append(c.buf, b[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

// expect reads a method of the given type on the given channel.
func expect[M wire.Method](c *client, channel uint16) M {
	c.t.Helper()
	var none M
	f, err := c.frame()
	if err != nil {
		c.t.Fatalf("waiting for %v: %v", none.Key(), err)
	}
	if f.Type != wire.FrameMethod {
		c.t.Fatalf("waiting for %v: frame of type %d: %q", none.Key(), f.Type, f.Payload)
	}
	m, err := wire.ParseMethod(f.Payload)
	if err != nil {
		c.t.Fatalf("waiting for %v: %v", none.Key(), err)
	}
	got, ok := m.(M)
	if !ok || f.Channel != channel {
		c.t.Fatalf("got channel %d %v %+v, want channel %d %v", f.Channel, m.Key(), m, channel, none.Key())
	}
	return got
}

// expectClose reads connection.close (channel 0) or channel.close with this text and method.
func (c *client) expectClose(channel uint16, text string, method wire.MethodKey) {
	c.t.Helper()
	var gotText string
	var class, id uint16
	if channel == 0 {
		m := expect[*wire.ConnectionClose](c, 0)
		gotText, class, id = m.ReplyText, m.ClassID, m.MethodID
		if !strings.HasPrefix(m.ReplyText, m.ReplyCode.String()) {
			c.t.Errorf("code %d with text %q", m.ReplyCode, m.ReplyText)
		}
	} else {
		m := expect[*wire.ChannelClose](c, channel)
		gotText, class, id = m.ReplyText, m.ClassID, m.MethodID
	}
	if gotText != text || class != method.Class() || id != method.Method() {
		c.t.Fatalf("got  %q (%d, %d)\nwant %q (%d, %d)", gotText, class, id, text, method.Class(), method.Method())
	}
}

// expectEnd waits until the server closes the socket.
func (c *client) expectEnd() {
	c.t.Helper()
	f, err := c.frame()
	switch {
	case err == nil:
		c.t.Fatalf("got a frame of type %d %q, want the end", f.Type, f.Payload)
	case !errors.Is(err, io.EOF) && !isReset(err):
		c.t.Fatalf("got %v, want the end", err)
	}
}

// sync makes sure that everything sent on a channel was handled and that nothing else was answered.
func (c *client) sync(channel uint16) {
	c.t.Helper()
	c.send(channel, &wire.BasicQos{})
	expect[*wire.BasicQosOk](c, channel)
}

// publish returns the frames of a message.
func publish(channel uint16, exchange, key, body string) []byte {
	b := wire.AppendPublish(nil, channel, exchange, key, false)
	b = wire.AppendContentHeader(b, channel, wire.ClassBasic, uint64(len(body)), nil)
	return wire.AppendBody(b, channel, []byte(body), 131072)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within 5 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
