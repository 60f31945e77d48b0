package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"syscall"

	"google.golang.org/grpc"

	"github.com/brokerd/brokerd/internal/admin"
	"github.com/brokerd/brokerd/internal/certs"
)

// openAdmin opens the admin API: the Unix socket, and TCP if there is to be one.
func (n *Node) openAdmin(ctx context.Context) error {
	var err error
	if n.admin, err = admin.New(admin.Options{
		Broker: n.broker, AMQP: n.server, Host: host{n}, Peers: n.peers, Logs: n.logs, Logger: n.log,
	}); err != nil {
		return err
	}
	n.adminPeers.Open(n.admin)
	if err := n.admin.ListenLocal(n.dir.Path()); err != nil {
		return err
	}
	return n.listenAdmin(ctx)
}

// listenAdmin opens the admin API on TCP.
func (n *Node) listenAdmin(ctx context.Context) error {
	c := &n.cfg.Admin
	if c.Listen == "" {
		return nil
	}
	var secure *tls.Config
	if c.Cert != "" {
		o := certs.Options{Field: "admin.tls", Cert: c.Cert, Key: c.Key, CA: c.ClientCA, Logger: n.log}
		if c.ClientCA != "" {
			o.ClientAuth = tls.VerifyClientCertIfGiven
		}
		var err error
		if n.adminCerts, err = certs.Load(o); err != nil {
			return err
		}
		secure = n.adminCerts.Config()
	}
	err := n.admin.Listen(ctx, c.Listen, secure, c.Insecure)
	if err != nil && n.optional("admin.listen") && errors.Is(err, syscall.EADDRINUSE) {
		n.log.Warn("no admin API on TCP, because the default address is in use; admin.listen sets another one, or none",
			"admin.listen", c.Listen)
		return nil
	}
	return err
}

// AdminAddr returns the address on which the admin API is served on TCP, "" if it is not.
func (n *Node) AdminAddr() string {
	if n.admin == nil || n.admin.Addr() == nil {
		return ""
	}
	return n.admin.Addr().String()
}

// peers returns connections to the other nodes of the cluster.
func (n *Node) peers() map[string]grpc.ClientConnInterface {
	if n.links == nil {
		return nil
	}
	conns := make(map[string]grpc.ClientConnInterface)
	for m := range n.broker.State().Nodes() {
		if m.Name == n.dir.NodeID() {
			continue
		}
		if conn, err := n.links.Conn(m.Name); err == nil {
			conns[m.Name] = conn
		}
	}
	return conns
}

// host is the node as the admin API sees it.
type host struct{ *Node }

// Usage implements admin.Host.
func (h host) Usage() admin.Usage {
	u := admin.Usage{
		Memory: memoryInUse(), MemoryLimit: h.cfg.Memory.Limit, MessageMemory: h.memory.Resident(),
		DiskFree: h.store.FreeBytes(), DiskMin: h.cfg.Store.MinFree, Store: h.store.Stats().Disk,
		Release: Release, MaxClientConnections: h.cfg.AMQP.MaxConnections,
	}
	u.FDs, u.MaxFDs = descriptors()
	if s := h.shortages.Load(); s != nil {
		u.MemoryAlarm, u.DiskAlarm = s.memory, s.disk
	}
	return u
}

// Listeners implements admin.Host.
func (h host) Listeners() (list []admin.Listener) {
	add := func(protocol string, addresses ...string) {
		for _, a := range addresses {
			if a != "" {
				list = append(list, admin.Listener{Protocol: protocol, Address: a})
			}
		}
	}
	add("amqp", h.Addrs()...)
	add("amqps", h.TLSAddrs()...)
	add("admin", filepath.Join(h.DataDir(), "admin.sock"), h.AdminAddr())
	add("http", h.HTTPAddr())
	if h.links != nil {
		add("cluster", h.links.Addr().String())
	}
	return list
}

// Settings implements admin.Host.
func (h host) Settings() (list []admin.Setting) {
	for _, s := range h.cfg.Show() {
		list = append(list, admin.Setting{Key: s.Key, Value: s.Value, Default: s.Default, Help: s.Help})
	}
	return list
}

// DataDir implements admin.Host.
func (h host) DataDir() string {
	if path, err := filepath.Abs(h.dir.Path()); err == nil {
		return path
	}
	return h.dir.Path()
}

// Certificates implements admin.Host.
func (h host) Certificates() (list []admin.Certificate) {
	add := func(section string, leaf *x509.Certificate) {
		list = append(list, admin.Certificate{Listener: section, Subject: leaf.Subject.String(), Expires: leaf.NotAfter})
	}
	if h.certs != nil {
		add("amqp.tls", h.certs.Leaf())
	}
	if h.adminCerts != nil {
		add("admin.tls", h.adminCerts.Leaf())
	}
	return list
}
