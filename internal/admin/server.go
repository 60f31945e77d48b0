package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/internal/admin/socket"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// Options make a Server.
type Options struct {
	Broker *cluster.Broker // must not be nil
	AMQP   *server.Server  // must not be nil
	Host   Host            // must not be nil
	// Peers returns connections to the other nodes of the cluster, by id, over which their PeerServices are reached. nil: alone.
	Peers func() map[string]grpc.ClientConnInterface
	// Logs is where log lines can be watched; nil for nowhere.
	Logs   *Logs
	Logger *slog.Logger // slog.Default() if nil
}

// Bounds of a Server.
const (
	maxConns    = 256       // on TCP
	maxStreams  = 64        // open at a time, on all listeners
	maxRequest  = 256 << 20 // bytes; a file with definitions is the largest
	maxAnswer   = 256 << 20 // bytes
	dialTimeout = 10 * time.Second
)

// api implements all services. trusted is set for those that other nodes reach.
type api struct {
	Options
	log     *slog.Logger
	trusted bool
	started time.Time

	adminv1.UnimplementedBindingServiceServer
	adminv1.UnimplementedChannelServiceServer
	adminv1.UnimplementedClusterServiceServer
	adminv1.UnimplementedConnectionServiceServer
	adminv1.UnimplementedConsumerServiceServer
	adminv1.UnimplementedDefinitionServiceServer
	adminv1.UnimplementedDiagnosticServiceServer
	adminv1.UnimplementedExchangeServiceServer
	adminv1.UnimplementedLimitServiceServer
	adminv1.UnimplementedMessageServiceServer
	adminv1.UnimplementedNodeServiceServer
	adminv1.UnimplementedParameterServiceServer
	adminv1.UnimplementedPermissionServiceServer
	adminv1.UnimplementedPolicyServiceServer
	adminv1.UnimplementedQueueServiceServer
	adminv1.UnimplementedUserServiceServer
	adminv1.UnimplementedVHostServiceServer
	adminv1.UnimplementedWatchServiceServer
}

// register adds all services to r.
func (a *api) register(r grpc.ServiceRegistrar) {
	adminv1.RegisterBindingServiceServer(r, a)
	adminv1.RegisterChannelServiceServer(r, a)
	adminv1.RegisterClusterServiceServer(r, a)
	adminv1.RegisterConnectionServiceServer(r, a)
	adminv1.RegisterConsumerServiceServer(r, a)
	adminv1.RegisterDefinitionServiceServer(r, a)
	adminv1.RegisterDiagnosticServiceServer(r, a)
	adminv1.RegisterExchangeServiceServer(r, a)
	adminv1.RegisterLimitServiceServer(r, a)
	adminv1.RegisterMessageServiceServer(r, a)
	adminv1.RegisterNodeServiceServer(r, a)
	adminv1.RegisterParameterServiceServer(r, a)
	adminv1.RegisterPermissionServiceServer(r, a)
	adminv1.RegisterPolicyServiceServer(r, a)
	adminv1.RegisterQueueServiceServer(r, a)
	adminv1.RegisterUserServiceServer(r, a)
	adminv1.RegisterVHostServiceServer(r, a)
	adminv1.RegisterWatchServiceServer(r, a)
}

// Server serves the admin API. All methods are safe for concurrent use.
type Server struct {
	opts    Options
	log     *slog.Logger
	api     *api
	logins  chan struct{} // filled by those who compute password hashes
	streams chan struct{} // filled by open streams
	health  *health.Server

	mu      sync.Mutex
	servers []*grpc.Server
	addr    net.Addr // of TCP
	closed  bool
	serving sync.WaitGroup
}

// New returns a server without listeners.
func New(o Options) (*Server, error) {
	if o.Broker == nil || o.AMQP == nil || o.Host == nil {
		return nil, errors.New("admin: a server needs a broker, an AMQP server and a host")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{opts: o, log: o.Logger, logins: make(chan struct{}, maxLogins), streams: make(chan struct{}, maxStreams),
		health: health.NewServer()}
	s.api = &api{Options: o, log: o.Logger, started: time.Now()}
	return s, nil
}

// ListenLocal serves on the Unix socket in the data directory, for the administrator of the machine.
func (s *Server) ListenLocal(dataDir string) error {
	l, err := socket.Listen(dataDir)
	if err != nil {
		return err
	}
	return s.serve(l, nil)
}

// ErrInsecure is returned by Listen for an address beyond loopback without TLS.
var ErrInsecure = errors.New("the admin API would be open to eavesdroppers")

// Listen serves on TCP, for users with passwords and, if secure verifies client certificates, for those whose name is the common
// name of one. secure may be nil on a loopback address, or if insecure is set.
func (s *Server) Listen(ctx context.Context, address string, secure *tls.Config, insecure bool) error {
	if secure == nil && !insecure && !loopback(address) {
		return fmt.Errorf("%w: admin.listen is %s, beyond loopback, and there is no TLS: set admin.tls.cert and admin.tls.key, listen "+
			"on a loopback address, or set admin.insecure: true if the network is private", ErrInsecure, address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	s.mu.Lock()
	s.addr = l.Addr()
	s.mu.Unlock()
	s.log.Info("listening for administrators", "address", l.Addr().String(), "tls", secure != nil)
	return s.serve(&limited{Listener: l, room: make(chan struct{}, maxConns), end: make(chan struct{})}, secure)
}

// loopback says whether an address (host:port) can be reached from this machine only.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Addr returns the address on TCP, nil if there is none.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// serve starts a gRPC server on l, which belongs to it from then on.
func (s *Server) serve(l net.Listener, secure *tls.Config) error {
	o := []grpc.ServerOption{
		grpc.InTapHandle(s.admit), grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxSendMsgSize(maxAnswer),
		grpc.MaxConcurrentStreams(128), grpc.ConnectionTimeout(dialTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
	if secure != nil {
		o = append(o, grpc.Creds(credentials.NewTLS(secure)))
	}
	g := grpc.NewServer(o...)
	s.api.register(g)
	healthv1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = l.Close()
		return errors.New("admin: server is closed")
	}
	s.servers = append(s.servers, g)
	s.serving.Go(func() {
		if err := g.Serve(l); err != nil {
			s.log.Error("admin listener failed", "address", l.Addr().String(), "error", err)
		}
	})
	return nil
}

// closeGrace is what answers under way get before they are cut.
const closeGrace = time.Second

// Close ends the listeners, and what is under way after a second or when ctx ends.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	servers := s.servers
	s.servers, s.closed = nil, true
	s.mu.Unlock()
	s.health.Shutdown()
	ctx, cancel := context.WithTimeout(ctx, closeGrace)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		for _, g := range servers {
			g.Stop()
		}
	})
	defer stop()
	for _, g := range servers {
		g.GracefulStop()
	}
	s.serving.Wait()
	return nil
}

// limited is a listener that has at most so many connections at a time; more wait in the system's queue.
type limited struct {
	net.Listener
	room chan struct{}
	once sync.Once
	end  chan struct{} // closed with the listener
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.end:
		return nil, net.ErrClosed
	}
	nc, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &limitedConn{Conn: nc, leave: func() { <-l.room }}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.end) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}

// notHere says why a method cannot do what it is for.
func notHere(format string, args ...any) error {
	return status.Errorf(codes.FailedPrecondition, format, args...)
}
