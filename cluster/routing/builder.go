package routing

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/exchange/pmap"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// Errors of a Builder. A change with an error is left out; it means that the replicated state is not what it should be.
var (
	// ErrMissing says that a change refers to a vhost, exchange or queue that is not there.
	ErrMissing = errors.New("routing: missing entity")
	// ErrUnknownType says that an exchange has a type that this node does not know.
	ErrUnknownType = errors.New("routing: unknown exchange type")
)

// Builder compiles changes of the replicated state into snapshots. One goroutine uses it. Entities must be put in the order of
// their dependence: a vhost before what is in it, both ends of a binding before the binding. Deleting one takes away what depends
// on it, so that it makes no difference whether those changes come too, and in which order.
type Builder struct {
	// Node is the id of the node that routes: the queues that it leads are local. It is set before the first queue is put.
	Node string

	vhosts pmap.Strings[*VHost]
	last   *Snapshot
	dirty  bool
	nextID uint64
	// Values that are not in a snapshot yet: they are changed in place, and Commit closes them.
	freshVHosts    []*VHost
	freshExchanges []*Exchange
}

// NewBuilder returns a builder without vhosts.
func NewBuilder() *Builder { return &Builder{last: nothing} }

// binding is one binding as the builder keeps track of it. It is in the out map of its source and in the list of its destination.
type binding struct {
	id         bindingID
	from       *exchangeNode
	compiled   exchange.Binding
	prev, next *binding // in the destination's list
}

// bindingID is what tells the bindings of one source apart.
type bindingID struct {
	to             uint64
	key, arguments string
}

func (b *Builder) newID() uint64 {
	b.nextID++
	return b.nextID
}

// Commit returns a snapshot of everything so far: the previous one if nothing changed.
func (b *Builder) Commit() *Snapshot {
	if !b.dirty {
		return b.last
	}
	for i, v := range b.freshVHosts {
		v.fresh = false
		b.freshVHosts[i] = nil
	}
	for i, x := range b.freshExchanges {
		x.fresh = false
		b.freshExchanges[i] = nil
	}
	b.freshVHosts, b.freshExchanges = b.freshVHosts[:0], b.freshExchanges[:0]
	b.last, b.dirty = &Snapshot{vhosts: b.vhosts}, false
	return b.last
}

// PutVHost adds a vhost, or changes the definition of one.
func (b *Builder) PutVHost(def *meta.VHost) {
	if v := b.vhost(def.Name); v != nil {
		v.Def = def
		return
	}
	x := &meta.Exchange{VHost: def.Name, Type: exchange.Direct, Durable: true}
	typ := exchange.Lookup(exchange.Direct)
	v := &VHost{
		Def:      def,
		standard: &Exchange{Def: x, typ: typ, table: typ.New(nil), node: &exchangeNode{id: b.newID()}},
		fresh:    true,
	}
	b.freshVHosts = append(b.freshVHosts, v)
	b.vhosts, b.dirty = b.vhosts.With(def.Name, v), true
}

// DeleteVHost takes a vhost away, with everything in it.
func (b *Builder) DeleteVHost(name string) {
	if b.look(name) != nil {
		b.vhosts, b.dirty = b.vhosts.Without(name), true
	}
}

// look returns the vhost to be read only, nil if it does not exist.
func (b *Builder) look(name string) *VHost {
	v, _ := b.vhosts.Get(name)
	return v
}

// vhost returns the vhost to be changed, nil if it does not exist. Call it only when something does change.
func (b *Builder) vhost(name string) *VHost {
	v := b.look(name)
	if v == nil {
		return nil
	}
	if !v.fresh {
		c := *v
		c.fresh = true
		v = &c
		b.freshVHosts = append(b.freshVHosts, v)
		b.vhosts, b.dirty = b.vhosts.With(name, v), true
	}
	return v
}

// exchange returns the exchange of v to be changed, nil if it does not exist. v must be fresh. The default exchange is never
// changed.
func (b *Builder) exchange(v *VHost, name string) *Exchange {
	x, ok := v.exchanges.Get(name)
	if !ok {
		return nil
	}
	if !x.fresh {
		c := *x
		c.cache, c.fresh = newCache(c.typ), true
		x = &c
		b.freshExchanges = append(b.freshExchanges, x)
		v.exchanges = v.exchanges.With(name, x)
	}
	return x
}

