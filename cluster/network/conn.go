package network

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	handshakeTimeout = 5 * time.Second
	farewellTimeout  = time.Second // for the other side to read why it was refused
	userTimeout      = 5 * time.Second
)

// keepAlive finds out within 5 s that the other machine is gone, although nothing is sent.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3}

// conn is a connection after its handshake. Who was given it closes it.
type conn struct {
	net.Conn // raw, or TLS on it
	raw      net.Conn
	network  *Network
	peer     Identity
	cluster  string // own cluster at the handshake
	secure   bool   // encrypted

	read    atomic.Uint64 // bytes so far: a link that is asked for a sign of life and reads nothing is dead
	once    sync.Once
	onClose func() // called once, by Close; may be nil
}

// Read counts what comes.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(uint64(n))
	return n, err
}

// Close closes the connection at once: what is still to be sent goes, a TLS alert does not, because a hanging link would have
// to be waited for.
func (c *conn) Close() error {
	err := c.kill()
	c.once.Do(func() {
		if c.onClose != nil {
			c.onClose()
		}
	})
	return err
}

// kill ends the connection under its owner, who notices and closes it.
func (c *conn) kill() error {
	c.network.drop(c)
	return c.raw.Close()
}

// tune sets the socket up for a link between nodes.
func tune(c net.Conn) error {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	return errors.Join(t.SetNoDelay(true), t.SetKeepAliveConfig(keepAlive), setUserTimeout(t, userTimeout))
}

// prefixed is a connection of which the first byte was read ahead.
type prefixed struct {
	net.Conn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 && len(b) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// tlsRecord begins a TLS handshake.
const tlsRecord = 0x16

// secureAccepted does the TLS part of a connection that was accepted. It answers in plain if one side has TLS and the other not.
func (n *Network) secureAccepted(ctx context.Context, raw net.Conn) (net.Conn, error) {
	var first [1]byte
	if _, err := io.ReadFull(raw, first[:]); err != nil {
		return nil, err
	}
	c := &prefixed{raw, first[:]}
	switch {
	case n.certificates == nil && first[0] == tlsRecord:
		_, err := raw.Write(refusal(codeTLSMissing, n.options.versions))
		return nil, errors.Join(fmt.Errorf("%w: the other node uses TLS: set cluster.tls here, too", ErrTLS), err)
	case n.certificates == nil:
		return c, nil
	case first[0] == magic[0]:
		_, err := raw.Write(refusal(codeTLSRequired, n.options.versions))
		return nil, errors.Join(fmt.Errorf("%w: the other node has no cluster.tls: set it there, too", ErrTLS), err)
	}
	t := tls.Server(c, n.certificates.config(true))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, tlsError(err)
	}
	return t, nil
}

// secureDialed does the TLS part of a connection that was made.
func (n *Network) secureDialed(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if n.certificates == nil {
		return raw, nil
	}
	t := tls.Client(raw, n.certificates.config(false))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, tlsError(err)
	}
	return t, nil
}

// tlsError makes ErrTLS of what is a matter of TLS, and leaves errors of the connection alone.
func tlsError(err error) error {
	var op *net.OpError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header) && string(header.RecordHeader[:len(magic)]) == magic:
		return fmt.Errorf("%w: the other node has no cluster.tls: set it there, too", ErrTLS)
	case errors.As(err, &op) && op.Op == "remote error":
		return fmt.Errorf("%w: the other node does not accept this one's certificate: %w", ErrTLS, err)
	case isConnError(err):
		return err
	}
	return fmt.Errorf("%w: %w", ErrTLS, err)
}

// isConnError tells errors of the connection from those of what came over it.
func isConnError(err error) bool {
	var nerr net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &nerr)
}

// handshakeError says of an error of the connection that it came during the handshake.
func handshakeError(err error) error {
	var op *net.OpError
	var nerr net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &op) && op.Op == "remote error":
		return tlsError(err) // TLS 1.3 tells the dialer only now what the listener thinks of its certificate
	case errors.As(err, &nerr) && nerr.Timeout():
		return fmt.Errorf("%w: no answer in time: %w", ErrHandshake, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: closed by the other side: %w", ErrHandshake, err)
	case isConnError(err) && !errors.Is(err, ErrHandshake):
		return fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return err
}

// farewell closes a refused connection so that the other side can read why: closing with input unread would reset it.
func farewell(raw net.Conn) {
	defer raw.Close()
	t, ok := raw.(*net.TCPConn)
	if !ok || t.CloseWrite() != nil {
		return
	}
	if err := raw.SetReadDeadline(time.Now().Add(farewellTimeout)); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, raw, 16<<10) // its end, whichever, is what is waited for
}

// party returns this side of a handshake over c.
func (n *Network) party(c net.Conn) (*party, error) {
	p := &party{
		id: Identity{
			Node: n.options.Node, Name: n.options.Name, Cluster: n.options.ClusterID(),
			Address: n.advertised, Release: n.options.Release, Protocol: n.options.versions.max,
		},
		versions: n.options.versions,
		secret:   n.hasSecret,
		key:      n.key,
	}
	if err := p.id.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOption, err)
	}
	t, ok := c.(*tls.Conn)
	if !ok {
		return p, nil
	}
	state := t.ConnectionState()
	var err error
	if p.binding, err = state.ExportKeyingMaterial("EXPORTER-brokerd-cluster", nil, 32); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return p, nil
}

// established makes the connection known. It fails after Close.
func (n *Network) established(c, raw net.Conn, p *party, peer Identity) (*conn, error) {
	_, secure := c.(*tls.Conn)
	e := &conn{Conn: c, raw: raw, network: n, peer: peer, cluster: p.id.Cluster, secure: secure}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	n.conns[e] = struct{}{}
	return e, nil
}

func (n *Network) drop(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}
