package server

import (
	"bytes"
	"strconv"
	"sync"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
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
	own      []byte // body that arrived in parts
	route    routeMemo
	props    propsMemo

	// Since the last flush.
	pending []pendingBlock
	byQueue map[*routing.Queue]int // positions in pending, when there are many
	bytes   int
	first   uint64 // first publish sequence number of the batch; 0 when there is none
	epoch   uint64 // counts flushes
	now     int64  // time of the first message, Unix milliseconds; 0 before

	mode     txMode
	seq      uint64 // publish sequence number of the last message in confirm mode
	confirms *confirms
	returns  []byte // basic.return frames that wait for tx.commit

}

// routeMemo is what is known about the arguments of the last basic.publish.
type routeMemo struct {
	args      []byte // copy
	parsed    wire.PublishArgs
	vhost     *routing.VHost // routing state that the rest was found in; nil: not resolved
	headers   bool           // the route depends on the headers
	targets   []*routing.Queue
	slots     []int  // positions of the targets in pending
	epoch     uint64 // of slots: they hold as long as it is the publisher's
	checkedIn uint64 // epoch in which the write permission was checked
	exchange  string
}

// propsMemo is what is known about the last properties.
type propsMemo struct {
	raw       []byte // copy; as received
	out       []byte // as stored: without BCC
	view      wire.PropertyView
	failure   *wire.Error // raised when the message is complete
	keys      [][]byte    // further routing keys (CC, BCC)
	deadline  int64       // milliseconds from now, -1: none
	persist   bool
	unchanged bool // the same as those of the message before
}

// pendingBlock is a block that is being filled for a queue.
type pendingBlock struct {
	queue *routing.Queue
	block block.Block
	first uint64 // sequence number of the first record
	seqs  []uint64
}

const (
	// maxPendingBytes is how much a channel gathers before it pushes within a read chunk.
	maxPendingBytes = 1 << 20
	// maxTxBytes bounds the messages of one transaction.
	maxTxBytes = 256 << 20
	// manyTargets is the number of pending blocks from which they are found by map.
	manyTargets = 8
)

func newPublisher(c *conn, ch *channel) *publisher {
	return &publisher{c: c, ch: ch, epoch: 1}
}

// begin takes the arguments of basic.publish, without the ids.
func (p *publisher) begin(args []byte) error {
	p.c.published()
	r := &p.route
	if r.args != nil && bytes.Equal(args, r.args) {
		return nil
	}
	r.vhost, r.targets = nil, r.targets[:0]
	r.args = append(r.args[:0], args...)
	parsed, err := wire.ParsePublish(r.args)
	if err != nil {
		r.args = nil
		return err
	}
	r.parsed = parsed
	if parsed.Immediate {
		r.args = nil
		return wire.Errorf(wire.NotImplemented, "immediate=true")
	}
	return nil
}

// header takes the content header. properties is only used during the call.
func (p *publisher) header(bodySize uint64, properties []byte) error {
	p.bodySize = bodySize
	p.bodyGot = nil
	m := &p.props
	if m.raw != nil && bytes.Equal(properties, m.raw) {
		m.unchanged = true
		return nil
	}
	m.unchanged = false
	m.raw = append(m.raw[:0], properties...)
	if err := wire.ScanProperties(m.raw, &m.view); err != nil {
		m.raw = nil
		return err
	}
	p.learnProperties()
	return nil
}

// learnProperties fills the memo from its view. What is wrong is raised by finish, in its turn.
func (p *publisher) learnProperties() {
	m := &p.props
	m.failure, m.keys, m.out, m.deadline = nil, nil, m.raw, -1
	m.persist = m.view.DeliveryMode == 2
	if m.view.Has(wire.FlagExpiration) {
		if m.deadline, m.failure = parseExpiration(m.view.Expiration); m.failure != nil {
			return
		}
	}
	if m.view.Has(wire.FlagDeliveryMode) && m.view.DeliveryMode != 1 && m.view.DeliveryMode != 2 {
		m.failure = wire.Errorf(wire.PreconditionFailed, "invalid message: {delivery_mode_unknown,%d}", m.view.DeliveryMode)
		return
	}
	if m.view.Has(wire.FlagHeaders) {
		m.keys, m.out, m.failure = carbonCopies(m.raw, &m.view)
	}
}

// parseExpiration reads the expiration property: milliseconds as decimal text (SEMANTICS 6.1), with RabbitMQ's error texts.
func parseExpiration(text []byte) (int64, *wire.Error) {
	invalid := func(why string) (int64, *wire.Error) {
		return 0, wire.Errorf(wire.PreconditionFailed, "invalid expiration '%s': %s", text, why)
	}
	digits := text
	if len(digits) > 0 && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	if n == 0 {
		return invalid("no_integer")
	}
	if n < len(digits) {
		return invalid("{leftover_string,\"" + string(digits[n:]) + "\"}")
	}
	v, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case err == nil && v < 0:
		return invalid("{value_negative," + strconv.FormatInt(v, 10) + "}")
	case err != nil || v > maxExpiration:
		return invalid("{value_too_large," + string(bytes.TrimLeft(digits, "0")) + "}")
	}
	return v, nil
}

