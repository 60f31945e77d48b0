package network

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestListenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t)
	for _, c := range []struct {
		name    string
		options Options
		err     error
		texts   []string
	}{
		{"no authentication", Options{Node: "a", Listen: "0.0.0.0:0"}, ErrInsecure, []string{"0.0.0.0:0", "cluster.secret", "cluster.tls"}},
		{"no node", Options{}, ErrOption, []string{"node id is empty"}},
		{"long node", Options{Node: strings.Repeat("x", 65)}, ErrOption, []string{"65 bytes", "64"}},
		{"odd name", Options{Node: "a", Name: "x\ny"}, ErrOption, []string{"node name", `"x\ny"`}},
		{"advertised port", Options{Node: "a", Listen: "127.0.0.1:0", Advertise: "host:0"}, ErrOption, []string{"cluster.advertise", "host:0"}},
		{"advertised everywhere", Options{Node: "a", Listen: "127.0.0.1:0", Advertise: "0.0.0.0:1"}, ErrOption, []string{"cluster.advertise", "0.0.0.0:1"}},
		{"no key file", Options{Node: "a", TLS: &TLSOptions{CAFile: ca.valid(t).CAFile}}, ErrOption, []string{"cluster.tls.cert_file"}},
		{"server only", Options{Node: "a", TLS: ca.issue(t, dir, 3, time.Now().Add(time.Hour), both()[:1])}, nil, []string{"cluster.tls.cert_file", "good for client and server"}},
	} {
		n, err := Listen(c.options)
		if err == nil {
			shut(t, n)
			t.Errorf("%s: no error", c.name)
			continue
		}
		if c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: want %v, got %v", c.name, c.err, err)
		}
		for _, text := range c.texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: no %q in %q", c.name, text, err)
			}
		}
	}
}

func TestAdvertised(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, advertise, host string }{
		{"127.0.0.1:0", "", "127.0.0.1"},
		{"localhost:0", "", "localhost"},
		{"127.0.0.1:0", "broker-1", "broker-1"},
		{"127.0.0.1:0", "broker-1:99", "broker-1:99"},
		{"0.0.0.0:0", "", ""},
	} {
		n := open(t, Options{Node: "a", Listen: c.listen, Advertise: c.advertise, Secret: testSecret})
		host, port, err := net.SplitHostPort(n.Advertised())
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if c.host == "" {
			if host == "" || net.ParseIP(host).IsUnspecified() {
				t.Errorf("%+v: advertises %s", c, n.Advertised())
			}
			continue
		}
		want := c.host
		if !strings.Contains(want, ":") {
			want = fmt.Sprintf("%s:%d", want, n.Addr().(*net.TCPAddr).Port)
		}
		if n.Advertised() != want {
			t.Errorf("%+v: advertises %s, want %s (port %s)", c, n.Advertised(), want, port)
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	cluster := func(id string) func() string { return func() string { return id } }
	for _, c := range []struct {
		name   string
		caller Options
		called Options
		err    error
		texts  []string
		logged string // by the one that was called
	}{
		{name: "open", caller: Options{Node: "a"}, called: Options{Node: "b"}},
		{name: "secret", caller: Options{Node: "a", Secret: testSecret}, called: Options{Node: "b", Secret: testSecret}},
		{name: "TLS", caller: Options{Node: "a", TLS: ca.valid(t)}, called: Options{Node: "b", TLS: ca.valid(t)}},
		{name: "TLS and secret", caller: Options{Node: "a", Secret: testSecret, TLS: ca.valid(t)}, called: Options{Node: "b", Secret: testSecret, TLS: ca.valid(t)}},
		{name: "joining", caller: Options{Node: "a", Secret: testSecret}, called: Options{Node: "b", Secret: testSecret, ClusterID: cluster("c1")}},
		{name: "wrong secret", caller: Options{Node: "a", Secret: []byte("another one")}, called: Options{Node: "b", Secret: testSecret},
			err: ErrWrongSecret, texts: []string{"cluster.secret"}, logged: "wrong cluster secret"},
		{name: "wrong secret in TLS", caller: Options{Node: "a", Secret: []byte("another one"), TLS: ca.valid(t)}, called: Options{Node: "b", Secret: testSecret, TLS: ca.valid(t)},
			err: ErrWrongSecret, logged: "wrong cluster secret"},
		{name: "foreign cluster", caller: Options{Node: "a", ClusterID: cluster("c2")}, called: Options{Node: "b", ClusterID: cluster("c1")},
			err: ErrForeignCluster, texts: []string{"c1", "c2"}, logged: "foreign cluster"},
		{name: "version", caller: Options{Node: "a", versions: versions{2, 3}}, called: Options{Node: "b"},
			err: ErrVersion, texts: []string{"2 to 3"}, logged: "incompatible version"},
		{name: "self", caller: Options{Node: "a"}, called: Options{Node: "a"}, err: ErrSelf, logged: "connection to itself"},
		{name: "TLS to plain", caller: Options{Node: "a", TLS: ca.valid(t)}, called: Options{Node: "b"},
			err: ErrTLS, texts: []string{"the other node has no cluster.tls"}, logged: "the other node uses TLS"},
		{name: "plain to TLS", caller: Options{Node: "a"}, called: Options{Node: "b", TLS: ca.valid(t)},
			err: ErrTLS, texts: []string{"requires TLS"}, logged: "the other node has no cluster.tls"},
		{name: "other authority", caller: Options{Node: "a", TLS: other.valid(t)}, called: Options{Node: "b", TLS: ca.valid(t)},
			err: ErrTLS, logged: "cluster TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log logged
			c.called.Name, c.called.Release, c.called.Logger = "beta", "2.1", log.logger()
			called, caller := serve(t, c.called), open(t, c.caller)
			id, err := caller.Probe(timeout(t), called.Addr().String())
			if c.err == nil {
				want := Identity{Node: "b", Name: "beta", Cluster: called.options.ClusterID(), Address: called.Addr().String(), Release: "2.1", Protocol: maxProtocol}
				if err != nil || id != want {
					t.Fatalf("got %+v, %v; want %+v", id, err, want)
				}
				if known, ok := caller.Identity("b"); !ok || known != want {
					t.Errorf("the book has %+v, %v", known, ok)
				}
				eventually(t, "the other has the caller's address", func() bool {
					at, ok := called.Address("a")
					return ok && at == caller.Advertised()
				})
				return
			}
			if !errors.Is(err, c.err) {
				t.Fatalf("want %v, got %v", c.err, err)
			}
			for _, text := range append(c.texts, called.Addr().String()) {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("no %q in %q", text, err)
				}
			}
			if _, ok := caller.Address("b"); ok {
				t.Error("the other is in the book")
			}
			eventually(t, "the other logs "+c.logged, func() bool {
				return strings.Contains(strings.Join(log.all(), ""), c.logged)
			})
		})
	}
}

