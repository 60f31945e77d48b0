package server

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// proxyBuffer is the size in bytes of the buffer that the header of the PROXY protocol is read through: more than a header of
// version 1 has, which must come in one piece.
const proxyBuffer = 512

// trusts reports whether a connection from addr begins with a header of the PROXY protocol. From all others such a header is as
// wrong as any other protocol.
func (o *Options) trusts(addr net.Addr) bool {
	t, ok := addr.(*net.TCPAddr)
	if !ok || len(o.ProxyTrusted) == 0 {
		return false
	}
	ip, _ := netip.AddrFromSlice(t.IP)
	ip = ip.Unmap()
	for _, p := range o.ProxyTrusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// proxyHeader reads the header with which a trusted proxy announces its client. The read deadline is set already. What the proxy
// sent behind the header is left for the next layer.
func (c *conn) proxyHeader() error {
	r := bufio.NewReaderSize(c.nc, proxyBuffer)
	h, err := proxyproto.Read(r)
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		return fmt.Errorf("proxy %v sent no header of the PROXY protocol, which amqp.proxy_protocol.trusted demands of it",
			c.nc.RemoteAddr())
	}
	if err != nil {
		return fmt.Errorf("header of the PROXY protocol from %v: %w", c.nc.RemoteAddr(), err)
	}
	rest, _ := r.Peek(r.Buffered())
	if c.tls != nil {
		c.records.prepend(rest)
	} else {
		c.in.prepend(rest)
	}
	// A proxy that speaks for itself, or for a client of which it does not know the address, is no user on this machine.
	c.loopback = false
	if src, dst, ok := h.TCPAddrs(); ok && h.Command.IsProxy() {
		c.peer, c.local, c.loopback = src, dst, isLoopback(src)
	}
	c.log = c.srv.log.With("connection", c.id, "peer", c.peer.String(), "proxy", c.nc.RemoteAddr().String())
	return nil
}
