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
// does not wait. The queue keeps the messages in the log until every target has them for good; what goes to just one moves in
// one transaction. Without an exchange or a target they are dropped.
func (b *Broker) deadLetter(e *engine, l *queue.Letters) {
	<-b.routed // what expired while the node was down must not be dropped for want of routes; start waits for no runner
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
	b.figures.deadLettered(l.Reason, len(l.Records))
	opts := deadletter.Options{
		Queue: e.def.Name, Reason: l.Reason, Now: time.Now().Unix(), RoutingKey: set.DeadLetterRoutingKey,
	}
	p := posts{batch: &queue.Batch{First: 1, Last: 1, Complete: b.settled(l)}}
	var targets []*routing.Queue
	for i, letter := range l.Records {
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
		was := r
		r.Exchange, r.RoutingKey, r.Properties = []byte(*set.DeadLetterExchange), keys[0], properties
		r.Arrived, r.Deadline, r.DeliveryCount = time.Now().UnixMilli(), 0, 0
		r.Flags &^= block.Redelivered
		targets = vhost.Route(targets[:0], x, keys[0], keys[1:], view.Headers)
		b.tellLetter(e, l.Reason.String(), &was, targets)
		for _, t := range targets {
			if deadletter.Cycle(properties, t.Def.Name, l.Reason) {
				b.log.Warn("message dropped: dead-lettering goes in a circle without a rejection",
					"vhost", e.def.VHost, "queue", e.def.Name, "target", t.Def.Name)
				continue
			}
			p.add(t, &r, i, len(targets) == 1)
		}
	}
	b.send(&p, l)
}

// settled returns what is to be done when all targets have answered: the queue may forget the messages. Not so if a target refused
// them because its log failed or the node is going down; then they stay in the log for its next start.
func (b *Broker) settled(l *queue.Letters) func(*queue.Batch) {
	return func(batch *queue.Batch) {
		if !batch.Unkept() && (len(batch.Refused()) == 0 || !b.stopping.Load()) {
			l.Done()
		}
	}
}

// posts are messages on their way to queues.
type posts struct {
	batch *queue.Batch
	list  []post
}

type post struct {
	to       *routing.Queue
	id       uint64 // of the queue
	block    block.Block
	priority uint8
	only     []int // indexes of the letters that go nowhere else
}

// add puts a record into the block that is being filled for a queue. Each block has one priority, so that it stays in one piece.
// letter is the index of the letter, only says that it goes nowhere else.
func (p *posts) add(to *routing.Queue, r *block.Record, letter int, only bool) {
	if to.History() && r.Deadline != 0 {
		lasting := *r
		lasting.Deadline = 0
		r = &lasting
	}
	if to.Delays() {
		late := *r
		late.Deadline = late.Arrived + delayOf(r)
		r = &late
	}
	at := -1
	for i := len(p.list) - 1; i >= 0; i-- {
		b := &p.list[i].block
		if p.list[i].to != to {
			continue
		}
		if len(r.Body) < block.LargeBody && b.Tail == nil && b.Size()+r.Len() <= block.TargetLen && p.list[i].priority == r.Priority {
			at = i
		}
		break // or a new one, behind it
	}
	if at < 0 {
		at = len(p.list)
		p.list = append(p.list, post{to: to, id: to.Def.ID, priority: r.Priority})
	}
	p.list[at].block.Append(r)
	if only {
		p.list[at].only = append(p.list[at].only, letter)
	}
}

// send publishes everything. Letters that go to one queue of this node only move there in one transaction.
func (b *Broker) send(p *posts, l *queue.Letters) {
	p.batch.Add()
	for i := range p.list {
		p.batch.Add()
		if post := &p.list[i]; post.to.Local() {
			post.to.Handle.Publish(&queue.Publication{
				Block: post.block, Batch: p.batch, Letters: true, Source: l.Source(post.only),
			})
		} else {
			b.sendAway(post, post.to.Handle, p.batch, firstPause)
		}
	}
	p.batch.Done()
}

// sendAway publishes messages to a queue that another node leads, again and again while that node cannot be reached, and then
// counts whole down. to is where to begin. When the Broker closes before, the messages stay where they come from, for its next start.
func (b *Broker) sendAway(post *post, to queue.Handle, whole *queue.Batch, wait time.Duration) {
	batch := &queue.Batch{First: 1, Last: uint64(post.block.Count)}
	batch.Complete = func(batch *queue.Batch) {
		if !batch.Lost() {
			if batch.Unkept() {
				whole.Unkeep()
			}
			whole.Done()
			return
		}
		b.spawn(func() {
			select {
			case <-time.After(wait):
				b.sendAway(post, b.handleOf(post.id, to), whole, min(2*wait, lastPause))
			case <-b.leaving:
			}
		})
	}
	batch.Add()
	to.Publish(&queue.Publication{Block: post.block.Copy(), Batch: batch, Letters: true})
}

// handleOf returns what stands for a queue now, for it may have moved; was if it is gone.
func (b *Broker) handleOf(id uint64, was queue.Handle) queue.Handle {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if q := b.current.Load().QueueByID(id); q != nil {
		return b.engines.handle(q)
	}
	return was
}
