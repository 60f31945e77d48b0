package server

import (
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// The publishing side of transactions; that of acknowledgements is in acks.go.

// selectTx makes publishes wait for commit.
func (p *publisher) selectTx() {
	p.flush()
	p.mode = modeTx
	p.ch.del.selectTx()
}

// commit publishes and acknowledges what the transaction has gathered. Returns of unroutable messages are sent at once. done is
// called once, from any goroutine, when the queues have everything for good. Its error is a 406 if a queue refused a message; the
// others have theirs nevertheless (SEMANTICS 12.3).
func (p *publisher) commit(done func(error)) {
	if err := p.ch.del.apply(); err != nil {
		done(err)
		return
	}
	if len(p.returns) > 0 {
		p.c.out.sendRaw(p.returns)
		p.returns = nil
	}
	b := &queue.Batch{First: 1, Last: 1, Complete: func(b *queue.Batch) {
		if len(b.Refused()) > 0 {
			done(wire.Errorf(wire.PreconditionFailed, "partial tx completion"))
			return
		}
		done(nil)
	}}
	b.Add()
	p.push(b)
	p.ch.del.commit(b)
	b.Done()
}

// rollback drops what the transaction has published and makes the deliveries that it acknowledged unacknowledged again.
func (p *publisher) rollback() {
	p.drop()
	_ = p.ch.del.apply()
	p.ch.del.rollback()
}
