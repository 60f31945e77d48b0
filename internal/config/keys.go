package config

import (
	"net/netip"
	"os"
	"strings"
	"time"
)

// Units of sizes in bytes.
const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// Key describes one configuration key.
type Key struct {
	Name    string // as in the file, sections separated by dots
	Default string // as one would write it
	Help    string
	Flag    string // command line flag without dashes, empty for none
	Live    bool   // applied on SIGHUP; all other keys need a restart
	Secret  bool   // the value is never shown

	kind
	// computed replaces Default when the real default is known only at run time; Default then describes it.
	computed func() string
}

// Type names the type of the value: text, list, number, size, duration, flag, choice or memory.
func (k *Key) Type() string { return k.typ }

// Allowed describes the values that are accepted.
func (k *Key) Allowed() string { return k.allowed }

// Env returns the name of the key's environment variable.
func (k *Key) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

func (k *Key) defaultValue() string {
	if k.computed != nil {
		return k.computed()
	}
	return k.Default
}

const envPrefix = "BROKERD_"

// Keys returns the table of all keys, in the order of the documentation. The caller must not change it.
func Keys() []Key { return keys }

var keys = []Key{
	{Name: "data_dir", Default: "./brokerd-data", Flag: "data-dir",
		kind: text(func(c *Config) *string { return &c.DataDir }, 1, 4096),
		Help: "Directory of everything that survives a restart. Created if it does not exist."},
	{Name: "node.name", Default: "the host name", computed: hostName, Flag: "node-name",
		kind: name(func(c *Config) *string { return &c.Node.Name }),
		Help: "Name of this node for people. It may change: the node's identity is in the data directory."},

	{Name: "amqp.listen", Default: "127.0.0.1:5672", Flag: "amqp-listen",
		kind: addresses(func(c *Config) *[]string { return &c.AMQP.Listen }),
		Help: "Addresses to accept AMQP connections on. IPv6 addresses in brackets and, in YAML, in quotes: `\"[::1]:5672\"`. An empty host means every interface; port 0 lets the system choose."},
	{Name: "amqp.product", Default: "RabbitMQ",
		kind: text(func(c *Config) *string { return &c.AMQP.Product }, 1, 64),
		Help: "The server property `product`. Some clients switch features by it."},
	{Name: "amqp.version", Default: "4.1.0",
		kind: text(func(c *Config) *string { return &c.AMQP.Version }, 1, 64),
		Help: "The server property `version`. Some clients switch features by it."},
	{Name: "amqp.channel_max", Default: "2047",
		kind: number(func(c *Config) *uint16 { return &c.AMQP.ChannelMax }, 1, 65535),
		Help: "Channels per connection."},
	{Name: "amqp.frame_max", Default: "128KiB",
		kind: size(func(c *Config) *uint32 { return &c.AMQP.FrameMax }, 4*kib, 16*mib, ""),
		Help: "Largest frame that is offered to clients."},
	{Name: "amqp.heartbeat", Default: "60s",
		kind: duration(func(c *Config) *time.Duration { return &c.AMQP.Heartbeat }, time.Second, time.Second, 65535*time.Second, "off"),
		Help: "Heartbeat interval that is offered to clients."},
	{Name: "amqp.handshake_timeout", Default: "10s",
		kind: duration(func(c *Config) *time.Duration { return &c.AMQP.HandshakeTimeout }, 0, 100*time.Millisecond, 10*time.Minute, ""),
		Help: "Time a client has to open its connection."},
	{Name: "amqp.consumer_timeout", Default: "30m",
		kind: duration(func(c *Config) *time.Duration { return &c.AMQP.ConsumerTimeout }, time.Second, time.Second, 30*24*time.Hour, "off"),
		Help: "Time a consumer may take to acknowledge a delivery. Its channel is closed when it takes longer, up to a minute later, and what is not acknowledged goes back to the queue."},
	{Name: "amqp.max_connections", Default: "65535",
		kind: number(func(c *Config) *int { return &c.AMQP.MaxConnections }, 1, 1_000_000),
		Help: "Client connections of this node at a time."},
	{Name: "amqp.max_message_size", Default: "16MiB",
		kind: size(func(c *Config) *int64 { return &c.AMQP.MaxMessageSize }, 1, 512*mib, ""),
		Help: "Largest message body."},
	{Name: "amqp.outbox_bytes", Default: "1MiB",
		kind: size(func(c *Config) *int64 { return &c.AMQP.OutboxBytes }, 64*kib, gib, ""),
		Help: "Bytes of deliveries waiting to be written to one connection. A consumer behind a full outbox gets nothing more until the client reads."},
	{Name: "amqp.inflight_bytes", Default: "16MiB",
		kind: size(func(c *Config) *int64 { return &c.AMQP.InflightBytes }, 64*kib, 4*gib, ""),
		Help: "Bytes that one connection has published and no queue has taken yet. A connection over it is not read until it falls."},
	{Name: "amqp.tcp.nodelay", Default: "true",
		kind: boolean(func(c *Config) *bool { return &c.AMQP.TCP.NoDelay }),
		Help: "TCP_NODELAY of client sockets."},
	{Name: "amqp.tcp.rcvbuf", Default: "256KiB",
		kind: size(func(c *Config) *int { return &c.AMQP.TCP.RcvBuf }, 4*kib, 64*mib, "the system's default"),
		Help: "SO_RCVBUF of client sockets."},
	{Name: "amqp.tcp.sndbuf", Default: "256KiB",
		kind: size(func(c *Config) *int { return &c.AMQP.TCP.SndBuf }, 4*kib, 64*mib, "the system's default"),
		Help: "SO_SNDBUF of client sockets."},
	{Name: "amqp.tcp.keepalive", Default: "30s",
		kind: duration(func(c *Config) *time.Duration { return &c.AMQP.TCP.KeepAlive }, time.Second, time.Second, 2*time.Hour, "off"),
		Help: "TCP keepalive interval of client sockets."},

	{Name: "amqp.tls.listen", Default: "", Flag: "amqp-tls-listen",
		kind: peers(func(c *Config) *[]string { return &c.AMQP.TLS.Listen }),
		Help: "Addresses to accept AMQP over TLS on, usually port 5671. Needs `amqp.tls.cert` and `amqp.tls.key`."},
	{Name: "amqp.tls.cert", Default: "",
		kind: text(func(c *Config) *string { return &c.AMQP.TLS.Cert }, 0, 4096),
		Help: "File with the certificate chain in PEM, the node's certificate first. The files of `amqp.tls` are read again when they change; connections stay."},
	{Name: "amqp.tls.key", Default: "",
		kind: text(func(c *Config) *string { return &c.AMQP.TLS.Key }, 0, 4096),
		Help: "File with the private key of the certificate in PEM."},
	{Name: "amqp.tls.ca", Default: "",
		kind: text(func(c *Config) *string { return &c.AMQP.TLS.CA }, 0, 4096),
		Help: "File with the authorities in PEM that client certificates are verified against."},
	{Name: "amqp.tls.client_certs", Default: "none",
		kind: choice(func(c *Config) *ClientCerts { return &c.AMQP.TLS.ClientCerts }, ClientCertsNone, ClientCertsRequest, ClientCertsRequire),
		Help: "Whether clients are asked for a certificate. `request`: they may show one, and it must be good then. `require`: they must. Those who have shown one can log in without a password, with SASL EXTERNAL."},
	{Name: "amqp.tls.user_from", Default: "cn",
		kind: choice(func(c *Config) *string { return &c.AMQP.TLS.UserFrom }, "cn", "dns", "email", "uri"),
		Help: "The name in a client's certificate that is its user for SASL EXTERNAL: the common name, or the first alternative name of a kind."},
	{Name: "amqp.tls.min_version", Default: "1.2",
		kind: choice(func(c *Config) *string { return &c.AMQP.TLS.MinVersion }, "1.2", "1.3"),
		Help: "Oldest version of TLS that is accepted."},
	{Name: "amqp.proxy_protocol.trusted", Default: "",
		kind: networks(func(c *Config) *[]netip.Prefix { return &c.AMQP.ProxyTrusted }),
		Help: "Addresses of proxies that speak the PROXY protocol, version 1 or 2, on all AMQP listeners. Connections from there must begin with its header and count as coming from the address in it; connections from elsewhere must not."},

	{Name: "admin.listen", Default: "127.0.0.1:8672", Flag: "admin-listen",
		kind: address(func(c *Config) *string { return &c.Admin.Listen }, "the Unix socket only"),
		Help: "Address of the admin API (gRPC) for users with the tag administrator, monitoring, policymaker or management. The local administrator reaches it by the Unix socket admin.sock in `data_dir` in any case. An address beyond loopback needs `admin.tls.cert`, or `admin.insecure`."},
	{Name: "admin.tls.cert", Default: "",
		kind: text(func(c *Config) *string { return &c.Admin.Cert }, 0, 4096),
		Help: "File with the certificate chain of the admin API in PEM, the node's certificate first. The files are read again when they change."},
	{Name: "admin.tls.key", Default: "",
		kind: text(func(c *Config) *string { return &c.Admin.Key }, 0, 4096),
		Help: "File with the private key of the certificate in PEM."},
	{Name: "admin.tls.client_ca", Default: "",
		kind: text(func(c *Config) *string { return &c.Admin.ClientCA }, 0, 4096),
		Help: "File with the authorities in PEM whose client certificates are accepted instead of a password: the common name is the user."},
	{Name: "admin.insecure", Default: "false",
		kind: boolean(func(c *Config) *bool { return &c.Admin.Insecure }),
		Help: "Serve the admin API beyond loopback without TLS, so that passwords cross the network as they are. For private networks."},

	{Name: "http.listen", Default: "127.0.0.1:15672", Flag: "http-listen",
		kind: address(func(c *Config) *string { return &c.HTTP.Listen }, "no HTTP"),
		Help: "Address to serve HTTP on: `/metrics` and `/metrics/per-object` for Prometheus, `/health/live` and `/health/ready`, and `/debug/pprof` for administrators on this machine."},

	{Name: "store.sync", Default: "always", Flag: "store-sync",
		kind: choice(func(c *Config) *SyncMode { return &c.Store.Sync }, SyncAlways, SyncInterval, SyncOS),
		Help: "When messages are synced to disk. `always`: before they are confirmed. `interval`: every `store.interval`, so that a crash of the machine may lose confirmed messages. `os`: when the operating system does."},
	{Name: "store.interval", Default: "100ms",
		kind: duration(func(c *Config) *time.Duration { return &c.Store.Interval }, 0, time.Millisecond, time.Minute, ""),
		Help: "Time between syncs with `store.sync: interval`."},
	{Name: "store.min_free", Default: "256MiB",
		kind: size(func(c *Config) *int64 { return &c.Store.MinFree }, mib, 1024*tib, "no disk alarm"),
		Help: "Free disk space below which publishers are blocked."},

	{Name: "memory.limit", Default: "60%", Flag: "memory-limit",
		kind: memory(),
		Help: "Memory of the process, in percent of the machine (or of the container's limit, if that is less) or as a size. Also the soft limit of the Go runtime, unless GOMEMLIMIT is set."},
	{Name: "queue.resident_bytes", Default: "32MiB",
		kind: size(func(c *Config) *int64 { return &c.Queue.ResidentBytes }, 256*kib, 64*gib, ""),
		Help: "Message memory of one queue; what is beyond is paged to disk."},
	{Name: "cluster.listen", Default: "127.0.0.1:7672", Flag: "cluster-listen",
		kind: address(func(c *Config) *string { return &c.Cluster.Listen }, "a node that stays alone"),
		Help: "Address for the other nodes of the cluster: Raft and the links on which messages travel. On an address that is not loopback it needs `cluster.secret` or `cluster.tls`."},
	{Name: "cluster.advertise", Default: "", Flag: "cluster-advertise",
		kind: address(func(c *Config) *string { return &c.Cluster.Advertise }, "the address of `cluster.listen`"),
		Help: "Address at which the other nodes reach `cluster.listen`. It may change from one start to the next."},
	{Name: "cluster.join", Default: "", Flag: "join",
		kind: peers(func(c *Config) *[]string { return &c.Cluster.Join }),
		Help: "Members of a running cluster that this node joins at its first start. One that can be reached is enough."},
	{Name: "cluster.initial", Default: "", Flag: "cluster-initial",
		kind: peers(func(c *Config) *[]string { return &c.Cluster.Initial }),
		Help: "The first members of a new cluster, the same list on each of them: the first one makes the cluster, once it sees more than half of the list and none of it is in a cluster already, and the others join it. They may be started in any order."},
	{Name: "cluster.secret", Default: "", Secret: true,
		kind: text(func(c *Config) *string { return &c.Cluster.Secret }, 0, 4096),
		Help: "Shared by all nodes of a cluster, who prove to each other that they know it without sending it."},
	{Name: "cluster.tls.ca", Default: "",
		kind: text(func(c *Config) *string { return &c.Cluster.TLS.CA }, 0, 4096),
		Help: "PEM file with the authorities whose certificates other nodes must have. Set all three of `cluster.tls`, or none."},
	{Name: "cluster.tls.cert", Default: "",
		kind: text(func(c *Config) *string { return &c.Cluster.TLS.Cert }, 0, 4096),
		Help: "PEM file with the certificate of this node, for links in both directions."},
	{Name: "cluster.tls.key", Default: "",
		kind: text(func(c *Config) *string { return &c.Cluster.TLS.Key }, 0, 4096),
		Help: "PEM file with the private key of `cluster.tls.cert`."},
	{Name: "cluster.queue_leader_locator", Default: "client-local",
		kind: choice(func(c *Config) *LeaderLocator { return &c.Cluster.LeaderLocator }, ClientLocal, Balanced),
		Help: "Which node leads a new queue that does not say it by `x-queue-leader-locator` or a policy. `client-local`: the one that the client is connected to. `balanced`: the one that leads the fewest."},
	{Name: "cluster.node_timeout", Default: "5s",
		kind: duration(func(c *Config) *time.Duration { return &c.Cluster.NodeTimeout }, 0, 500*time.Millisecond, time.Hour, ""),
		Help: "Time after which a node that cannot be reached counts as down: its exclusive and transient queues are deleted."},
	{Name: "cluster.commit_timeout", Default: "5s",
		kind: duration(func(c *Config) *time.Duration { return &c.Cluster.CommitTimeout }, 0, 100*time.Millisecond, 5*time.Minute, ""),
		Help: "Time a topology change (a declare, a bind) may take before the client gets an error."},
	{Name: "definitions.load", Default: "", Flag: "definitions-load",
		kind: text(func(c *Config) *string { return &c.Definitions.Load }, 0, 4096),
		Help: "Definitions to import before clients are served: a JSON file as RabbitMQ exports it, or a directory whose *.json files are taken together. Content that was loaded before is skipped; a mistake in it stops the start. A new cluster that gets another administrator this way does not keep `default_user`."},

	{Name: "log.level", Default: "info", Flag: "log-level", Live: true,
		kind: level(),
		Help: "Least severe level that is logged."},
	{Name: "log.format", Default: "text", Flag: "log-format",
		kind: choice(func(c *Config) *LogFormat { return &c.Log.Format }, LogText, LogJSON),
		Help: "Form of log lines, which go to standard error."},
	{Name: "shutdown.timeout", Default: "10s",
		kind: duration(func(c *Config) *time.Duration { return &c.Shutdown.Timeout }, 0, 100*time.Millisecond, 10*time.Minute, ""),
		Help: "Time an orderly shutdown may take."},

	{Name: "default_user", Default: "guest",
		kind: text(func(c *Config) *string { return &c.DefaultUser }, 1, 255),
		Help: "Administrator that is created at the first start."},
	{Name: "default_pass", Default: "guest", Secret: true,
		kind: text(func(c *Config) *string { return &c.DefaultPass }, 1, 255),
		Help: "Password of the default user."},
	{Name: "default_vhost", Default: "/",
		kind: text(func(c *Config) *string { return &c.DefaultVHost }, 1, 255),
		Help: "Virtual host that is created at the first start."},
	{Name: "loopback_users", Default: "guest",
		kind: names(func(c *Config) *[]string { return &c.LoopbackUsers }),
		Help: "Users that may only log in from a loopback address. An empty list lifts the restriction."},
}

// hostName is the default of node.name. A host name that is no valid node name cannot stop the broker, so it is not used.
func hostName() string {
	if h, err := os.Hostname(); err == nil && validName(h) {
		return h
	}
	return "brokerd"
}

func findKey(name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	return nil
}