// maxExpiration is ten years in milliseconds.
const maxExpiration = 315_360_000_000

// carbonCopies reads the headers CC and BCC (SEMANTICS 9.4). out is the properties without BCC.
func carbonCopies(raw []byte, view *wire.PropertyView) (keys [][]byte, out []byte, failure *wire.Error) {
	bcc, any := false, false
	_ = wire.WalkTable(view.Headers, func(name []byte, v wire.RawValue) bool {
		n := string(name)
		if n != "CC" && n != "BCC" {
			return true
		}
		any = true
		if v.Kind != wire.KindArray {
			failure = wire.Errorf(wire.PreconditionFailed, "invalid message: {unacceptable_type_in_header,\"%s\",%s}", n, v.Kind)
			return false
		}
		for _, item := range v.Value().Array {
			if item.Kind == wire.KindString && len(item.Str) <= 255 {
				keys = append(keys, []byte(item.Str))
			}
		}
		bcc = bcc || n == "BCC"
		return true
	})
	if !any || failure != nil || !bcc {
		return keys, raw, failure
	}
	props, err := wire.ParseProperties(raw)
	if err != nil {
		return nil, raw, wire.Errorf(wire.InternalError, "%v", err)
	}
	kept := props.Headers[:0]
	for _, f := range props.Headers {
		if f.Name != "BCC" {
			kept = append(kept, f)
		}
	}
	props.Headers = kept
	return keys, props.Append(nil), nil
}

// body takes the payload of a body frame, which is only used until finish if it is the whole body.
func (p *publisher) body(b []byte) error {
	if p.bodyGot == nil && uint64(len(b)) == p.bodySize {
		p.bodyGot = b
		return nil
	}
	if p.bodyGot == nil {
		// A large body becomes shared memory of its own; its size is only a claim until it is here.
		if p.bodySize >= block.LargeBody || cap(p.own) < int(p.bodySize) {
			p.own = make([]byte, 0, min(p.bodySize, max(256<<10, uint64(len(b)))))
		}
		p.own = p.own[:0]
	}
	p.own = append(p.own, b...)
	p.bodyGot = p.own
	return nil
}

// finish checks, routes and takes the message whose body is complete. The checks are in the order of SEMANTICS 9.1; the size was
// checked before.
func (p *publisher) finish() error {
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
	vhost := p.c.access.Routes()
	if vhost == nil {
		return wire.Errorf(wire.ConnectionForced, "vhost '%s' is deleted", p.c.vhost)
	}
	if r.vhost == nil {
		r.exchange = string(r.parsed.Exchange)
		r.checkedIn = 0
	}
	if r.checkedIn != p.epoch {
		if err := p.c.access.CheckPublish(r.exchange); err != nil {
			return err
		}
		r.checkedIn = p.epoch
	}
	known := r.vhost == vhost && (!r.headers || p.props.unchanged) && len(p.props.keys) == 0
	var x *routing.Exchange
	if !known {
		if x = vhost.Exchange(r.exchange); x == nil {
			return wire.Errorf(wire.NotFound, "no exchange '%s' in vhost '%s'", r.exchange, p.c.vhost)
		}
		if x.Internal() {
			return wire.Errorf(wire.AccessRefused, "cannot publish to internal exchange '%s' in vhost '%s'", r.exchange, p.c.vhost)
		}
	}
	if p.props.failure != nil {
		return p.props.failure
	}
	if p.props.view.Has(wire.FlagUserID) {
		if err := p.c.access.CheckUserID(p.props.view.UserID); err != nil {
			return err
		}
	}
	if !known {
		r.targets = vhost.Route(r.targets[:0], x, r.parsed.RoutingKey, p.props.keys, p.props.view.Headers)
		r.headers = x.ByHeaders()
		r.epoch = 0
		r.vhost = vhost
		if len(p.props.keys) > 0 {
			r.vhost = nil // this route is for this message only
		}
	}
	if len(r.targets) == 0 {
		if r.parsed.Mandatory {
			p.giveBack()
		}
		return nil
	}
	p.take()
	if p.bytes >= maxPendingBytes && p.mode != modeTx {
		p.flush()
	} else if p.bytes > maxTxBytes {
		return wire.Errorf(wire.ResourceError, "transaction of more than %d bytes", maxTxBytes)
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
		b.block.Append(&rec)
		p.bytes += size
	}
}

// note records the sequence number of the record that is about to be appended. Runs need no list.
func (b *pendingBlock) note(seq uint64) {
	switch {
	case b.block.Count == 0:
		b.first = seq
	case b.seqs != nil:
		b.seqs = append(b.seqs, seq)
	case seq != b.first+uint64(b.block.Count):
		b.list()
		b.seqs = append(b.seqs, seq)
	}
}

