package cluster

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/routing"
)

// EventExchange is the topic exchange in the default vhost on which the broker says what happens: queue.created,
// connection.closed and so on, with the particulars as headers and no body, like RabbitMQ's event exchange plugin
// (SEMANTICS 22.2). Changes of the metadata are published by the node that leads them, the rest by the node where it happens.
const EventExchange = "amq.rabbitmq.event"

// nobody is the user in events that no user caused.
const nobody = "rmq-internal"

// maxPendingEvents bounds the events that wait to be published. They are published as fast as a queue takes messages, so only
// a deletion of a vhost with more queues and bindings than that reaches it.
const maxPendingEvents = 1 << 20

// events publishes to the event exchange and to subscribers. Nothing is kept or built while the exchange has no binding and there
// are no subscribers.
type events struct {
	broker *Broker
	// listening says that the exchange has bindings, or that there are subscribers.
	listening atomic.Bool
	// subscribed says that there are subscribers.
	subscribed atomic.Bool

	mu      sync.Mutex
	pending []happening
	waiting int                // events in pending
	running bool               // a task is publishing
	lost    int                // events that found no room since the last line in the log
	actors  map[subject]string // subject of a change that is being proposed -> user

	subscribers map[*Subscription]struct{}
}

// happening is one event, or the changes that one state brought.
type happening struct {
	at      time.Time
	key     string // of a single event
	headers wire.Table

	changes []meta.Change
	actors  map[int]string // users of the changes, by index; others were caused by nobody
}

func (h *happening) count() int { return max(1, len(h.changes)) }

// vhost is where the event exchange is.
func (e *events) vhost() string {
	if v := e.broker.opts.Meta.DefaultVHost; v != "" {
		return v
	}
	return "/"
}

// exchange returns the event exchange as it is routed now.
func (e *events) exchange() (*routing.VHost, *routing.Exchange) {
	v := e.broker.routing.Load().VHost(e.vhost())
	if v == nil {
		return nil, nil
	}
	return v, v.Exchange(EventExchange)
}

// look finds out whether anybody listens. It is called whenever the routes have changed.
func (e *events) look() bool {
	_, x := e.exchange()
	e.mu.Lock() // so that no earlier answer is stored after a later one
	defer e.mu.Unlock()
	listening := x != nil && x.Bindings() > 0 || e.subscribed.Load()
	e.listening.Store(listening)
	return listening
}

// ensureEventExchange declares the event exchange if its vhost is there. Without it the broker works as well.
func (b *Broker) ensureEventExchange(ctx context.Context) {
	vhost := b.events.vhost()
	if s := b.State(); s.VHost(vhost) == nil || s.Exchange(vhost, EventExchange) != nil {
		return
	}
	_, err := b.proposeAs(ctx, "", meta.DeclareExchange{Exchange: meta.Exchange{
		VHost: vhost, Name: EventExchange, Type: exchange.Topic, Durable: true, Internal: true,
	}})
	if err != nil {
		b.log.Warn("no event exchange", "vhost", vhost, "error", err)
	}
}

// attribute notes that a change is made for a user, so that the event can say so. The returned function, which is to be called
// once the change has taken effect or failed, ends that.
func (e *events) attribute(c meta.Command, actor string) (done func()) {
	if actor == "" || !e.listening.Load() {
		return func() {}
	}
	about := subjectOf(c)
	if about == (subject{}) {
		return func() {}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.actors == nil {
		e.actors = make(map[subject]string)
	}
	e.actors[about] = actor
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.actors, about)
	}
}

// follow publishes what a new state brought. It is called once the routes are those of the state, and does not wait.
func (e *events) follow(changes []meta.Change) {
	if !e.look() {
		return
	}
	h := happening{at: time.Now(), changes: changes}
	e.mu.Lock()
	if len(e.actors) > 0 {
		h.actors = make(map[int]string)
		for i, c := range changes {
			if actor, ok := e.actors[subjectOfEntity(c.Entity())]; ok {
				h.actors[i] = actor
			}
		}
	}
	e.mu.Unlock()
	e.add(h)
}

// event publishes one event. It does not wait.
func (e *events) event(key string, headers wire.Table) {
	e.add(happening{at: time.Now(), key: key, headers: headers})
}

