package server

import (
	"bytes"
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/routing"
)

// publisher is the publishing side of a channel. The conn feeds it basic.publish, content header and body frames; finish checks
// and routes the message and encodes it, once, into the pending block of each target queue; flush pushes the blocks.
//
// Most publishes repeat: the same exchange, routing key and properties. So what was found out about the last arguments and the
// last properties is kept and used again when the bytes are equal and the routing state is the same.
type publisher struct {
	c  *conn
	ch *channel

	// The message being received.
	bodySize uint64
	bodyGot  []byte // the body so far: points into the read buffer if it came in one frame, else into own
	own      []byte // body that arrives in parts; one byte of its capacity is not needed for it
	claimed  int64  // of own, what is counted in Server.claims
	route    routeMemo
	props    propsMemo

	// Since the last flush.
	pending []pendingBlock
	byQueue map[*routing.Queue]int // positions in pending, when there are many
	bytes   int
	first   uint64 // first publish sequence number of the batch; 0 when there is none
	epoch   uint64 // counts pushes

	// Since the last call of flush, which is after each read chunk. What came in one read was sent after whatever its sender knew to
	// be done, so one look at the routing state and the clock does for all of it.
	vhost *routing.VHost // nil: not looked up
	now   int64          // Unix milliseconds; 0: not looked up
	chunk uint64         // counts calls of flush

	repeats    repeats
	unreported tally // of what the server counts
	active     bool  // counted among the publishers

	mode     txMode
	seq      uint64 // publish sequence number of the last message in confirm mode
	confirms *confirms
	complete func(*queue.Batch) // of confirms
	returns  []byte             // basic.return frames that wait for tx.commit

	gathered  uint64 // messages since the last push
	figures   *publishFigures
	following []followed // messages that are followed, since the last push
}

// routeMemo is what is known about the arguments of the last basic.publish.
type routeMemo struct {
	args      []byte // copy
	parsed    wire.PublishArgs
	vhost     *routing.VHost // routing state that the rest was found in; nil: not resolved
	basis     exchange.Basis // of the route; ByChance only if it is not resolved
	targets   []*routing.Queue
	guard     *dedup.Guard // drops repetitions, nil if all messages pass
	unheard   bool         // the targets are nothing but histories of exchanges
	slots     []int        // positions of the targets in pending
	epoch     uint64       // of slots: they hold as long as it is the publisher's
	exchange  string
	checkedIn uint64 // chunk in which the write permission on exchange was checked
	topicIn   uint64 // chunk in which the topic permission on the routing key was checked
}

const (
	// maxPendingBytes is how much a channel gathers before it pushes within a read chunk.
	maxPendingBytes = 1 << 20
	// maxTxBytes bounds the messages of one transaction.
	maxTxBytes = 256 << 20
	// keptTargets bounds the targets of a chunk for which the bookkeeping is kept.
	keptTargets = 1024
	// manyTargets is the number of pending blocks from which they are found by map.
	manyTargets = 8
)

func newPublisher(c *conn, ch *channel) *publisher {
	return &publisher{c: c, ch: ch, epoch: 1, chunk: 1, figures: new(publishFigures)}
}

// begin takes the arguments of basic.publish, without the ids.
func (p *publisher) begin(args []byte) error {
	p.c.published()
	r := &p.route
	if r.args != nil && bytes.Equal(args, r.args) {
		return nil
	}
	r.vhost, r.targets, r.topicIn = nil, r.targets[:0], 0
	r.args = append(r.args[:0], args...)
	parsed, err := wire.ParsePublish(r.args)
	if err != nil {
		r.args = nil
		return err
	}
	r.parsed = parsed
	if r.exchange != string(parsed.Exchange) {
		r.exchange, r.checkedIn = string(parsed.Exchange), 0
	}
	if parsed.Immediate {
		r.args = nil
		return wire.Errorf(wire.NotImplemented, "immediate=true")
	}
	return nil
}

// finish checks, routes and takes the message whose body is complete. The checks are in the order of SEMANTICS 9.1; the size was
// checked before.
func (p *publisher) finish() error {
	defer p.release()
	if p.mode != modeConfirm {
		return p.accept()
	}
	p.seq++
	if p.first == 0 {
		p.first = p.seq
	}
	err := p.accept()
	if err != nil { // it is answered by the error alone
		if p.first == p.seq {
			p.first = 0
		}
		p.seq--
	}
	return err
}

