package certs

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func request(dir string) Request {
	return Request{Dir: dir, Nodes: []string{"n1", "n2"}, Clients: []string{"app"}, Hosts: []string{"localhost", "127.0.0.1", "*.example"},
		Valid: 24 * time.Hour}
}

func mustCreate(t *testing.T, r Request) *Created {
	t.Helper()
	c, err := Create(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(b) {
		t.Fatalf("no certificate in %s", path)
	}
	return p
}

func pair(t *testing.T, p Pair) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	c := mustCreate(t, request(dir))
	roots := pool(t, c.CA)
	verify := func(p Pair, host string, usage x509.ExtKeyUsage) error {
		_, err := pair(t, p).Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	for _, test := range []struct {
		pair  Pair
		host  string
		usage x509.ExtKeyUsage
		good  bool
	}{
		{c.Nodes[0], "n1", x509.ExtKeyUsageServerAuth, true},
		{c.Nodes[0], "localhost", x509.ExtKeyUsageServerAuth, true},
		{c.Nodes[0], "127.0.0.1", x509.ExtKeyUsageServerAuth, true},
		{c.Nodes[0], "a.example", x509.ExtKeyUsageServerAuth, true},
		{c.Nodes[0], "n2", x509.ExtKeyUsageServerAuth, false},
		{c.Nodes[1], "n2", x509.ExtKeyUsageClientAuth, true},
		{c.Clients[0], "", x509.ExtKeyUsageClientAuth, true},
		{c.Clients[0], "", x509.ExtKeyUsageServerAuth, false},
	} {
		if err := verify(test.pair, test.host, test.usage); (err == nil) != test.good {
			t.Errorf("%s for %q and usage %d: %v, want good %v", test.pair.Name, test.host, test.usage, err, test.good)
		}
	}
	if cn := pair(t, c.Clients[0]).Leaf.Subject.CommonName; cn != "app" {
		t.Errorf("common name of the client: %q", cn)
	}
	for _, key := range []string{filepath.Join(dir, CAKeyFile), c.Nodes[0].Key, c.Nodes[1].Key, c.Clients[0].Key} {
		info, err := os.Stat(key)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", key, info.Mode(), err)
		}
	}
}

// TestCreateOverwritesNothing has one of the files exist; the others must not be left behind.
func TestCreateOverwritesNothing(t *testing.T) {
	for _, name := range []string{"n1.pem", "n2-key.pem", "app-key.pem"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Create(request(dir))
		if err == nil || !strings.Contains(err.Error(), path+" exists and is not overwritten") {
			t.Errorf("%s: %v", name, err)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 {
			t.Errorf("%s: left behind %v, %v", name, files, err)
		}
		if b, _ := os.ReadFile(path); string(b) != "mine" {
			t.Errorf("%s was changed to %q", name, b)
		}
	}
}

// TestCreateAgain adds a node to what an earlier call has made, and refuses an authority that is not complete.
func TestCreateAgain(t *testing.T) {
	dir := t.TempDir()
	first := mustCreate(t, request(dir))
	again := mustCreate(t, Request{Dir: dir, Nodes: []string{"n3"}, Valid: 48 * time.Hour})
	if !again.ReusedCA || first.ReusedCA {
		t.Errorf("authority reused: first %v, then %v", first.ReusedCA, again.ReusedCA)
	}
	leaf := pair(t, again.Nodes[0]).Leaf
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool(t, first.CA), DNSName: "n3"}); err != nil {
		t.Error(err)
	}
	if err := os.Rename(filepath.Join(dir, CAKeyFile), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(Request{Dir: dir, Nodes: []string{"n4"}, Valid: time.Hour}); err == nil || !strings.Contains(err.Error(), "key cannot be read") {
		t.Errorf("authority without its key: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, CAKeyFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(first.CA); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(Request{Dir: dir, Nodes: []string{"n4"}, Valid: time.Hour}); err == nil || !strings.Contains(err.Error(), "exists without ca.pem") {
		t.Errorf("key without its authority: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	good := Request{Dir: filepath.Join(t.TempDir(), "x"), Nodes: []string{"n1"}, Valid: time.Hour}
	for want, change := range map[string]func(*Request){
		"no certificate asked for":                   func(r *Request) { r.Nodes = nil },
		`node "../n1" is not`:                        func(r *Request) { r.Nodes = []string{"../n1"} },
		`node "" is not`:                             func(r *Request) { r.Nodes = []string{""} },
		`node "ca": a certificate of this name`:      func(r *Request) { r.Nodes = []string{"ca"} },
		`client "n1": a certificate of this name`:    func(r *Request) { r.Clients = []string{"n1"} },
		`would share a file`:                         func(r *Request) { r.Clients = []string{"n1-key"} },
		`host "a b" is neither`:                      func(r *Request) { r.Hosts = []string{"a b"} },
		`validity of 1s is shorter than an hour`:     func(r *Request) { r.Valid = time.Second },
		`1001 names are more than 1000`:              func(r *Request) { r.Hosts = slices.Repeat([]string{"h"}, 1000) },
		`client "x y" is not 1 to 64 letters, digit`: func(r *Request) { r.Clients = []string{"x y"} },
	} {
		r := good
		change(&r)
		if _, err := Create(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := os.Stat(good.Dir); err == nil {
		t.Error("a refused request has made the directory")
	}
}
