package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/internal/certs"
)

// made are certificates for all tests: of the node "n1" and the clients "guest", "certified" and "nobody".
var made = sync.OnceValue(func() *certs.Created {
	c, err := certs.Create(certs.Request{Dir: filepath.Join(testDir, "certs"), Nodes: []string{"n1"}, Clients: []string{"guest", "certified", "nobody"},
		Hosts: []string{"localhost", "127.0.0.1"}, Valid: time.Hour})
	check(err)
	return c
})

// startTLS is startServer with a TLS listener.
func startTLS(t *testing.T, o Options, auth tls.ClientAuthType) *testServer {
	t.Helper()
	s := startServer(t, o)
	c := made()
	src, err := certs.Load(certs.Options{Field: "amqp.tls", Cert: c.Nodes[0].Cert, Key: c.Nodes[0].Key, CA: c.CA, ClientAuth: auth})
	check(err)
	if err := s.ListenTLS(t.Context(), src.Config(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s
}

// clientTLS is the configuration of a client, with the certificate of user unless that is empty.
func clientTLS(user string) *tls.Config {
	c := made()
	ca, err := os.ReadFile(c.CA)
	check(err)
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "n1"}
	config.RootCAs.AppendCertsFromPEM(ca)
	for _, p := range c.Clients {
		if p.Name == user {
			pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
			check(err)
			config.Certificates = []tls.Certificate{pair}
		}
	}
	return config
}

func (s *testServer) dialTLS(config *tls.Config) *client {
	s.t.Helper()
	nc, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	return &client{t: s.t, nc: nc, patience: 5 * time.Second}
}

// only returns the one connection there is. A client may know that it is open a moment before the server lists it.
func (s *testServer) only() Connection {
	s.t.Helper()
	var list []Connection
	eventually(s.t, "one connection", func() bool {
		list = s.Connections()
		return len(list) == 1
	})
	return list[0]
}

// TestTLS moves messages of all sizes in both directions, in chunks that do not match records.
func TestTLS(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			s := startTLS(t, Options{}, tls.NoClientCert)
			config := clientTLS("")
			config.MaxVersion = version
			c := s.dialTLS(config)
			c.shake(usualTune, allCapabilities)
			if d := s.only(); d.TLSVersion != name || d.TLSCipher == "" || d.Certificate != "" || d.Mechanism != "PLAIN" {
				t.Errorf("connection: %+v", d)
			}
			c.channel(1)
			c.send(1, &wire.QueueDeclare{Exclusive: true})
			q := expect[*wire.QueueDeclareOk](c, 1).Queue
			c.send(1, &wire.BasicConsume{Queue: q, NoAck: true})
			expect[*wire.BasicConsumeOk](c, 1)
			var frames []byte
			var bodies []string
			for i, size := range []int{0, 1, 100, 5_000, 16_000, 70_000, 300_000, 1_000_000, 10, 0} {
				body := strings.Repeat(string(rune('a'+i)), size)
				bodies = append(bodies, body)
				frames = append(frames, publish(1, "", q, body)...)
			}
			go func() {
				for size := 1; len(frames) > 0; size = size*3 + 1 {
					n := min(size, len(frames))
					_, _ = c.nc.Write(frames[:n])
					frames = frames[n:]
				}
			}()
			for i, want := range bodies {
				expect[*wire.BasicDeliver](c, 1)
				if _, got := c.content(1); got != want {
					t.Fatalf("body %d has %d bytes, want %d", i, len(got), len(want))
				}
			}
			c.sync(1)
			// A client that leaves without a word is noticed by the end of TLS.
			check(c.nc.Close())
			eventually(t, "gone", func() bool { return len(s.Connections()) == 0 })
		})
	}
}

// TestExternal logs in by certificate, with an independent client.
func TestExternal(t *testing.T) {
	newUser(t, "certified")
	s := startTLS(t, Options{}, tls.VerifyClientCertIfGiven)
	dial := func(user string) error {
		conn, err := amqp.DialConfig("amqps://"+s.TLSAddrs()[0].String(), amqp.Config{
			SASL: []amqp.Authentication{&amqp.ExternalAuth{}}, TLSClientConfig: clientTLS(user)})
		if err != nil {
			return err
		}
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			return err
		}
		q, err := ch.QueueDeclare("", false, true, true, false, nil)
		if err != nil {
			return err
		}
		if err := ch.PublishWithContext(t.Context(), "", q.Name, true, false, amqp.Publishing{Body: []byte("hello"), UserId: user}); err != nil {
			return err
		}
		eventually(t, "delivered", func() bool {
			m, ok, err := ch.Get(q.Name, true)
			return err == nil && ok && string(m.Body) == "hello"
		})
		if d := s.only(); d.User != user || d.Mechanism != "EXTERNAL" || d.Certificate != "CN="+user {
			t.Errorf("connection: %+v", d)
		}
		return nil
	}
	if err := dial("certified"); err != nil {
		t.Error(err)
	}
	eventually(t, "gone", func() bool { return len(s.Connections()) == 0 })
	if err := dial("guest"); err != nil { // from this machine
		t.Error(err)
	}
	if err := dial("nobody"); err == nil || !strings.Contains(err.Error(), "403") && !strings.Contains(err.Error(), "ACCESS_REFUSED") {
		t.Errorf("certificate of an unknown user: %v", err)
	}
	if err := dial(""); err == nil || !strings.Contains(err.Error(), "SASL") {
		t.Errorf("no certificate: %v", err)
	}
}