func (p *publisher) accept() error {
	r := &p.route
	if p.vhost == nil {
		if p.vhost = p.c.access.Routes(); p.vhost == nil {
			return wire.Errorf(wire.ConnectionForced, "vhost '%s' is deleted", p.c.vhost)
		}
	}
	if r.checkedIn != p.chunk {
		if err := p.c.access.CheckPublish(r.exchange); err != nil {
			return err
		}
		r.checkedIn = p.chunk
	}
	known := r.vhost == p.vhost && (r.basis == exchange.ByKeys || p.props.unchanged) && len(p.props.keys) == 0
	var x *routing.Exchange
	if !known {
		if x = p.vhost.Exchange(r.exchange); x == nil {
			// Another node may have declared it a moment ago.
			if err := p.c.access.FindExchange(r.exchange); err != nil {
				return err
			}
			if p.vhost = p.c.access.Routes(); p.vhost != nil {
				x = p.vhost.Exchange(r.exchange)
			}
			if x == nil {
				return wire.Errorf(wire.NotFound, "no exchange '%s' in vhost '%s'", r.exchange, p.c.vhost)
			}
		}
		if x.Internal() {
			return wire.Errorf(wire.AccessRefused, "cannot publish to internal exchange '%s' in vhost '%s'", r.exchange, p.c.vhost)
		}
	}
	if p.props.failure != nil {
		return p.props.failure
	}
	if err := p.checkTopics(); err != nil {
		return err
	}
	if p.props.view.Has(wire.FlagUserID) {
		if err := p.c.access.CheckUserID(p.props.view.UserID); err != nil {
			return err
		}
	}
	if !known {
		view := &p.props.view
		r.targets, r.basis = p.vhost.RouteMessage(r.targets[:0], x, &exchange.Message{
			Key:           r.parsed.RoutingKey,
			Extra:         p.props.keys,
			Headers:       view.Headers,
			CorrelationID: view.CorrelationID,
			MessageID:     view.MessageID,
			Timestamp:     view.Timestamp,
		})
		reply := false
		if r.exchange == "" {
			r.targets, reply = p.c.srv.replies.appendTargets(r.targets, p.c.vhost, r.parsed.RoutingKey, p.props.keys)
		}
		r.epoch = 0
		r.vhost = p.vhost
		r.unheard = !slices.ContainsFunc(r.targets, func(q *routing.Queue) bool { return !q.History() })
		r.guard = x.Guard()
		if len(p.props.keys) > 0 || r.basis == exchange.ByChance || reply {
			r.vhost = nil // this route is for this message only
		}
	}
	p.unreported.received++
	p.gathered++
	switch {
	case r.guard != nil && len(r.targets) > 0 && p.repeated(r.guard):
	case len(r.targets) > 0:
		p.unreported.routed += uint64(len(r.targets))
		if r.unheard && r.parsed.Mandatory {
			p.unreported.returned++
			p.giveBack()
		}
		p.take()
	case r.parsed.Mandatory:
		p.unreported.returned++
		p.giveBack()
	default:
		p.unreported.dropped++
	}
	if p.vhost.Def.Tracing {
		p.trace()
	}
	if list := p.c.srv.tracers.Load(); list != nil {
		p.follow(*list)
	}
	switch {
	case p.mode == modeTx && p.bytes > maxTxBytes:
		return wire.Errorf(wire.ResourceError, "transaction of more than %d bytes", maxTxBytes)
	case p.mode != modeTx && p.bytes >= maxPendingBytes:
		p.flush()
	}
	return nil
}

// checkTopics checks the topic permissions on all routing keys of the message.
func (p *publisher) checkTopics() error {
	r := &p.route
	if r.topicIn != p.chunk {
		if err := p.c.access.CheckTopicWrite(r.exchange, r.parsed.RoutingKey); err != nil {
			return err
		}
		r.topicIn = p.chunk
	}
	for _, key := range p.props.keys {
		if err := p.c.access.CheckTopicWrite(r.exchange, key); err != nil {
			return err
		}
	}
	return nil
}