// Somebody with a certificate of the authority, but without the secret, cannot stand between two nodes: the proofs name the TLS
// session, and his two are different ones.
func TestRelayBetweenTLSSessionsFails(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	secured := func(node string) Options { return Options{Node: node, Secret: testSecret, TLS: ca.valid(t)} }
	a, b := open(t, secured("a")), serve(t, secured("b"))
	evil, err := newCertificates(*ca.valid(t), a.log)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", evil.config(true))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		in, err := ln.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := tls.Dial("tcp", b.Addr().String(), evil.config(false))
		if err != nil {
			return
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _ = io.Copy(in, out)
			in.Close()
		}()
		_, _ = io.Copy(out, in)
		out.Close()
		<-answered
	}()
	if _, err := a.Probe(timeout(t), ln.Addr().String()); !errors.Is(err, ErrWrongSecret) {
		t.Errorf("want ErrWrongSecret, got %v", err)
	}
	<-done
}

// A certificate that runs out while the node is up is refused from then on, by both sides.
func TestExpiredCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	dir := t.TempDir()
	stale := ca.issue(t, dir, 5, time.Now().Add(-time.Minute), both())
	if _, err := Listen(Options{Node: "a", Listen: "127.0.0.1:0", TLS: stale}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("Listen with an expired certificate: %v", err)
	}
	good, bad := serve(t, Options{Node: "a", TLS: ca.valid(t)}), serve(t, Options{Node: "b", TLS: ca.valid(t)})
	pairOf, err := stale.load()
	if err == nil {
		t.Fatal("an expired certificate was loaded")
	}
	pairOf.roots = bad.certificates.loaded.roots
	pairOf.pair = mustPair(t, stale)
	bad.certificates.mu.Lock()
	bad.certificates.loaded = pairOf
	bad.certificates.mu.Unlock()
	for _, c := range []struct{ from, to *Network }{{good, bad}, {bad, good}} {
		if _, err := c.from.Probe(timeout(t), c.to.Addr().String()); !errors.Is(err, ErrTLS) {
			t.Errorf("from %s to %s: want ErrTLS, got %v", c.from.options.Node, c.to.options.Node, err)
		}
	}
}

// Renewed files are used without a restart, and files that do not fit together, as in the middle of a renewal, do no harm.
func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	a := serve(t, Options{Node: "a", TLS: first.issue(t, dir, 2, time.Now().Add(time.Hour), both())})
	old, renewed := open(t, Options{Node: "b", TLS: first.valid(t)}), open(t, Options{Node: "c", TLS: second.valid(t)})
	probe := func(n *Network) error {
		_, err := n.Probe(timeout(t), a.Addr().String())
		return err
	}
	if err := probe(old); err != nil {
		t.Fatal(err)
	}
	if err := probe(renewed); !errors.Is(err, ErrTLS) {
		t.Fatalf("before: want ErrTLS, got %v", err)
	}
	writePEM(t, filepath.Join(dir, "cert.pem"), "NONSENSE", []byte("x"))
	if err := probe(old); err != nil {
		t.Errorf("in the middle: %v", err)
	}
	second.issue(t, dir, 1234567, time.Now().Add(time.Hour), both())
	if err := probe(renewed); err != nil {
		t.Errorf("after: %v", err)
	}
	if err := probe(old); !errors.Is(err, ErrTLS) {
		t.Errorf("after, old authority: want ErrTLS, got %v", err)
	}
}

