package cluster

import (
	"iter"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/deadletter"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
)

// Figures are what this node's part of the broker has done since it was opened.
type Figures struct {
	QueuesCreated, QueuesDeleted uint64 // queues that began and ended on this node; those found at the start do not count
	// DeadLettered are messages on their way to a dead-letter exchange, by why they left their queue.
	DeadLettered map[deadletter.Reason]uint64
}

// figures are the counters behind Figures.
type figures struct {
	created, deleted atomic.Uint64
	letters          [deadletter.DeliveryLimit + 1]atomic.Uint64 // by reason
}

func (f *figures) deadLettered(reason deadletter.Reason, messages int) {
	if int(reason) < len(f.letters) {
		f.letters[reason].Add(uint64(messages))
	}
}

// Figures returns the counters. It takes no lock.
func (b *Broker) Figures() Figures {
	f := Figures{QueuesCreated: b.figures.created.Load(), QueuesDeleted: b.figures.deleted.Load(),
		DeadLettered: make(map[deadletter.Reason]uint64, len(b.figures.letters))}
	for r := range b.figures.letters {
		if r > 0 {
			f.DeadLettered[deadletter.Reason(r)] = b.figures.letters[r].Load()
		}
	}
	return f
}

// LedQueues yields the queues that this node leads, in no order, with their counts as of their last turns. It disturbs no queue and
// holds no lock while it yields. The stores of exchanges, which clients do not see, are left out.
func (b *Broker) LedQueues() iter.Seq2[*meta.Queue, queue.Status] {
	return func(yield func(*meta.Queue, queue.Status) bool) {
		for _, e := range b.engines.all() {
			if e.def.Type != meta.TypeStore && !yield(e.def, e.queue.Counters()) {
				return
			}
		}
	}
}