// TestExternalWithoutCertificate names the mechanism although it was not offered.
func TestExternalWithoutCertificate(t *testing.T) {
	s := startTLS(t, Options{}, tls.VerifyClientCertIfGiven)
	plain, secure := s.dial(), s.dialTLS(clientTLS(""))
	for _, c := range []*client{plain, secure} {
		c.raw([]byte(wire.ProtocolHeader))
		if m := expect[*wire.ConnectionStart](c, 0); m.Mechanisms != "AMQPLAIN PLAIN" {
			t.Errorf("mechanisms %q", m.Mechanisms)
		}
		start := startOk()
		start.Mechanism, start.Response = "EXTERNAL", []byte("guest")
		c.send(0, start)
		c.expectEnd()
	}
	c := s.dialTLS(clientTLS("guest"))
	c.raw([]byte(wire.ProtocolHeader))
	if m := expect[*wire.ConnectionStart](c, 0); m.Mechanisms != "AMQPLAIN PLAIN EXTERNAL" {
		t.Errorf("mechanisms %q", m.Mechanisms)
	}
}

func TestUserFrom(t *testing.T) {
	uri := &url.URL{Scheme: "spiffe", Host: "example", Path: "/app"}
	full := &x509.Certificate{Subject: pkix.Name{CommonName: "common"}, DNSNames: []string{"dns", "other"},
		EmailAddresses: []string{"e@mail"}, URIs: []*url.URL{uri}}
	for from, want := range map[UserFrom]string{UserFromCN: "common", UserFromDNS: "dns", UserFromEmail: "e@mail", UserFromURI: uri.String()} {
		if got, err := from.user(full); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", from, got, err, want)
		}
		if got, err := from.user(&x509.Certificate{}); err == nil {
			t.Errorf("%s: got %q of an empty certificate", from, got)
		}
	}
	if _, err := New(Options{UserFrom: "ip"}, nil, nil); err == nil {
		t.Error("UserFrom ip is accepted")
	}
}

// TestClientCertificateRequired refuses clients without a certificate, and such that speak no TLS or an old one.
func TestClientCertificateRequired(t *testing.T) {
	s := startTLS(t, Options{}, tls.RequireAndVerifyClientCert)
	old := clientTLS("guest")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for name, config := range map[string]*tls.Config{"none": clientTLS(""), "old": old} {
		nc, err := tls.Dial("tcp", s.TLSAddrs()[0].String(), config)
		if err == nil { // with TLS 1.3 a client learns it when it reads
			_, err = nc.Read(make([]byte, 1))
			_ = nc.Close()
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	nc, err := net.Dial("tcp", s.TLSAddrs()[0].String())
	check(err)
	c := &client{t: t, nc: nc, patience: 5 * time.Second}
	c.raw([]byte(wire.ProtocolHeader))
	for err == nil { // TLS may say goodbye in its own way
		_, err = nc.Read(make([]byte, 64))
	}
	eventually(t, "logged", func() bool {
		s.logs.mu.Lock()
		defer s.logs.mu.Unlock()
		return strings.Contains(s.logs.b.String(), "client does not speak TLS on this port, but AMQP")
	})
	_ = nc.Close()
	s.dialTLS(clientTLS("guest")).shake(usualTune, allCapabilities)
}

// TestSilentTLSClient has clients connect that never begin TLS: they keep nobody waiting, count as handshakes, and are dropped.
func TestSilentTLSClient(t *testing.T) {
	s := startTLS(t, Options{HandshakeTimeout: 300 * time.Millisecond, MaxHandshakes: 3}, tls.NoClientCert)
	var silent []net.Conn
	for range 2 {
		nc, err := net.Dial("tcp", s.TLSAddrs()[0].String())
		check(err)
		defer nc.Close()
		silent = append(silent, nc)
	}
	s.dialTLS(clientTLS("")).shake(usualTune, allCapabilities)
	for _, nc := range silent {
		check(nc.SetReadDeadline(time.Now().Add(5 * time.Second)))
		if n, err := nc.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
			t.Errorf("silent client: read %d, %v; want the end", n, err)
		}
	}
	eventually(t, "free of handshakes", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.handshakes == 0
	})
}

