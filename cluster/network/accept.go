package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"
)

const (
	maxHandshakes     = 64   // under way at once
	maxHandshakesFrom = 48   // with the same address, so that one cannot keep the others out
	maxConns          = 4096 // after the handshake
	acceptPause       = 50 * time.Millisecond
)

// acceptAll takes connections until the listener is closed.
func (n *Network) acceptAll() {
	defer n.running.Done()
	for {
		raw, err := n.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if n.limiter.allow("accept") {
				n.log.Error("cluster listener cannot accept", "error", err)
			}
			select {
			case <-n.life.Done():
			case <-time.After(acceptPause): // out of files, most likely
			}
			continue
		}
		from := hostOf(raw.RemoteAddr())
		if !n.begin(from) {
			_ = raw.Close() // the caller notices, and there is nothing to lose
			if n.limiter.allow("busy " + from) {
				n.log.Warn("connection refused: too many cluster handshakes at once", "from", from, "limit", maxHandshakes, "limit_per_address", maxHandshakesFrom)
			}
			continue
		}
		n.running.Add(1)
		go func() {
			defer n.running.Done()
			defer n.end(from)
			n.welcome(raw, from)
		}()
	}
}

func hostOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.IP.String()
	}
	return a.String()
}

// begin takes one of the places for handshakes.
func (n *Network) begin(from string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handshakes >= maxHandshakes || n.handshakesFrom[from] >= maxHandshakesFrom {
		return false
	}
	n.handshakes++
	n.handshakesFrom[from]++
	return true
}

// end gives it back.
func (n *Network) end(from string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handshakes--
	if n.handshakesFrom[from]--; n.handshakesFrom[from] == 0 {
		delete(n.handshakesFrom, from)
	}
}

// welcome does TLS and the handshake with a caller and hands the connection to whom it is for.
func (n *Network) welcome(raw net.Conn, from string) {
	ctx, cancel := context.WithTimeout(n.life, handshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // its error would be that of the handshake
	defer stop()
	c, k, err := n.identify(ctx, raw)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err == nil && k != kindProbe {
		// Whoever takes it answers for it from here on.
		if err = n.deliver(c, k); err == nil {
			return
		}
	}
	farewell(raw)
	if c != nil {
		n.drop(c)
	}
	if err == nil || n.life.Err() != nil {
		return
	}
	level := slog.LevelWarn
	if errors.Is(err, io.EOF) || errors.Is(err, ErrNotReady) {
		level = slog.LevelDebug // somebody who looks whether the port is open; a node that starts
	}
	if n.limiter.allow("from " + from + level.String()) {
		n.log.Log(context.Background(), level, "cluster connection refused", "from", raw.RemoteAddr().String(), "error", err)
	}
}

// identify finds out who calls.
func (n *Network) identify(ctx context.Context, raw net.Conn) (*conn, kind, error) {
	deadline, _ := ctx.Deadline()
	if err := errors.Join(tune(raw), raw.SetDeadline(deadline)); err != nil {
		return nil, 0, err
	}
	c, err := n.secureAccepted(ctx, raw)
	if err != nil {
		return nil, 0, handshakeError(err)
	}
	p, err := n.party(c)
	if err != nil {
		return nil, 0, err
	}
	id, k, err := p.accept(c, n.admit)
	if err == nil || errors.Is(err, ErrWrongNode) || errors.Is(err, ErrNotReady) || errors.Is(err, ErrBusy) {
		n.meet(id, "")
	}
	if err != nil {
		return nil, 0, handshakeError(err)
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, 0, err
	}
	e, err := n.established(c, raw, p, id)
	return e, k, err
}

// admit says whether a stream of the kind can be had now.
func (n *Network) admit(k kind) code {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case len(n.conns) >= maxConns:
		return codeBusy
	case k == kindProbe, k == kindGRPC, k == kindRaft && n.raft != nil:
		return codeOK
	}
	return codeNotReady
}

// deliver hands over a connection.
func (n *Network) deliver(c *conn, k kind) error {
	if k == kindGRPC {
		return n.grpcIn.deliver(c)
	}
	n.mu.Lock()
	m := n.raft
	n.mu.Unlock()
	if m == nil {
		return ErrNotReady // it has ended since
	}
	// The goroutine that serves it belongs to the Raft library, which closes it last of all.
	n.running.Add(1)
	c.onClose = n.running.Done
	if err := m.stream.in.deliver(c); err != nil {
		c.onClose = nil
		n.running.Done()
		return err
	}
	return nil
}

// handover passes accepted connections to one taker.
type handover struct {
	conns chan *conn
	done  chan struct{} // closed when nobody takes them any more
}

func newHandover() *handover {
	return &handover{conns: make(chan *conn), done: make(chan struct{})}
}

// deliver waits for the taker. ErrNotReady if there will be none.
func (h *handover) deliver(c *conn) error {
	select {
	case h.conns <- c:
		return nil
	case <-h.done:
		return ErrNotReady
	}
}

// take waits for a connection. net.ErrClosed if there will be none.
func (h *handover) take() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}
