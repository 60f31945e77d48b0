package cluster

import (
	"context"
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
	broker *Broker // of the node that has the connection
	id     uint64  // unique on this node and in this process
}

// owns says whether the connection declared the exclusive queue q.
func (c connection) owns(q *meta.Queue) bool {
	return q.Owner == c.broker.run() && q.Connection == c.id
}

// Access is one connection's way to one virtual host. Errors are *wire.Error without a method. It is safe for concurrent
// use by the channels of the connection.
type Access struct {
	broker *Broker
	user   User
	vhost  string
	conn   connection
	grants grantCache
	topics topicCache
	// administrator is set for an Access that stands for the administrator of the cluster and not for a connection: it has all
	// permissions, and exclusive queues are not locked for it. ctx, set only then, bounds its changes.
	administrator bool
	ctx           context.Context

	channels int                        // open ones; guarded by usage.mu
	revoked  atomic.Pointer[wire.Error] // why the connection must end, nil: it need not
	named    atomic.Pointer[string]     // its name in events, set by Announce

	// exclusive is read-locked while a queue of the connection is being declared, so that Close misses none.
	exclusive sync.RWMutex
	closed    bool        // guarded by exclusive
	owning    atomic.Bool // an exclusive queue was declared, or perhaps was
}

// Open gives a connection access to a vhost, and counts it until Close. id is unique on this node and run, and not 0. Errors are
// 530: the vhost does not exist, it or the user has too many connections, or the user has no permission entry in it.
func (b *Broker) Open(user *User, vhost string, id uint64) (*Access, error) {
	a := &Access{
		broker: b,
		user:   User{Name: user.Name, Tags: slices.Clone(user.Tags)},
		vhost:  vhost,
		conn:   connection{broker: b, id: id},
	}
	if s := b.State(); s.VHost(vhost) == nil || s.Permission(user.Name, vhost) == nil {
		ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
		_ = b.meta.ReadIndex(ctx) // without an answer, what is known here counts
		cancel()
	}
	// A deletion of the vhost that this state does not show yet finds the connection among the open ones.
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.State()
	if s.VHost(vhost) == nil {
		return nil, errNotAllowed("vhost %s not found", vhost)
	}
	err := b.usage.connect(a, func() error {
		if s.Permission(user.Name, vhost) == nil {
			return errNotAllowed("access to vhost '%s' refused for user '%s'", vhost, user.Name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Revoked returns the 320 with which the connection must be closed because its vhost or user was deleted since Open, nil if
// there is no reason. Options.CloseConnections tells the server at once, but only about connections that the server has; it asks
// here when it has added one. It never waits.
func (a *Access) Revoked() error {
	if e := a.revoked.Load(); e != nil {
		return e
	}
	return nil
}

// OpenChannel counts a channel. The error is 530: the user has too many (SEMANTICS 2.1). It does not wait.
func (a *Access) OpenChannel() error {
	if err := a.broker.usage.openChannel(a); err != nil {
		return err
	}
	a.broker.events.channel("channel.created", a)
	return nil
}

// CloseChannel is the counterpart of a successful OpenChannel. It does not wait.
func (a *Access) CloseChannel() {
	if a.broker.usage.closeChannel(a) {
		a.broker.events.channel("channel.closed", a)
	}
}

// Announce says on the event exchange that the connection is open. details adds what the server knows, by RabbitMQ's names
// (name, peer_host, peer_port, protocol, ...); it is called only if somebody listens, and not kept. It does not wait.
func (a *Access) Announce(details func() wire.Table) { a.broker.events.connected(a, details) }

// Routes returns the current routing state of the vhost, nil when the vhost is gone. It never waits.
func (a *Access) Routes() *routing.VHost { return a.broker.routing.Load().VHost(a.vhost) }

// CheckPublish checks the write permission on an exchange. It never waits.
func (a *Access) CheckPublish(exchange string) error {
	return a.check(opWrite, resource{kindExchange, exchange, a.vhost})
}

// impersonator is the tag of users who may publish in the name of others.
const impersonator = "impersonator"

// CheckUserID checks the user-id property of a message: it must be the user of the connection, unless that has at the moment the
// tag impersonator (SEMANTICS 9.5). It never waits.
func (a *Access) CheckUserID(userID []byte) error {
	if string(userID) == a.user.Name || slices.Contains(a.tags(), impersonator) {
		return nil
	}
	return errPrecondition("user_id property set to '%s' but authenticated user was '%s'", userID, a.user.Name)
}

// tags returns the user's tags: those in the state, or those of the login for a user who is not there.
func (a *Access) tags() []string {
	if u := a.broker.State().User(a.user.Name); u != nil {
		return u.Tags
	}
	return a.user.Tags
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
	q, h, err := a.broker.findQueue(r)
	if err != nil {
		return nil, nil, err
	}
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
	if q.Exclusive && !a.administrator && !a.conn.owns(q) {
		return errLocked(resource{kindQueue, q.Name, q.VHost})
	}
	return nil
}

// Close gives back what the connection counts for, deletes its exclusive queues and returns when they are gone. If the cluster cannot agree on that now, the
// broker goes on trying in the background. It is called once.
func (a *Access) Close() {
	a.exclusive.Lock()
	a.closed = true
	a.exclusive.Unlock()
	defer a.broker.events.disconnected(a)
	a.broker.usage.disconnect(a)
	if a.owning.Load() {
		a.broker.proposeUntilDone("delete exclusive queues", meta.EndOwner{Owner: a.broker.run(), Connection: a.conn.id})
	}
}

// propose commits a change in the name of the connection's user.
func (a *Access) propose(c meta.Command) (meta.Result, error) {
	ctx := a.ctx
	if ctx == nil {
		ctx = a.broker.ctx
	}
	return a.broker.proposeAs(ctx, a.user.Name, c)
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
