package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	nethttp "net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// maxConnections bounds the connections at a time; more wait to be accepted.
	maxConnections = 256
	// maxHeader bounds the header of a request in bytes.
	maxHeader = 64 << 10
	// writeTimeout bounds an answer. Profiles get the time that they take on top of it.
	writeTimeout = 30 * time.Second
)

// Options make a Server. Functions are called by many goroutines at a time.
type Options struct {
	// Listen is the address, host:port.
	Listen string
	// Metrics and PerObject serve /metrics and /metrics/per-object.
	Metrics, PerObject nethttp.Handler
	// NotReady says why the node does not serve clients, "" if it does.
	NotReady func() string
	// Administrator checks name and password of somebody who wants profiles; loopback says that he is on this machine. The error is
	// for the log. It is called one at a time.
	Administrator func(name, password string, loopback bool) error
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// Server is a running listener.
type Server struct {
	opts     Options
	log      *slog.Logger
	listener net.Listener
	http     *nethttp.Server
	served   sync.WaitGroup
}

// Listen opens the listener and serves it. Its error names the configuration key and the way out.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", o.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("http.listen: another process listens on %s (perhaps another node): set http.listen to another "+
			"address, or to \"\" for no HTTP: %w", o.Listen, err)
	}
	if err != nil {
		return nil, fmt.Errorf("http.listen: %w", err)
	}
	s := &Server{opts: o, log: o.Logger, listener: l}
	s.http = &nethttp.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second, // no request has a body, and a deadline for one would cut long profiles off
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	s.served.Go(func() { _ = s.http.Serve(netutil.LimitListener(l, maxConnections)) })
	s.log.Info("listening for HTTP", "address", l.Addr().String())
	return s, nil
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends the listener and lets answers be finished until ctx is done. Then it cuts them off.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	s.served.Wait()
	return err
}

// handler returns the routes. Nothing but GET and HEAD is answered.
func (s *Server) handler() nethttp.Handler {
	mux := nethttp.NewServeMux()
	mux.Handle("GET /metrics", s.opts.Metrics)
	mux.Handle("GET /metrics/per-object", s.opts.PerObject)
	mux.HandleFunc("GET /health/live", func(w nethttp.ResponseWriter, _ *nethttp.Request) { answerHealth(w, "") })
	mux.HandleFunc("GET /health/ready", func(w nethttp.ResponseWriter, _ *nethttp.Request) { answerHealth(w, s.opts.NotReady()) })
	s.profiles(mux)
	return mux
}

// answerHealth answers as RabbitMQ's health checks do (SEMANTICS 23.7).
func answerHealth(w nethttp.ResponseWriter, reason string) {
	body := struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{"ok", reason}
	code := nethttp.StatusOK
	if reason != "" {
		body.Status, code = "failed", nethttp.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
