package peer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

const (
	// maxUnsent is how many bytes of deliveries may wait for the stream before consumers are told to wait.
	maxUnsent = 8 << 20
	// Releases wait for something else to be sent with, because a message of their own costs both nodes several wake-ups: until they
	// are of maxWithheld bytes together, or for releaseDelay.
	maxWithheld  = 64 << 10
	releaseDelay = 5 * time.Millisecond
)

// outbox is what waits to be sent to the other node.
type outbox struct {
	s     *serving
	spoke atomic.Bool
	wake  chan struct{} // holds one when there is something to write

	mu       sync.Mutex // guards what follows; nothing is called with it held
	closed   bool
	pending  []outgoing
	answers  peerv1.LinkResponse // without events
	unsent   int                 // bytes of deliveries that are pending or being sent
	noticed  int                 // bytes of notices that are pending
	crowding []*subscription     // waiting for unsent to fall
	withheld int                 // bytes of the releases in answers
	late     *time.Timer         // ends the wait of releases
	ticking  bool                // late is running
}

// outgoing is either a piece for a subscription or an event.
type outgoing struct {
	sub   *subscription
	piece queue.Piece
	event *peerv1.Event
	key   uint64 // of event
}

func newOutbox(s *serving) *outbox { return &outbox{s: s, wake: make(chan struct{}, 1)} }

func (o *outbox) poke() { signal(o.wake) }

func (o *outbox) push(e outgoing) {
	o.mu.Lock()
	o.pushLocked(e)
	o.mu.Unlock()
}

func (o *outbox) pushLocked(e outgoing) {
	if o.closed {
		return
	}
	if o.pending = append(o.pending, e); len(o.pending) == 1 {
		o.poke()
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.pending, o.crowding = nil, nil
	o.answers.Reset()
	if o.late != nil {
		o.late.Stop()
	}
	o.mu.Unlock()
	o.poke()
}

// deliver puts pieces in line for sub.
func (o *outbox) deliver(sub *subscription, pieces []queue.Piece, bytes int) {
	o.mu.Lock()
	o.unsent += bytes
	for i := range pieces {
		o.pushLocked(outgoing{sub: sub, piece: pieces[i]})
	}
	o.mu.Unlock()
}

// crowded reports whether too much waits to be sent. If so, sub is told when that has changed.
func (o *outbox) crowded(sub *subscription) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unsent <= maxUnsent || o.closed {
		return false
	}
	if !sub.crowding {
		sub.crowding = true
		o.crowding = append(o.crowding, sub)
	}
	return true
}

// done answers a publication, which was b to the queue.
func (o *outbox) done(id uint64, refused []uint32, b *queue.Batch) {
	o.mu.Lock()
	if b.Unkept() {
		o.answers.Unkept = append(o.answers.Unkept, id)
	}
	if len(refused) > 0 {
		o.answers.Refusals = append(o.answers.Refusals, &peerv1.Refusal{Id: id, Indexes: refused, Lost: b.Lost()})
	}
	o.answer(&o.answers.Done, id)
}

// released says that the queue does not hold a publication of so many bytes against its publisher any more.
func (o *outbox) released(id uint64, size int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.answers.Released = append(o.answers.Released, id)
	before := o.withheld
	o.withheld += size
	switch {
	case o.withheld >= maxWithheld:
		if before < maxWithheld {
			o.poke()
		}
	case !o.ticking && o.late == nil:
		o.ticking = true
		o.late = time.AfterFunc(releaseDelay, o.release)
	case !o.ticking:
		o.ticking = true
		o.late.Reset(releaseDelay)
	}
}

// release sends the releases that have waited long enough.
func (o *outbox) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ticking = false
	if len(o.answers.Released) > 0 {
		o.poke()
	}
}

// settled says that a settlement is durable, or with failed that it is not.
func (o *outbox) settled(id uint64, failed bool) {
	o.mu.Lock()
	if failed {
		o.answers.Unsettled = append(o.answers.Unsettled, id)
	}
	o.answer(&o.answers.Settled, id)
}

// answer appends id to a list of answers. It releases mu, which must be held.
func (o *outbox) answer(list *[]uint64, id uint64) {
	first := len(*list) == 0
	if *list = append(*list, id); o.closed {
		o.answers.Reset()
	}
	o.mu.Unlock()
	if first {
		o.poke()
	}
}

func (o *outbox) notify(n *peerv1.Notice) bool {
	n, size := ownNotice(n), noticeSize(n)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.noticed > 0 && o.noticed+size > maxNotices {
		return false
	}
	o.noticed += size
	o.pushLocked(outgoing{event: &peerv1.Event{Notice: n}, key: noticeKey})
	return true
}

// message is p as it goes over the link.
func message(consumer uint64, p *queue.Piece) *peerv1.Deliver {
	return &peerv1.Deliver{Consumer: consumer, First: p.First, Count: uint32(p.Count), Redelivered: p.Redelivered,
		Failures: p.Failures, Records: p.Records[:min(p.Bytes-len(p.Tail), len(p.Records))], Tail: p.Tail}
}

// eventWriter turns what is pending into responses.
type eventWriter struct {
	o    *outbox
	seq  sequencer[*peerv1.Event]
	list []outgoing // taken, and not sent from at on
	at   int

	events []keyedEvent
	sub    *subscription // of the last event, if that is a delivery
	owned  bool          // its records are a copy
	bytes  int           // of the deliveries in the message
	out    []*peerv1.Event
}