// PutExchange adds an exchange, or changes the definition of one and keeps its bindings and what SetAlternate said; if the type
// differs it is another exchange and has neither.
func (b *Builder) PutExchange(def *meta.Exchange) error {
	if b.look(def.VHost) == nil || def.Name == "" {
		return fmt.Errorf("%w: vhost %q of exchange %q", ErrMissing, def.VHost, def.Name)
	}
	typ := exchange.Lookup(def.Type)
	if typ == nil {
		return fmt.Errorf("%w: %q of exchange %q in vhost %q", ErrUnknownType, def.Type, def.Name, def.VHost)
	}
	v := b.vhost(def.VHost)
	if x := v.Exchange(def.Name); x != nil && x.typ != typ {
		b.DeleteExchange(def.VHost, def.Name)
	}
	x := b.exchange(v, def.Name)
	if x == nil {
		node := &exchangeNode{id: b.newID(), name: def.Name}
		x = &Exchange{typ: typ, table: typ.New(def.Arguments), node: node, cache: newCache(typ), fresh: true}
		b.freshExchanges = append(b.freshExchanges, x)
		v.exchanges = v.exchanges.With(def.Name, x)
	}
	if typ.ReadsArguments && x.Def != nil && !bytes.Equal(x.Def.Arguments, def.Arguments) {
		x.table = typ.New(def.Arguments)
		for _, bind := range x.node.out {
			x.table = x.table.With(bind.compiled)
		}
	}
	x.Def = def
	x.chooseAlternate()
	return nil
}

// SetAlternate says which alternate exchange a policy gives to an exchange: none if ok is false. An argument of the exchange
// comes before it. The default exchange has none.
func (b *Builder) SetAlternate(vhost, name, alternate string, ok bool) error {
	v := b.look(vhost)
	if v == nil || name == "" || v.Exchange(name) == nil {
		return fmt.Errorf("%w: exchange %q in vhost %q", ErrMissing, name, vhost)
	}
	policy := alternative{alternate, true}
	if !ok {
		policy = alternative{}
	}
	if v.Exchange(name).policy == policy {
		return nil
	}
	x := b.exchange(b.vhost(vhost), name)
	x.policy = policy
	x.chooseAlternate()
	return nil
}

// SetGuard gives an exchange what keeps repetitions from passing it, nil for nothing.
func (b *Builder) SetGuard(vhost, name string, g *dedup.Guard) error {
	v := b.look(vhost)
	if v == nil || name == "" || v.Exchange(name) == nil {
		return fmt.Errorf("%w: exchange %q in vhost %q", ErrMissing, name, vhost)
	}
	if v.Exchange(name).guard != g {
		b.exchange(b.vhost(vhost), name).guard = g
	}
	return nil
}

// chooseAlternate sets what is in effect.
func (x *Exchange) chooseAlternate() {
	if x.alternate, x.hasAlternate = alternate(x.Def.Arguments); !x.hasAlternate {
		x.alternate, x.hasAlternate = x.policy.name, x.policy.ok
	}
}

// alternate returns the argument alternate-exchange. Arguments were checked when the exchange was declared, so what cannot be
// read is not there.
func alternate(arguments []byte) (name string, ok bool) {
	_ = wire.WalkTable(arguments, func(field []byte, v wire.RawValue) bool {
		if string(field) == "alternate-exchange" && v.Kind == wire.KindString {
			name, ok = string(v.Data), true
		}
		return !ok
	})
	return name, ok
}

// DeleteExchange takes an exchange away, with the bindings of which it is the source or the destination.
func (b *Builder) DeleteExchange(vhost, name string) {
	v := b.look(vhost)
	if v == nil {
		return
	}
	x, ok := v.exchanges.Get(name)
	if !ok {
		return
	}
	v = b.vhost(vhost)
	for _, bind := range x.node.out {
		unlink(bind)
	}
	x.node.out = nil
	for x.node.in != nil {
		b.unbind(v, x.node.in)
	}
	v.exchanges = v.exchanges.Without(name)
}

// PutQueue adds a queue or the store of an exchange, which must be there and goes with it, or changes the definition or handle of the one with the same ID, which keeps its bindings.
func (b *Builder) PutQueue(def *meta.Queue, h queue.Handle) error {
	v := b.look(def.VHost)
	if v == nil {
		return fmt.Errorf("%w: vhost %q of queue %q", ErrMissing, def.VHost, def.Name)
	}
	if name, ok := def.StoreOf(); ok {
		return b.putStore(v, name, def, h)
	}
	old := v.Queue(def.Name)
	if old != nil && old.Def == def && old.Handle == h {
		return nil
	}
	if old != nil && old.Def.ID != def.ID {
		b.DeleteQueue(def.VHost, def.Name)
		old = nil
	}
	v = b.vhost(def.VHost)
	q := &Queue{Def: def, Handle: h, local: def.Leader == b.Node}
	if old == nil {
		q.id = b.newID()
	} else {
		q.id, q.in = old.id, old.in
		for bind := q.in; bind != nil; bind = bind.next {
			x := b.exchange(v, bind.from.name)
			x.table = x.table.Without(bind.compiled)
		}
		// Only when nothing leads to the old value any more: a table keeps the destination that it saw first.
		for bind := q.in; bind != nil; bind = bind.next {
			bind.compiled.To = q
			x := b.exchange(v, bind.from.name)
			x.table = x.table.With(bind.compiled)
		}
	}
	v.queues = v.queues.With(def.Name, q)
	return nil
}

