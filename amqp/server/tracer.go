package server

import (
	"slices"
	"sync"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// Operators follow messages by tracers. While there is none, that costs one load of a pointer per message that is published and per
// hand-over of deliveries. Beside the firehose, which copies messages to an exchange, a tracer sees each step and only what it asks for.

// TraceStep is a step on the way of a message.
type TraceStep uint8

const (
	TracePublish TraceStep = iota // a client has published it
	TraceRoute                    // its queues are known
	TraceEnqueue                  // a queue is given it
	TraceCommit                   // a queue has taken it: persistent messages in durable queues are on disk
	TraceDeliver                  // a client is given it
	TraceAck                      // a client has acknowledged it
)

// Traced is one step of one message.
type Traced struct {
	Time                     time.Time
	Step                     TraceStep
	VHost                    string
	Exchange, RoutingKey     string
	Queue                    string   // that the step is about, empty for TracePublish and TraceRoute
	Queues                   []string // that the message is routed to, for TracePublish and TraceRoute
	MessageID, CorrelationID string
	Connection               string // title; of the publisher, or of the consumer for TraceDeliver and TraceAck
	Channel                  uint16
	User                     string
	BodySize                 int
	Headers                  wire.Table // for TracePublish
	Redelivered              bool       // for TraceDeliver
}

// Tracer follows messages. Its functions are called by goroutines of connections and queues, several at a time, and must not wait.
type Tracer struct {
	// Match says whether to follow a message. It must not keep the slices.
	Match func(vhost string, exchange, routingKey, properties []byte) bool
	Emit  func(Traced)

	mu  sync.Mutex
	out map[deliveryID]Traced // deliveries that wait for an acknowledgement
}

// deliveryID tells deliveries of all queues apart.
type deliveryID struct{ queue, offset uint64 }

// Bounds of what is kept to follow messages; what is beyond them is not followed to its end.
const (
	maxFollowed    = 1000   // publishes of a channel between two pushes
	maxOutstanding = 10_000 // deliveries of a tracer
)

// Follow begins to follow messages. The returned function ends that; calls that are under way may still come.
func (s *Server) Follow(t *Tracer) (stop func()) {
	t.out = make(map[deliveryID]Traced)
	change := func(edit func([]*Tracer) []*Tracer) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var list []*Tracer
		if old := s.tracers.Load(); old != nil {
			list = slices.Clone(*old)
		}
		if list = edit(list); len(list) == 0 {
			s.tracers.Store(nil)
			return
		}
		s.tracers.Store(&list)
	}
	change(func(list []*Tracer) []*Tracer { return append(list, t) })
	return func() {
		change(func(list []*Tracer) []*Tracer { return slices.DeleteFunc(list, func(o *Tracer) bool { return o == t }) })
	}
}

// sight returns what is known of a message, without a step.
func (c *conn) sight(channel uint16, exchange, routingKey, properties []byte, bodySize int) Traced {
	m := Traced{Time: time.Now(), VHost: c.vhost, Exchange: string(exchange), RoutingKey: string(routingKey), Connection: c.title(),
		Channel: channel, User: c.userName(), BodySize: bodySize}
	if p, err := wire.ParseProperties(properties); err == nil {
		m.MessageID, m.CorrelationID, m.Headers = p.MessageID, p.CorrelationID, p.Headers
	}
	return m
}

// followed is a published message that is followed until its queues have it.
type followed struct {
	tracer *Tracer
	seq    uint64 // publish sequence number, in confirm mode
	sight  Traced
	queues []string
}

// follow tells the tracers of the message that was just published.
func (p *publisher) follow(list []*Tracer) {
	r := &p.route
	for _, t := range list {
		if !t.Match(p.c.vhost, r.parsed.Exchange, r.parsed.RoutingKey, p.props.out) {
			continue
		}
		m := p.c.sight(p.ch.id, r.parsed.Exchange, r.parsed.RoutingKey, p.props.out, len(p.bodyGot))
		for _, q := range r.targets {
			m.Queues = append(m.Queues, q.Def.Name)
		}
		m.Step = TracePublish
		t.Emit(m)
		m.Step, m.Headers = TraceRoute, nil
		t.Emit(m)
		if len(m.Queues) > 0 && len(p.following) < maxFollowed {
			queues := m.Queues
			m.Queues = nil
			p.following = append(p.following, followed{tracer: t, seq: p.seq, sight: m, queues: queues})
		}
	}
}

// followTo tells the tracers of the messages that are about to be pushed, and has them told when the batch is done, which it returns:
// outer, or one of its own if that is nil. single says that sequence numbers do not tell its messages apart.
func (p *publisher) followTo(outer *queue.Batch, single bool) *queue.Batch {
	list := p.following
	p.following = nil
	tell := func(step TraceStep, skip func(seq uint64) bool) {
		now := time.Now()
		for i := range list {
			f := &list[i]
			if skip(f.seq) {
				continue
			}
			for _, q := range f.queues {
				m := f.sight
				m.Time, m.Step, m.Queue = now, step, q
				f.tracer.Emit(m)
			}
		}
	}
	tell(TraceEnqueue, func(uint64) bool { return false })
	if outer == nil {
		outer = &queue.Batch{First: 1, Last: 1}
	}
	before := outer.Complete
	outer.Complete = func(b *queue.Batch) {
		refused := b.Refused()
		if before != nil {
			before(b)
		}
		tell(TraceCommit, func(seq uint64) bool { return slices.Contains(refused, seq) || single && len(refused) > 0 })
	}
	return outer
}

// follow tells the tracers of deliveries from a queue.
func (d *deliveries) follow(list []*Tracer, h queue.Handle, name string, noAck bool, pieces []queue.Piece) {
	for i := range pieces {
		p := &pieces[i]
		records := p.Records
		for n := range p.Count {
			var r block.Record
			size, err := block.Parse(records, p.Tail, &r)
			if err != nil {
				return // cannot be: the queue has checked it
			}
			records = records[min(size, len(records)):]
			for _, t := range list {
				if !t.Match(d.c.vhost, r.Exchange, r.RoutingKey, r.Properties) {
					continue
				}
				m := d.c.sight(d.ch.id, r.Exchange, r.RoutingKey, r.Properties, len(r.Body))
				m.Step, m.Queue, m.Headers, m.Redelivered = TraceDeliver, name, nil, p.Redelivered
				t.Emit(m)
				if !noAck {
					t.await(deliveryID{h.ID(), p.First + uint64(n)}, m)
				}
			}
		}
	}
}

// await remembers a delivery until it is settled.
func (t *Tracer) await(id deliveryID, m Traced) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.out) < maxOutstanding {
		t.out[id] = m
	}
}

// settled tells of the deliveries in r that were acknowledged, and forgets them whatever became of them.
func (t *Tracer) settled(queueID uint64, r queue.Range, outcome queue.Outcome) {
	t.mu.Lock()
	var done []Traced
	take := func(id deliveryID) {
		if m, ok := t.out[id]; ok {
			done = append(done, m)
			delete(t.out, id)
		}
	}
	if r.Last-r.First < uint64(len(t.out)) {
		for off := r.First; off <= r.Last; off++ {
			take(deliveryID{queueID, off})
		}
	} else {
		for id := range t.out {
			if id.queue == queueID && id.offset >= r.First && id.offset <= r.Last {
				take(id)
			}
		}
	}
	t.mu.Unlock()
	if outcome != queue.Ack {
		return
	}
	now := time.Now()
	for _, m := range done {
		m.Time, m.Step, m.Redelivered = now, TraceAck, false
		t.Emit(m)
	}
}
