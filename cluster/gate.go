package cluster

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/queue"
)

// gate stands for a queue that has moved, on this node, so that nothing that is given to it overtakes what was given to the handle of
// the time before and is still on its way. It keeps publications, which the budgets of their publishers bound, until a barrier has
// returned from there, or the link is lost, and then it is the new handle.
//
// Only publications and questions are held up. What else comes to it concerns consumers that were attached through it, when it was
// open.
type gate struct {
	queue.Handle        // the new one
	leader       string // of the queue
	opened       chan struct{}
	open         atomic.Bool

	mu   sync.Mutex
	held []*queue.Publication
}

// barrier is a handle that can be waited for; see queue.Heir.
type barrier interface {
	Barrier(ctx context.Context) error
}

// newGate returns a gate, made by the change of the metadata at index, that opens when all that was given to old has reached the queue.
func (b *Broker) newGate(old, now queue.Handle, leader string, index uint64) *gate {
	g := &gate{Handle: now, leader: leader, opened: make(chan struct{})}
	wait, ok := old.(barrier)
	b.nodes.shut(index)
	if !ok || !b.spawn(func() {
		_ = wait.Barrier(b.staying) // without the link there is nothing to wait for: what was on its way is refused
		g.release()
		b.nodes.opened(index)
	}) {
		g.release()
		b.nodes.opened(index)
	}
	return g
}

// release opens the gate.
func (g *gate) release() {
	for {
		g.mu.Lock()
		held := g.held
		g.held = nil
		if len(held) == 0 {
			g.open.Store(true)
			g.mu.Unlock()
			close(g.opened)
			return
		}
		g.mu.Unlock()
		for _, p := range held {
			g.Handle.Publish(p)
		}
	}
}

// Publish implements queue.Handle.
func (g *gate) Publish(p *queue.Publication) {
	if !g.open.Load() {
		g.mu.Lock()
		if !g.open.Load() {
			g.held = append(g.held, p)
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
	}
	g.Handle.Publish(p)
}

// wait returns when the gate is open.
func (g *gate) wait() {
	if !g.open.Load() {
		<-g.opened
	}
}

// Barrier implements queue.Heir's.
func (g *gate) Barrier(ctx context.Context) error {
	select {
	case <-g.opened:
	case <-ctx.Done():
		return queue.ErrUnavailable
	}
	if now, ok := g.Handle.(barrier); ok {
		return now.Barrier(ctx)
	}
	return nil
}

// Consume implements queue.Handle.
func (g *gate) Consume(c *queue.Consumer) error {
	g.wait()
	return g.Handle.Consume(c)
}

// Get implements queue.Handle.
func (g *gate) Get(noAck bool) (queue.Piece, int, bool, error) {
	g.wait()
	return g.Handle.Get(noAck)
}

// Purge implements queue.Handle.
func (g *gate) Purge() (int, error) {
	g.wait()
	return g.Handle.Purge()
}

// Status implements queue.Handle.
func (g *gate) Status() (queue.Status, error) {
	g.wait()
	return g.Handle.Status()
}

// PrepareDelete implements queue.Handle.
func (g *gate) PrepareDelete(ifUnused, ifEmpty bool) (int, error) {
	g.wait()
	return g.Handle.PrepareDelete(ifUnused, ifEmpty)
}
