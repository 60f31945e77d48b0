package cluster

import (
	"strconv"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// An x-delayed-message exchange (SEMANTICS 3.16) keeps messages with a delay in a queue of its own, its store, as messages that
// expire when they are due. Publishers put them there because the route leads there.

// routeDue routes what was kept back by an exchange and is due. It is called by the runner of the store and does not wait. The
// store keeps the messages in the log until every target has them for good; if there is just one, they move in one transaction.
func (b *Broker) routeDue(e *engine, name string, l *queue.Letters) {
	<-b.routed // see deadLetter
	vhost := b.routing.Load().VHost(e.def.VHost)
	if vhost == nil || vhost.Exchange(name) == nil {
		l.Done()
		return
	}
	x := vhost.Exchange(name)
	now := time.Now().UnixMilli()
	p := posts{batch: &queue.Batch{First: 1, Last: 1, Complete: b.settled(l)}}
	for i, letter := range l.Records {
		var r block.Record
		var m dueMessage
		_, err := block.Parse(letter.Record, letter.Tail, &r)
		if err == nil {
			m, err = releaseProperties(r.Properties)
		}
		if err != nil {
			b.log.Error("a delayed message could not be routed", "vhost", e.def.VHost, "exchange", name, "error", err)
			continue
		}
		r.Properties, r.Arrived, r.Deadline = m.properties, now, 0
		if m.expiration >= 0 { // it counts from the arrival in a queue
			r.Deadline = now + m.expiration
		}
		targets, _ := vhost.RouteMessage(nil, x, &exchange.Message{
			Key:           r.RoutingKey,
			Extra:         m.keys,
			Headers:       m.view.Headers,
			CorrelationID: m.view.CorrelationID,
			MessageID:     m.view.MessageID,
			Timestamp:     m.view.Timestamp,
		})
		for _, t := range targets {
			p.add(t, &r, i, len(targets) == 1)
		}
	}
	b.send(&p, l)
}

// dueMessage is what routing needs of a message whose delay is over.
type dueMessage struct {
	properties []byte
	view       wire.PropertyView // of properties
	keys       [][]byte          // those of CC and BCC
	expiration int64             // milliseconds, -1 for none
}

// releaseProperties returns the properties with which a delayed message goes on: the header x-delay becomes negative, as in
// RabbitMQ's plugin, so that it is not delayed again, and BCC is removed. The properties were checked when they were published.
func releaseProperties(stored []byte) (m dueMessage, err error) {
	p, err := wire.ParseProperties(stored)
	if err != nil {
		return m, err
	}
	headers := p.Headers[:0]
	for _, f := range p.Headers {
		switch f.Name {
		case exchange.DelayHeader:
			f.Value = negative(f.Value)
		case "CC", "BCC":
			for _, key := range f.Value.Array {
				if key.Kind == wire.KindString && len(key.Str) <= maxKeyLen {
					m.keys = append(m.keys, []byte(key.Str))
				}
			}
			if f.Name == "BCC" {
				continue
			}
		}
		headers = append(headers, f)
	}
	p.Headers = headers
	m.properties = p.Append(nil)
	if err = wire.ScanProperties(m.properties, &m.view); err != nil {
		return m, err
	}
	m.expiration = expirationOf(&m.view)
	return m, nil
}

// expirationOf returns the expiration property in milliseconds, -1 if there is none. It was checked when the message was published.
func expirationOf(view *wire.PropertyView) int64 {
	if view.Has(wire.FlagExpiration) {
		if n, err := strconv.ParseInt(string(view.Expiration), 10, 64); err == nil {
			return n
		}
	}
	return -1
}

// maxKeyLen is the longest routing key in bytes.
const maxKeyLen = 255

// negative returns the delay v with its sign turned.
func negative(v wire.Value) wire.Value {
	if v.Kind == wire.KindString {
		n, _ := strconv.ParseInt(v.Str, 10, 64)
		return wire.Int64(-n)
	}
	switch v.Kind { // the kinds whose negative fits
	case wire.KindInt8, wire.KindInt16, wire.KindInt32, wire.KindInt64:
		v.Int = -v.Int
		return v
	}
	return wire.Int64(-v.Int)
}

// delayOf returns the delay in milliseconds that the headers of r ask for.
func delayOf(r *block.Record) int64 {
	var view wire.PropertyView
	if wire.ScanProperties(r.Properties, &view) != nil {
		return 0
	}
	return exchange.Delay(view.Headers)
}
