package cluster

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const node = "n1"

// testNode is a broker with its store on disk, which can be restarted.
type testNode struct {
	t   testing.TB
	dir string
	*Broker
	store *store.Store
	logs  *logBuffer
	conns uint64

	closingMu sync.Mutex
	closing   []string // reasons for which connections of vhost "v" or user "u" were closed
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startNode(t testing.TB) *testNode {
	t.Helper()
	n := &testNode{t: t, dir: t.TempDir(), logs: new(logBuffer)}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *testNode) start() {
	n.t.Helper()
	log := slog.New(slog.NewTextHandler(n.logs, nil))
	var err error
	if n.store, err = store.Open(store.Options{Dir: filepath.Join(n.dir, "store"), Logger: log}); err != nil {
		n.t.Fatalf("store: %v", err)
	}
	n.Broker, err = Open(context.Background(), Options{
		NodeID:        node,
		Meta:          meta.Options{Dir: filepath.Join(n.dir, "meta"), Bootstrap: true},
		Store:         n.store,
		LoopbackUsers: []string{"guest"},
		Logger:        log,
		CloseConnections: func(match func(id uint64, vhost, user string) bool, reason string) {
			n.closingMu.Lock()
			defer n.closingMu.Unlock()
			if match(0, "v", "-") || match(0, "-", "u") {
				n.closing = append(n.closing, reason)
			}
		},
	})
	if err != nil {
		n.t.Fatalf("broker: %v", err)
	}
}

func (n *testNode) stop() {
	n.t.Helper()
	if n.Broker == nil {
		return
	}
	if err := n.Broker.Close(context.Background()); err != nil {
		n.t.Errorf("closing the broker: %v", err)
	}
	if err := n.store.Close(context.Background()); err != nil {
		n.t.Errorf("closing the store: %v", err)
	}
	n.Broker = nil
}

func (n *testNode) restart() {
	n.t.Helper()
	n.stop()
	n.start()
}

// connect opens vhost / as guest.
func (n *testNode) connect() *Access {
	n.t.Helper()
	return n.connectAs("guest")
}

func (n *testNode) connectAs(user string) *Access {
	n.t.Helper()
	n.conns++
	a, err := n.Open(&User{Name: user}, "/", n.conns)
	if err != nil {
		n.t.Fatalf("open: %v", err)
	}
	return a
}

func (n *testNode) propose(c meta.Command) {
	n.t.Helper()
	if _, err := n.Broker.propose(c); err != nil {
		n.t.Fatalf("%T: %v", c, err)
	}
}

// want fails unless err is the AMQP error with this reply text; "" wants none.
func want(t *testing.T, err error, text string) {
	t.Helper()
	got := ""
	var amqp *wire.Error
	if errors.As(err, &amqp) {
		got = amqp.Text
	} else if err != nil {
		got = "not an AMQP error: " + err.Error()
	}
	if len(text) > 255 {
		text = text[:255]
	}
	if got != text {
		t.Errorf("got  %q\nwant %q", got, text)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// table makes a field table of names and values in turn.
func table(fields ...any) (t wire.Table) {
	for i := 0; i < len(fields); i += 2 {
		var v wire.Value
		switch x := fields[i+1].(type) {
		case string:
			v = wire.String(x)
		case int:
			v = wire.Int32(int32(x))
			if int(int32(x)) != x {
				v = wire.Int64(int64(x))
			}
		case bool:
			v = wire.Bool(x)
		case float64:
			v = wire.Double(x)
		case wire.Value:
			v = x
		}
		t = append(t, wire.Field{Name: fields[i].(string), Value: v})
	}
	return t
}

// receiver takes every delivery and keeps count.
type receiver struct {
	mu        sync.Mutex
	got       int
	cancelled bool
}

func (r *receiver) Reserve(_ *queue.Consumer, n int) int { return n }
func (r *receiver) Unreserve(*queue.Consumer, int)       {}
func (r *receiver) Deliver(_ *queue.Consumer, pieces []queue.Piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range pieces {
		r.got += p.Count
	}
}
func (r *receiver) Cancelled(*queue.Consumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancelled = true
}
