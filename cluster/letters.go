package cluster

import (
	"slices"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/cluster/routing"
)

// DeadLetter is a message that is being dead-lettered by a queue that this node leads, as it was in that queue. Its slices are
// only valid during the call.
type DeadLetter struct {
	VHost, Queue string
	Reason       string
	Exchange     []byte // it was published to
	RoutingKey   []byte
	Properties   []byte
	BodySize     int
	Targets      []*routing.Queue // that it goes to
}

// FollowDeadLetters has tell called for each dead letter until the returned function is called, by goroutines of queues, several at
// a time. It must not wait.
func (b *Broker) FollowDeadLetters(tell func(*DeadLetter)) (stop func()) {
	f := &tell
	change := func(edit func([]*func(*DeadLetter)) []*func(*DeadLetter)) {
		b.taskMu.Lock()
		defer b.taskMu.Unlock()
		var list []*func(*DeadLetter)
		if old := b.followers.Load(); old != nil {
			list = slices.Clone(*old)
		}
		if list = edit(list); len(list) == 0 {
			b.followers.Store(nil)
			return
		}
		b.followers.Store(&list)
	}
	change(func(list []*func(*DeadLetter)) []*func(*DeadLetter) { return append(list, f) })
	return func() {
		change(func(list []*func(*DeadLetter)) []*func(*DeadLetter) {
			return slices.DeleteFunc(list, func(o *func(*DeadLetter)) bool { return o == f })
		})
	}
}

// tellLetter tells those who follow dead letters; r is the message as it was.
func (b *Broker) tellLetter(e *engine, reason string, r *block.Record, targets []*routing.Queue) {
	list := b.followers.Load()
	if list == nil {
		return
	}
	for _, tell := range *list {
		(*tell)(&DeadLetter{VHost: e.def.VHost, Queue: e.def.Name, Reason: reason, Exchange: r.Exchange, RoutingKey: r.RoutingKey,
			Properties: r.Properties, BodySize: len(r.Body), Targets: targets})
	}
}
