package certs

import (
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is a clock that the test turns.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

// served are files in the places that a source looks at.
type served struct {
	t    *testing.T
	dir  string
	opts Options
	made *Created
	log  strings.Builder
	*clock
}

func newServed(t *testing.T) *served {
	s := &served{t: t, dir: t.TempDir(), clock: &clock{t: time.Now()}}
	s.made = mustCreate(t, request(filepath.Join(s.dir, "made")))
	at := func(name string) string { return filepath.Join(s.dir, name) }
	s.opts = Options{Field: "amqp.tls", Cert: at("cert"), Key: at("key"), CA: at("ca"), ClientAuth: tls.RequireAndVerifyClientCert,
		Logger: slog.New(slog.NewTextHandler(&s.log, nil)), now: s.now}
	s.put(s.made.Nodes[0].Cert, "cert")
	s.put(s.made.Nodes[0].Key, "key")
	s.put(s.made.CA, "ca")
	return s
}

// put copies a file to the place name.
func (s *served) put(from, name string) {
	s.t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// serves says which node's certificate a new client would see.
func serves(t *testing.T, src *Source) string {
	t.Helper()
	c, err := src.Config().GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Certificates[0].Leaf.Subject.CommonName
}

func TestReload(t *testing.T) {
	s := newServed(t)
	src, err := Load(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(name string, lines int) {
		t.Helper()
		if got := serves(t, src); got != name {
			t.Errorf("serves %s, want %s", got, name)
		}
		if got := strings.Count(s.log.String(), "\n"); got != lines {
			t.Errorf("%d lines were logged, want %d:\n%s", got, lines, s.log.String())
		}
	}
	expect("n1", 0)
	n2 := s.made.Nodes[1]
	s.put(n2.Cert, "cert") // with the key of n1 so far
	expect("n1", 0)
	s.advance(checkInterval / 2)
	expect("n1", 0) // not looked at yet
	s.advance(checkInterval)
	expect("n1", 1)
	s.advance(checkInterval)
	expect("n1", 1) // logged once
	s.put(n2.Key, "key")
	s.advance(checkInterval)
	expect("n2", 2)
	if got := src.Leaf().Subject.CommonName; got != "n2" {
		t.Errorf("leaf is %s", got)
	}
	s.put(filepath.Join(s.dir, "made", CAKeyFile), "ca") // a key is no certificate
	s.advance(checkInterval)
	expect("n2", 3)
	if err := os.Remove(s.opts.CA); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.advance(checkInterval)
		expect("n2", 4)
	}
	s.put(s.made.CA, "ca") // as it is in use
	s.advance(checkInterval)
	expect("n2", 4)
	for _, want := range []string{"does not match", "no certificate in", "no such file"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, s.log.String())
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for want, change := range map[string]func(s *served){
		"amqp.tls.cert and amqp.tls.key: both files": func(s *served) { s.opts.Key = "" },
		"amqp.tls.ca: a file with the authorities":   func(s *served) { s.opts.CA = "" },
		"amqp.tls.cert: stat":                        func(s *served) { s.opts.Cert += "x" },
		"amqp.tls.key: \"":                           func(s *served) { s.opts.Key = s.dir },
		"private key does not match":                 func(s *served) { s.put(s.made.Nodes[1].Key, "key") },
		"amqp.tls.ca: no certificate in":             func(s *served) { s.put(s.made.Nodes[1].Key, "ca") },
	} {
		s := newServed(t)
		change(s)
		if _, err := Load(s.opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestExpiredCertificateIsLogged(t *testing.T) {
	s := newServed(t)
	s.advance(48 * time.Hour)
	if _, err := Load(s.opts); err != nil || !strings.Contains(s.log.String(), "has expired") {
		t.Errorf("%v, log %s", err, s.log.String())
	}
}
