package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/routing"
)

// An x-recent-history exchange (SEMANTICS 3.17) keeps the latest messages in a queue of its own, its history, which is as durable as
// the exchange and drops its head. Publishers put messages there because the route leads there, too. Who makes a binding puts what is
// there into what the binding leads to.

// historyBytes bounds the bodies that an x-recent-history exchange keeps, beside its length. They need not be in memory.
const historyBytes = 64 << 20

// replay brings the history of the source of a new binding to where the binding leads, and waits until it is safe there. A message
// that is published meanwhile by somebody else may come twice.
func (b *Broker) replay(bind *meta.Binding) error {
	vhost := b.routing.Load().VHost(bind.VHost)
	if vhost == nil {
		return nil
	}
	x := vhost.Exchange(bind.Source)
	if x == nil || x.History() == nil {
		return nil // deleted since
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
	defer cancel()
	history, err := readHistory(ctx, x.History().Handle)
	switch {
	case errors.Is(err, queue.ErrGone):
		return nil
	case err != nil:
		return fmt.Errorf("bound, but the history of exchange '%s' cannot be read; unbind and bind again for it: %w", bind.Source, err)
	}
	done := make(chan struct{})
	p := posts{batch: &queue.Batch{First: 1, Last: 1, Complete: func(*queue.Batch) { close(done) }}}
	now := time.Now().UnixMilli()
	for _, piece := range history {
		var r block.Record
		var view wire.PropertyView
		if _, err := block.Parse(piece.Records, piece.Tail, &r); err != nil {
			return err
		}
		if err := wire.ScanProperties(r.Properties, &view); err != nil {
			return err
		}
		r.Flags &^= block.Redelivered
		r.Arrived, r.Deadline = now, 0
		if n := expirationOf(&view); n >= 0 {
			r.Deadline = now + n
		}
		for _, q := range historyTargets(vhost, bind, &r, &view) {
			p.add(q, &r, 0, false)
		}
	}
	b.send(&p, &queue.Letters{})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("bound, but the history of exchange '%s' is not stored yet: %w", bind.Source, ctx.Err())
	}
}

// historyTargets returns where a message of the history goes.
func historyTargets(vhost *routing.VHost, bind *meta.Binding, r *block.Record, view *wire.PropertyView) []*routing.Queue {
	if bind.DestinationKind == meta.ToQueue {
		if q := vhost.Queue(bind.Destination); q != nil {
			return []*routing.Queue{q}
		}
		return nil
	}
	x := vhost.Exchange(bind.Destination)
	if x == nil {
		return nil
	}
	targets, _ := vhost.RouteMessage(nil, x, &exchange.Message{
		Key:           r.RoutingKey,
		Extra:         copies(view.Headers),
		Headers:       view.Headers,
		CorrelationID: view.CorrelationID,
		MessageID:     view.MessageID,
		Timestamp:     view.Timestamp,
	})
	return targets
}

// copies returns the routing keys in the header CC.
func copies(headers []byte) (keys [][]byte) {
	_ = wire.WalkTable(headers, func(name []byte, v wire.RawValue) bool {
		if string(name) != "CC" || v.Kind != wire.KindArray {
			return true
		}
		for _, key := range v.Value().Array {
			if key.Kind == wire.KindString && len(key.Str) <= maxKeyLen {
				keys = append(keys, []byte(key.Str))
			}
		}
		return false
	})
	return keys
}

// readHistory returns the messages of a history, which stay there. They are taken and given back, so readers keep each other out: by
// an exclusive consumer that takes nothing.
func readHistory(ctx context.Context, h queue.Handle) (history []queue.Piece, err error) {
	lock := &queue.Consumer{Exclusive: true, Receiver: idle{}}
	for err = h.Consume(lock); errors.Is(err, queue.ErrExclusiveUse); err = h.Consume(lock) {
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(historyPause):
		}
	}
	if err != nil {
		return nil, err
	}
	defer h.Cancel(lock)
	var taken []queue.Range
	for left := 1; ; left-- {
		var piece queue.Piece
		ok := left > 0 // what comes in meanwhile is routed as well
		if ok {
			var remaining int
			piece, remaining, ok, err = h.Get(false)
			if len(history) == 0 {
				left += remaining
			}
		}
		if err != nil || !ok {
			if len(taken) > 0 {
				h.Settle(&queue.Settlement{Handle: h, Outcome: queue.Return, Ranges: taken})
			}
			return history, err
		}
		history = append(history, piece)
		if n := len(taken); n > 0 && taken[n-1].Last+1 == piece.First {
			taken[n-1].Last++
		} else {
			taken = append(taken, queue.Range{First: piece.First, Last: piece.First})
		}
	}
}

// historyPause is how long a reader of a history waits before it tries again.
const historyPause = 2 * time.Millisecond

// idle is a receiver that has no room.
type idle struct{}

func (idle) Reserve(*queue.Consumer, int) int       { return 0 }
func (idle) Unreserve(*queue.Consumer, int)         {}
func (idle) Deliver(*queue.Consumer, []queue.Piece) {}
func (idle) Cancelled(*queue.Consumer)              {}
