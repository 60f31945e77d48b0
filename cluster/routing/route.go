package routing

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/exchange"
)

// Route is RouteMessage for a message of which nothing but the routing keys and headers counts.
func (v *VHost) Route(buf []*Queue, x *Exchange, key []byte, extra [][]byte, headers []byte) []*Queue {
	buf, _ = v.RouteMessage(buf, x, &exchange.Message{Key: key, Extra: extra, Headers: headers})
	return buf
}

// RouteMessage appends to buf the queues of a message that is published to x, each once. x must come from v. Nothing of m is
// kept.
//
// A message with a delay ends in the store of an x-delayed-message exchange, see Queue.Delays. The history of an x-recent-history
// exchange is among the queues, but no match, see Queue.History.
//
// A binding to an exchange leads on from there, with the same message. An exchange without a single match (bindings to exchanges
// count) leads to its alternate exchange, if that exists. No exchange is visited twice, so cycles end.
//
// basis says for which messages the result, order included, is the same in v: for all with the same routing keys, for all that
// also have the same properties, or for no other.
func (v *VHost) RouteMessage(buf []*Queue, x *Exchange, m *exchange.Message) (queues []*Queue, basis exchange.Basis) {
	if x == v.standard {
		if len(m.Extra) == 0 {
			if q := v.QueueBytes(m.Key); q != nil {
				buf = append(buf, q)
			}
			return buf, exchange.ByKeys
		}
	} else if x.table.Len() == 0 && !x.hasAlternate && x.store == nil {
		return buf, exchange.ByKeys
	}
	var slot *atomic.Pointer[cached]
	if x.cache != nil && len(m.Extra) == 0 {
		if slot = x.cache.slot(m.Key); slot != nil {
			if e := slot.Load(); e != nil && e.key == string(m.Key) {
				return append(buf, e.queues...), exchange.ByKeys
			}
		}
	}
	base := len(buf)
	r := routers.Get().(*router)
	r.message = *m
	buf, basis = r.route(v, buf, x)
	// A route through other exchanges depends on their bindings too, and one that is empty on whether the alternate exchange exists.
	if slot != nil && len(r.visit) == 1 && (len(buf) > base || !x.hasAlternate) {
		remember(slot, m.Key, buf[base:])
	}
	r.release()
	return buf, basis
}

// router is the working memory of one call of RouteMessage.
type router struct {
	message exchange.Message // a copy here, so that the caller's does not escape
	matches []exchange.Destination
	// visit holds the exchanges to visit, in order; those before the current one are done.
	visit   []*Exchange
	visited ids
	// targets are the queues in the result so far, if there are too many to compare one by one; known counts them.
	targets ids
	known   int
}

var routers = sync.Pool{New: func() any { return new(router) }}

// keptMatches bounds the memory of a pooled router.
const keptMatches = 1 << 14

func (r *router) release() {
	if cap(r.matches) > keptMatches || len(r.visited.slots) > keptMatches || len(r.targets.slots) > keptMatches {
		return
	}
	clear(r.visit) // they would keep old snapshots alive
	r.visit = r.visit[:0]
	r.message = exchange.Message{}
	routers.Put(r)
}

func (r *router) route(v *VHost, buf []*Queue, first *Exchange) (queues []*Queue, basis exchange.Basis) {
	base := len(buf)
	r.known = 0
	r.visit = append(r.visit, first)
	for i := 0; i < len(r.visit); i++ {
		x := r.visit[i]
		start := len(buf)
		r.match(v, x)
		// What leads from one exchange to the next is a match too, so the exchanges that were visited tell the whole basis.
		basis = max(basis, x.table.Basis())
		if x.store != nil {
			basis = max(basis, exchange.ByMessage)
		}
		for _, d := range r.matches {
			switch d := d.(type) {
			case *Queue:
				buf = append(buf, d)
			case *exchangeNode:
				r.enter(v.Exchange(d.name))
			}
		}
		if len(r.matches) == 0 && x.hasAlternate {
			r.enter(v.Exchange(x.alternate))
		}
		if x.History() != nil && exchange.InHistory(r.message.Headers) {
			buf = append(buf, x.store)
		}
		if i > 0 || x.typ.Repeats || len(r.message.Extra) > 0 {
			buf = r.compact(buf, base, start)
		}
		clear(r.matches)
	}
	return buf, basis
}

// match sets matches to the destinations of x.
func (r *router) match(v *VHost, x *Exchange) {
	r.matches = r.matches[:0]
	if x.store != nil && x.store.Delays() && exchange.Delay(r.message.Headers) > 0 {
		r.matches = append(r.matches, x.store)
		return
	}
	if x != v.standard {
		r.matches = x.table.Match(r.matches, &r.message)
		return
	}
	if q := v.QueueBytes(r.message.Key); q != nil {
		r.matches = append(r.matches, q)
	}
	for _, key := range r.message.Extra {
		if q := v.QueueBytes(key); q != nil {
			r.matches = append(r.matches, q)
		}
	}
}

// enter adds x to the exchanges to visit, unless it is nil or among them already.
func (r *router) enter(x *Exchange) {
	if x == nil {
		return
	}
	if len(r.visit) == 1 {
		r.visited.reset()
		r.visited.add(r.visit[0].node.id)
	}
	if r.visited.add(x.node.id) {
		r.visit = append(r.visit, x)
	}
}

// fewTargets is the number of queues up to which comparing one by one is the fastest.
const fewTargets = 16

// compact takes from buf[start:] the queues that are in buf[base:] before. buf[base:start] has none twice.
func (r *router) compact(buf []*Queue, base, start int) []*Queue {
	out := buf[:start]
	if len(buf)-base <= fewTargets {
		for _, q := range buf[start:] {
			if !slices.Contains(out[base:], q) {
				out = append(out, q)
			}
		}
	} else {
		if r.known == 0 {
			r.targets.reset()
		}
		for _, q := range out[base+r.known:] {
			r.targets.add(q.id)
		}
		for _, q := range buf[start:] {
			if r.targets.add(q.id) {
				out = append(out, q)
			}
		}
		r.known = len(out) - base
	}
	clear(buf[len(out):])
	return out
}
