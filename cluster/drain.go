package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/brokerd/brokerd/cluster/meta"
)

// maintenance is the text with which clients of a node that is drained are closed; RabbitMQ's.
const maintenance = "Node was put into maintenance mode"

// drains keeps Drain and Resume of this node apart.
type drains struct{ mu sync.Mutex }

// Drain takes this node out of service, so that it can be stopped without anybody missing it (SEMANTICS 21.1): it gets no new queues and
// connections, its clients are sent away, and others take over the metadata and the queues that it leads. Exclusive queues go
// with their connections. A step that fails is logged and skipped; the error says what was left. Resume undoes it, and so does a
// restart. Draining again moves what is left.
func (b *Broker) Drain(ctx context.Context) error { return b.drain(ctx, true) }

// DrainInPlace is Drain without moving the queues that this node leads: for a stop that is so short that they may be missed.
func (b *Broker) DrainInPlace(ctx context.Context) error { return b.drain(ctx, false) }

func (b *Broker) drain(ctx context.Context, evacuate bool) error {
	b.drains.mu.Lock()
	defer b.drains.mu.Unlock()
	if _, err := b.administer(ctx, meta.SetDraining{Node: b.opts.NodeID, Draining: true}); err != nil {
		return err
	}
	b.log.Info("node is being drained", "node", b.nodeName(b.opts.NodeID))
	if b.opts.Refuse != nil {
		b.opts.Refuse(true)
	}
	if b.opts.CloseConnections != nil {
		b.opts.CloseConnections(func(uint64, string, string) bool { return true }, maintenance)
	}
	if b.network == nil {
		return nil
	}
	var failed []error
	if b.meta.IsLeader() {
		if err := b.meta.TransferLeadership(ctx); err != nil {
			b.log.Warn("drain: the leadership of the metadata stays here", "error", err)
			failed = append(failed, err)
		}
	}
	if evacuate {
		if err := b.evacuate(ctx); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// evacuate moves the queues that this node leads to the others, those with the fewest first.
func (b *Broker) evacuate(ctx context.Context) error {
	var failed []error
	for q := range b.State().AllQueues() {
		if q.Leader != b.opts.NodeID || q.Exclusive {
			continue
		}
		if ctx.Err() != nil {
			return errors.Join(append(failed, context.Cause(ctx))...)
		}
		to := slices.DeleteFunc(b.targets(), func(n string) bool { return n == b.opts.NodeID })
		if len(to) == 0 {
			err := errCannotMove("no other node can take it")
			b.log.Warn("drain: queues stay here", "error", err)
			return errors.Join(append(failed, err)...)
		}
		s := b.State()
		best := slices.MinFunc(to, func(x, y string) int { return cmp.Compare(s.QueuesLedBy(x), s.QueuesLedBy(y)) })
		if err := b.moveByID(ctx, q.ID, best); err != nil && !errors.Is(err, meta.ErrNoQueue) {
			b.log.Warn("drain: a queue stays here", "vhost", q.VHost, "queue", q.Name, "error", err)
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Resume takes this node back into service after Drain. The queues stay where they are; Rebalance brings some back.
func (b *Broker) Resume(ctx context.Context) error {
	b.drains.mu.Lock()
	defer b.drains.mu.Unlock()
	if _, err := b.administer(ctx, meta.SetDraining{Node: b.opts.NodeID}); err != nil {
		return err
	}
	if b.opts.Refuse != nil {
		b.opts.Refuse(false)
	}
	b.log.Info("node is back in service", "node", b.nodeName(b.opts.NodeID))
	return nil
}

// endDraining takes a node that was restarted back into service.
func (b *Broker) endDraining(ctx context.Context) error {
	if n := b.meta.State().Node(b.opts.NodeID); n == nil || !n.Draining {
		return nil
	}
	_, err := b.meta.Propose(ctx, meta.SetDraining{Node: b.opts.NodeID})
	return err
}
