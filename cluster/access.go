package cluster

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/routing"
)

// connection names a client connection within the cluster.
type connection struct {
	owner meta.Owner // the run of the node that has the connection
	id    uint64
}

// owns says whether the connection declared the exclusive queue q.
func (c connection) owns(q *meta.Queue) bool { return q.Owner == c.owner && q.Connection == c.id }

// Access is one connection's way to one virtual host. Errors are *wire.Error without a method. It is safe for concurrent
// use by the channels of the connection.
type Access struct {
	broker *Broker
	user   User
	vhost  string
	conn   connection
	grants grantCache

	// exclusive is read-locked while a queue of the connection is being declared, so that Close misses none.
	exclusive sync.RWMutex
	closed    bool        // guarded by exclusive
	owning    atomic.Bool // an exclusive queue was declared, or perhaps was
}

// Open gives a connection access to a vhost. connection is unique on this node and run, and not 0. Errors are 530: the vhost
// does not exist, or the user has no permission entry in it.
func (b *Broker) Open(user *User, vhost string, id uint64) (*Access, error) {
	s := b.state()
	if s.VHost(vhost) == nil {
		return nil, errNotAllowed("vhost %s not found", vhost)
	}
	if s.Permission(user.Name, vhost) == nil {
		return nil, errNotAllowed("access to vhost '%s' refused for user '%s'", vhost, user.Name)
	}
	return &Access{
		broker: b,
		user:   User{Name: user.Name, Tags: slices.Clone(user.Tags)},
		vhost:  vhost,
		conn:   connection{owner: b.owner, id: id},
	}, nil
}

// Routes returns the current routing state of the vhost, nil when the vhost is gone. It never waits.
func (a *Access) Routes() *routing.VHost { return a.broker.routing.Load().VHost(a.vhost) }

// CheckPublish checks the write permission on an exchange. It never waits.
func (a *Access) CheckPublish(exchange string) error {
	return a.check(opWrite, resource{kindExchange, exchange, a.vhost})
}

// impersonator is the tag of users who may publish in the name of others.
const impersonator = "impersonator"

// CheckUserID checks the user-id property of a message: it must be the user of the connection (SEMANTICS 9.5).
func (a *Access) CheckUserID(userID []byte) error {
	if string(userID) == a.user.Name || slices.Contains(a.user.Tags, impersonator) {
		return nil
	}
	return errPrecondition("user_id property set to '%s' but authenticated user was '%s'", userID, a.user.Name)
}

// QueueForRead finds a queue for basic.consume and basic.get. Errors: 403 it may not be read, 404 it does not exist, 405 it
// is another connection's exclusive queue.
func (a *Access) QueueForRead(name string) (queue.Handle, error) {
	r := resource{kindQueue, cleanName(name), a.vhost}
	if err := a.check(opRead, r); err != nil {
		return nil, err
	}
	_, h, err := a.reach(r)
	return h, err
}

// reach finds a queue that the connection may use. Errors: 404, 405.
func (a *Access) reach(r resource) (*meta.Queue, queue.Handle, error) {
	q, h := a.broker.find(r)
	if q == nil {
		return nil, nil, errNotFound(r)
	}
	if err := a.checkExclusive(q); err != nil {
		return nil, nil, err
	}
	return q, h, nil
}

// checkExclusive returns 405 when q is another connection's.
func (a *Access) checkExclusive(q *meta.Queue) error {
	if q.Exclusive && !a.conn.owns(q) {
		return errLocked(resource{kindQueue, q.Name, q.VHost})
	}
	return nil
}

// Close deletes the connection's exclusive queues and returns when they are gone. If the cluster cannot agree on that now, the
// broker goes on trying in the background. It is called once.
func (a *Access) Close() {
	a.exclusive.Lock()
	a.closed = true
	a.exclusive.Unlock()
	if a.owning.Load() {
		a.broker.proposeUntilDone("delete exclusive queues", meta.EndOwner{Owner: a.conn.owner, Connection: a.conn.id})
	}
}

// declareOwned runs propose, which may make a queue that belongs to the connection.
func (a *Access) declareOwned(propose func() (meta.Result, error)) (meta.Result, error) {
	a.exclusive.RLock()
	defer a.exclusive.RUnlock()
	if a.closed {
		return meta.Result{}, wire.Errorf(wire.InternalError, "connection is closed")
	}
	a.owning.Store(true)
	return propose()
}