// putStore gives an exchange the queue that keeps back its messages.
func (b *Builder) putStore(v *VHost, exchange string, def *meta.Queue, h queue.Handle) error {
	old, ok := v.exchanges.Get(exchange)
	if !ok {
		return fmt.Errorf("%w: exchange %q of queue %q in vhost %q", ErrMissing, exchange, def.Name, def.VHost)
	}
	if q := old.store; q != nil && q.Def == def && q.Handle == h {
		return nil
	}
	x := b.exchange(b.vhost(def.VHost), exchange)
	past := def.KeepsHistory()
	x.store = &Queue{Def: def, Handle: h, local: def.Leader == b.Node, store: !past, past: past, id: b.newID()}
	return nil
}

// DeleteQueue takes a queue away, with its bindings.
func (b *Builder) DeleteQueue(vhost, name string) {
	v := b.look(vhost)
	if v == nil {
		return
	}
	q := v.Queue(name)
	if q == nil {
		return
	}
	v = b.vhost(vhost)
	for q.in != nil {
		b.unbind(v, q.in)
	}
	v.queues = v.queues.Without(name)
}

// PutBinding adds a binding. One that is there already makes no difference.
func (b *Builder) PutBinding(def meta.Binding) error {
	v := b.look(def.VHost)
	var to exchange.Destination
	if v != nil {
		to = v.destination(def)
	}
	if to == nil {
		return fmt.Errorf("%w: destination %q of a binding in vhost %q", ErrMissing, def.Destination, def.VHost)
	}
	x, ok := v.exchanges.Get(def.Source)
	if !ok {
		return fmt.Errorf("%w: source %q of a binding in vhost %q", ErrMissing, def.Source, def.VHost)
	}
	arguments := wire.Canonical(def.Arguments)
	id := bindingID{to.ID(), def.RoutingKey, string(arguments)}
	if _, ok := x.node.out[id]; ok {
		return nil
	}
	x = b.exchange(b.vhost(def.VHost), def.Source)
	bind := &binding{id: id, from: x.node, compiled: exchange.Binding{Key: def.RoutingKey, Arguments: arguments, To: to}}
	if x.node.out == nil {
		x.node.out = map[bindingID]*binding{}
	}
	x.node.out[id] = bind
	head := inList(to)
	if bind.next = *head; bind.next != nil {
		bind.next.prev = bind
	}
	*head = bind
	x.table = x.table.With(bind.compiled)
	return nil
}

// DeleteBinding takes a binding away. One that is not there makes no difference.
func (b *Builder) DeleteBinding(def meta.Binding) {
	v := b.look(def.VHost)
	if v == nil {
		return
	}
	x, to := v.Exchange(def.Source), v.destination(def)
	if x == nil || to == nil {
		return
	}
	id := bindingID{to.ID(), def.RoutingKey, string(wire.Canonical(def.Arguments))}
	if bind, ok := x.node.out[id]; ok {
		b.unbind(b.vhost(def.VHost), bind)
	}
}

// destination returns what the binding leads to, nil if it is not there.
func (v *VHost) destination(def meta.Binding) exchange.Destination {
	if def.DestinationKind == meta.ToQueue {
		if q := v.Queue(def.Destination); q != nil {
			return q
		}
		return nil
	}
	if x, ok := v.exchanges.Get(def.Destination); ok {
		return x.node
	}
	return nil
}

// unbind takes bind out of its source and its destination.
func (b *Builder) unbind(v *VHost, bind *binding) {
	x := b.exchange(v, bind.from.name)
	x.table = x.table.Without(bind.compiled)
	delete(bind.from.out, bind.id)
	unlink(bind)
}

// unlink takes bind out of the list of its destination.
func unlink(bind *binding) {
	if bind.next != nil {
		bind.next.prev = bind.prev
	}
	if bind.prev != nil {
		bind.prev.next = bind.next
	} else {
		*inList(bind.compiled.To) = bind.next
	}
	bind.prev, bind.next = nil, nil
}

// inList returns the head of the list of bindings that lead to d.
func inList(d exchange.Destination) **binding {
	if q, ok := d.(*Queue); ok {
		return &q.in
	}
	return &d.(*exchangeNode).in
}
