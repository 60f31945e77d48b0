package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
		for rest := piece.Records; piece.Count > 0; piece.Count-- {
			var r block.Record
			var view wire.PropertyView
			n, err := block.Parse(rest, piece.Tail, &r)
			if err != nil {
				return err
			}
			rest = rest[min(n, len(rest)):]
			if err := wire.ScanProperties(r.Properties, &view); err != nil {
				return err
			}
			r.Flags &^= block.Redelivered
			r.Arrived, r.Deadline = now, 0
			if ms := expirationOf(&view); ms >= 0 {
				r.Deadline = now + ms
			}
			for _, q := range historyTargets(vhost, bind, &r, &view) {
				p.add(q, &r, 0, false)
			}
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

// readHistory returns the messages of a history, which stay there. They are taken and given back, so that this works on whichever
// node the history is; the consumer is exclusive, so that readers keep each other out.
func readHistory(ctx context.Context, h queue.Handle) (history []queue.Piece, err error) {
	r := &historyReader{want: unknown, news: make(chan struct{}, 1)}
	r.Exclusive, r.Receiver = true, r
	for err = h.Consume(&r.Consumer); errors.Is(err, queue.ErrExclusiveUse); err = h.Consume(&r.Consumer) {
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(historyPause):
		}
	}
	if err != nil {
		return nil, err
	}
	defer r.giveBack(h)
	look := time.NewTicker(historyLook)
	defer look.Stop()
	for {
		// Nobody else takes any, so that those that wait and those that are out are all there is. Publishers may push some out.
		s, err := h.Status()
		if err != nil {
			return nil, err
		}
		for looked := false; !looked; {
			history, done, err := r.read(s.Ready + s.Unacked)
			if done {
				return history, err
			}
			select {
			case <-r.news:
			case <-look.C:
				looked = true
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

const (
	// historyPause is how long a reader of a history waits for another one before it tries again.
	historyPause = 2 * time.Millisecond
	// historyLook is how often a reader looks whether there is less to come than there was.
	historyLook = 50 * time.Millisecond
	// unknown is the number of messages that a reader wants before it knows; nothing has so many.
	unknown = 1 << 30
)

// historyReader takes the messages of a history.
type historyReader struct {
	queue.Consumer
	news chan struct{} // has room for one; something has changed below

	mu      sync.Mutex
	want    int
	granted int
	got     int
	pieces  []queue.Piece
	ended   bool
}

// Reserve implements queue.Receiver.
func (r *historyReader) Reserve(_ *queue.Consumer, n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = max(0, min(n, r.want-r.granted))
	r.granted += n
	return n
}

// Unreserve implements queue.Receiver.
func (r *historyReader) Unreserve(_ *queue.Consumer, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.granted -= n
}

// Deliver implements queue.Receiver.
func (r *historyReader) Deliver(_ *queue.Consumer, pieces []queue.Piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range pieces {
		r.pieces = append(r.pieces, p)
		r.got += p.Count
	}
	r.signal()
}

// Cancelled implements queue.Receiver.
func (r *historyReader) Cancelled(*queue.Consumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.signal()
}

func (r *historyReader) signal() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// read returns what came, if it is all of want messages, or an error if no more will come.
func (r *historyReader) read(want int) (pieces []queue.Piece, done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want = min(r.want, want) // what comes in meanwhile is routed as well
	switch {
	case r.ended:
		return nil, true, queue.ErrUnavailable
	case r.got >= r.want:
		pieces = slices.Clone(r.pieces) // those that another reader gave back may have come late
		slices.SortFunc(pieces, func(a, b queue.Piece) int { return cmp.Compare(a.First, b.First) })
		return pieces, true, nil
	}
	return nil, false, nil
}

// giveBack returns everything to the history.
func (r *historyReader) giveBack(h queue.Handle) {
	r.mu.Lock()
	r.want = 0
	r.mu.Unlock()
	h.Cancel(&r.Consumer) // nothing comes any more
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pieces) == 0 || r.ended {
		return
	}
	s := &queue.Settlement{Handle: h, Consumer: &r.Consumer, Outcome: queue.Return}
	for _, p := range r.pieces {
		s.Ranges = append(s.Ranges, queue.Range{First: p.First, Last: p.First + uint64(p.Count) - 1})
	}
	h.Settle(s)
}
