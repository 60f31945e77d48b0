package server

import (
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/routing"
)

// Broker is what the server needs from the cluster. Errors are *wire.Error with the code and text for the client, unless said.
type Broker interface {
	// Authenticate checks a password. loopback says that the client is on this machine. Any failure is an error whose text
	// is for the log only; it takes as long for unknown users as for wrong passwords.
	Authenticate(user, password string, loopback bool) (*cluster.User, error)
	// AuthenticateExternal finds a user whose identity was proven otherwise, by a certificate. Errors are like Authenticate's.
	AuthenticateExternal(user string, loopback bool) (*cluster.User, error)
	// Open gives a connection access to a vhost. connection is unique on this node and run. Errors are 530.
	Open(user *cluster.User, vhost string, connection uint64) (Access, error)
	// ClusterName is announced in the server properties.
	ClusterName() string
}

// Access is one connection's way to one vhost. Methods that change or ask something may wait; the others never do.
// All are safe for concurrent use by the channels of the connection.
type Access interface {
	DeclareExchange(s cluster.ExchangeSpec) error
	DeleteExchange(name string, ifUnused bool) error
	BindExchange(b cluster.BindingSpec) error
	UnbindExchange(b cluster.BindingSpec) error
	DeclareQueue(s cluster.QueueSpec) (cluster.QueueInfo, error)
	DeleteQueue(name string, ifUnused, ifEmpty bool) (messages int, err error)
	PurgeQueue(name string) (messages int, err error)
	BindQueue(b cluster.BindingSpec) error
	UnbindQueue(b cluster.BindingSpec) error
	// QueueForRead finds a queue for basic.consume and basic.get: exists (404), may be read (403), is not another
	// connection's exclusive queue (405).
	QueueForRead(name string) (queue.Handle, error)
	// Routes returns the current routing state of the vhost, nil when the vhost is gone. It never waits.
	Routes() *routing.VHost
	// ConsumerTimeout returns for how many milliseconds deliveries of a queue may stay unacknowledged, 0 for ever; ok is false if
	// neither the queue nor a policy says so. It never waits.
	ConsumerTimeout(queueID uint64) (ms int64, ok bool)
	// QueueError turns an error of a queue's Handle into the *wire.Error for the client.
	QueueError(err error, name string) error
	// Elsewhere reports whether the queue that h stands for is led by another node than h goes to, which can be reached. It never
	// waits.
	Elsewhere(h queue.Handle) bool
	// FindExchange is for an exchange that Routes does not have: nil says that it has it now. It may wait for the cluster. Errors
	// are 404 and 541.
	FindExchange(name string) error
	// CheckPublish checks the write permission on an exchange. It never waits.
	CheckPublish(exchange string) error
	// CheckTopicWrite checks the topic permission on the messages of an exchange with this routing key. It never waits and does
	// not keep key. Errors are 403.
	CheckTopicWrite(exchange string, key []byte) error
	// CheckUserID checks the user-id property of a message.
	CheckUserID(userID []byte) error
	// Revoked returns the 320 with which the connection must be closed because its vhost or user was deleted since Open, nil if
	// there is no reason. It never waits.
	Revoked() error
	// OpenChannel counts a channel. The error is 530: there are too many. It never waits.
	OpenChannel() error
	// CloseChannel is the counterpart of a successful OpenChannel. It never waits.
	CloseChannel()
	// Announce says on the event exchange that the connection is open. details, which is called only if somebody listens, tells
	// what only the server knows. It never waits.
	Announce(details func() wire.Table)
	// Close deletes the connection's exclusive queues; it returns when they are gone. It is called once.
	Close()
}
