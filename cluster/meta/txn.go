package meta

import (
	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// txn is a State under change: the maps of the next State and the list of what was done to them. One goroutine uses it. A
// command checks everything before it changes anything, so a refused command leaves no trace.
//
// While a map of a txn is iterated it must not be changed: collect, then change.
type txn struct {
	lastQueue   uint64
	term        uint64 // of the last entry
	version     uint32 // greatest of all commands so far
	initialized bool
	clusterID   string

	vhosts           *iradix.Txn[*VHost]
	users            *iradix.Txn[*User]
	permissions      *iradix.Txn[*Permission]
	topicPermissions *iradix.Txn[*TopicPermission]
	exchanges        *iradix.Txn[*Exchange]
	queues           *iradix.Txn[*Queue]
	queuesByID       *iradix.Txn[*Queue]
	bindings         *iradix.Txn[*Binding]
	bindingsTo       *iradix.Txn[*Binding]
	owned            *iradix.Txn[Entity]
	policies         *iradix.Txn[*Policy]
	parameters       *iradix.Txn[*Parameter]
	nodes            *iradix.Txn[*Node]
	led              *iradix.Txn[int]

	changes []Change
}

func newTxn(s *State) *txn {
	return &txn{
		lastQueue:        s.lastQueue,
		term:             s.term,
		version:          s.version,
		clusterID:        s.clusterID,
		initialized:      s.initialized,
		vhosts:           s.vhosts.Txn(),
		users:            s.users.Txn(),
		permissions:      s.permissions.Txn(),
		topicPermissions: s.topicPermissions.Txn(),
		exchanges:        s.exchanges.Txn(),
		queues:           s.queues.Txn(),
		queuesByID:       s.queuesByID.Txn(),
		bindings:         s.bindings.Txn(),
		bindingsTo:       s.bindingsTo.Txn(),
		owned:            s.owned.Txn(),
		policies:         s.policies.Txn(),
		parameters:       s.parameters.Txn(),
		nodes:            s.nodes.Txn(),
		led:              s.led.Txn(),
	}
}

// commit returns the next State; the txn must not be used afterwards.
func (t *txn) commit(index uint64) *State {
	return &State{
		index:            index,
		lastQueue:        t.lastQueue,
		term:             t.term,
		version:          t.version,
		clusterID:        t.clusterID,
		initialized:      t.initialized,
		vhosts:           t.vhosts.CommitOnly(),
		users:            t.users.CommitOnly(),
		permissions:      t.permissions.CommitOnly(),
		topicPermissions: t.topicPermissions.CommitOnly(),
		exchanges:        t.exchanges.CommitOnly(),
		queues:           t.queues.CommitOnly(),
		queuesByID:       t.queuesByID.CommitOnly(),
		bindings:         t.bindings.CommitOnly(),
		bindingsTo:       t.bindingsTo.CommitOnly(),
		owned:            t.owned.CommitOnly(),
		policies:         t.policies.CommitOnly(),
		parameters:       t.parameters.CommitOnly(),
		nodes:            t.nodes.CommitOnly(),
		led:              t.led.CommitOnly(),
	}
}

func find[T any](t *iradix.Txn[T], parts ...string) (T, bool) {
	var buf [keySpace]byte
	return t.Get(appendKey(buf[:0], parts...))
}

// under collects what lies under a prefix, in key order.
func under[T any](t *iradix.Txn[T], prefix []byte) (all []T) {
	it := t.Root().Iterator()
	it.SeekPrefix(prefix)
	for {
		_, v, ok := it.Next()
		if !ok {
			return all
		}
		all = append(all, v)
	}
}

func anyUnder[T any](t *iradix.Txn[T], prefix []byte) bool {
	it := t.Root().Iterator()
	it.SeekPrefix(prefix)
	_, _, ok := it.Next()
	return ok
}

// put stores v, which replaces what had the key.
func put[T Entity](t *txn, m *iradix.Txn[T], k []byte, v T) (created bool) {
	old, replaced := m.Insert(k, v)
	if replaced {
		t.changes = append(t.changes, Change{Before: old, After: v})
	} else {
		t.changes = append(t.changes, Change{After: v})
	}
	return !replaced
}

// remove deletes what has the key and says whether there was something.
func remove[T Entity](t *txn, m *iradix.Txn[T], k []byte) bool {
	old, ok := m.Delete(k)
	if ok {
		t.changes = append(t.changes, Change{Before: old})
	}
	return ok
}

// putQueue and putExchange store one, with its indexes; replaceQueue and replaceExchange are for those that are there already.

func (t *txn) putQueue(q *Queue) {
	put(t, t.queues, key(q.VHost, q.Name), q)
	t.queuesByID.Insert(idKey(nil, q.ID), q)
	t.countLed(q.Leader, 1)
	if q.Owner != (Owner{}) {
		t.owned.Insert(q.ownedKey(), q)
	}
}

func (t *txn) putExchange(x *Exchange) {
	put(t, t.exchanges, key(x.VHost, x.Name), x)
	if x.Owner != (Owner{}) {
		t.owned.Insert(x.ownedKey(), x)
	}
}

// replaceQueue and replaceExchange put next in the place of old, which has the same name and id.

func (t *txn) replaceQueue(old, next *Queue) {
	if old.Owner != (Owner{}) {
		t.owned.Delete(old.ownedKey())
	}
	t.countLed(old.Leader, -1)
	t.putQueue(next)
}

func (t *txn) replaceExchange(old, next *Exchange) {
	if old.Owner != (Owner{}) {
		t.owned.Delete(old.ownedKey())
	}
	t.putExchange(next)
}

func (t *txn) countLed(node string, n int) {
	k := key(node)
	old, _ := t.led.Get(k)
	if n += old; n == 0 {
		t.led.Delete(k)
	} else {
		t.led.Insert(k, n)
	}
}

// takeQueue and takeExchange remove one entity and its indexes, without cascades.

func (t *txn) takeQueue(q *Queue) {
	remove(t, t.queues, key(q.VHost, q.Name))
	t.queuesByID.Delete(idKey(nil, q.ID))
	t.countLed(q.Leader, -1)
	if q.Owner != (Owner{}) {
		t.owned.Delete(q.ownedKey())
	}
}

func (t *txn) takeExchange(x *Exchange) {
	remove(t, t.exchanges, key(x.VHost, x.Name))
	if x.Owner != (Owner{}) {
		t.owned.Delete(x.ownedKey())
	}
}

func (t *txn) putBinding(b *Binding) (created bool) {
	k := b.sourceKey()
	if _, exists := t.bindings.Get(k); exists {
		return false
	}
	put(t, t.bindings, k, b)
	t.bindingsTo.Insert(b.destinationKey(), b)
	return true
}

func (t *txn) takeBinding(b *Binding) bool {
	if !remove(t, t.bindings, b.sourceKey()) {
		return false
	}
	t.bindingsTo.Delete(b.destinationKey())
	return true
}

// drop deletes queues and exchanges with everything that goes with them: the bindings at either end, and the auto-delete
// exchanges that thereby lose the last binding of which they are the source, and so on. Those already gone are skipped.
func (t *txn) drop(victims ...Entity) {
	for len(victims) > 0 {
		e := victims[0]
		victims = victims[1:]
		var lost []*Binding
		switch e := e.(type) {
		case *Queue:
			if q, ok := find(t.queues, e.VHost, e.Name); !ok || q.ID != e.ID {
				continue
			}
			lost = under(t.bindingsTo, key(e.VHost, ToQueue.key(), e.Name))
			t.takeQueue(e)
		case *Exchange:
			if _, ok := find(t.exchanges, e.VHost, e.Name); !ok {
				continue
			}
			lost = under(t.bindingsTo, key(e.VHost, ToExchange.key(), e.Name))
			for _, b := range under(t.bindings, key(e.VHost, e.Name)) {
				t.takeBinding(b)
			}
			t.takeExchange(e)
			if q, ok := find(t.queues, e.VHost, e.StoreName()); ok && e.Leader != "" {
				victims = append(victims, q)
			}
		}
		for i, b := range lost {
			t.takeBinding(b)
			// lost is sorted by source, so a source is finished when the next one comes.
			if i+1 == len(lost) || lost[i+1].Source != b.Source {
				if x := t.unbound(b.VHost, b.Source); x != nil {
					victims = append(victims, x)
				}
			}
		}
	}
}

// unbound returns the exchange if it must go because it just lost a binding of which it was the source, nil if it stays.
func (t *txn) unbound(vhost, source string) *Exchange {
	x, ok := find(t.exchanges, vhost, source)
	if !ok || !x.AutoDelete || anyUnder(t.bindings, key(vhost, source)) {
		return nil
	}
	return x
}

// dropVHost deletes a vhost and everything in it.
func (t *txn) dropVHost(name string) {
	in := key(name)
	for _, b := range under(t.bindings, in) {
		t.takeBinding(b)
	}
	for _, q := range under(t.queues, in) {
		t.takeQueue(q)
	}
	for _, x := range under(t.exchanges, in) {
		t.takeExchange(x)
	}
	for _, p := range under(t.topicPermissions, in) {
		remove(t, t.topicPermissions, key(p.VHost, p.User, p.Exchange))
	}
	for _, p := range under(t.permissions, in) {
		remove(t, t.permissions, key(p.VHost, p.User))
	}
	for _, p := range under(t.policies, in) {
		remove(t, t.policies, key(p.VHost, policyKind(p.Operator), p.Name))
	}
	for _, p := range under(t.parameters, in) {
		remove(t, t.parameters, key(p.VHost, p.Component, p.Name))
	}
	remove(t, t.vhosts, in)
}

// dropUser deletes a user and its permissions in all vhosts.
func (t *txn) dropUser(name string) {
	for _, v := range under(t.vhosts, nil) {
		t.clearTopicPermissions(name, v.Name)
		remove(t, t.permissions, key(v.Name, name))
	}
	remove(t, t.users, key(name))
}

func (t *txn) clearTopicPermissions(user, vhost string) {
	for _, p := range under(t.topicPermissions, key(vhost, user)) {
		remove(t, t.topicPermissions, key(p.VHost, p.User, p.Exchange))
	}
}

// predeclared are the exchanges that every vhost has from the start, beside the default exchange.
var predeclared = []Exchange{
	{Name: "amq.direct", Type: "direct", Durable: true},
	{Name: "amq.fanout", Type: "fanout", Durable: true},
	{Name: "amq.headers", Type: "headers", Durable: true},
	{Name: "amq.match", Type: "headers", Durable: true},
	{Name: "amq.rabbitmq.trace", Type: "topic", Durable: true, Internal: true},
	{Name: "amq.topic", Type: "topic", Durable: true},
}

// putVHost stores a vhost; a new one gets its pre-declared exchanges.
func (t *txn) putVHost(v *VHost) (created bool) {
	if !put(t, t.vhosts, key(v.Name), v) {
		return false
	}
	for _, x := range predeclared {
		x.VHost = v.Name
		t.putExchange(&x)
	}
	return true
}
