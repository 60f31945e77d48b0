package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// connect makes a connection to whoever is at address, or to the node want if that is not "". With an error after which the
// identity is proven (see party.dial), it returns that, too.
func (n *Network) connect(ctx context.Context, address string, k kind, want string) (*conn, Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, n.options.DialTimeout)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()

	if err := checkAddress(address); err != nil {
		return nil, Identity{}, fmt.Errorf("%w: %w", ErrOption, err)
	}
	d := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, Identity{}, n.ended(err)
	}
	c, id, err := n.introduce(ctx, raw, address, k, want)
	if err != nil {
		return nil, id, errors.Join(fmt.Errorf("cluster link to %s: %w", address, n.ended(err)), closeQuietly(raw))
	}
	return c, id, nil
}

// ended replaces the error of a connection that was cut off by Close.
func (n *Network) ended(err error) error {
	if n.life.Err() != nil {
		return ErrClosed
	}
	return err
}

// closeQuietly closes what may be closed already.
func closeQuietly(c net.Conn) error {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// introduce does TLS and the handshake on a fresh connection.
func (n *Network) introduce(ctx context.Context, raw net.Conn, address string, k kind, want string) (*conn, Identity, error) {
	if n.insecure && !isLoopback(raw.RemoteAddr()) {
		return nil, Identity{}, fmt.Errorf("%w: set cluster.secret or cluster.tls to talk to nodes on other machines", ErrInsecure)
	}
	if err := tune(raw); err != nil {
		return nil, Identity{}, err
	}
	deadline, _ := ctx.Deadline()
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, Identity{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // its error would be that of the handshake
	defer stop()
	c, err := n.secureDialed(ctx, raw)
	if err != nil {
		return nil, Identity{}, handshakeError(err)
	}
	p, err := n.party(c)
	if err != nil {
		return nil, Identity{}, err
	}
	id, err := p.dial(c, k, want)
	if err == nil || errors.Is(err, ErrWrongNode) || errors.Is(err, ErrNotReady) || errors.Is(err, ErrBusy) {
		n.meet(id, address)
	}
	if err != nil {
		return nil, id, handshakeError(err)
	}
	if !stop() {
		return nil, id, ctx.Err()
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, id, err
	}
	e, err := n.established(c, raw, p, id)
	return e, id, err
}

// reach makes a connection to a node at one of the addresses that the book has. Failures are logged.
func (n *Network) reach(ctx context.Context, node string, k kind) (*conn, error) {
	if node == n.options.Node {
		return nil, fmt.Errorf("%w: %s is this node", ErrSelf, node)
	}
	addresses := n.book.addresses(node)
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNode, node)
	}
	ctx, cancel := context.WithTimeout(ctx, n.options.DialTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	var errs []error
	for i, address := range addresses {
		// Each address has an equal part of the time that is left: the first may swallow what is sent to it.
		part := time.Until(deadline) / time.Duration(len(addresses)-i)
		attempt, cancel := context.WithTimeout(ctx, part)
		c, _, err := n.connect(attempt, address, k, node)
		cancel()
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if n.life.Err() == nil && n.limiter.allow("to "+addresses[0]) {
		n.log.Warn("another node cannot be reached", "node", node, "addresses", addresses, "stream", k.String(), "error", err)
	}
	return nil, err
}

// Probe asks whoever is at address (host:port) who it is. The answer is authenticated, and its address is in the book
// afterwards. Errors: ErrWrongSecret, ErrTLS, ErrVersion, ErrForeignCluster, ErrSelf, ErrInsecure, ErrHandshake, ErrClosed, and those
// of connecting. It takes at most Options.DialTimeout.
func (n *Network) Probe(ctx context.Context, address string) (Identity, error) {
	c, id, err := n.connect(ctx, address, kindProbe, "")
	if err != nil {
		return Identity{}, err
	}
	return id, c.Close()
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}
