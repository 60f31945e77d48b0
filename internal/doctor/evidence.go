package doctor

import "time"

// Evidence is what Examine looks at. What is not known stays zero, and is not examined.
type Evidence struct {
	Now         time.Time
	Nodes       []Node
	Queues      []Queue
	Consumers   []Consumer
	Connections []Connection
	// Exchanges says which exchanges there are, by vhost and name.
	Exchanges map[Name]bool
}

// Name is what a vhost calls something.
type Name struct{ VHost, Name string }

// Node is a node of the cluster.
type Node struct {
	Name      string
	Reachable bool
	Voter     bool
	Leader    bool // of the metadata
	Draining  bool
	Release   string
	Alarms    []string // what it is short of
	Clock     time.Time

	MemoryUsed, MemoryLimit int64 // bytes
	DiskFree, DiskMinFree   int64 // bytes; DiskMinFree 0: no alarm
	FilesOpen, FilesLimit   int64
	Certificates            []Certificate
	OpenListeners           []Listener

	// Connections opened in the last minute, and open ones.
	ConnectionsOpened, Connections int64
}

// Certificate is one that a node shows to others.
type Certificate struct {
	Use     string // the configuration key that names it
	Subject string
	Expires time.Time
}

// Listener is where a node takes connections.
type Listener struct {
	Use      string // "amqp", "admin", "http", "cluster"
	Address  string
	TLS      bool
	Loopback bool
}

// Queue is a queue and what it has.
type Queue struct {
	Name
	Durable, AutoDelete, Exclusive bool
	Leader                         string // display name of the node
	LeaderDown                     bool
	Ready, Unacked, Consumers      int
	Bytes                          int64
	Bounded                        bool // it has a length limit, or a message TTL, or expires
	DeadLetterExchange             *string
	RejectsWithoutDeadLetters      bool // overflow is reject-publish-dlx, or there is a delivery limit, without a dead-letter exchange
	OldestUnacked                  time.Duration
	UnusedFor                      time.Duration // without consumers and use, 0: in use
}

// Consumer is a consumer of a queue.
type Consumer struct {
	Queue      Name
	Tag        string
	Connection string
	ManualAck  bool
	Prefetch   int // 0: no limit
	Unacked    int
}

// Connection is a client connection.
type Connection struct {
	Name     string
	User     string
	Channels int
	Opened   time.Time
	Blocked  bool
}
