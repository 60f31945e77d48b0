package cluster

import (
	"bytes"
	"context"
	"errors"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// led returns the engine of a queue for another node, nil if this node does not lead it as far as it knows.
func (b *Broker) led(id uint64) queue.Handle {
	if e := b.engines.get(id); e != nil {
		return e.queue
	}
	return nil
}

// awaitLed is led for a queue that another node knows of already: it returns once this node has applied what the cluster had agreed
// on before the call. If the queue has moved away, the other node is the one that does not know yet: then it is the engine that passes on
// what comes. The error says that it cannot tell whether it leads the queue.
func (b *Broker) awaitLed(ctx context.Context, id uint64) (queue.Handle, error) {
	if h := b.led(id); h != nil {
		return h, nil
	}
	select {
	case <-b.membership.opened:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := b.meta.ReadIndex(ctx); err != nil {
		return nil, err
	}
	select {
	case <-b.routed: // until then the engines are being started
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if h := b.led(id); h != nil {
		return h, nil
	}
	if e := b.engines.getFormer(id); e != nil {
		return e.queue, nil
	}
	return nil, nil
}

// catchUp brings this node up to what the cluster had agreed on before the call, so that a name that is not found does not exist
// (contract 4). It also waits for the other nodes, so that none finds a name that this one has said to be gone. The error is 541:
// nobody can say.
func (b *Broker) catchUp(r resource) error {
	if b.network == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
	defer cancel()
	if err := b.meta.ReadIndex(ctx); err != nil {
		return wire.Errorf(wire.InternalError, "whether there is %s could not be found out: %v", r, err)
	}
	b.nodes.agree(ctx, b.State().Index())
	return nil
}

// agreed waits, as long as a change may take, until the other nodes have applied what this one has: for an answer that says no more
// than that something is there already. It may be there by a change that is still under way, and whoever made that is not told
// before all nodes have it. When nothing is under way this does not wait.
func (b *Broker) agreed() {
	if b.network == nil {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
	defer cancel()
	b.nodes.agree(ctx, b.State().Index())
}

// queueError is clientError for what a queue said: that of a node that is down names the node.
func (b *Broker) queueError(err error, r resource) error {
	if !errors.Is(err, queue.ErrUnavailable) {
		return clientError(err, r)
	}
	q := b.State().Queue(r.vhost, r.name)
	if q == nil {
		return clientError(err, r)
	}
	durable := ""
	if q.Durable {
		durable = "durable "
	}
	return wire.Errorf(wire.NotFound, "home node '%s' of %s%s is down or inaccessible", b.nodeName(q.Leader), durable, r)
}

// QueueError turns an error of a queue.Handle into the *wire.Error for the client, without a method: 404, 403 (exclusive use),
// 406 (in use, not empty), or 541. A *wire.Error and nil are returned as they are.
func (a *Access) QueueError(err error, name string) error {
	return a.broker.queueError(err, resource{kindQueue, name, a.vhost})
}

// Elsewhere reports whether the queue that h stands for has moved since h was found, to a node that can be reached. It never waits.
func (a *Access) Elsewhere(h queue.Handle) bool {
	b := a.broker
	q := b.State().QueueByID(h.ID())
	return q != nil && b.Reachable(q.Leader) && b.engines.handle(q) != h
}

// SendReply hands a message to a consumer of direct replies on another node. It says whether that can be reached, and does not wait.
func (b *Broker) SendReply(node, vhost string, name, record, tail []byte) bool {
	return b.Reachable(node) && b.links.Notify(node, &peerv1.Notice{Reply: &peerv1.DirectReply{
		Vhost: []byte(vhost), Name: name, Record: bytes.Clone(record), Tail: tail,
	}})
}

// findQueue is find for a name that somebody may have declared on another node.
func (b *Broker) findQueue(r resource) (*meta.Queue, queue.Handle, error) {
	if q, h := b.find(r); q != nil {
		return q, h, nil
	}
	if err := b.catchUp(r); err != nil {
		return nil, nil, err
	}
	q, h := b.find(r)
	return q, h, nil
}

// findExchange returns an exchange, nil if there is none. The error is 541.
func (b *Broker) findExchange(r resource) (*meta.Exchange, error) {
	if x := b.State().Exchange(r.vhost, r.name); x != nil {
		return x, nil
	}
	if err := b.catchUp(r); err != nil {
		return nil, err
	}
	return b.State().Exchange(r.vhost, r.name), nil
}

// FindExchange is for a publisher that does not find an exchange in Routes: it brings this node up to date and returns the routes
// then. Errors are 404 and 541.
func (a *Access) FindExchange(name string) error {
	r := resource{kindExchange, name, a.vhost}
	x, err := a.broker.findExchange(r)
	if err == nil && x == nil {
		err = errNotFound(r)
	}
	return err
}