// A node that trusts everybody on the machine asks nobody elsewhere.
func TestInsecureStaysOnTheMachine(t *testing.T) {
	t.Parallel()
	host, err := localHost()
	if err != nil || net.ParseIP(host) == nil || net.ParseIP(host).IsLoopback() {
		t.Skipf("no address but loopback: %s, %v", host, err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no listener on %s: %v", host, err)
	}
	defer ln.Close()
	a := open(t, Options{Node: "a"})
	if _, err := a.Probe(timeout(t), ln.Addr().String()); !errors.Is(err, ErrInsecure) {
		t.Errorf("want ErrInsecure, got %v", err)
	}
}

func TestProbeOfSomethingElse(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Node: "a", Secret: testSecret, DialTimeout: 300 * time.Millisecond})
	for name, behave := range map[string]func(net.Conn){
		"says nothing":  func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"closes":        func(net.Conn) {},
		"says nonsense": func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if c, err := ln.Accept(); err == nil {
				behave(c)
				c.Close()
			}
		}()
		if _, err := a.Probe(timeout(t), ln.Addr().String()); !errors.Is(err, ErrHandshake) {
			t.Errorf("%s: want ErrHandshake, got %v", name, err)
		}
		ln.Close()
		<-done
	}
	for _, address := range []string{"", "host", "host:0", ":7672", "host:70000"} {
		if _, err := a.Probe(timeout(t), address); !errors.Is(err, ErrOption) {
			t.Errorf("address %q: want ErrOption, got %v", address, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.Probe(ctx, "127.0.0.1:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	shut(t, a)
	if _, err := a.Probe(timeout(t), "127.0.0.1:1"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: want ErrClosed, got %v", err)
	}
}

// Whoever is silent, slow or talks nonsense takes no place for good and keeps nobody out who comes from elsewhere; at no time
// are there more handshakes than allowed.
func TestHostileCallers(t *testing.T) {
	t.Parallel()
	a := serve(t, Options{Node: "a", Secret: testSecret})
	_, hello := newParty(t, "evil", "", "").say(kindRaft, "")
	var wg sync.WaitGroup
	var conns []net.Conn
	for i := range 3 * maxHandshakes {
		c, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		switch i % 4 {
		case 0: // silent
		case 1: // stops in the middle
			_, _ = c.Write(hello[:20])
		case 2: // garbage
			_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		case 3: // slow
			wg.Add(1)
			go func() {
				defer wg.Done()
				for _, b := range hello {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
				}
			}()
		}
	}
	a.mu.Lock()
	handshakes := a.handshakes
	a.mu.Unlock()
	if handshakes > maxHandshakesFrom {
		t.Errorf("%d handshakes with one address at once", handshakes)
	}
	if other := "192.0.2.7"; a.begin(other) {
		a.end(other)
	} else {
		t.Error("one address keeps another one out")
	}
	for _, c := range conns {
		c.Close()
	}
	wg.Wait()
	eventually(t, "the handshakes have ended", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.handshakes == 0 && len(a.handshakesFrom) == 0 && len(a.conns) == 0
	})
	b := open(t, Options{Node: "b", Secret: testSecret})
	if _, err := b.Probe(timeout(t), a.Addr().String()); err != nil {
		t.Errorf("a good caller afterwards: %v", err)
	}
}

// Close does not wait for callers that never say who they are.
func TestCloseDuringHandshakes(t *testing.T) {
	t.Parallel()
	a := serve(t, Options{Node: "a", Secret: testSecret})
	c, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	eventually(t, "the handshake has begun", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.handshakes == 1
	})
	shut(t, a)
	if err := a.Close(timeout(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if _, err := a.Conn("x"); !errors.Is(err, ErrClosed) {
		t.Errorf("Conn after Close: %v", err)
	}
}

func TestRepeatedFailuresAreLoggedOncePerMinute(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	l := &limiter{now: func() time.Time { return now }, last: map[string]time.Time{}}
	if !l.allow("a") || l.allow("a") || !l.allow("b") {
		t.Error("the first is logged, the second is not, another address is")
	}
	now = now.Add(logInterval)
	if !l.allow("a") || l.allow("a") {
		t.Error("after a minute, one is logged again")
	}
	for i := range 10 * logKeys {
		l.allow(fmt.Sprint(i))
	}
	if len(l.last) > logKeys {
		t.Errorf("%d addresses are remembered", len(l.last))
	}
	now = now.Add(logInterval)
	if !l.allow("new") {
		t.Error("nothing is logged any more after a flood")
	}

	var log logged
	a := serve(t, Options{Node: "a", Secret: testSecret, Logger: log.logger()})
	b := open(t, Options{Node: "b", Secret: []byte("wrong")})
	for range 5 {
		if _, err := b.Probe(timeout(t), a.Addr().String()); !errors.Is(err, ErrWrongSecret) {
			t.Fatal(err)
		}
	}
	shut(t, a)
	if got := len(log.all()); got != 1 {
		t.Errorf("%d lines for five refusals: %q", got, log.all())
	}
}
