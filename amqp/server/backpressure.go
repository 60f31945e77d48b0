package server

import (
	"github.com/brokerd/brokerd/amqp/queue"
)

// Answers are held back as deliveries are while the client does not read: a client that asks without end and never reads must not
// fill the memory with answers. Only the goroutine of a channel waits. The reader goes on, as a client may well send a lot before
// it reads, until the backlog of the waiting channel is full.

// hasRoom reports whether an answer can be sent now.
func (c *conn) hasRoom() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.pending < c.out.limit
}

// waitForRoom waits until an answer can be sent. It returns false when the connection is being ended.
func (c *conn) waitForRoom() bool {
	for !c.hasRoom() {
		w := &roomWaiter{woken: make(chan struct{})}
		if c.out.hasRoom(&consumer{handle: w}) {
			return true
		}
		select {
		case <-w.woken:
		case <-c.interrupt:
			return false
		}
	}
	return true
}

// roomWaiter waits in the place of a consumer's queue, which is what the outbox wakes up.
type roomWaiter struct {
	queue.Handle
	woken chan struct{}
}

// Wake is called once, by the outbox.
func (w *roomWaiter) Wake(*queue.Consumer) { close(w.woken) }
