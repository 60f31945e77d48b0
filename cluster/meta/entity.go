package meta

import (
	"reflect"
	"slices"
	"strings"
)

// Entities of the replicated state. They are immutable once in the state: a change makes a new value. Arguments are encoded
// AMQP field tables (without the length prefix), nil for none, kept byte for byte as the client sent them.

// VHost is a virtual host.
type VHost struct {
	Name             string
	Description      string
	Tags             []string
	DefaultQueueType string
	Tracing          bool
	Protected        bool
}

// User is a broker user. PasswordHash is empty when password login is refused.
type User struct {
	Name          string
	PasswordHash  []byte
	HashAlgorithm string // HashArgon2id, HashSHA256, HashSHA512
	Tags          []string
}

// Permission holds the three regular expressions of a user in a vhost.
type Permission struct {
	User, VHost            string
	Configure, Write, Read string
}

// TopicPermission restricts the routing keys of a topic exchange.
type TopicPermission struct {
	User, VHost, Exchange string
	Write, Read           string
}

// Exchange is a declared exchange. The default exchange is not stored.
type Exchange struct {
	VHost, Name string
	Type        string
	Durable     bool
	AutoDelete  bool
	Internal    bool
	Arguments   []byte
	// Owner is set for exchanges that go when a node's incarnation ends (not durable).
	Owner Owner
	// Leader is the id of the node that leads the store of the exchange (see StoreName), "" for an exchange without one.
	Leader string
}

// TypeStore is the Type of the queues in which exchanges keep messages. Clients do not see them.
const TypeStore = "exchange-store"

// Prefixes of the names of those queues: storePrefix if messages wait there until they are due, historyPrefix if they are kept for
// queues to come. Clients cannot give such names.
const (
	storePrefix   = "amq.delayed."
	historyPrefix = "amq.history."
)

// typeRecentHistory is the type of the exchanges that keep messages for queues to come.
const typeRecentHistory = "x-recent-history"

// StoreName returns the name of the queue in which x keeps messages, if it has a Leader. It is made and deleted together with the
// exchange, and as durable.
func (x *Exchange) StoreName() string {
	if x.Type == typeRecentHistory {
		return historyPrefix + x.Name
	}
	return storePrefix + x.Name
}

// Queue is a declared queue.
type Queue struct {
	ID          uint64 // unique among all queues that ever existed
	VHost, Name string
	Type        string // "classic"
	Durable     bool
	AutoDelete  bool
	Exclusive   bool
	Arguments   []byte
	Leader      string // node id
	// Owner is set for queues that go when a node's incarnation ends (not durable, or exclusive).
	Owner Owner
	// Connection identifies the owning connection of an exclusive queue within Owner, 0 for none.
	Connection uint64
}

// StoreOf returns the exchange of which q is the store; ok is false for all other queues.
func (q *Queue) StoreOf() (exchange string, ok bool) {
	if q.Type != TypeStore {
		return "", false
	}
	if exchange, ok = strings.CutPrefix(q.Name, historyPrefix); ok {
		return exchange, true
	}
	return strings.CutPrefix(q.Name, storePrefix)
}

// KeepsHistory reports whether q is the store of an exchange that keeps messages for queues to come. Its Arguments are those of
// the exchange.
func (q *Queue) KeepsHistory() bool {
	return q.Type == TypeStore && strings.HasPrefix(q.Name, historyPrefix)
}

// store returns the queue in which x keeps messages, without an id, nil if it needs none.
func (x *Exchange) store() *Queue {
	if x.Leader == "" {
		return nil
	}
	q := &Queue{VHost: x.VHost, Name: x.StoreName(), Type: TypeStore, Durable: x.Durable, Leader: x.Leader, Owner: x.Owner}
	if x.Type == typeRecentHistory {
		q.Arguments = x.Arguments
	}
	return q
}

// Owner names one run of one node. The zero Owner means none.
type Owner struct {
	Node        string
	Incarnation uint64
}

// Node is a node of the cluster: how to reach it, what it can do, and its latest run. A node that was started but never
// announced by PutNode has only a name and a run.
type Node struct {
	Name           string   // the node id: never changes, and is the key
	DisplayName    string   // what people call it; unique unless empty
	Address        string   // of its cluster listener, host:port
	AMQP           []string // addresses of its AMQP listeners
	Admin          string   // address of its admin listener
	HTTP           string   // address of its HTTP listener
	Release        string   // version of the program
	Protocol       uint32   // greatest version of the protocol between nodes that it speaks
	CommandVersion uint32   // greatest version of commands that it can apply; 0 if it is not known
	Draining       bool     // it is to get no new queues and clients
	Incarnation    uint64   // number of the latest run, from 1; 0: never started
	Ended          bool     // that run is over
}

// DestinationKind says what a binding leads to.
type DestinationKind uint8

// What a binding leads to.
const (
	ToQueue DestinationKind = iota
	ToExchange
)

// Binding leads from a source exchange to a queue or exchange. All fields together are its identity; two argument tables
// that differ only in the order of their keys are the same.
type Binding struct {
	VHost, Source   string
	Destination     string
	DestinationKind DestinationKind
	RoutingKey      string
	Arguments       []byte
}

// Policy, operator policies and runtime parameters are stored for later use.
type Policy struct {
	VHost, Name string
	Operator    bool
	Pattern     string
	ApplyTo     string
	Priority    int32
	Definition  []byte // JSON object
}

// Parameter is a runtime parameter; VHost is empty for global ones.
type Parameter struct {
	VHost, Component, Name string
	Value                  []byte // JSON
}

// Hash algorithms of User.HashAlgorithm, by the names that RabbitMQ definitions use where it has one.
const (
	HashArgon2id = "brokerd_argon2id"
	HashSHA256   = "rabbit_password_hashing_sha256"
	HashSHA512   = "rabbit_password_hashing_sha512"
)

// SameDescription says whether n and o agree in everything that PutNode sets.
func (n *Node) SameDescription(o *Node) bool {
	a, b := *n, *o
	a.Incarnation, a.Ended, a.AMQP = 0, false, nil
	b.Incarnation, b.Ended, b.AMQP = 0, false, nil
	return reflect.DeepEqual(a, b) && slices.Equal(n.AMQP, o.AMQP)
}
