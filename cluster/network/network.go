package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// Network is this node's end of the links between the nodes. All methods are safe for concurrent use.
type Network struct {
	options      Options // without the secret
	advertised   string
	key          []byte // of the proofs
	hasSecret    bool
	insecure     bool          // neither secret nor TLS
	certificates *certificates // nil without TLS
	listener     net.Listener
	book         *book
	limiter      *limiter
	log          *slog.Logger

	server     *grpc.Server
	grpcIn     *handover // to the server
	grpcClosed sync.Once // of grpcIn.done

	life    context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup // goroutines of this package, and those of Raft that serve accepted connections

	mu             sync.Mutex
	serving        bool
	closed         bool
	conns          map[*conn]struct{} // after the handshake; accepted ones at most maxConns
	handshakes     int                // of accepted connections, under way; at most maxHandshakes
	handshakesFrom map[string]int     // the same by address
	raft           *member            // nil while there is none
	links          map[string]*link   // by node
}

// Listen opens the cluster listener of a node. Nobody is answered before Serve. Errors: ErrInsecure if there is neither secret
// nor TLS and the address is not a loopback one, ErrOption, and those of the files and of listening.
func Listen(o Options) (*Network, error) {
	o = o.withDefaults()
	if err := (Identity{Node: o.Node, Name: o.Name, Release: o.Release}).check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOption, err)
	}
	key, err := deriveKey(o.Secret)
	if err != nil {
		return nil, fmt.Errorf("cluster.secret: %w", err)
	}
	n := &Network{
		key: key, hasSecret: len(o.Secret) > 0, insecure: o.insecure(),
		limiter:        &limiter{now: time.Now, last: map[string]time.Time{}},
		log:            o.Logger,
		grpcIn:         newHandover(),
		conns:          map[*conn]struct{}{},
		handshakesFrom: map[string]int{},
		links:          map[string]*link{},
	}
	if o.TLS != nil {
		if n.certificates, err = newCertificates(*o.TLS, o.Logger); err != nil {
			return nil, err
		}
	}
	if n.book, err = openBook(o.Node, o.BookFile, o.Logger); err != nil {
		return nil, err
	}
	if n.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("cluster.listen %s: %w", o.Listen, err)
	}
	if n.advertised, err = n.settle(o); err != nil {
		return nil, errors.Join(err, n.listener.Close())
	}
	o.Secret = nil
	n.options = o
	n.server = newServer()
	n.life, n.stop = context.WithCancel(context.Background())
	return n, nil
}

// settle decides whether the listener may be used, and what address is told to the others.
func (n *Network) settle(o Options) (string, error) {
	if n.insecure {
		if !isLoopback(n.listener.Addr()) {
			return "", fmt.Errorf("%w: cluster.listen %s can be reached from other machines: set cluster.secret or cluster.tls, or listen on 127.0.0.1", ErrInsecure, o.Listen)
		}
		n.log.Warn("cluster listener takes everybody on this machine for a node: set cluster.secret", "listen", n.listener.Addr().String())
	} else if n.certificates == nil && len(o.Secret) < shortSecret {
		n.log.Warn("cluster.secret is short: who records a connection can guess it", "bytes", len(o.Secret), "recommended", shortSecret)
	}
	return o.advertised(n.listener.Addr())
}

// Addr returns the address of the listener.
func (n *Network) Addr() net.Addr { return n.listener.Addr() }

// Advertised returns the address at which the others are told to reach this node, host:port.
func (n *Network) Advertised() string { return n.advertised }

// Server returns the gRPC server of this node. Services are registered with it before Serve; nothing else is done with it.
func (n *Network) Server() *grpc.Server { return n.server }

// Serve begins to take connections, once.
func (n *Network) Serve() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.serving || n.closed {
		return
	}
	n.serving = true
	n.running.Add(2)
	go n.acceptAll()
	go func() {
		defer n.running.Done()
		if err := n.server.Serve(grpcListener{n}); err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, net.ErrClosed) {
			n.log.Error("cluster server ended", "error", err)
		}
	}()
}

