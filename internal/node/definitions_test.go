package node

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/definitions"
)

const loadedFile = `{
"vhosts": [{"name": "/"}],
"users": [{"name": "boss", "password": "b", "tags": ["administrator"]}],
"permissions": [{"user": "boss", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
"queues": [{"name": "q", "vhost": "/", "durable": true, "auto_delete": false}]}`

// TestLoadDefinitions starts a node with definitions: first a file with a mistake, then a good one, then the good one again.
func TestLoadDefinitions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "definitions.json")
	cfg := config.Default()
	cfg.DataDir = filepath.Join(dir, "data")
	cfg.AMQP.Listen, cfg.HTTP.Listen = []string{"127.0.0.1:0"}, ""
	cfg.Definitions.Load = path
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func() *Node {
		t.Helper()
		n, err := Start(t.Context(), cfg, log)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	stop := func(n *Node) {
		t.Helper()
		if err := n.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	write("{\n\"queues\": {}}")
	_, err := Start(t.Context(), cfg, log)
	var wrong definitions.Errors
	if !errors.As(err, &wrong) || wrong[0].Error() != path+":2:11: queues: found an object, want a list" {
		t.Errorf("a bad file: %v", err)
	}

	write(loadedFile)
	n := start()
	s := n.Broker().State()
	if s.Queue("/", "q") == nil || s.User("boss") == nil {
		t.Error("definitions were not loaded")
	}
	if s.User("guest") != nil {
		t.Error("the default user is there beside another administrator")
	}
	if _, err := n.Broker().DeleteQueue(t.Context(), "/", "q", false, false); err != nil {
		t.Fatal(err)
	}
	stop(n)

	n = start()
	if n.Broker().State().Queue("/", "q") != nil {
		t.Error("content that was loaded before was loaded again")
	}
	stop(n)
}