// take encodes the message into the pending block of each target.
func (p *publisher) take() {
	r := &p.route
	if p.now == 0 {
		p.now = time.Now().UnixMilli()
	}
	rec := block.Record{
		Arrived:    p.now,
		Exchange:   r.parsed.Exchange,
		RoutingKey: r.parsed.RoutingKey,
		Properties: p.props.out,
		Body:       p.bodyGot,
	}
	if p.props.persist {
		rec.Flags = block.Persistent
	}
	if p.props.deadline >= 0 {
		rec.Deadline = rec.Arrived + p.props.deadline
	}
	rec.Priority = p.props.view.Priority
	size := rec.Len()
	if len(rec.Body) >= block.LargeBody {
		if len(p.own) == len(rec.Body) && &p.own[0] == &rec.Body[0] {
			p.own = nil // it belongs to the queues now
		} else {
			rec.Body = bytes.Clone(rec.Body)
		}
	}
	if r.epoch != p.epoch {
		r.slots = r.slots[:0]
		for _, q := range r.targets {
			r.slots = append(r.slots, p.slot(q))
		}
		r.epoch = p.epoch
	}
	large := len(rec.Body) >= block.LargeBody
	for i, q := range r.targets {
		if q.Delays() {
			p.takeDelayed(q, rec)
			continue
		}
		at := r.slots[i]
		b := &p.pending[at]
		if b.block.Count > 0 && (large || b.block.Tail != nil || len(b.block.Records)+size > block.TargetLen) {
			at = p.open(q)
			r.slots[i] = at
			b = &p.pending[at]
		}
		n := size
		if large {
			n -= len(rec.Body)
		}
		b.block.Records = block.Grow(b.block.Records, n)
		if p.mode == modeConfirm {
			b.note(p.seq)
		}
		deadline := rec.Deadline
		if q.History() {
			rec.Deadline = 0 // it counts from the arrival in a queue
		}
		b.block.Append(&rec)
		rec.Deadline = deadline
		p.bytes += size
	}
}

// takeDelayed encodes the message for the store of an x-delayed-message exchange, where it expires when it is due. All its
// properties are kept for then, those that only count in routing too.
func (p *publisher) takeDelayed(q *routing.Queue, rec block.Record) {
	rec.Deadline = rec.Arrived + exchange.Delay(p.props.view.Headers)
	rec.Properties = p.props.full
	at := p.slot(q)
	size, large := rec.Len(), len(rec.Body) >= block.LargeBody
	if b := &p.pending[at].block; b.Count > 0 && (large || b.Tail != nil || len(b.Records)+size > block.TargetLen) {
		at = p.open(q)
	}
	b := &p.pending[at]
	if p.mode == modeConfirm {
		b.note(p.seq)
	}
	b.block.Append(&rec)
	p.bytes += size
}

// slot returns the position of the block that is being filled for q.
func (p *publisher) slot(q *routing.Queue) int {
	if len(p.pending) < manyTargets {
		for i := len(p.pending) - 1; i >= 0; i-- {
			if p.pending[i].queue == q {
				return i
			}
		}
		return p.open(q)
	}
	if len(p.byQueue) == 0 {
		if p.byQueue == nil {
			p.byQueue = make(map[*routing.Queue]int)
		}
		for i := range p.pending {
			p.byQueue[p.pending[i].queue] = i
		}
	}
	if i, ok := p.byQueue[q]; ok {
		return i
	}
	return p.open(q)
}

// open starts a new block for q.
func (p *publisher) open(q *routing.Queue) int {
	i := len(p.pending)
	p.pending = append(p.pending, pendingBlock{queue: q})
	if len(p.byQueue) > 0 {
		p.byQueue[q] = i
	}
	return i
}

// giveBack answers a mandatory message that no queue takes with basic.return.
func (p *publisher) giveBack() {
	frames := func(b []byte) []byte {
		b = wire.AppendReturn(b, p.ch.id, wire.NoRoute, "NO_ROUTE", p.route.parsed.Exchange, p.route.parsed.RoutingKey)
		b = wire.AppendContentHeader(b, p.ch.id, basicClass, uint64(len(p.bodyGot)), p.props.raw)
		return wire.AppendBody(b, p.ch.id, p.bodyGot, p.c.frameMax)
	}
	if p.mode == modeTx {
		n := len(p.returns)
		p.returns = frames(p.returns)
		p.bytes += len(p.returns) - n
		return
	}
	out := p.c.out
	out.mu.Lock()
	out.appendOwed(frames)
	out.unlockAndWrite()
}

