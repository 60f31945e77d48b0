package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCertsCreate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certs")
	out, err := execute("certs", "create", "--out", dir, "--node", "n1", "--node", "n2", "--host", "broker.example", "--client", "app")
	if err != nil {
		t.Fatal(err)
	}
	const want = `authority DIR/ca.pem
node      DIR/n1.pem
node      DIR/n2.pem
client    DIR/app.pem

# configuration of n1
amqp:
  tls:
    listen: [":5671"]
    cert: "DIR/n1.pem"
    key: "DIR/n1-key.pem"
    ca: "DIR/ca.pem"
    client_certs: request

# configuration of n2
amqp:
  tls:
    listen: [":5671"]
    cert: "DIR/n2.pem"
    key: "DIR/n2-key.pem"
    ca: "DIR/ca.pem"
    client_certs: request

# client app: trust "DIR/ca.pem", show "DIR/app.pem" with key "DIR/app-key.pem", log in with EXTERNAL
`
	if got := strings.ReplaceAll(out, dir, "DIR"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	out, err = execute("certs", "create", "--out", dir, "--node", "n1")
	if err == nil || exitCode(err) != exitFailure || !strings.Contains(err.Error(), "n1.pem exists and is not overwritten") {
		t.Errorf("second call: %v, %s", err, out)
	}
	out, err = execute("certs", "create", "--out", dir, "--client", "other")
	if err != nil || !strings.Contains(out, "ca.pem (as it was)") {
		t.Errorf("another client: %v, %s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 10 {
		t.Errorf("%d files, %v; want 10", len(files), err)
	}
}

func TestCertsCreateRefuses(t *testing.T) {
	t.Parallel()
	if _, err := execute("certs", "create", "--days", "0"); err == nil || exitCode(err) != exitUsage {
		t.Errorf("--days 0: %v", err)
	}
	if _, err := execute("certs", "make"); err == nil || exitCode(err) != exitUsage {
		t.Errorf("certs make: %v", err)
	}
}
