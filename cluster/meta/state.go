package meta

import (
	"iter"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// State is the metadata as it was after one entry of the Raft log. It never changes; all methods may be called from any
// goroutine. Entities that it returns must not be written to. Iterators go in key order: by vhost, then by name, bytewise.
type State struct {
	index       uint64 // of the last entry with commands
	lastQueue   uint64 // greatest queue id ever assigned
	term        uint64 // of the entry at index; 0 if the state comes from a snapshot
	version     uint32 // greatest version of a command that led here; a member of a lower one could not have followed
	initialized bool   // Initialize was applied
	clusterID   string // "" if nobody gave the cluster one

	vhosts           *iradix.Tree[*VHost]           // name
	users            *iradix.Tree[*User]            // name
	permissions      *iradix.Tree[*Permission]      // vhost, user
	topicPermissions *iradix.Tree[*TopicPermission] // vhost, user, exchange
	exchanges        *iradix.Tree[*Exchange]        // vhost, name
	queues           *iradix.Tree[*Queue]           // vhost, name
	queuesByID       *iradix.Tree[*Queue]           // id; the same values as in queues
	bindings         *iradix.Tree[*Binding]         // vhost, source, kind, destination, routing key, digest
	bindingsTo       *iradix.Tree[*Binding]         // vhost, kind, destination, source, routing key, digest; same values
	owned            *iradix.Tree[Entity]           // queues and exchanges with an Owner, see ownedKey
	policies         *iradix.Tree[*Policy]          // vhost, kind, name
	parameters       *iradix.Tree[*Parameter]       // vhost, component, name
	nodes            *iradix.Tree[*Node]            // name
	led              *iradix.Tree[int]              // name of a node: number of queues that it leads, never 0
}

func newState() *State {
	return &State{
		version:          1,
		vhosts:           iradix.New[*VHost](),
		users:            iradix.New[*User](),
		permissions:      iradix.New[*Permission](),
		topicPermissions: iradix.New[*TopicPermission](),
		exchanges:        iradix.New[*Exchange](),
		queues:           iradix.New[*Queue](),
		queuesByID:       iradix.New[*Queue](),
		bindings:         iradix.New[*Binding](),
		bindingsTo:       iradix.New[*Binding](),
		owned:            iradix.New[Entity](),
		policies:         iradix.New[*Policy](),
		parameters:       iradix.New[*Parameter](),
		nodes:            iradix.New[*Node](),
		led:              iradix.New[int](),
	}
}

// Index returns the Raft index of the last entry with commands that is in the state. Entries that Raft makes for itself do
// not count, so it may stay below Raft's commit index for ever.
func (s *State) Index() uint64 { return s.index }

// Initialized says whether the state ever got its first vhost and user.
func (s *State) Initialized() bool { return s.initialized }

// ClusterID returns the id that the cluster got when it was made, empty if it has none yet.
func (s *State) ClusterID() string { return s.clusterID }

func get[T any](t *iradix.Tree[T], parts ...string) T {
	var buf [keySpace]byte
	v, _ := t.Get(appendKey(buf[:0], parts...))
	return v
}

// walk yields what lies under a prefix, in key order.
func walk[T any](t *iradix.Tree[T], prefix []byte) iter.Seq[T] {
	return func(yield func(T) bool) {
		it := t.Root().Iterator()
		it.SeekPrefix(prefix)
		for {
			_, v, ok := it.Next()
			if !ok || !yield(v) {
				return
			}
		}
	}
}

// VHost returns a vhost, nil if there is none.
func (s *State) VHost(name string) *VHost { return get(s.vhosts, name) }

// VHosts yields all vhosts.
func (s *State) VHosts() iter.Seq[*VHost] { return walk(s.vhosts, nil) }

// User returns a user, nil if there is none.
func (s *State) User(name string) *User { return get(s.users, name) }

// Users yields all users.
func (s *State) Users() iter.Seq[*User] { return walk(s.users, nil) }

// Permission returns what user may do in vhost, nil if there is no entry.
func (s *State) Permission(user, vhost string) *Permission { return get(s.permissions, vhost, user) }

// Permissions yields all permissions by vhost and user.
func (s *State) Permissions() iter.Seq[*Permission] { return walk(s.permissions, nil) }

// PermissionsIn yields the permissions in a vhost.
func (s *State) PermissionsIn(vhost string) iter.Seq[*Permission] {
	return walk(s.permissions, key(vhost))
}

// TopicPermission returns the restriction of user on an exchange, nil if there is none.
func (s *State) TopicPermission(user, vhost, exchange string) *TopicPermission {
	return get(s.topicPermissions, vhost, user, exchange)
}

// TopicPermissions yields all topic permissions by vhost, user and exchange.
func (s *State) TopicPermissions() iter.Seq[*TopicPermission] { return walk(s.topicPermissions, nil) }

// TopicPermissionsIn yields the topic permissions in a vhost.
func (s *State) TopicPermissionsIn(vhost string) iter.Seq[*TopicPermission] {
	return walk(s.topicPermissions, key(vhost))
}

// Exchange returns an exchange, nil if there is none.
func (s *State) Exchange(vhost, name string) *Exchange { return get(s.exchanges, vhost, name) }

// Exchanges yields all exchanges.
func (s *State) Exchanges() iter.Seq[*Exchange] { return walk(s.exchanges, nil) }

// ExchangesIn yields the exchanges of a vhost.
func (s *State) ExchangesIn(vhost string) iter.Seq[*Exchange] { return walk(s.exchanges, key(vhost)) }

// NumExchanges returns the number of exchanges in all vhosts.
func (s *State) NumExchanges() int { return s.exchanges.Len() }

// Queue returns a queue, nil if there is none. It does not find the stores of exchanges.
func (s *State) Queue(vhost, name string) *Queue {
	if q := get(s.queues, vhost, name); q != nil && q.Type != TypeStore {
		return q
	}
	return nil
}

// QueueByID returns the queue with an id, nil if it is gone.
func (s *State) QueueByID(id uint64) *Queue {
	var buf [8]byte
	q, _ := s.queuesByID.Get(idKey(buf[:0], id))
	return q
}

// Queues yields all queues but the stores of exchanges.
func (s *State) Queues() iter.Seq[*Queue] { return visible(walk(s.queues, nil)) }

// QueuesIn yields the queues of a vhost but the stores of exchanges.
func (s *State) QueuesIn(vhost string) iter.Seq[*Queue] { return visible(walk(s.queues, key(vhost))) }

// AllQueues yields all queues, with the stores of exchanges.
func (s *State) AllQueues() iter.Seq[*Queue] { return walk(s.queues, nil) }

// visible leaves the stores of exchanges out.
func visible(all iter.Seq[*Queue]) iter.Seq[*Queue] {
	return func(yield func(*Queue) bool) {
		for q := range all {
			if q.Type != TypeStore && !yield(q) {
				return
			}
		}
	}
}

// NumQueues returns the number of queues in all vhosts, with the stores of exchanges.
func (s *State) NumQueues() int { return s.queues.Len() }

// Binding returns the stored binding with the identity of b, nil if there is none.
func (s *State) Binding(b *Binding) *Binding {
	v, _ := s.bindings.Get(b.sourceKey())
	return v
}

// Bindings yields all bindings, by vhost, source, and destination. The implicit ones of the default exchange are not stored.
func (s *State) Bindings() iter.Seq[*Binding] { return walk(s.bindings, nil) }

// BindingsIn yields the bindings of a vhost.
func (s *State) BindingsIn(vhost string) iter.Seq[*Binding] { return walk(s.bindings, key(vhost)) }

// BindingsFrom yields the bindings that start at an exchange.
func (s *State) BindingsFrom(vhost, source string) iter.Seq[*Binding] {
	return walk(s.bindings, key(vhost, source))
}

// BindingsTo yields the bindings that lead to a queue or exchange.
func (s *State) BindingsTo(vhost string, kind DestinationKind, destination string) iter.Seq[*Binding] {
	return walk(s.bindingsTo, key(vhost, kind.key(), destination))
}

// NumBindings returns the number of bindings in all vhosts.
func (s *State) NumBindings() int { return s.bindings.Len() }

// Policy returns a policy, or an operator policy, nil if there is none.
func (s *State) Policy(vhost, name string, operator bool) *Policy {
	return get(s.policies, vhost, policyKind(operator), name)
}

// Policies yields all policies, by vhost, operator policies first, and name.
func (s *State) Policies() iter.Seq[*Policy] { return walk(s.policies, nil) }

// PoliciesIn yields the policies of a vhost, operator policies first.
func (s *State) PoliciesIn(vhost string) iter.Seq[*Policy] { return walk(s.policies, key(vhost)) }

// Parameter returns a runtime parameter, nil if there is none. The vhost of a global one is empty.
func (s *State) Parameter(vhost, component, name string) *Parameter {
	return get(s.parameters, vhost, component, name)
}

// Parameters yields all runtime parameters, global ones first.
func (s *State) Parameters() iter.Seq[*Parameter] { return walk(s.parameters, nil) }

// ParametersIn yields the runtime parameters of a vhost, or the global ones for "".
func (s *State) ParametersIn(vhost string) iter.Seq[*Parameter] {
	return walk(s.parameters, key(vhost))
}

// Node returns a node by its id, nil if it was never announced or started, or was removed.
func (s *State) Node(name string) *Node { return get(s.nodes, name) }

// Nodes yields all nodes by their ids.
func (s *State) Nodes() iter.Seq[*Node] { return walk(s.nodes, nil) }

// QueuesLedBy returns the number of queues that a node leads, with the stores of exchanges. It costs one look-up.
func (s *State) QueuesLedBy(node string) int { return get(s.led, node) }

// OwnedBy yields what goes with any run of a node, as Owned does.
func (s *State) OwnedBy(node string) iter.Seq[Entity] { return walk(s.owned, key(node)) }

// Owned yields the queues and exchanges that go with an owner: exclusive and transient queues, then transient exchanges.
func (s *State) Owned(o Owner) iter.Seq[Entity] {
	// Exchanges sort behind the queues because of the byte after the incarnation.
	return walk(s.owned, ownerKey(o))
}