// TestReloadKeepsConnections exchanges the certificate while a client is connected.
func TestReloadKeepsConnections(t *testing.T) {
	one, other := newServedPair(t), newServedPair(t)
	s := startServer(t, Options{})
	config := &tls.Config{}
	current := one
	var mu sync.Mutex
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		return current.Config().GetConfigForClient(nil)
	}
	check(s.ListenTLS(t.Context(), config, "127.0.0.1:0"))
	insecure := &tls.Config{InsecureSkipVerify: true}
	before := s.dialTLS(insecure)
	before.shake(usualTune, allCapabilities)
	mu.Lock()
	current = other
	mu.Unlock()
	after := s.dialTLS(insecure)
	after.shake(usualTune, allCapabilities)
	a, b := before.nc.(*tls.Conn).ConnectionState().PeerCertificates[0], after.nc.(*tls.Conn).ConnectionState().PeerCertificates[0]
	if bytes.Equal(a.Raw, b.Raw) {
		t.Error("new clients see the old certificate")
	}
	before.channel(1)
	before.sync(1)
}

func newServedPair(t *testing.T) *certs.Source {
	t.Helper()
	c, err := certs.Create(certs.Request{Dir: t.TempDir(), Nodes: []string{"n1"}, Valid: time.Hour})
	check(err)
	return newServedPairOf(c.Nodes[0])
}

func newServedPairOf(p certs.Pair) *certs.Source {
	src, err := certs.Load(certs.Options{Field: "amqp.tls", Cert: p.Cert, Key: p.Key})
	check(err)
	return src
}

// TestRecordsAreGathered writes many segments through TLS and counts what the socket sees.
func TestRecordsAreGathered(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	counted := &writeCounter{Conn: here}
	r := newRecords(counted)
	go func() {
		b := make([]byte, 1<<20)
		for {
			if _, err := there.Read(b); err != nil {
				return
			}
		}
	}()
	r.cork()
	for range 100 {
		if _, err := r.Write(make([]byte, 600)); err != nil {
			t.Fatal(err)
		}
	}
	check(r.uncork())
	if counted.writes != 1 || r.out != nil {
		t.Errorf("%d writes, buffer kept: %v; want 1 write", counted.writes, r.out != nil)
	}
	_, err := r.Write([]byte("alert"))
	check(err)
	if counted.writes != 2 {
		t.Errorf("%d writes, want the second at once", counted.writes)
	}
}

type writeCounter struct {
	net.Conn
	writes int
}

func (c *writeCounter) Write(b []byte) (int, error) {
	c.writes++
	return c.Conn.Write(b)
}

// TestIdleTLSHoldsNoBuffer does what happens to the input of a TLS connection that waits with part of a frame unread.
func TestIdleTLSHoldsNoBuffer(t *testing.T) {
	if !canReadRaw {
		t.Skip("sockets cannot be read directly here")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	peer := make(chan *tls.Conn, 1)
	go func() {
		nc, err := tls.Dial("tcp", l.Addr().String(), clientTLS(""))
		check(err)
		peer <- nc
	}()
	nc, err := l.Accept()
	check(err)
	defer nc.Close()
	r := newRecords(nc)
	secure := tls.Server(r, newServedPairOf(made().Nodes[0]).Config())
	in := newSecureInput(secure, r)
	check(secure.Handshake())
	r.polling()
	client := <-peer
	defer client.Close()
	unread := ""
	for _, part := range []string{"part", " of", " a frame"} {
		_, err := client.Write([]byte(part))
		check(err)
		unread += part
		for len(in.unread()) < len(unread) {
			check(in.fill(8))
		}
		// What the next fill does before it waits:
		in.acquire()
		if _, err := in.nc.Read(in.free()); !errors.Is(err, errNoRecord) {
			t.Fatalf("got %v, want no record", err)
		}
		in.park()
		read := true
		check(r.raw.Control(func(fd uintptr) { read = r.tryRead(fd) }))
		if read || in.buf != nil || r.buf != nil {
			t.Fatalf("read %v, buffers held: %v, %v", read, in.buf != nil, r.buf != nil)
		}
		if got := string(in.unread()); got != unread {
			t.Fatalf("unread %q, want %q", got, unread)
		}
	}
}
