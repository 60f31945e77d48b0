package cluster

import (
	"math/rand/v2"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// Placement decides which node leads a new queue (SEMANTICS 5, x-queue-leader-locator).

// argLocator and argMasterLocator are the arguments that say where a queue goes. The older one counts if the other is not there.
const (
	argLocator       = "x-queue-leader-locator"
	argMasterLocator = "x-queue-master-locator"
	policyLocator    = "queue-leader-locator"
	clientLocal      = "client-local"
)

// manyQueues is from how many queues on counting them costs more than it brings; then a balanced leader is a random one.
const manyQueues = 1000

// place returns the node that is to lead a queue with these arguments. Exclusive queues live and die with a connection of this
// node.
func (b *Broker) place(vhost, name string, exclusive bool, args wire.Table) meta.Owner {
	if exclusive || b.network == nil || !b.balanced(vhost, name, args) {
		return b.run()
	}
	s := b.State()
	var best []meta.Owner
	least := -1
	counting := s.NumQueues() < manyQueues
	for n := range s.Nodes() {
		if n.Draining || n.Ended || n.Incarnation == 0 || !b.Reachable(n.Name) {
			continue
		}
		led := 0
		if counting {
			led = s.QueuesLedBy(n.Name)
		}
		if least < 0 || led < least {
			least, best = led, best[:0]
		}
		if led == least {
			best = append(best, meta.Owner{Node: n.Name, Incarnation: n.Incarnation})
		}
	}
	if len(best) == 0 {
		return b.run()
	}
	return best[rand.IntN(len(best))]
}

// balanced says whether a queue is to be led by the node with the fewest queues: by its arguments, else by a policy, else by the
// configuration.
func (b *Broker) balanced(vhost, name string, args wire.Table) bool {
	for _, key := range []string{argLocator, argMasterLocator} {
		if v, ok := args.Get(key); ok && v.Kind == wire.KindString {
			return v.Str != clientLocal
		}
	}
	b.mu.RLock()
	effective := b.policies[vhost].ForQueue(name, typeClassic)
	b.mu.RUnlock()
	if v, ok := effective.Get(policyLocator); ok {
		return v.Text != clientLocal
	}
	return b.opts.Balanced
}
