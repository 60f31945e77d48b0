package cluster

import (
	"context"
	"sync"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// usage counts what vhosts and users have, against their limits. Connections and channels are those of this node. A method that
// takes Broker.mu as well takes that first.
type usage struct {
	mu     sync.Mutex
	vhosts map[string]*account
	users  map[string]*account
	open   map[*Access]struct{} // not closed yet
}

// account is what one vhost or user has. Accounts without content are not kept.
type account struct {
	limits                Limits
	connections, channels int
	queues                int // in the state that is in effect
	// declaring counts the queues that are being declared in a vhost with MaxQueues. Those that exist already are counted in
	// queues as well until the declaration returns, so queues+declaring can be too high for a moment, never too low.
	declaring int
	settled   chan struct{} // closed when declaring goes down; nil if nobody waits for that
}

func newUsage() usage {
	return usage{vhosts: make(map[string]*account), users: make(map[string]*account), open: make(map[*Access]struct{})}
}

// change calls edit with the account of name, which is made if there is none, and forgets it if nothing is left in it.
func change(accounts map[string]*account, name string, edit func(*account)) {
	a := accounts[name]
	if a == nil {
		a = new(account)
		accounts[name] = a
	}
	edit(a)
	if len(a.limits) == 0 && a.connections == 0 && a.channels == 0 && a.queues == 0 && a.declaring == 0 {
		delete(accounts, name)
	}
}

// look returns a copy of the account of name.
func look(accounts map[string]*account, name string) account {
	if a := accounts[name]; a != nil {
		return *a
	}
	return account{}
}

// follow takes note of one change of the state.
func (u *usage) follow(c meta.Change) {
	switch e := c.Entity().(type) {
	case *meta.Queue:
		if e.Type == meta.TypeStore {
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		change(u.vhosts, e.VHost, func(a *account) {
			if c.Created() {
				a.queues++
			} else if c.Deleted() {
				a.queues--
			}
		})
	case *meta.Parameter:
		u.mu.Lock()
		defer u.mu.Unlock()
		u.setLimits(e, c.Deleted())
	}
}

func (u *usage) setLimits(p *meta.Parameter, deleted bool) {
	of, ok := limited(p)
	if !ok {
		return
	}
	accounts := u.vhosts
	if p.Component == userLimitsComponent {
		accounts = u.users
	}
	change(accounts, of, func(a *account) {
		a.limits = nil
		if !deleted {
			a.limits = storedLimits(p)
		}
	})
}

// rebuild takes limits and queues from a whole state.
func (u *usage) rebuild(s *meta.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, accounts := range []map[string]*account{u.vhosts, u.users} {
		for name := range accounts {
			change(accounts, name, func(a *account) { a.limits, a.queues = nil, 0 })
		}
	}
	for q := range s.Queues() {
		change(u.vhosts, q.VHost, func(a *account) { a.queues++ })
	}
	for p := range s.Parameters() {
		u.setLimits(p, false)
	}
}

// connect counts a connection. Errors are 530 when a limit is reached (SEMANTICS 1.14), or what permitted returns.
func (u *usage) connect(a *Access, permitted func() error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	vhost, user := look(u.vhosts, a.vhost), look(u.users, a.user.Name)
	if n, reached := vhost.limits.reached(MaxConnections, vhost.connections); reached {
		return errNotAllowed("access to vhost '%s' refused for user '%s': connection limit (%d) is reached", a.vhost, a.user.Name, n)
	}
	if n, reached := user.limits.reached(MaxConnections, user.connections); reached {
		return errNotAllowed("connection refused for user '%s': user connection limit (%d) is reached", a.user.Name, n)
	}
	if err := permitted(); err != nil {
		return err
	}
	change(u.vhosts, a.vhost, func(c *account) { c.connections++ })
	change(u.users, a.user.Name, func(c *account) { c.connections++ })
	u.open[a] = struct{}{}
	return nil
}

// disconnect gives back what the connection has, its channels included.
func (u *usage) disconnect(a *Access) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, open := u.open[a]; !open {
		return
	}
	delete(u.open, a)
	change(u.vhosts, a.vhost, func(c *account) { c.connections--; c.channels -= a.channels })
	change(u.users, a.user.Name, func(c *account) { c.connections--; c.channels -= a.channels })
	a.channels = 0
}

// openChannel counts a channel. The error is 530 when the user's limit is reached (SEMANTICS 2.1).
func (u *usage) openChannel(a *Access) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, open := u.open[a]; !open {
		return wire.Errorf(wire.InternalError, "connection is closed")
	}
	user := look(u.users, a.user.Name)
	if n, reached := user.limits.reached(MaxChannels, user.channels); reached {
		return errNotAllowed("number of channels opened for user '%s' has reached the maximum allowed user limit of %d",
			a.user.Name, n)
	}
	u.countChannels(a, 1)
	return nil
}

