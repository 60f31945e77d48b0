package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Blocks have some 64 KiB: a stream may have 16 of them under way, a connection four times as many.
const (
	maxMessage   = 64 << 20 // bytes of one message, unless a call sets another limit
	streamWindow = 1 << 20
	connWindow   = 4 << 20
	ioBuffer     = 128 << 10
	maxStreams   = 1 << 14 // that one node has open here
)

const (
	beatEvery   = time.Second // how often an open link is asked for a sign of life
	beatsMissed = 4           // without an answer or any other byte until the link is closed
	backoffMax  = time.Second
)

// newServer returns the server for the calls of other nodes. A client that is silent although it is asked every second is gone
// after 5 s.
func newServer() *grpc.Server {
	s := grpc.NewServer(
		grpc.Creds(handshaken{}),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.ReadBufferSize(ioBuffer), grpc.WriteBufferSize(ioBuffer),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 3 * time.Second, Timeout: 2 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.WaitForHandlers(true),
	)
	s.RegisterService(&pulse, nil)
	return s
}

// pulse is the service that answers whether a link is alive. gRPC's own pings come too rarely for that: 10 s apart at best.
var pulse = grpc.ServiceDesc{
	ServiceName: "brokerd.network.v1.Pulse",
	Methods: []grpc.MethodDesc{{
		MethodName: "Beat",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return &emptypb.Empty{}, decode(&emptypb.Empty{})
		},
	}},
}

const beatMethod = "/brokerd.network.v1.Pulse/Beat"

// grpcListener gives the accepted connections to the server.
type grpcListener struct{ n *Network }

// Accept implements net.Listener.
func (l grpcListener) Accept() (net.Conn, error) { return l.n.grpcIn.take() }

// Close implements net.Listener; the server calls it when it stops.
func (l grpcListener) Close() error {
	l.n.grpcClosed.Do(func() { close(l.n.grpcIn.done) })
	return nil
}

// Addr implements net.Listener.
func (l grpcListener) Addr() net.Addr { return l.n.listener.Addr() }

// handshaken are the credentials of connections that have done their handshake before gRPC sees them.
type handshaken struct{}

// authInfo carries who the other side is.
type authInfo struct {
	credentials.CommonAuthInfo
	id Identity
}

// AuthType implements credentials.AuthInfo.
func (authInfo) AuthType() string { return "brokerd" }

func (handshaken) info(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	e, ok := c.(*conn)
	if !ok {
		return nil, nil, fmt.Errorf("%w: a connection without", ErrHandshake)
	}
	level := credentials.NoSecurity
	if e.secure {
		level = credentials.PrivacyAndIntegrity
	}
	return c, authInfo{credentials.CommonAuthInfo{SecurityLevel: level}, e.peer}, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (h handshaken) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return h.info(c)
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshaken) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return h.info(c)
}

// Info implements credentials.TransportCredentials.
func (handshaken) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "brokerd"}
}

// Clone implements credentials.TransportCredentials.
func (h handshaken) Clone() credentials.TransportCredentials { return h }

// OverrideServerName implements credentials.TransportCredentials; nodes are not known by names of servers.
func (handshaken) OverrideServerName(string) error { return nil }

// Caller returns, inside a gRPC handler, which node calls. Its Cluster is that of the time when the connection was made; see
// Network.Renew. false if the call came another way.
func Caller(ctx context.Context) (Identity, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Identity{}, false
	}
	info, ok := p.AuthInfo.(authInfo)
	return info.id, ok
}

// link is the gRPC connection to one node.
type link struct {
	node   string
	client *grpc.ClientConn
	conn   atomic.Pointer[conn] // the latest; nil before the first
	cancel context.CancelFunc
	done   chan struct{} // closed when watch is gone
}

// Conn returns the gRPC connection to a node, of which there is one for all users; they must not close it. It connects at the
// first call, and again by itself, at least every second, wherever the book says that the node is; calls fail with Unavailable
// meanwhile, or wait if they say so (grpc.WaitForReady). The other end is proven to be that node. Errors: ErrUnknownNode if no
// address of it is known, ErrSelf, ErrClosed. After Forget, calls on it fail with Canceled.
func (n *Network) Conn(node string) (*grpc.ClientConn, error) {
	if node == n.options.Node {
		return nil, fmt.Errorf("%w: %s is this node", ErrSelf, node)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if l := n.links[node]; l != nil {
		return l.client, nil
	}
	if len(n.book.addresses(node)) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNode, node)
	}
	l := &link{node: node, done: make(chan struct{})}
	client, err := grpc.NewClient("passthrough:///"+node,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := n.reach(ctx, node, kindGRPC)
			if err != nil {
				return nil, err
			}
			l.conn.Store(c)
			return c, nil
		}),
		grpc.WithTransportCredentials(handshaken{}),
		grpc.WithAuthority("cluster"),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: backoffMax},
			MinConnectTimeout: n.options.DialTimeout,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: userTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithReadBufferSize(ioBuffer), grpc.WithWriteBufferSize(ioBuffer),
	)
	if err != nil {
		return nil, fmt.Errorf("connection to node %s: %w", node, err)
	}
	l.client = client
	ctx, cancel := context.WithCancel(n.life)
	l.cancel = cancel
	n.links[node] = l
	go l.watch(ctx, n.options.beat)
	return client, nil
}

// close ends the link and waits for its watch.
func (l *link) close() error {
	l.cancel()
	<-l.done
	err := l.client.Close()
	// The connection's own goroutines end on their own after Close; they are not left to wait for a hanging link.
	if c := l.conn.Load(); c != nil {
		if kerr := c.kill(); !errors.Is(kerr, net.ErrClosed) {
			err = errors.Join(err, kerr)
		}
	}
	return err
}

// watch closes the link's connection when it has been silent for too long, and connects again without waiting for a call. It
// looks every so often.
func (l *link) watch(ctx context.Context, every time.Duration) {
	defer close(l.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last *conn
	var read uint64 // bytes that last had at the previous beat
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch l.client.GetState() {
		case connectivity.Idle:
			if l.conn.Load() != nil { // it was in use
				l.client.Connect()
			}
			continue
		case connectivity.Ready:
		default:
			continue
		}
		// Beats are counted, not time: a process that was stopped for a while must not blame the link for it.
		err := l.beat(ctx, every)
		c := l.conn.Load()
		now := c.read.Load()
		if err == nil || c != last || now != read {
			last, read, missed = c, now, 0
			continue
		}
		if missed++; missed >= beatsMissed {
			_ = c.kill() // of a dead connection
			missed = 0
		}
	}
}

// beat asks the other side for an answer and waits for it no longer than the given time.
func (l *link) beat(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return l.client.Invoke(ctx, beatMethod, &emptypb.Empty{}, &emptypb.Empty{})
}
