package server

import (
	"bytes"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/routing"
)

// The firehose (SEMANTICS 22.1): while tracing is on in a vhost, a copy of every message that is published or delivered goes to the
// exchange traceExchange, with the routing key publish.<exchange> or deliver.<queue>. The body is the message's; all else that is
// known is in the headers.

const traceExchange = "amq.rabbitmq.trace"

// sighting is a message that was published or delivered.
type sighting struct {
	key        string // routing key of the copy
	channel    uint16
	exchange   []byte
	routingKey []byte
	further    [][]byte // routing keys
	properties []byte
	body       []byte
	more       wire.Table // headers of the copy
}

// firehose returns the routing state of the vhost if tracing is on, else nil.
func (c *conn) firehose() *routing.VHost {
	if v := c.access.Routes(); v != nil && v.Def.Tracing {
		return v
	}
	return nil
}

// trace publishes a copy of a message. Copies are not traced themselves.
func (c *conn) trace(v *routing.VHost, s *sighting) {
	x := v.Exchange(traceExchange)
	if x == nil || x.Bindings() == 0 || string(s.exchange) == traceExchange {
		return
	}
	key := []byte(s.key)
	key = key[:min(len(key), maxRoutingKey)]
	headers := c.traceHeaders(s)
	targets, _ := v.RouteMessage(nil, x, &exchange.Message{Key: key, Headers: headers.Encode()})
	if len(targets) == 0 {
		return
	}
	rec := block.Record{
		Arrived:    time.Now().UnixMilli(),
		Exchange:   []byte(traceExchange),
		RoutingKey: key,
		Properties: (&wire.Properties{Headers: headers}).Append(nil),
		Body:       s.body,
	}
	inRecord := rec.Len()
	if len(rec.Body) >= block.LargeBody {
		inRecord -= len(rec.Body)
		rec.Body = bytes.Clone(rec.Body)
	}
	for _, q := range targets {
		p := &queue.Publication{Block: block.Block{Records: block.GetArena(inRecord)}, Flow: &c.flow}
		p.Block.Append(&rec)
		c.flow.add(p.Block.Size())
		q.Handle.Publish(p)
	}
}

const maxRoutingKey = 255 // bytes

// traceHeaders returns the headers of a copy, by RabbitMQ's names.
func (c *conn) traceHeaders(s *sighting) wire.Table {
	keys := wire.ArrayValue(wire.String(string(s.routingKey)))
	for _, k := range s.further {
		keys.Array = append(keys.Array, wire.String(string(k)))
	}
	return append(wire.Table{
		{Name: "exchange_name", Value: wire.String(string(s.exchange))},
		{Name: "routing_keys", Value: keys},
		{Name: "properties", Value: wire.TableValue(propertyTable(s.properties))},
		{Name: "node", Value: wire.String(c.opts.NodeID)},
		{Name: "vhost", Value: wire.String(c.vhost)},
		{Name: "connection", Value: wire.String(c.title())},
		{Name: "channel", Value: wire.Int32(int32(s.channel))},
		{Name: "user", Value: wire.String(c.userName())},
	}, s.more...)
}

// propertyTable returns the properties that are there as a table, by RabbitMQ's names.
func propertyTable(raw []byte) wire.Table {
	p, err := wire.ParseProperties(raw)
	if err != nil {
		return nil // cannot be: they were checked when the message came in
	}
	t := wire.Table{}
	for _, f := range []struct {
		flag  wire.PropertyFlag
		name  string
		value wire.Value
	}{
		{wire.FlagContentType, "content_type", wire.String(p.ContentType)},
		{wire.FlagContentEncoding, "content_encoding", wire.String(p.ContentEncoding)},
		{wire.FlagHeaders, "headers", wire.TableValue(p.Headers)},
		{wire.FlagDeliveryMode, "delivery_mode", wire.Int32(int32(p.DeliveryMode))},
		{wire.FlagPriority, "priority", wire.Int32(int32(p.Priority))},
		{wire.FlagCorrelationID, "correlation_id", wire.String(p.CorrelationID)},
		{wire.FlagReplyTo, "reply_to", wire.String(p.ReplyTo)},
		{wire.FlagExpiration, "expiration", wire.String(p.Expiration)},
		{wire.FlagMessageID, "message_id", wire.String(p.MessageID)},
		{wire.FlagTimestamp, "timestamp", wire.Int64(int64(p.Timestamp))},
		{wire.FlagType, "type", wire.String(p.Type)},
		{wire.FlagUserID, "user_id", wire.String(p.UserID)},
		{wire.FlagAppID, "app_id", wire.String(p.AppID)},
		{wire.FlagClusterID, "cluster_id", wire.String(p.ClusterID)},
	} {
		if p.Has(f.flag) {
			t = append(t, wire.Field{Name: f.name, Value: f.value})
		}
	}
	return t
}

// trace copies the message that was just published.
func (p *publisher) trace() {
	r := &p.route
	routed := wire.ArrayValue()
	for _, q := range r.targets {
		routed.Array = append(routed.Array, wire.String(q.Def.Name))
	}
	p.c.trace(p.vhost, &sighting{
		key:        "publish." + r.exchange,
		channel:    p.ch.id,
		exchange:   r.parsed.Exchange,
		routingKey: r.parsed.RoutingKey,
		further:    p.props.keys,
		properties: p.props.out,
		body:       p.bodyGot,
		more:       wire.Table{{Name: "routed_queues", Value: routed}},
	})
}

// trace copies messages that are delivered from a queue.
func (d *deliveries) trace(v *routing.VHost, queueName string, pieces []queue.Piece) {
	for i := range pieces {
		p := &pieces[i]
		records := p.Records
		for range p.Count {
			var r block.Record
			n, err := block.Parse(records, p.Tail, &r)
			if err != nil {
				return // cannot be: the queue has checked it
			}
			records = records[min(n, len(records)):]
			var view wire.PropertyView
			var further [][]byte
			if wire.ScanProperties(r.Properties, &view) == nil && view.Has(wire.FlagHeaders) {
				further, _, _ = carbonCopies(r.Properties, &view)
			}
			redelivered := int32(0)
			if p.Redelivered {
				redelivered = 1
			}
			d.c.trace(v, &sighting{
				key:        "deliver." + queueName,
				channel:    d.ch.id,
				exchange:   r.Exchange,
				routingKey: r.RoutingKey,
				further:    further,
				properties: r.Properties,
				body:       r.Body,
				more:       wire.Table{{Name: "redelivered", Value: wire.Int32(redelivered)}},
			})
		}
	}
}
