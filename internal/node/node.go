// Package node is the composition root: it builds a running node from a configuration, and takes it down in order. It holds no
// logic of its own but the watch over memory and disk (see alarms.go).
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/network"
	"github.com/brokerd/brokerd/internal/admin"
	"github.com/brokerd/brokerd/internal/certs"
	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/datadir"
	"github.com/brokerd/brokerd/internal/http"
	"github.com/brokerd/brokerd/store"
)

// Node is a running node.
type Node struct {
	cfg     *config.Config
	log     *slog.Logger
	dir     *datadir.Dir
	store   *store.Store
	links   *network.Network // to other nodes, nil for a node that stays alone
	broker  *cluster.Broker
	server  *server.Server
	memory  *queue.Memory
	fatal   chan error
	serving atomic.Pointer[server.Server] // server, for those who may come before it
	// clustered is broker, for those who may come before it is open.
	clustered atomic.Pointer[cluster.Broker]

	http      *http.Server              // nil without http.listen
	phase     atomic.Int32              // phaseStarting and so on
	shortages atomic.Pointer[shortages] // as of the last look; nil before the first
	certs     *certs.Source             // of AMQP over TLS, nil without

	logs       *admin.Logs
	admin      *admin.Server       // nil before it is open
	adminPeers *admin.PeerServices // for other nodes
	adminCerts *certs.Source       // nil without TLS

	stopWatch chan struct{}
	watch     sync.WaitGroup
}

// Release names this program and its version to clients; the command sets it before Start.
var Release = "brokerd"

// Start builds and starts a node. ctx bounds the start only: the node outlives it and runs until Shutdown.
func Start(ctx context.Context, cfg *config.Config, log *slog.Logger) (_ *Node, err error) {
	logs := admin.NewLogs()
	log = slog.New(logs.Handler(log.Handler()))
	n := &Node{cfg: cfg, log: log, logs: logs, fatal: make(chan error, 1), stopWatch: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.takeDown(context.WithoutCancel(ctx)))
		}
	}()
	if n.dir, err = datadir.Open(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := n.openHTTP(ctx); err != nil {
		return nil, err
	}
	// Messages get half of the memory: the rest is for connections, the store and the garbage collector's headroom.
	n.memory = queue.NewMemory(cfg.Memory.Limit/2, cfg.Queue.ResidentBytes)
	pprof.SetGoroutineLabels(storeLabels)
	n.store, err = store.Open(store.Options{
		Dir:      filepath.Join(n.dir.Path(), "messages"),
		Sync:     store.SyncMode(cfg.Store.Sync),
		Interval: cfg.Store.Interval,
		MinFree:  hardFloor(cfg.Store.MinFree),
		Logger:   log,
	})
	if err != nil {
		return nil, err
	}
	pprof.SetGoroutineLabels(linkLabels)
	if n.links, err = n.openNetwork(); err != nil {
		return nil, err
	}
	links := n.links
	n.adminPeers = admin.NewPeerServices()
	if links != nil {
		n.adminPeers.Register(links.Server())
	}
	pprof.SetGoroutineLabels(metadataLabels)
	n.broker, err = cluster.Open(ctx, cluster.Options{
		NodeID:      n.dir.NodeID(),
		ClusterName: cfg.Node.Name,
		Network:     links,
		Formation:   formation(&cfg.Cluster),
		Node:        meta.Node{DisplayName: cfg.Node.Name, Release: Release},
		NodeTimeout: cfg.Cluster.NodeTimeout,
		Balanced:    cfg.Cluster.LeaderLocator == config.Balanced,
		Opened:      func(b *cluster.Broker) { n.clustered.Store(b) },
		Meta: meta.Options{
			Dir:             filepath.Join(n.dir.Path(), "metadata"),
			DefaultVHost:    cfg.DefaultVHost,
			DefaultUser:     cfg.DefaultUser,
			DefaultPassword: cfg.DefaultPass,
		},
		Store:            n.store,
		Memory:           n.memory,
		LoopbackUsers:    cfg.LoopbackUsers,
		CloseConnections: n.closeConnections,
		Refuse:           n.refuse,
		CommitTimeout:    cfg.Cluster.CommitTimeout,
		Alarmed:          n.alarmed,
		DeliverReply:     n.deliverReply,
		Logger:           log,
	})
	if err != nil {
		return nil, err
	}
	pprof.SetGoroutineLabels(context.Background())
	if err := n.loadDefinitions(ctx); err != nil {
		return nil, err
	}
	o := serverOptions(cfg)
	o.NodeID = n.dir.NodeID()
	if links != nil {
		o.SendReply = n.broker.SendReply
	}
	if n.server, err = server.New(o, served{n.broker}, log); err != nil {
		return nil, err
	}
	n.serving.Store(n.server)
	n.watch.Go(n.watchResources)
	if err := n.server.Listen(ctx, cfg.AMQP.Listen...); err != nil {
		return nil, err
	}
	if err := n.listenTLS(ctx); err != nil {
		return nil, err
	}
	if err := n.openAdmin(ctx); err != nil {
		return nil, err
	}
	if err := n.describe(ctx); err != nil {
		return nil, err
	}
	n.phase.Store(phaseServing)
	return n, nil
}

// served is the cluster as the server sees it: Access is an interface there.
type served struct{ *cluster.Broker }

