package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is a complete, validated configuration. Treat it as read-only once it is handed to others.
type Config struct {
	DataDir string // directory of everything that survives a restart
	Node    Node
	AMQP    AMQP
	HTTP    HTTP
	Admin   Admin
	Store   Store
	Memory  Memory
	Queue   Queue
	Cluster Cluster
	// Definitions are imported before clients are served.
	Definitions Definitions
	Log         Log
	Shutdown    Shutdown

	// DefaultUser, DefaultPass and DefaultVHost are created at the first start with an empty data directory.
	DefaultUser, DefaultPass, DefaultVHost string
	// LoopbackUsers may only log in from a loopback address.
	LoopbackUsers []string

	memoryLimit string            // Memory.Limit as it was written
	sources     map[string]Source // by key; where the value comes from
}

// Node says which node this is.
type Node struct {
	Name string
}

// AMQP configures the listeners and the limits of client connections. Sizes are bytes.
type AMQP struct {
	Listen           []string // host:port, at least one
	Product          string   // server property
	Version          string   // server property
	ChannelMax       uint16   // at least 1
	FrameMax         uint32   // at least 4096
	Heartbeat        time.Duration
	HandshakeTimeout time.Duration
	ConsumerTimeout  time.Duration // 0 switches it off
	MaxConnections   int
	MaxMessageSize   int64
	OutboxBytes      int64 // per connection
	InflightBytes    int64 // per publishing connection
	TCP              TCP
	TLS              TLS
	ProxyTrusted     []netip.Prefix // connections from there begin with a header of the PROXY protocol
}

// TLS configures AMQP over TLS. Paths are empty if they are not given; with a listener Cert and Key are, and CA if client
// certificates are verified.
type TLS struct {
	Listen        []string // host:port, may be none
	Cert, Key, CA string   // paths of PEM files
	ClientCerts   ClientCerts
	UserFrom      string // cn, dns, email or uri
	MinVersion    string // 1.2 or 1.3
}

// ClientCerts says whether clients show certificates.
type ClientCerts string

// The values of amqp.tls.client_certs.
const (
	ClientCertsNone    ClientCerts = "none"
	ClientCertsRequest ClientCerts = "request" // if they have one; it is verified
	ClientCertsRequire ClientCerts = "require"
)

// TCP tunes client sockets.
type TCP struct {
	NoDelay   bool
	RcvBuf    int           // bytes, 0 leaves the system's default
	SndBuf    int           // bytes, 0 leaves the system's default
	KeepAlive time.Duration // 0 switches it off
}

// Admin configures the listener for administrators. Paths are empty if they are not given; Cert and Key are given together, and with
// them CA if client certificates are accepted.
type Admin struct {
	Listen    string // host:port, empty for the Unix socket only
	Cert, Key string // paths of PEM files
	ClientCA  string // path of a PEM file
	Insecure  bool   // beyond loopback without TLS
}

// HTTP configures the listener for metrics, health and profiles.
type HTTP struct {
	Listen string // host:port, "" for none
}

// SyncMode says when a commit counts as durable.
type SyncMode string

// The modes of store.sync.
const (
	SyncAlways   SyncMode = "always"   // every group commit is synced before it is confirmed
	SyncInterval SyncMode = "interval" // synced every Store.Interval; a crash of the machine may lose that much
	SyncOS       SyncMode = "os"       // left to the operating system
)

// Store configures the message store.
type Store struct {
	Sync     SyncMode
	Interval time.Duration // for SyncInterval
	MinFree  int64         // bytes of free disk below which the disk alarm is raised, 0 for never
}

// Memory bounds the process.
type Memory struct {
	Limit int64 // bytes; a percentage is already resolved against the machine or the cgroup
}

// Queue configures every queue of the node.
type Queue struct {
	ResidentBytes int64 // message memory of one queue before it pages to disk
}

// Cluster configures the links to other nodes and the replicated state.
type Cluster struct {
	Listen        string   // host:port of the listener for other nodes, "" for a node that stays alone
	Advertise     string   // host:port at which other nodes reach Listen, "" to derive it
	Join          []string // members of the cluster to join, for a node without metadata
	Initial       []string // all first members of a new cluster, this node among them
	Secret        string   // shared by all nodes, "" for none
	TLS           ClusterTLS
	LeaderLocator LeaderLocator // where queues go that do not say it
	NodeTimeout   time.Duration // after which an unreachable node counts as down
	CommitTimeout time.Duration // how long a topology change may take before the client gets an error
}

// ClusterTLS names the PEM files for links between nodes; all three are set, or none.
type ClusterTLS struct{ CA, Cert, Key string }

// LeaderLocator says which node leads a new queue.
type LeaderLocator string

// The ways to place a queue.
const (
	ClientLocal LeaderLocator = "client-local" // the node that the client is connected to
	Balanced    LeaderLocator = "balanced"     // the node that leads the fewest queues
)

// Definitions says which definitions the node imports when it starts.
type Definitions struct {
	Load string // a file, or a directory with *.json files; empty for none
}

// LogFormat is the form of log lines.
type LogFormat string

// The formats of log.format.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// Log configures the log, which goes to standard error.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// Shutdown configures how the node goes down.
type Shutdown struct {
	Timeout time.Duration
}

// Source says where a value comes from.
type Source struct {
	Origin Origin
	Name   string // path of the file, name of the variable, or the flag with its dashes; empty for a default
}

// Origin is a kind of source. A greater origin overrides a smaller one.
type Origin uint8

// The origins of values.
const (
	FromDefault Origin = iota
	FromFile
	FromEnvironment
	FromFlag
)

// String returns the source as shown to the operator, such as "environment BROKERD_LOG_LEVEL".
func (s Source) String() string {
	switch s.Origin {
	case FromFile:
		return "file " + s.Name
	case FromEnvironment:
		return "environment " + s.Name
	case FromFlag:
		return "flag " + s.Name
	default:
		return "default"
	}
}

// IsDefault says whether nobody has set a key: its value is the default, and comes from there.
func (c *Config) IsDefault(key string) bool {
	k := findKey(key)
	return k != nil && c.Source(key).Origin == FromDefault && k.format(c).String() == k.defaultValue()
}

// Source returns where the value of a key comes from; the zero Source (default) for an unknown key.
func (c *Config) Source(key string) Source { return c.sources[key] }
