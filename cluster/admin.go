package cluster

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/brokerd/brokerd/cluster/meta"
)

// What operators change. All of these operations check who may do so nowhere: that is the admin API's part, and so are lists,
// which it takes from Broker.State. Errors: *ArgumentError for what is not allowed; those of package meta for what is not there
// (ErrNoVHost, ErrNoUser, ErrNoPolicy, ErrNoParameter, ErrVHostProtected, in a *meta.NameError) and for a change that could not
// be committed. When an operation returns without error, the change is in effect on this node.

// nameLocks serialize the operations of this node that replace a part of something (a user's tags), so that none undoes another.
// They are told apart by what they are about, so that an import is not one operation after the other.
type nameLocks [64]sync.Mutex

var nameSeed = maphash.MakeSeed()

// lock waits for its turn and returns what ends it. Nobody may hold two.
func (l *nameLocks) lock(name string) (unlock func()) {
	m := &l[maphash.String(nameSeed, name)%uint64(len(l))]
	m.Lock()
	return m.Unlock
}

type actorKey struct{}

// WithActor returns a context for administrative operations in the name of user, which their events will show.
func WithActor(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, actorKey{}, user)
}

// administer commits a change for the actor of ctx.
func (b *Broker) administer(ctx context.Context, c meta.Command) (meta.Result, error) {
	actor, _ := ctx.Value(actorKey{}).(string)
	return b.proposeAs(ctx, actor, c)
}

// PutVHost creates a vhost, or gives an existing one other properties. A DefaultQueueType is that of queues that are declared
// without one.
func (b *Broker) PutVHost(ctx context.Context, v meta.VHost) (created bool, err error) {
	if err := CheckVHost(&v); err != nil {
		return false, err
	}
	r, err := b.administer(ctx, meta.PutVHost{VHost: v})
	if err != nil {
		return false, err
	}
	if v.Name == b.events.vhost() {
		b.ensureEventExchange(ctx)
	}
	return r.Created, nil
}

// DeleteVHost deletes a vhost with everything in it, and closes its connections with 320. A protected one is refused.
func (b *Broker) DeleteVHost(ctx context.Context, name string) error {
	_, err := b.administer(ctx, meta.DeleteVHost{Name: name})
	return err
}

// PutUser creates a user, or gives an existing one another secret and other tags. It may take tens of milliseconds.
func (b *Broker) PutUser(ctx context.Context, name string, s Secret, tags []string) (created bool, err error) {
	if err := CheckUser(name, s, tags); err != nil {
		return false, err
	}
	u := meta.User{Name: name, Tags: slices.Clone(tags)}
	if u.PasswordHash, u.HashAlgorithm, err = s.stored(); err != nil {
		return false, err
	}
	defer b.admin.lock(name)()
	if b.State().User(name) == nil {
		// A deletion that was cut off may have left limits behind.
		if err := b.clearUserLimits(ctx, name); err != nil {
			return false, err
		}
	}
	r, err := b.administer(ctx, meta.PutUser{User: u})
	return r.Created, err
}

// SetUserSecret changes how a user logs in. What was verified before counts no more; open connections stay. It may take tens of
// milliseconds.
func (b *Broker) SetUserSecret(ctx context.Context, name string, s Secret) error {
	hash, algorithm, err := s.stored()
	if err != nil {
		return err
	}
	return b.editUser(ctx, name, func(u *meta.User) { u.PasswordHash, u.HashAlgorithm = hash, algorithm })
}

// SetUserTags gives a user other tags, which count at once.
func (b *Broker) SetUserTags(ctx context.Context, name string, tags []string) error {
	if err := checkTags("user", tags); err != nil {
		return err
	}
	return b.editUser(ctx, name, func(u *meta.User) { u.Tags = slices.Clone(tags) })
}