type keyedEvent struct {
	event *peerv1.Event
	key   uint64
	size  int
}

// write sends what is pending until the outbox is closed or the stream breaks.
func (o *outbox) write() error {
	w := &eventWriter{o: o}
	w.seq.body = func(e *peerv1.Event) (*[]byte, *bool) {
		switch {
		case e.Deliver != nil:
			return &e.Deliver.Tail, &e.Deliver.TailBefore
		case e.Reply != nil && e.Reply.Piece != nil:
			return &e.Reply.Piece.Tail, &e.Reply.Piece.TailBefore
		case e.Notice != nil && e.Notice.Reply != nil:
			return &e.Notice.Reply.Tail, &e.Notice.Reply.TailBefore
		}
		return nil, nil
	}
	w.seq.chunk = func(c *peerv1.Chunk) *peerv1.Event { return &peerv1.Event{Chunk: c} }
	for {
		if w.at == len(w.list) && len(w.seq.late) == 0 {
			<-o.wake
		}
		m := &peerv1.LinkResponse{}
		if !w.take(m) {
			return nil
		}
		w.encode()
		if err := w.send(m); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

// take takes the answers, and the events when those taken before are used up. It returns false when the outbox is closed.
func (w *eventWriter) take(m *peerv1.LinkResponse) bool {
	o := w.o
	used := w.at == len(w.list)
	next := w.list[:0]
	if used {
		clear(w.list)
		if w.at = 0; cap(next) > keptEntries {
			next = nil
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	if used {
		w.list, o.pending = o.pending, next
	}
	a := &o.answers
	m.Refusals, m.Done, m.Released, m.Settled = a.Refusals, a.Done, a.Released, a.Settled
	m.Unkept, m.Unsettled = a.Unkept, a.Unsettled
	a.Reset()
	o.withheld = 0
	return true
}

// encode makes about batchBytes of what was taken into events. Pieces that go on where the one before ended are joined.
func (w *eventWriter) encode() {
	size := 0
	w.sub = nil
	for ; w.at < len(w.list) && size < batchBytes; w.at++ {
		e := &w.list[w.at]
		if e.sub == nil {
			w.events = append(w.events, keyedEvent{e.event, e.key, eventSize(e.event)})
			size += eventSize(e.event)
			w.sub = nil
			if n := e.event.Notice; n != nil {
				w.o.mu.Lock()
				w.o.noticed -= noticeSize(n)
				w.o.mu.Unlock()
			}
			continue
		}
		w.bytes += e.piece.Bytes
		size += e.piece.Bytes + pieceBytes
		if w.sub == e.sub && w.join(&e.piece) {
			continue
		}
		w.events = append(w.events, keyedEvent{&peerv1.Event{Deliver: message(e.sub.id, &e.piece)}, e.sub.h.ID(), e.piece.Bytes})
		w.sub, w.owned = e.sub, false
	}
}

// pieceBytes is about what a delivery takes besides its records.
const pieceBytes = 32

func eventSize(e *peerv1.Event) int {
	switch {
	case e.Reply != nil && e.Reply.Piece != nil:
		return pieceBytes + len(e.Reply.Piece.Records) + len(e.Reply.Piece.Tail)
	case e.Notice != nil:
		return noticeSize(e.Notice)
	}
	return pieceBytes
}

// join adds p to the last event if it goes on where that ends.
func (w *eventWriter) join(p *queue.Piece) bool {
	k := &w.events[len(w.events)-1]
	d := k.event.Deliver
	if d.First+uint64(d.Count) != p.First || d.Redelivered != p.Redelivered || d.Failures != p.Failures || len(d.Tail) > 0 ||
		len(p.Tail) > 0 || len(d.Records)+p.Bytes > block.TargetLen {
		return false
	}
	if !w.owned {
		d.Records, w.owned = append(block.GetArena(len(d.Records)+p.Bytes), d.Records...), true
	}
	d.Records = append(block.Grow(d.Records, p.Bytes), p.Records[:p.Bytes]...)
	d.Count += uint32(p.Count)
	k.size += p.Bytes
	return true
}

func (w *eventWriter) send(m *peerv1.LinkResponse) error {
	for i := range w.events {
		e := &w.events[i]
		w.out = w.seq.add(w.out, e.key, e.event, e.size)
		*e = keyedEvent{}
	}
	w.events = w.events[:0]
	if len(w.seq.late) > 0 {
		w.out = w.seq.round(w.out)
	}
	m.Events = w.out
	w.o.spoke.Store(true)
	err := w.o.s.stream.Send(m)
	clear(w.out)
	w.out = w.out[:0]
	w.sent()
	return err
}

// sent counts what is sent, and tells consumers that wait for that.
func (w *eventWriter) sent() {
	o := w.o
	o.mu.Lock()
	o.unsent -= w.bytes
	w.bytes = 0
	var wake []*subscription
	if o.unsent <= maxUnsent/2 {
		wake, o.crowding = o.crowding, nil
		for _, sub := range wake {
			sub.crowding = false
		}
	}
	o.mu.Unlock()
	for _, sub := range wake {
		sub.unblock()
	}
}
