package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/internal/certs"
	"github.com/brokerd/brokerd/internal/config"
)

// startNode starts a node on free ports; edit changes its configuration before.
func startNode(t testing.TB, edit func(*config.Config)) *Node {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.AMQP.Listen, cfg.HTTP.Listen = []string{"127.0.0.1:0"}, "127.0.0.1:0"
	if edit != nil {
		edit(cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n, err := Start(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

// get returns the code and body of an answer.
func get(t testing.TB, n *Node, path, user, password string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+n.HTTPAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func dial(t testing.TB, url string, config amqp.Config) *amqp.Connection {
	t.Helper()
	c, err := amqp.DialConfig(url, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within 10 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestHTTP(t *testing.T) {
	n := startNode(t, nil)
	if code, body := get(t, n, "/health/ready", "", ""); code != 200 {
		t.Errorf("ready: %d %s", code, body)
	}
	ch, err := dial(t, "amqp://guest:guest@"+n.Addrs()[0], amqp.Config{}).Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := ch.PublishWithContext(t.Context(), "", "q", true, false, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "three messages in the queue", func() bool {
		_, text := get(t, n, "/metrics/per-object?vhost=%2F&queue=q", "", "")
		return strings.Contains(text, `rabbitmq_queue_messages_ready{queue="q",vhost="/"} 3`)
	})
	_, text := get(t, n, "/metrics", "", "")
	for _, line := range []string{"brokerd_ready 1", "brokerd_connections 1", "rabbitmq_queues 1", "brokerd_messages_received_total 3",
		"brokerd_queues_created_total 1", "brokerd_metadata_has_leader 1", "brokerd_alarm_disk 0", "brokerd_cluster_vhosts 1"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	if _, err := n.Broker().PutUser(t.Context(), "plain", cluster.Secret{Password: "plain"}, []string{"monitoring"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, password string
		code           int
	}{{"", "", 401}, {"guest", "guest", 200}, {"plain", "plain", 401}} {
		if code, body := get(t, n, "/debug/pprof/cmdline", c.user, c.password); code != c.code {
			t.Errorf("profiles as %q: %d %s, want %d", c.user, code, body, c.code)
		}
	}
	n.shortages.Store(&shortages{disk: true})
	if got := n.notReady(); got != "publishers are blocked: low on disk" {
		t.Errorf("not ready: %q", got)
	}
	n.shortages.Store(&shortages{})
	n.phase.Store(phaseStopping)
	if code, body := get(t, n, "/health/ready", "", ""); code != 503 || !strings.Contains(body, "the node is stopping") {
		t.Errorf("stopping: %d %s", code, body)
	}
	if _, text := get(t, n, "/metrics", "", ""); strings.Contains(text, "brokerd_") {
		t.Error("a node that stops shows figures")
	}
}

func TestHTTPPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.AMQP.Listen, cfg.HTTP.Listen = []string{"127.0.0.1:0"}, l.Addr().String()
	if _, err := Start(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "http.listen: another process listens on") {
		t.Errorf("got %v", err)
	}
}

// TestTLSReload exchanges the files of a node that serves TLS to a client, which stays.
func TestTLSReload(t *testing.T) {
	dir := t.TempDir()
	made := func(name string) *certs.Created {
		c, err := certs.Create(certs.Request{Dir: filepath.Join(dir, name), Nodes: []string{name}, Clients: []string{"guest"},
			Hosts: []string{"127.0.0.1"}, Valid: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	put := func(from, to string) {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one, two := made("one"), made("two")
	serve := func(c *certs.Created) {
		put(c.CA, "ca")
		put(c.Nodes[0].Cert, "cert")
		put(c.Nodes[0].Key, "key")
	}
	serve(one)
	n := startNode(t, func(c *config.Config) {
		c.AMQP.TLS = config.TLS{Listen: []string{"127.0.0.1:0"}, Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"),
			CA: filepath.Join(dir, "ca"), ClientCerts: config.ClientCertsRequire, UserFrom: "cn", MinVersion: "1.3"}
	})
	connect := func(c *certs.Created) (*amqp.Connection, error) {
		ca, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		pair, err := tls.LoadX509KeyPair(c.Clients[0].Cert, c.Clients[0].Key)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		return amqp.DialConfig("amqps://"+n.TLSAddrs()[0], amqp.Config{SASL: []amqp.Authentication{&amqp.ExternalAuth{}},
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}})
	}
	first, err := connect(one)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, text := get(t, n, "/metrics", "", ""); !strings.Contains(text, "\nbrokerd_tls_certificate_expiry_timestamp_seconds ") {
		t.Error("no metric of the certificate's end")
	}
	serve(two)
	eventually(t, "serving the second certificate", func() bool {
		c, err := connect(two)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	if _, err := connect(one); err == nil {
		t.Error("a certificate of the first authority is still accepted")
	}
	ch, err := first.Channel()
	if err != nil {
		t.Fatalf("the connection from before: %v", err)
	}
	if _, err := ch.QueueDeclare("", false, true, true, false, nil); err != nil {
		t.Error(err)
	}
}

// BenchmarkSnapshot measures the figures of a node with 10,000 queues.
func BenchmarkSnapshot(b *testing.B) {
	n := startNode(b, func(c *config.Config) { c.Log.Level = slog.LevelError })
	a, err := n.Broker().Open(&cluster.User{Name: "guest"}, "/", 1)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	const queues = 10_000
	errs := make(chan error, 50)
	for worker := range cap(errs) {
		go func() {
			for i := worker; i < queues; i += cap(errs) {
				if _, err := a.DeclareQueue(cluster.QueueSpec{Name: fmt.Sprintf("q%d", i), Arguments: wire.Table{}}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if s := n.snapshot(); s.Queues.Queues != queues {
			b.Fatalf("%d queues", s.Queues.Queues)
		}
	}
}
