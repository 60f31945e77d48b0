package perf

import (
	"math"

	"github.com/brokerd/brokerd/amqp/wire"
)

// producer is one publishing channel. It is owned by the writer of its connection, but for the window's reader side.
type producer struct {
	id        uint16
	channel   uint16
	run       uint8
	targets   []int // indexes in the topology
	templates []template
	count     int64     // messages to publish
	schedule  *schedule // nil for as fast as possible
	window    *window   // nil without confirms
	sent      int64     // messages published; the delivery tag of the last one

	// The message after sent: sent = sequence*len(templates) + next.
	next     int
	sequence int64

	// Reader of the connection, until it has ended.
	excused     map[int]*seqSet // by index in targets: what need not arrive
	answer      content         // the message of a basic.return
	returnedKey string          // its routing key
}

// ready returns how many messages may be published at now, at most limit. If there are none but will be by time alone, wake is
// that time.
func (p *producer) ready(now, limit int64) (n, wake int64) {
	n, wake = min(limit, p.count-p.sent), math.MaxInt64
	if n > 0 && p.window != nil {
		n = min(n, p.window.room())
	}
	if n > 0 && p.schedule != nil {
		if n = min(n, p.schedule.due(now)-p.sent); n <= 0 {
			return 0, p.schedule.at(p.sent)
		}
	}
	return max(n, 0), wake
}

// step returns the template, time and id of the next message and counts it as published.
func (p *producer) step(now int64) (t *template, sent int64, id messageID) {
	if sent = now; p.schedule != nil {
		sent = p.schedule.at(p.sent)
	}
	t, id = &p.templates[p.next], newMessageID(p.run, p.id, p.sequence)
	if p.next++; p.next == len(p.templates) {
		p.next = 0
		p.sequence++
	}
	p.sent++
	if p.window != nil {
		p.window.note(p.sent, sent)
	}
	return t, sent, id
}

// append appends n messages to b. They count as published from then on.
func (p *producer) append(b []byte, n, now int64) []byte {
	for range n {
		t, sent, id := p.step(now)
		b = t.append(b, sent, id)
	}
	if p.window != nil {
		p.window.publish(p.sent)
	}
	return b
}

// patch is append for one large message that is not copied.
func (p *producer) patch(now int64) []byte {
	t, sent, id := p.step(now)
	if p.window != nil {
		p.window.publish(p.sent)
	}
	return t.patch(sent, id)
}

// excuse notes that a message with this delivery tag need not arrive.
func (p *producer) excuse(tag int64) {
	n := int64(len(p.templates))
	p.excuseMessage(int((tag-1)%n), (tag-1)/n)
}

func (p *producer) excuseMessage(target int, sequence int64) {
	if p.excused == nil {
		p.excused = make(map[int]*seqSet)
	}
	if p.excused[target] == nil {
		p.excused[target] = new(seqSet)
	}
	p.excused[target].add(sequence)
}

// excuseReturned excuses a message that came back. Its target follows from the routing key.
func (p *producer) excuseReturned(t *topology, routingKey string) {
	id, ok := p.answer.id()
	if !ok {
		return
	}
	for i, at := range p.targets {
		if t.targets[at].routingKey == routingKey {
			p.excuseMessage(i, id.sequence())
		}
	}
}

// streams returns what was published, for the verification. After the connection has ended.
func (p *producer) streams(t *topology) []stream {
	if p.window != nil {
		for tag := p.window.low.Load() + 1; tag <= p.sent; tag++ {
			if p.window.outstanding(tag) {
				p.excuse(tag)
			}
		}
	}
	var s []stream
	for i, at := range p.targets {
		count := p.sequence
		if i < p.next {
			count++
		}
		s = append(s, stream{producer: p.id, queues: t.targets[at].queues, count: count, excused: p.excused[i]})
	}
	return s
}

// newProducer prepares the producer with this number on a connection. With a rate, its messages are due between those of the
// other producers, not at the same time.
func newProducer(r *run, i int, channel uint16, frameMax uint32) *producer {
	o := r.o
	p := &producer{
		id:      uint16(i),
		channel: channel,
		run:     r.tag,
		targets: share(i, o.Producers, len(r.topology.targets)),
		count:   math.MaxInt64,
	}
	for _, at := range p.targets {
		to := r.topology.targets[at]
		p.templates = append(p.templates,
			newTemplate(channel, o.Exchange, to.routingKey, o.Mandatory, r.topology.properties(to), o.Size, frameMax))
	}
	if o.Count > 0 {
		p.count = o.Count
	}
	if o.Confirm > 0 {
		p.window = newWindow(o.Confirm)
	}
	return p
}

// start fixes the time from which the messages are due.
func (p *producer) start(now int64, o *Options) {
	if o.Rate > 0 {
		phase := 1e9 / o.Rate * float64(p.id) / float64(o.Producers)
		p.schedule = newSchedule(now+int64(phase), o.Rate)
	}
}

// open opens the channel and turns on confirms.
func (p *producer) open(c *conn) error {
	if err := c.openChannel(p.channel); err != nil {
		return err
	}
	if p.window == nil {
		return nil
	}
	_, err := c.call(p.channel, &wire.ConfirmSelect{}, wire.KeyConfirmSelectOk)
	return err
}
