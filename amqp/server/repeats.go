package server

import (
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/queue"
)

// Exchanges that drop what comes again. The message that comes first is claimed while it is pending, and the claim is settled when
// the queues have taken its batch; the confirm waits for that.

// repeats is what a publisher has to do with such exchanges since the last push.
type repeats struct {
	claims []*dedup.Claim // one for each exchange
	list   []repetition
}

// repetition is a message that was dropped while nobody knew what would become of the first one, which holder has.
type repetition struct {
	holder *dedup.Claim
	key    dedup.Key
	seq    uint64
}

// claimBytes is what a claimed or dropped message counts for the bounds of what is pending.
const claimBytes = 128

// repeated reports whether the message was there before, and claims it if it was not.
func (p *publisher) repeated(g *dedup.Guard) bool {
	k, ok := g.Options().KeyOf(&p.props.view)
	if !ok {
		return false
	}
	if p.now == 0 {
		p.now = time.Now().UnixMilli()
	}
	seq := uint64(1) // a transaction is taken or refused as a whole
	if p.mode == modeConfirm {
		seq = p.seq
	}
	p.bytes += claimBytes
	holder, fresh := p.repeats.claim(g).Take(k, p.now, seq, p.props.persist)
	if holder != nil {
		p.repeats.list = append(p.repeats.list, repetition{holder, k, seq})
	}
	return !fresh
}

// claim returns the claim on g.
func (r *repeats) claim(g *dedup.Guard) *dedup.Claim {
	for _, c := range r.claims {
		if c.Guard() == g {
			return c
		}
	}
	c := g.Claim()
	r.claims = append(r.claims, c)
	return c
}

// through has the claims settled by a batch of their own for what is pending, which it returns. outer, which may be nil, is
// answered after that. single says that sequence numbers do not tell its messages apart.
func (r *repeats) through(outer *queue.Batch, single bool) *queue.Batch {
	claims := r.claims
	inner := &queue.Batch{First: 1, Last: 1}
	if outer != nil {
		inner.First, inner.Last = outer.First, outer.Last
		outer.Add()
		for _, w := range r.list {
			outer.Add()
			w.holder.Wait(w.key, func(kept bool) {
				if !kept {
					outer.Refuse(w.seq)
				}
				outer.Done()
			})
		}
	}
	r.claims, r.list = nil, nil
	inner.Complete = func(b *queue.Batch) {
		refused := make(map[uint64]struct{})
		for _, seq := range b.Refused() {
			refused[seq] = struct{}{}
		}
		if outer != nil && len(refused) > 0 {
			outer.Refuse(b.Refused()...)
		}
		var left atomic.Int32
		left.Store(int32(len(claims)))
		for _, c := range claims {
			c.Settle(func(seq uint64) bool {
				_, is := refused[seq]
				return is || single && len(refused) > 0
			}, func(failed []uint64) {
				if outer == nil {
					return
				}
				if len(failed) > 0 {
					outer.Refuse(failed...)
				}
				if left.Add(-1) == 0 {
					outer.Done()
				}
			})
		}
	}
	return inner
}

// drop gives the claims up: their messages are not published.
func (r *repeats) drop() {
	for _, c := range r.claims {
		c.Settle(func(uint64) bool { return true }, nil)
	}
	r.claims, r.list = nil, nil
}