// closeChannel is the counterpart of openChannel; it returns false if the connection has no channel.
func (u *usage) closeChannel(a *Access) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if a.channels == 0 {
		return false
	}
	u.countChannels(a, -1)
	return true
}

func (u *usage) countChannels(a *Access, n int) {
	a.channels += n
	change(u.vhosts, a.vhost, func(c *account) { c.channels += n })
	change(u.users, a.user.Name, func(c *account) { c.channels += n })
}

// declareQueue makes room for one more queue in the vhost of r until done is called, which is when the declaration has taken
// effect or failed. If there may be room once other declarations have ended, it waits for them. The error is 406 when the limit is
// reached (SEMANTICS 5.13), 541 when ctx ends.
func (u *usage) declareQueue(ctx context.Context, r resource) (done func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		a := u.vhosts[r.vhost]
		if a == nil {
			return func() {}, nil
		}
		n, reached := a.limits.reached(MaxQueues, a.queues)
		if reached {
			return nil, errPrecondition("cannot declare queue '%s': queue limit in vhost '%s' (%d) is reached", r.name, r.vhost, n)
		}
		if _, full := a.limits.reached(MaxQueues, a.queues+a.declaring); !full {
			if _, limited := a.limits[MaxQueues]; !limited {
				return func() {}, nil
			}
			a.declaring++
			return func() { u.declared(r.vhost) }, nil
		}
		if a.settled == nil {
			a.settled = make(chan struct{})
		}
		settled := a.settled
		u.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			err = wire.Errorf(wire.InternalError, "%s could not be declared in time", r)
		}
		u.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

func (u *usage) declared(vhost string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u.vhosts, vhost, func(a *account) {
		a.declaring--
		if a.settled != nil {
			close(a.settled)
			a.settled = nil
		}
	})
}

// revoke ends the open connections that match, with the given error.
func (u *usage) revoke(reason *wire.Error, match func(id uint64, vhost, user string) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for a := range u.open {
		if match(a.conn.id, a.vhost, a.user.Name) {
			a.revoked.CompareAndSwap(nil, reason)
		}
	}
}

// owning returns what says of a connection whether it has, or perhaps had, exclusive queues.
func (u *usage) owning() func(id uint64, vhost, user string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	owners := make(map[uint64]bool)
	for a := range u.open {
		if a.owning.Load() {
			owners[a.conn.id] = true
		}
	}
	return func(id uint64, _, _ string) bool { return owners[id] }
}

// Usage is what a vhost or a user has. Connections and channels are those on this node.
type Usage struct {
	Connections, Channels int
	Queues                int // of a vhost
}

func (a account) usage() Usage {
	return Usage{Connections: a.connections, Channels: a.channels, Queues: a.queues}
}

// VHostUsage returns what a vhost has.
func (b *Broker) VHostUsage(vhost string) Usage {
	b.usage.mu.Lock()
	defer b.usage.mu.Unlock()
	return look(b.usage.vhosts, vhost).usage()
}

// UserUsage returns what a user has in all vhosts.
func (b *Broker) UserUsage(user string) Usage {
	b.usage.mu.Lock()
	defer b.usage.mu.Unlock()
	return look(b.usage.users, user).usage()
}