// list writes the sequence numbers of a run out.
func (b *pendingBlock) list() {
	b.seqs = make([]uint64, b.block.Count, 2*b.block.Count+1)
	for i := range b.seqs {
		b.seqs[i] = b.first + uint64(i)
	}
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
	out := p.c.out
	if p.mode == modeTx {
		b := wire.AppendReturn(p.returns, p.ch.id, wire.NoRoute, "NO_ROUTE", p.route.parsed.Exchange, p.route.parsed.RoutingKey)
		b = wire.AppendContentHeader(b, p.ch.id, basicClass, uint64(len(p.bodyGot)), p.props.raw)
		p.returns = wire.AppendBody(b, p.ch.id, p.bodyGot, p.c.frameMax)
		return
	}
	out.mu.Lock()
	out.appendFrames(func(b []byte) []byte {
		b = wire.AppendReturn(b, p.ch.id, wire.NoRoute, "NO_ROUTE", p.route.parsed.Exchange, p.route.parsed.RoutingKey)
		b = wire.AppendContentHeader(b, p.ch.id, basicClass, uint64(len(p.bodyGot)), p.props.raw)
		return wire.AppendBody(b, p.ch.id, p.bodyGot, p.c.frameMax)
	})
	out.unlockAndWrite()
}

// flush pushes the pending blocks to their queues, and waits while the connection has too much in flight. In a transaction it
// does nothing.
func (p *publisher) flush() {
	if p.mode == modeTx {
		return
	}
	p.push(nil)
}

// push gives the pending blocks to their queues. tx is the batch to count for a transaction.
func (p *publisher) push(tx *queue.Batch) {
	batch := tx
	if p.first != 0 {
		batch = &queue.Batch{First: p.first, Last: p.seq, Complete: p.confirms.complete}
		p.confirms.add(batch)
	}
	if batch != nil {
		batch.Add() // until everything is pushed
	}
	for i := range p.pending {
		b := &p.pending[i]
		pub := &queue.Publication{Block: b.block, Batch: batch, Flow: &p.c.flow}
		if batch != nil {
			if p.first != 0 && b.seqs == nil && (b.first != batch.First || b.block.Count != int(batch.Last-batch.First+1)) {
				b.list()
			}
			pub.Seqs = b.seqs
			batch.Add()
		}
		p.c.flow.add(pub.Block.Size())
		b.queue.Handle.Publish(pub)
		*b = pendingBlock{}
	}
	if batch != nil {
		batch.Done()
	}
	p.pending = p.pending[:0]
	clear(p.byQueue)
	p.bytes, p.first, p.now = 0, 0, 0
	p.epoch++
	if tx == nil && p.c.flow.full() {
		p.c.paused.Store(true) // the peer's heartbeats wait in the socket
		p.c.flow.wait(p.c.interrupt)
		p.c.paused.Store(false)
	}
}

// selectConfirm starts confirm mode.
func (p *publisher) selectConfirm() {
	if p.mode == modePlain {
		p.flush()
		p.mode = modeConfirm
		p.confirms = &confirms{out: p.c.out, channel: p.ch.id}
	}
}

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
	p.returns = nil
	_ = p.ch.del.apply()
	p.ch.del.rollback()
}

func (p *publisher) drop() {
	for i := range p.pending {
		block.PutArena(p.pending[i].block.Records)
		p.pending[i] = pendingBlock{}
	}
	p.pending = p.pending[:0]
	clear(p.byQueue)
	p.bytes, p.first, p.now = 0, 0, 0
	p.epoch++
}

// abort drops an incomplete message and an uncommitted transaction, and stops the confirms: the channel is closing.
func (p *publisher) abort() {
	p.drop()
	p.bodyGot, p.own = nil, nil
	if p.confirms != nil {
		p.confirms.stop()
	}
}

// flow is the bytes that a connection has published and that queues have not taken over.
type flow struct {
	limit int

	mu       sync.Mutex
	inFlight int
	room     chan struct{} // closed when there is room again; nil while nobody waits
}

func (f *flow) add(n int) {
	f.mu.Lock()
	f.inFlight += n
	f.mu.Unlock()
}

// Done implements queue.Flow.
func (f *flow) Done(n int) {
	f.mu.Lock()
	f.inFlight -= n
	if f.room != nil && f.inFlight <= f.limit/2 {
		close(f.room)
		f.room = nil
	}
	f.mu.Unlock()
}

func (f *flow) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inFlight > f.limit
}

// wait returns when less than the limit is in flight, or when interrupt is closed.
func (f *flow) wait(interrupt <-chan struct{}) {
	f.mu.Lock()
	if f.inFlight <= f.limit {
		f.mu.Unlock()
		return
	}
	if f.room == nil {
		f.room = make(chan struct{})
	}
	room := f.room
	f.mu.Unlock()
	select {
	case <-room:
	case <-interrupt:
	}
}