// Close ends all connections, the gRPC connections and the Raft transport included, and waits for the goroutines behind them
// until ctx is done. Calls that others make to this node and those that it makes fail; whoever wants to end them in order
// does so before. Every call of Close after the first returns ErrClosed.
func (n *Network) Close(ctx context.Context) error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return ErrClosed
	}
	n.closed = true
	m := n.raft
	links := n.links
	n.links = map[string]*link{}
	conns := make([]*conn, 0, len(n.conns))
	for c := range n.conns {
		conns = append(conns, c)
	}
	n.mu.Unlock()

	n.stop()
	errs := []error{n.listener.Close()}
	for _, c := range conns {
		_ = c.kill() // they end as if the other side had
	}
	for _, l := range links {
		errs = append(errs, l.close())
	}
	if m != nil {
		errs = append(errs, m.transport.Close())
		m.transport.CloseStreams()
	}
	done := make(chan struct{})
	go func() {
		n.server.Stop() // waits for the handlers, whose contexts it ends
		_ = grpcListener{n}.Close()
		n.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("cluster network: calls of other nodes have not ended: %w", ctx.Err()))
	}
	return errors.Join(errs...)
}

// Renew ends the connections that were made while this node was in another cluster than now, or in none. Call it after the
// answer of Options.ClusterID has changed: who is connected was let in under the old one. Connections that are still wanted come back.
func (n *Network) Renew() {
	now := n.options.ClusterID()
	n.mu.Lock()
	var old []*conn
	for c := range n.conns {
		if c.cluster != now {
			old = append(old, c)
		}
	}
	n.mu.Unlock()
	for _, c := range old {
		_ = c.kill() // it ends as if the other side had
	}
}

// meet notes what a node said in a handshake.
func (n *Network) meet(id Identity, found string) {
	if n.book.meet(id, found) {
		n.moved(id.Node)
	}
}

// moved makes a link that waits to connect again try at once.
func (n *Network) moved(node string) {
	n.mu.Lock()
	l := n.links[node]
	n.mu.Unlock()
	if l != nil {
		l.client.ResetConnectBackoff()
	}
}

// Learn notes the name and address of a node as somebody else knows them; Node and Address are needed. A new address is tried
// first, before the one that was known; one that is in the book already keeps its place, so that hearsay of an old address does
// not push aside what the node announced since. Errors: ErrOption for what cannot be an identity or an address. Learning of
// this node itself does nothing.
func (n *Network) Learn(id Identity) error {
	if err := errors.Join(id.check(), checkAddress(id.Address)); err != nil {
		return fmt.Errorf("%w: node %q: %w", ErrOption, id.Node, err)
	}
	if n.book.learn(id) {
		n.moved(id.Node)
	}
	return nil
}

// Forget drops a node from the book and ends the gRPC connection to it. It comes back into the book when it calls.
func (n *Network) Forget(node string) {
	n.book.forget(node)
	n.mu.Lock()
	l := n.links[node]
	delete(n.links, node)
	n.mu.Unlock()
	if l == nil {
		return
	}
	if err := l.close(); err != nil {
		n.log.Debug("connection to a forgotten node", "node", node, "error", err)
	}
}

// Address returns where a node is called first, host:port. false if no address of it is known.
func (n *Network) Address(node string) (string, bool) {
	id, ok := n.book.identity(node)
	return id.Address, ok
}

// Identity returns what is known of another node. Cluster, Release and Protocol are those of its last handshake with this node
// since the start, and empty before. false if no address of it is known.
func (n *Network) Identity(node string) (Identity, bool) { return n.book.identity(node) }

// Known returns what is known of all other nodes, as Identity does, by node id.
func (n *Network) Known() []Identity { return n.book.known() }