// editUser replaces a part of a user.
func (b *Broker) editUser(ctx context.Context, name string, edit func(*meta.User)) error {
	defer b.admin.lock(name)()
	old := b.State().User(name)
	if old == nil {
		return &meta.NameError{Err: meta.ErrNoUser, Name: name}
	}
	u := *old
	edit(&u)
	_, err := b.administer(ctx, meta.PutUser{User: u})
	return err
}

// DeleteUser deletes a user with his permissions and limits, and closes his connections with 320.
func (b *Broker) DeleteUser(ctx context.Context, name string) error {
	defer b.admin.lock(name)()
	if _, err := b.administer(ctx, meta.DeleteUser{Name: name}); err != nil {
		return err
	}
	return b.clearUserLimits(ctx, name)
}

func (b *Broker) clearUserLimits(ctx context.Context, user string) error {
	return b.setLimits(ctx, limitsParameter(userLimitsComponent, user), nil)
}

// SetPermission sets the expressions of a user in a vhost. Like all permissions it counts at once, on open connections too.
func (b *Broker) SetPermission(ctx context.Context, p meta.Permission) (created bool, err error) {
	if err := CheckPermission(&p); err != nil {
		return false, err
	}
	r, err := b.administer(ctx, meta.SetPermission{Permission: p})
	return r.Created, err
}

// ClearPermission takes a user's permission in a vhost away, if there is one. His connections there stay, without any
// permission.
func (b *Broker) ClearPermission(ctx context.Context, user, vhost string) error {
	if err := b.checkEntry(user, vhost); err != nil {
		return err
	}
	_, err := b.administer(ctx, meta.ClearPermission{User: user, VHost: vhost})
	return err
}

// checkEntry refuses users and vhosts that do not exist.
func (b *Broker) checkEntry(user, vhost string) error {
	s := b.State()
	if s.User(user) == nil {
		return &meta.NameError{Err: meta.ErrNoUser, Name: user}
	}
	if s.VHost(vhost) == nil {
		return &meta.NameError{Err: meta.ErrNoVHost, Name: vhost}
	}
	return nil
}

// SetTopicPermission restricts the routing keys that a user may publish with and bind with on a topic exchange, which need not
// exist. In the expressions {username} and {vhost} stand for the names, literally.
func (b *Broker) SetTopicPermission(ctx context.Context, p meta.TopicPermission) (created bool, err error) {
	if err := CheckTopicPermission(&p); err != nil {
		return false, err
	}
	r, err := b.administer(ctx, meta.SetTopicPermission{TopicPermission: p})
	return r.Created, err
}

// ClearTopicPermission takes the restriction of a user on one exchange away, if there is one.
func (b *Broker) ClearTopicPermission(ctx context.Context, user, vhost, exchange string) error {
	if err := b.checkEntry(user, vhost); err != nil {
		return err
	}
	_, err := b.administer(ctx, meta.ClearTopicPermission{User: user, VHost: vhost, Exchange: exchange})
	return err
}

// ClearTopicPermissions takes the restrictions of a user on all exchanges of a vhost away.
func (b *Broker) ClearTopicPermissions(ctx context.Context, user, vhost string) error {
	if err := b.checkEntry(user, vhost); err != nil {
		return err
	}
	_, err := b.administer(ctx, meta.ClearTopicPermission{User: user, VHost: vhost, All: true})
	return err
}

// PutPolicy creates or replaces a policy or operator policy. The error of a definition names its key as the Field.
func (b *Broker) PutPolicy(ctx context.Context, p meta.Policy) (created bool, err error) {
	if err := CheckPolicy(&p); err != nil {
		return false, err
	}
	r, err := b.administer(ctx, meta.PutPolicy{Policy: p})
	return r.Created, err
}

// DeletePolicy deletes a policy, or an operator policy.
func (b *Broker) DeletePolicy(ctx context.Context, vhost, name string, operator bool) error {
	_, err := b.administer(ctx, meta.DeletePolicy{VHost: vhost, Name: name, Operator: operator})
	return err
}
