package server

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/brokerd/brokerd/amqp/wire"
)

func trusting(networks ...string) Options {
	var o Options
	for _, n := range networks {
		o.ProxyTrusted = append(o.ProxyTrusted, netip.MustParsePrefix(n))
	}
	return o
}

// announce returns a header for a client at from.
func announce(version byte, from string) []byte {
	h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)),
		net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddrPort(from).Addr(), 5672)))
	b, err := h.Format()
	check(err)
	return b
}

// TestProxyProtocol connects as a trusted proxy does. The user guest may only log in from this machine.
func TestProxyProtocol(t *testing.T) {
	newUser(t, "remote")
	local, err := (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}).Format()
	check(err)
	for _, test := range []struct {
		name   string
		header []byte
		user   string
		peer   string // empty: refused
	}{
		{"v1", announce(1, "203.0.113.5:1234"), "remote", "203.0.113.5:1234"},
		{"v2", announce(2, "203.0.113.5:1234"), "remote", "203.0.113.5:1234"},
		{"v2 IPv6", announce(2, "[2001:db8::5]:1234"), "remote", "[2001:db8::5]:1234"},
		{"guest from afar", announce(1, "203.0.113.5:1234"), "guest", ""},
		{"guest from the proxy's machine", announce(2, "127.0.0.1:1234"), "guest", "127.0.0.1:1234"},
		{"guest from IPv6 loopback", announce(1, "[::1]:1234"), "guest", "[::1]:1234"},
		{"the proxy itself", local, "remote", "127.0.0.1:"},
		{"guest from nowhere", local, "guest", ""},
		{"unknown", []byte("PROXY UNKNOWN\r\n"), "guest", ""},
	} {
		for _, secure := range []bool{false, true} {
			name := test.name
			if secure {
				name += " over TLS"
			}
			t.Run(name, func(t *testing.T) {
				s := startTLS(t, trusting("10.0.0.0/8", "127.0.0.0/8"), tls.NoClientCert)
				c := s.dialProxied(secure, test.header)
				if !secure { // header and protocol header come together
					c.raw(append(test.header, wire.ProtocolHeader...))
				} else {
					c.raw([]byte(wire.ProtocolHeader))
				}
				expect[*wire.ConnectionStart](c, 0)
				start := startOk()
				start.Response = []byte("\x00" + test.user + "\x00" + test.user)
				c.send(0, start)
				if test.peer == "" {
					c.expectClose(0, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.", 0)
					return
				}
				expect[*wire.ConnectionTune](c, 0)
				c.send(0, &usualTune)
				c.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
				expect[*wire.ConnectionOpenOk](c, 0)
				if d := s.only(); !strings.HasPrefix(d.Peer, test.peer) {
					t.Errorf("connection %+v, want peer %s", d, test.peer)
				}
			})
		}
	}
}

// dialProxied connects as a proxy; with TLS the header is sent ahead of it.
func (s *testServer) dialProxied(secure bool, header []byte) *client {
	s.t.Helper()
	addrs := s.Addrs()
	if secure {
		addrs = s.TLSAddrs()
	}
	nc, err := net.Dial("tcp", addrs[0].String())
	if err != nil {
		s.t.Fatal(err)
	}
	if secure {
		_, err := nc.Write(header)
		check(err)
		nc = tls.Client(nc, clientTLS(""))
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	return &client{t: s.t, nc: nc, patience: 5 * time.Second}
}

// TestProxyProtocolRefused has clients announce themselves without being trusted, and proxies send what is no header.
func TestProxyProtocolRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		trusted []string
		sent    string
		log     string
	}{
		{"spoofed v1", nil, string(announce(1, "127.0.0.1:1")), "PROXY protocol from an address that is not trusted"},
		{"spoofed v2", []string{"10.0.0.0/8"}, string(announce(2, "127.0.0.1:1")), "PROXY protocol from an address that is not trusted"},
		{"no header", []string{"127.0.0.1/32"}, wire.ProtocolHeader, "sent no header of the PROXY protocol"},
		{"damaged header", []string{"127.0.0.1/32"}, "PROXY TCP4 1.2.3.4\r\n", "header of the PROXY protocol"},
		{"too long", []string{"127.0.0.1/32"}, "PROXY " + strings.Repeat("x", 200), "header of the PROXY protocol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startServer(t, trusting(test.trusted...))
			c := s.dial()
			c.raw([]byte(test.sent))
			if len(test.trusted) == 0 || test.trusted[0] != "127.0.0.1/32" {
				for len(c.buf) < len(wire.ProtocolHeader) {
					check(c.fill())
				}
				if string(c.buf) != wire.ProtocolHeader {
					t.Errorf("answered with %q", c.buf)
				}
				c.buf = nil
			}
			c.expectEnd()
			eventually(t, "logged", func() bool {
				s.logs.mu.Lock()
				defer s.logs.mu.Unlock()
				return strings.Contains(s.logs.b.String(), test.log)
			})
		})
	}
}

// TestSilentProxy connects from a trusted address and says nothing.
func TestSilentProxy(t *testing.T) {
	o := trusting("127.0.0.1/32")
	o.HandshakeTimeout = 100 * time.Millisecond
	s := startServer(t, o)
	s.dial().expectEnd()
}