// tally is what was published since the last report, so that counting costs no atomic operation per message.
type tally struct{ received, routed, dropped, returned uint64 }

// report adds the tally to the server's counters.
func (p *publisher) report() {
	t := &p.unreported
	if t.received == 0 {
		return
	}
	s := &p.c.srv.stats
	if !p.active {
		p.active = true
		s.publishers.Add(1)
	}
	s.received.Add(t.received)
	if p.mode == modeConfirm {
		s.receivedConfirm.Add(t.received)
	}
	if t.routed > 0 {
		s.routed.Add(t.routed)
	}
	if t.dropped > 0 {
		s.dropped.Add(t.dropped)
	}
	if t.returned > 0 {
		s.returned.Add(t.returned)
	}
	p.figures.add(t)
	*t = tally{}
}

// flush ends a read chunk: it pushes the pending blocks to their queues, unless they belong to a transaction, and waits while the
// connection has too much in flight, or while its client does not read what it is owed.
func (p *publisher) flush() {
	p.vhost, p.now = nil, 0
	p.chunk++
	p.report()
	p.figures.show(p)
	if p.mode == modeTx {
		return
	}
	p.push(nil)
	if p.c.flow.full() {
		p.c.suspend() // the peer's heartbeats wait in the socket
		p.c.flow.wait(p.c.interrupt)
		p.c.resume()
	}
	if p.c.out.crowded() {
		p.c.suspend()
		p.c.waitForRoom()
		p.c.resume()
	}
}

// push gives the pending blocks to their queues. tx is the batch to count for a transaction.
func (p *publisher) push(tx *queue.Batch) {
	batch := tx
	if p.first != 0 {
		batch = &queue.Batch{First: p.first, Last: p.seq, Complete: p.complete}
		p.confirms.add(batch)
	}
	if len(p.following) > 0 {
		batch = p.followTo(batch, p.first == 0)
	}
	if batch != nil {
		batch.Add() // until everything is pushed
	}
	outer := batch
	if len(p.repeats.claims) > 0 {
		batch = p.repeats.through(outer, p.first == 0)
		batch.Add()
	}
	for i := range p.pending {
		b := &p.pending[i]
		pub := &queue.Publication{Block: b.block, Batch: batch, Flow: &p.c.flow}
		if batch != nil {
			if p.first != 0 && b.seqs == nil && (b.first != batch.First || b.block.Count != int(batch.Last-batch.First+1)) {
				b.list(b.block.Count)
			}
			pub.Seqs = b.seqs
			batch.Add()
		}
		p.c.flow.add(pub.Block.Size())
		b.queue.Handle.Publish(pub)
		*b = pendingBlock{}
	}
	p.empty()
	if batch != nil {
		batch.Done()
	}
	if outer != nil && outer != batch {
		outer.Done()
	}
}

// empty makes pending ready for the next messages; what was in it belongs to somebody else.
func (p *publisher) empty() {
	if len(p.pending) > keptTargets {
		p.pending, p.byQueue = nil, nil
	}
	p.pending = p.pending[:0]
	clear(p.byQueue)
	p.bytes, p.first = 0, 0
	p.gathered = 0
	p.epoch++
}

// selectConfirm starts confirm mode.
func (p *publisher) selectConfirm() {
	if p.mode == modePlain {
		p.flush()
		p.mode = modeConfirm
		p.confirms = &confirms{out: p.c.out, channel: p.ch.id, stats: &p.c.srv.stats}
		p.complete = p.confirms.complete
	}
}

// drop forgets what is pending.
func (p *publisher) drop() {
	p.returns = nil
	p.following = nil
	p.repeats.drop()
	for i := range p.pending {
		block.PutArena(p.pending[i].block.Records)
		p.pending[i] = pendingBlock{}
	}
	p.empty()
}

// abort drops an incomplete message and an uncommitted transaction, and stops the confirms: the channel is closing.
func (p *publisher) abort() {
	p.report()
	if p.active {
		p.c.srv.stats.publishers.Add(-1)
	}
	p.drop()
	p.release()
	p.own = nil
	if p.confirms != nil {
		p.confirms.stop()
	}
}
