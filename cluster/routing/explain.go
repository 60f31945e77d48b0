package routing

import (
	"github.com/brokerd/brokerd/amqp/exchange"
)

// Stop is an exchange on the way of a message.
type Stop struct {
	Exchange *Exchange
	Depth    int // exchanges before it on the way
	// Queues and Exchanges are where it leads the message, each once.
	Queues    []*Queue
	Exchanges []string
	// Delayed says that the message is kept back and goes on from here when it is due.
	Delayed bool
	// Alternate names the alternate exchange if Diverted: nothing matched, so the message goes there.
	Alternate string
	Diverted  bool
}

// Explain returns the way of a message that is published to x, as RouteMessage goes it, and the queues it ends in. It is slow:
// for operators.
func (v *VHost) Explain(x *Exchange, m *exchange.Message) (stops []Stop, queues []*Queue) {
	type visit struct {
		x     *Exchange
		depth int
	}
	r := &router{message: *m}
	seen := map[*Exchange]bool{x: true}
	todo := []visit{{x, 0}}
	found := map[*Queue]bool{}
	for ; len(todo) > 0; todo = todo[1:] {
		at := todo[0]
		stop := Stop{Exchange: at.x, Depth: at.depth}
		enter := func(next *Exchange) {
			if next != nil && !seen[next] {
				seen[next] = true
				todo = append(todo, visit{next, at.depth + 1})
			}
		}
		r.match(v, at.x)
		for i, d := range r.matches {
			if repeated(r.matches[:i], d) {
				continue
			}
			switch d := d.(type) {
			case *Queue:
				stop.Delayed = stop.Delayed || d.store
				stop.Queues = append(stop.Queues, d)
				if !found[d] && !d.store {
					found[d] = true
					queues = append(queues, d)
				}
			case *exchangeNode:
				stop.Exchanges = append(stop.Exchanges, d.name)
				enter(v.Exchange(d.name))
			}
		}
		if stop.Diverted = len(r.matches) == 0 && at.x.hasAlternate; stop.Diverted {
			stop.Alternate = at.x.alternate
			enter(v.Exchange(at.x.alternate))
		}
		stops = append(stops, stop)
	}
	return stops, queues
}

func repeated(before []exchange.Destination, d exchange.Destination) bool {
	for _, b := range before {
		if b == d {
			return true
		}
	}
	return false
}

// Alternate returns the name of the alternate exchange; ok is false if there is none.
func (x *Exchange) Alternate() (name string, ok bool) { return x.alternate, x.hasAlternate }

// Type returns the type of the exchange, "direct" for the default one.
func (x *Exchange) Type() string {
	if x.Def == nil {
		return exchange.Direct
	}
	return x.Def.Type
}