// add puts h to those that wait, and sees to it that somebody publishes them.
func (e *events) add(h happening) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting+h.count() > maxPendingEvents {
		e.lost += h.count()
		return
	}
	e.pending = append(e.pending, h)
	e.waiting += h.count()
	if !e.running {
		e.running = e.broker.spawn(e.publishAll)
		if !e.running { // the broker is closing
			e.pending, e.waiting = nil, 0
		}
	}
}

// publishAll publishes until nothing is left.
func (e *events) publishAll() {
	for {
		e.mu.Lock()
		pending, lost := e.pending, e.lost
		e.pending, e.waiting, e.lost = nil, 0, 0
		e.running = len(pending) > 0
		running := e.running
		e.mu.Unlock()
		if lost > 0 {
			e.broker.log.Warn("events were dropped because too many were waiting", "events", lost)
		}
		if !running {
			return
		}
		for i := range pending {
			e.publish(&pending[i])
		}
	}
}

func (e *events) publish(h *happening) {
	if h.changes == nil {
		e.send(h.at, h.key, h.headers)
		return
	}
	if !e.broker.meta.IsLeader() {
		return
	}
	for i, c := range h.changes {
		actor := h.actors[i]
		if actor == "" {
			actor = nobody
		}
		for _, d := range describe(c) {
			e.send(h.at, d.key, append(d.headers, actorField(actor)))
		}
	}
}

// send publishes one message to the event exchange.
func (e *events) send(at time.Time, key string, headers wire.Table) {
	e.tell(Event{Time: at, Name: key, Details: headers})
	v, x := e.exchange()
	if x == nil || x.Bindings() == 0 {
		return
	}
	headers = append(headers, field("timestamp_in_ms", wire.Int64(at.UnixMilli())))
	properties := wire.Properties{Headers: headers, DeliveryMode: 2, Timestamp: uint64(at.Unix())}
	r := block.Record{
		Flags:      block.Persistent,
		Arrived:    at.UnixMilli(),
		Exchange:   []byte(EventExchange),
		RoutingKey: []byte(key),
		Properties: properties.Append(nil),
	}
	for _, q := range v.Route(nil, x, r.RoutingKey, nil, headers.Encode()) {
		p := &queue.Publication{Block: block.Block{Records: block.GetArena(r.Len())}}
		p.Block.Append(&r)
		q.Handle.Publish(p)
	}
}

func actorField(actor string) wire.Field { return textField("user_who_performed_action", actor) }

// authenticated says how a login ended.
func (e *events) authenticated(user string, refused error) {
	if !e.listening.Load() {
		return
	}
	headers := wire.Table{textField("name", user), actorField(user)}
	if refused != nil {
		e.event("user.authentication.failure", append(headers, textField("error", refused.Error())))
		return
	}
	e.event("user.authentication.success", headers)
}

// connected says that a connection is open.
func (e *events) connected(a *Access, details func() wire.Table) {
	if !e.listening.Load() {
		return
	}
	var more wire.Table
	if details != nil {
		more = details()
	}
	name := strconv.FormatUint(a.conn.id, 10)
	if v, ok := more.Get("name"); ok && v.Kind == wire.KindString {
		name = v.Str
	}
	a.named.Store(&name)
	headers := a.headers(name)
	for _, f := range more {
		headers = headers.Set(f.Name, f.Value)
	}
	headers = headers.Set("connected_at", wire.Int64(time.Now().UnixMilli()))
	e.event("connection.created", headers)
}

// disconnected says that a connection is closed, if somebody was told that it was open.
func (e *events) disconnected(a *Access) {
	if name := a.named.Load(); name != nil && e.listening.Load() {
		e.event("connection.closed", a.headers(*name))
	}
}

// channel says what happened to a channel.
func (e *events) channel(key string, a *Access) {
	if !e.listening.Load() {
		return
	}
	name := strconv.FormatUint(a.conn.id, 10)
	if n := a.named.Load(); n != nil {
		name = *n
	}
	headers := a.headers(name)
	headers[0].Name = "connection"
	e.event(key, headers)
}

// headers returns what events say about a connection; the first field is its name.
func (a *Access) headers(name string) wire.Table {
	return wire.Table{
		textField("name", name),
		textField("node", a.broker.opts.NodeID),
		textField("vhost", a.vhost),
		textField("user", a.user.Name),
		actorField(a.user.Name),
	}
}
