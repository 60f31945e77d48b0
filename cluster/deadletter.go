package cluster

import (
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/routing"
)

// deadLetter publishes what a queue gives up to its dead-letter exchange (SEMANTICS 7). It is called by the queue's runner and
// does not wait. The queue keeps the messages in the log until every target has them for good; if there is just one, they move
// in one transaction. Without an exchange or a target they are dropped.
func (b *Broker) deadLetter(e *engine, l *queue.Letters) {
	set := e.settings.Load()
	vhost := b.routing.Load().VHost(e.def.VHost)
	var x *routing.Exchange
	if vhost != nil && set.DeadLetterExchange != nil {
		x = vhost.Exchange(*set.DeadLetterExchange)
	}
	if x == nil {
		l.Done()
		return
	}
	opts := deadletter.Options{
		Queue: e.def.Name, Reason: l.Reason, Now: time.Now().Unix(), RoutingKey: set.DeadLetterRoutingKey,
	}
	p := posts{batch: &queue.Batch{First: 1, Last: 1, Complete: func(*queue.Batch) { l.Done() }}}
	var targets []*routing.Queue
	for _, letter := range l.Records {
		var r block.Record
		if _, err := block.Parse(letter.Record, letter.Tail, &r); err != nil {
			b.log.Error("a message could not be dead-lettered", "vhost", e.def.VHost, "queue", e.def.Name, "error", err)
			continue
		}
		properties, keys, err := deadletter.Letter(r.Properties, r.Exchange, r.RoutingKey, opts)
		if err != nil {
			b.log.Error("a message could not be dead-lettered", "vhost", e.def.VHost, "queue", e.def.Name, "error", err)
			continue
		}
		var view wire.PropertyView
		if err := wire.ScanProperties(properties, &view); err != nil {
			b.log.Error("a message could not be dead-lettered", "vhost", e.def.VHost, "queue", e.def.Name, "error", err)
			continue
		}
		r.Exchange, r.RoutingKey, r.Properties = []byte(*set.DeadLetterExchange), keys[0], properties
		r.Arrived, r.Deadline, r.DeliveryCount = time.Now().UnixMilli(), 0, 0
		r.Flags &^= block.Redelivered
		targets = vhost.Route(targets[:0], x, keys[0], keys[1:], view.Headers)
		for _, t := range targets {
			if deadletter.Cycle(properties, t.Def.Name, l.Reason) {
				b.log.Warn("message dropped: dead-lettering goes in a circle without a rejection",
					"vhost", e.def.VHost, "queue", e.def.Name, "target", t.Def.Name)
				continue
			}
			p.add(t, &r)
		}
	}
	p.send(l.Source)
}

// posts are messages on their way to queues.
type posts struct {
	batch *queue.Batch
	list  []post
}

type post struct {
	to    *routing.Queue
	block block.Block
}

// add puts a record into the block that is being filled for a queue.
func (p *posts) add(to *routing.Queue, r *block.Record) {
	size := r.Len()
	for i := len(p.list) - 1; i >= 0; i-- {
		b := &p.list[i].block
		if p.list[i].to != to {
			continue
		}
		if len(r.Body) < block.LargeBody && b.Tail == nil && b.Size()+size <= block.TargetLen {
			b.Append(r)
			return
		}
		break // a new one, behind it
	}
	p.list = append(p.list, post{to: to})
	p.list[len(p.list)-1].block.Append(r)
}

// send publishes everything. If all of it goes to one queue, source is stored together with the last part: a queue's log is
// written in order.
func (p *posts) send(source []*block.Op) {
	p.batch.Add()
	single := true
	for i := range p.list {
		single = single && p.list[i].to == p.list[0].to
	}
	for i := range p.list {
		pub := &queue.Publication{Block: p.list[i].block, Batch: p.batch, Letters: true}
		if single && i == len(p.list)-1 {
			pub.Source = source
		}
		p.batch.Add()
		p.list[i].to.Handle.Publish(pub)
	}
	p.batch.Done()
}
