package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/node"
)

// testNode is a real node in this process that the tests share: a single one, with its socket in dir and AMQP on amqp.
type testNode struct {
	dir, amqp string
	node      *node.Node
	err       error
}

var (
	shared     testNode
	startsOnce sync.Once
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "brokerctl-*")
	if err != nil {
		panic(err)
	}
	shared.dir = dir
	// Nothing of whoever runs the tests may matter.
	for _, name := range os.Environ() {
		if strings.HasPrefix(name, "BROKERCTL_") {
			name, _, _ = strings.Cut(name, "=")
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("BROKERCTL_CONFIG", filepath.Join(dir, "brokerctl.yaml"))
	code := m.Run()
	if shared.node != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := shared.node.Shutdown(ctx); err != nil && code == 0 {
			println("shutdown:", err.Error())
			code = 1
		}
		cancel()
	}
	_ = os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// startNode returns the node that the tests share; it is started when the first test needs it.
func startNode(t *testing.T) *testNode {
	t.Helper()
	startsOnce.Do(func() {
		cfg := config.Default()
		cfg.DataDir = filepath.Join(shared.dir, "data")
		cfg.Node.Name = "node1"
		cfg.AMQP.Listen = []string{"127.0.0.1:0"}
		cfg.HTTP.Listen = ""
		cfg.Store.MinFree = 0
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		shared.node, shared.err = node.Start(ctx, cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if shared.err == nil {
			shared.amqp = shared.node.Addrs()[0]
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return &shared
}

// result is what a command line did.
type result struct {
	out, errs string
	code      int
}

// ctl runs a command line against the node.
func (n *testNode) ctl(stdin string, args ...string) result {
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	code := run(ctx, args, strings.NewReader(stdin), &out, &errs)
	return result{out.String(), errs.String(), code}
}

// must runs a command line that has to work.
func (n *testNode) must(t *testing.T, args ...string) string {
	t.Helper()
	r := n.ctl("", n.here(args)...)
	if r.code != 0 {
		t.Fatalf("brokerctl %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.errs)
	}
	return r.out
}

// here adds where the node is.
func (n *testNode) here(args []string) []string {
	return append([]string{"--data-dir", filepath.Join(n.dir, "data")}, args...)
}
