package routing

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/exchange"
)

// Route appends to buf the queues of a message that is published to x, each once, in an order that is always the same for the
// same arguments and v. x must come from v. extra holds further routing keys (those of CC and BCC); headers is the content of the
// message's header table, nil for none. Nothing of the arguments is kept.
//
// A binding to an exchange leads on from there, with the same keys and headers. An exchange without a single match (bindings to
// exchanges count) leads to its alternate exchange, if that exists. No exchange is visited twice, so cycles end.
func (v *VHost) Route(buf []*Queue, x *Exchange, key []byte, extra [][]byte, headers []byte) []*Queue {
	if x == v.standard {
		if len(extra) == 0 {
			if q := v.QueueBytes(key); q != nil {
				buf = append(buf, q)
			}
			return buf
		}
	} else if x.table.Len() == 0 && !x.hasAlternate {
		return buf
	}
	var slot *atomic.Pointer[cached]
	if x.cache != nil && len(extra) == 0 {
		if slot = x.cache.slot(key); slot != nil {
			if e := slot.Load(); e != nil && e.key == string(key) {
				return append(buf, e.queues...)
			}
		}
	}
	base := len(buf)
	r := routers.Get().(*router)
	buf = r.route(v, buf, x, message{key, extra, headers})
	// A route through other exchanges depends on their bindings too, and one that is empty on whether the alternate exchange exists.
	if slot != nil && len(r.visit) == 1 && (len(buf) > base || !x.hasAlternate) {
		remember(slot, key, buf[base:])
	}
	r.release()
	return buf
}

// message is what decides about the route.
type message struct {
	key     []byte
	extra   [][]byte
	headers []byte
}

// router is the working memory of one call of Route.
type router struct {
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
	routers.Put(r)
}

func (r *router) route(v *VHost, buf []*Queue, first *Exchange, m message) []*Queue {
	base := len(buf)
	r.known = 0
	r.visit = append(r.visit, first)
	for i := 0; i < len(r.visit); i++ {
		x := r.visit[i]
		start := len(buf)
		r.match(v, x, m)
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
		if i > 0 || x.typ.Repeats || len(m.extra) > 0 && !x.typ.IgnoresKey {
			buf = r.compact(buf, base, start)
		}
		clear(r.matches)
	}
	return buf
}

// match sets matches to the destinations of x.
func (r *router) match(v *VHost, x *Exchange, m message) {
	r.matches = x.appendMatches(r.matches[:0], v, m.key, m.headers)
	if !x.typ.IgnoresKey {
		for _, key := range m.extra {
			r.matches = x.appendMatches(r.matches, v, key, m.headers)
		}
	}
}

func (x *Exchange) appendMatches(buf []exchange.Destination, v *VHost, key, headers []byte) []exchange.Destination {
	if x != v.standard {
		return x.table.Match(buf, key, headers)
	}
	if q := v.QueueBytes(key); q != nil {
		buf = append(buf, q)
	}
	return buf
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
