package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Listen opens a listener for each address (host:port, IPv6 hosts in brackets, an empty host for all addresses of both families)
// and starts to accept. It opens all of them or none.
func (s *Server) Listen(ctx context.Context, addresses ...string) error {
	return s.listen(ctx, nil, addresses)
}

// ListenTLS is Listen for AMQP over TLS. It uses config as it is; config's callbacks are called by the goroutines of connections.
func (s *Server) ListenTLS(ctx context.Context, config *tls.Config, addresses ...string) error {
	return s.listen(ctx, config, addresses)
}

func (s *Server) listen(ctx context.Context, secure *tls.Config, addresses []string) error {
	var opened []net.Listener
	lc := net.ListenConfig{KeepAlive: -1, Control: s.opts.TCP.control} // keepalive is set by tune
	for _, a := range addresses {
		l, err := lc.Listen(ctx, "tcp", a)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return fmt.Errorf("listen for AMQP: %w", err)
		}
		opened = append(opened, l)
	}
	for _, l := range opened {
		if err := s.serve(listener{l, secure}); err != nil {
			return err
		}
	}
	return nil
}

// errStopped is returned for listeners that come too late.
var errStopped = errors.New("server is stopped")

// Serve starts to accept on l, which belongs to the server from then on. It does not wait.
func (s *Server) Serve(l net.Listener) error { return s.serve(listener{l, nil}) }

// listener is where connections come from.
type listener struct {
	net.Listener
	secure *tls.Config // nil: plain
}

func (s *Server) serve(l listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		_ = l.Close()
		return errStopped
	}
	s.listeners = append(s.listeners, l)
	s.running.Go(func() { s.accept(l) })
	s.log.Info("listening for AMQP", "address", l.Addr().String(), "tls", l.secure != nil)
	return nil
}

// Addrs returns the addresses of the listeners for plain AMQP.
func (s *Server) Addrs() []net.Addr { return s.addrs(false) }

// TLSAddrs returns the addresses of the listeners for AMQP over TLS.
func (s *Server) TLSAddrs() []net.Addr { return s.addrs(true) }

func (s *Server) addrs(secure bool) []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []net.Addr
	for _, l := range s.listeners {
		if (l.secure != nil) == secure {
			addrs = append(addrs, l.Addr())
		}
	}
	return addrs
}

// maxAcceptPause bounds the pause after a failed accept, as when file descriptors have run out.
const maxAcceptPause = time.Second

func (s *Server) accept(l listener) {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
			s.log.Error("cannot accept a connection", "address", l.Addr().String(), "cause", err, "pause", pause)
			if !s.sleep(pause) {
				return
			}
			continue
		}
		pause = 0
		if err := s.opts.TCP.tune(nc); err != nil {
			s.log.Debug("socket gone before it was served", "peer", nc.RemoteAddr().String(), "cause", err)
			_ = nc.Close()
			continue
		}
		s.take(nc, l.secure)
	}
}

// sleep waits for d in short steps; it returns false when the server stops.
func (s *Server) sleep(d time.Duration) bool {
	const step = 50 * time.Millisecond
	for ; ; d -= step {
		s.mu.Lock()
		stopping := s.stopping
		s.mu.Unlock()
		if stopping || d <= 0 {
			return !stopping
		}
		time.Sleep(min(d, step))
	}
}

// ServeConn serves a connection that was accepted elsewhere, and closes it in the end. It does not wait.
func (s *Server) ServeConn(nc net.Conn) { s.take(nc, nil) }

func (s *Server) take(nc net.Conn, secure *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping || s.refusing || s.handshakes >= s.opts.MaxHandshakes {
		s.log.Debug("connection refused", "peer", nc.RemoteAddr().String(), "handshakes", s.handshakes)
		_ = nc.Close()
		return
	}
	s.handshakes++
	c := newConn(s, nc, s.nextID.Add(1), secure)
	s.conns[c] = struct{}{}
	s.running.Go(func() {
		c.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
}

// control sets the buffer sizes of a listener. Accepted sockets inherit them, and only then does TCP announce a window to match.
func (o *TCPOptions) control(_, _ string, rc syscall.RawConn) error {
	var err error
	if cerr := rc.Control(func(fd uintptr) { err = setBuffers(fd, o.ReceiveBuffer, o.SendBuffer) }); cerr != nil {
		return cerr
	}
	return err
}