// Open implements server.Broker.
func (s served) Open(user *cluster.User, vhost string, connection uint64) (server.Access, error) {
	a, err := s.Broker.Open(user, vhost, connection)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// closeConnections implements cluster.Options.CloseConnections. Changes take effect before there is a server; then there are no
// connections either.
func (n *Node) closeConnections(match func(id uint64, vhost, user string) bool, reason string) {
	if s := n.serving.Load(); s != nil {
		s.CloseConnections(reason, func(c server.Connection) bool { return match(c.ID, c.VHost, c.User) })
	}
}

// refuse implements cluster.Options.Refuse.
func (n *Node) refuse(refuse bool) {
	if s := n.serving.Load(); s != nil {
		s.Refuse(refuse)
	}
}

// listenTLS opens the listeners for AMQP over TLS, if any.
func (n *Node) listenTLS(ctx context.Context) error {
	t := &n.cfg.AMQP.TLS
	if len(t.Listen) == 0 {
		return nil
	}
	source, err := certs.Load(certs.Options{
		Field: "amqp.tls",
		Cert:  t.Cert, Key: t.Key, CA: t.CA,
		ClientAuth: clientAuth[t.ClientCerts],
		MinVersion: tlsVersions[t.MinVersion],
		Logger:     n.log,
	})
	if err != nil {
		return err
	}
	n.certs = source
	return n.server.ListenTLS(ctx, source.Config(), t.Listen...)
}

var (
	clientAuth = map[config.ClientCerts]tls.ClientAuthType{
		config.ClientCertsNone:    tls.NoClientCert,
		config.ClientCertsRequest: tls.VerifyClientCertIfGiven,
		config.ClientCertsRequire: tls.RequireAndVerifyClientCert,
	}
	tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
)

// TLSAddrs returns the addresses on which AMQP over TLS is served.
func (n *Node) TLSAddrs() []string { return texts(n.server.TLSAddrs()) }

func texts(addrs []net.Addr) []string {
	var list []string
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

// Addrs returns the addresses on which AMQP is served.
func (n *Node) Addrs() []string { return texts(n.server.Addrs()) }

// Broker returns the cluster's face on this node, for what is not done over AMQP.
func (n *Node) Broker() *cluster.Broker { return n.broker }

// serverOptions translates the configuration: there 0 can mean off, in the options it means the default.
func serverOptions(cfg *config.Config) server.Options {
	a := &cfg.AMQP
	o := server.Options{
		Product:          a.Product,
		Version:          a.Version,
		Release:          Release,
		ChannelMax:       a.ChannelMax,
		FrameMax:         a.FrameMax,
		Heartbeat:        a.Heartbeat,
		HandshakeTimeout: a.HandshakeTimeout,
		ConsumerTimeout:  a.ConsumerTimeout,
		MaxConnections:   a.MaxConnections,
		MaxMessageSize:   a.MaxMessageSize,
		OutboxBytes:      int(a.OutboxBytes),
		InflightBytes:    int(a.InflightBytes),
		UserFrom:         server.UserFrom(a.TLS.UserFrom),
		ProxyTrusted:     a.ProxyTrusted,
		TCP: server.TCPOptions{
			Delay:         !a.TCP.NoDelay,
			ReceiveBuffer: a.TCP.RcvBuf,
			SendBuffer:    a.TCP.SndBuf,
			KeepAlive:     a.TCP.KeepAlive,
		},
	}
	if o.ConsumerTimeout == 0 {
		o.ConsumerTimeout = -1
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = -1
	}
	if o.TCP.KeepAlive == 0 {
		o.TCP.KeepAlive = -1
	}
	return o
}

// Shutdown stops the node in order: no new clients, goodbye to those there are, engines and metadata, store. ctx bounds it;
// when it ends first, the error says what was cut off. What was confirmed is safe in any case.
func (n *Node) Shutdown(ctx context.Context) error { return n.takeDown(ctx) }

// takeDown stops whatever was started.
func (n *Node) takeDown(ctx context.Context) error {
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	n.phase.Store(phaseStopping)
	if n.admin != nil {
		note("closing the admin API", n.admin.Close(ctx))
	}
	if n.server != nil {
		n.dismissClients(ctx)
	}
	close(n.stopWatch)
	n.watch.Wait()
	if n.broker != nil {
		note("closing the broker", n.broker.Close(ctx))
	}
	if n.store != nil {
		note("closing the store", n.store.Close(ctx))
	}
	if n.http != nil {
		note("closing HTTP", n.closeHTTP(ctx))
	}
	if n.dir != nil {
		note("closing the data directory", n.dir.Close())
	}
	return errors.Join(errs...)
}

// dismissClients says goodbye to all clients. Those that do not answer are cut in time for the rest of the shutdown.
func (n *Node) dismissClients(ctx context.Context) {
	patience := maxGoodbye
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/3)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := n.server.Shutdown(ctx, "shutdown"); err != nil {
		n.log.Warn("some clients did not answer connection.close and were cut", "waited", patience)
	}
}

// maxGoodbye bounds the wait for clients to answer connection.close.
const maxGoodbye = 3 * time.Second

// Fatal delivers the error that made the node unable to go on. The receiver shuts it down.
func (n *Node) Fatal() <-chan error { return n.fatal }
