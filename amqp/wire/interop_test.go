package wire

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the server side of a connection with a client that has a codec of its own. It answers just enough methods for
// TestInterop and is run by one goroutine.
type peer struct {
	conn     net.Conn
	received []Method
	headers  []Properties
}

// readFrame reads one frame; the payload is the caller's.
func (p *peer) readFrame() (Frame, error) {
	head := make([]byte, FrameHeaderLen)
	if _, err := io.ReadFull(p.conn, head); err != nil {
		return Frame{}, err
	}
	_, _, size := ParseFrameHeader(head)
	b := append(head, make([]byte, size+1)...)
	if _, err := io.ReadFull(p.conn, b[FrameHeaderLen:]); err != nil {
		return Frame{}, err
	}
	f, n, err := ParseFrame(b, 131072)
	if err == nil && n != len(b) {
		err = fmt.Errorf("frame of %d bytes in %d", n, len(b))
	}
	return f, err
}

// run serves the connection until the client closes it.
func (p *peer) run() error {
	header := make([]byte, len(ProtocolHeader))
	if _, err := io.ReadFull(p.conn, header); err != nil || string(header) != ProtocolHeader {
		return fmt.Errorf("protocol header %q: %w", header, err)
	}
	out := AppendMethod(nil, 0, &ConnectionStart{
		VersionMinor: 9, ServerProperties: interopTable, Mechanisms: "PLAIN", Locales: "en_US",
	})
	for {
		if _, err := p.conn.Write(out); err != nil {
			return err
		}
		f, err := p.readFrame()
		if err != nil {
			return err
		}
		out = out[:0]
		switch f.Type {
		case FrameHeader:
			_, _, _, raw, err := ParseContentHeader(f.Payload)
			if err != nil {
				return err
			}
			props, err := ParseProperties(raw)
			if err != nil {
				return err
			}
			p.headers = append(p.headers, props)
			continue
		case FrameBody, FrameHeartbeat:
			continue
		}
		m, err := ParseMethod(f.Payload)
		if err != nil {
			return err
		}
		p.received = append(p.received, m)
		switch m := m.(type) {
		case *ConnectionStartOk:
			out = AppendMethod(out, 0, &ConnectionTune{ChannelMax: 100, FrameMax: 131072})
		case *ConnectionOpen:
			out = AppendMethod(out, 0, &ConnectionOpenOk{})
		case *ChannelOpen:
			out = AppendMethod(out, f.Channel, &ChannelOpenOk{})
		case *QueueDeclare:
			out = AppendMethod(out, f.Channel, &QueueDeclareOk{Queue: m.Queue, MessageCount: 7, ConsumerCount: 8})
		case *ExchangeDeclare:
			out = AppendMethod(out, f.Channel, &ExchangeDeclareOk{})
		case *QueueBind:
			out = AppendMethod(out, f.Channel, &QueueBindOk{})
		case *ConfirmSelect:
			out = AppendMethod(out, f.Channel, &ConfirmSelectOk{})
		case *BasicConsume:
			props := (&Properties{Headers: interopTable, MessageID: "id", Timestamp: 5, Priority: 3}).Append(nil)
			out = AppendMethod(out, f.Channel, &BasicConsumeOk{ConsumerTag: m.ConsumerTag})
			out = AppendDeliver(out, f.Channel, m.ConsumerTag, 77, true, []byte("ex"), []byte("key"))
			out = AppendContentHeader(out, f.Channel, ClassBasic, 5, props)
			out = AppendBody(out, f.Channel, []byte("hello"), 11) // in two frames
		case *BasicGet:
			out = AppendGetOk(out, f.Channel, 78, false, []byte("ex"), []byte("key"), 41)
			out = AppendContentHeader(out, f.Channel, ClassBasic, 0, nil)
		case *ChannelClose:
			out = AppendMethod(out, f.Channel, &ChannelCloseOk{})
		case *ConnectionClose:
			_, err := p.conn.Write(AppendMethod(out, 0, &ConnectionCloseOk{}))
			return err
		}
	}
}

// interopTable and clientTable are the same table for either codec.
var (
	interopTable = Table{
		{"array", ArrayValue(Int32(1), String("two"))},
		{"bool", Bool(true)},
		{"byte", Value{Kind: KindInt8, Int: -3}},
		{"decimal", Value{Kind: KindDecimal, Scale: 2, Int: 314}},
		{"double", Double(1.25)},
		{"float", Value{Kind: KindFloat, Float: 2.5}},
		{"int", Int32(-5)},
		{"long", Int64(1 << 40)},
		{"short", Value{Kind: KindInt16, Int: -300}},
		{"string", String("text")},
		{"table", TableValue(Table{{"inner", Void()}})},
		{"time", Timestamp(1700000000)},
		{"void", Void()},
	}
	clientTable = amqp.Table{
		"array":   []any{int32(1), "two"},
		"bool":    true,
		"byte":    int8(-3),
		"decimal": amqp.Decimal{Scale: 2, Value: 314},
		"double":  1.25,
		"float":   float32(2.5),
		"int":     int32(-5),
		"long":    int64(1 << 40),
		"short":   int16(-300),
		"string":  "text",
		"table":   amqp.Table{"inner": nil},
		"time":    time.Unix(1700000000, 0),
		"void":    nil,
	}
)

// sorted returns t with its fields in the order of their names.
func sorted(t *testing.T, table Table) Table {
	t.Helper()
	out, err := ParseTable(Canonical(table.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestInterop lets a client with an independent codec read what this package writes, and the other way round.
func TestInterop(t *testing.T) {
	server, client := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	if err := errors.Join(server.SetDeadline(deadline), client.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	p := &peer{conn: server}
	done := make(chan error, 1)
	go func() {
		defer server.Close()
		done <- p.run()
	}()
	check := func(err error) {
		t.Helper()
		if err != nil {
			client.Close()
			t.Fatal(err, <-done)
		}
	}

	conn, err := amqp.Open(client, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "u", Password: "p"}}, Vhost: "/v",
		Properties: maps.Clone(clientTable), Locale: "en_US", // the client adds to its properties
	})
	check(err)
	if !reflect.DeepEqual(conn.Properties, clientTable) {
		t.Errorf("server properties: got %v, want %v", conn.Properties, clientTable)
	}
	ch, err := conn.Channel()
	check(err)
	check(ch.ExchangeDeclare("ex", "topic", true, false, true, false, clientTable))
	q, err := ch.QueueDeclare("q", true, false, true, false, clientTable)
	check(err)
	if q.Name != "q" || q.Messages != 7 || q.Consumers != 8 {
		t.Errorf("got queue %+v", q)
	}
	check(ch.QueueBind("q", "a.*", "ex", false, nil))
	check(ch.Confirm(false))
	check(ch.Publish("ex", "a.b", true, false, amqp.Publishing{
		Headers: clientTable, ContentType: "ct", ContentEncoding: "ce", DeliveryMode: 2, Priority: 4, CorrelationId: "ci",
		ReplyTo: "rt", Expiration: "60", MessageId: "mi", Timestamp: time.Unix(9, 0), Type: "ty", UserId: "ui", AppId: "ai",
		Body: []byte("body"),
	}))
	deliveries, err := ch.Consume("q", "tag", false, true, false, false, nil)
	check(err)
	d := <-deliveries
	if d.ConsumerTag != "tag" || d.DeliveryTag != 77 || !d.Redelivered || d.Exchange != "ex" || d.RoutingKey != "key" ||
		string(d.Body) != "hello" || d.MessageId != "id" || d.Priority != 3 || d.Timestamp.Unix() != 5 ||
		!reflect.DeepEqual(d.Headers, clientTable) {
		t.Errorf("got delivery %+v", d)
	}
	check(d.Nack(true, true))
	g, ok, err := ch.Get("q", false)
	check(err)
	if !ok || g.DeliveryTag != 78 || g.MessageCount != 41 || g.RoutingKey != "key" || len(g.Body) != 0 {
		t.Errorf("got message %+v, %v", g, ok)
	}
	check(g.Ack(false))
	check(conn.Close())
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	byKey := map[MethodKey]Method{}
	for _, m := range p.received {
		byKey[m.Key()] = m
		switch m := m.(type) {
		case *ConnectionStartOk:
			m.ClientProperties = nil // with what the client added
		case *QueueDeclare:
			m.Arguments = sorted(t, m.Arguments)
		case *ExchangeDeclare:
			m.Arguments = sorted(t, m.Arguments)
		}
	}
	for _, want := range []Method{
		&ConnectionStartOk{Mechanism: "PLAIN", Response: []byte("\x00u\x00p"), Locale: "en_US"},
		&ConnectionOpen{VirtualHost: "/v"},
		&ExchangeDeclare{Exchange: "ex", Type: "topic", Durable: true, Internal: true, Arguments: interopTable},
		&QueueDeclare{Queue: "q", Durable: true, Exclusive: true, Arguments: interopTable},
		&QueueBind{Queue: "q", Exchange: "ex", RoutingKey: "a.*"},
		&ConfirmSelect{},
		&BasicPublish{Exchange: "ex", RoutingKey: "a.b", Mandatory: true},
		&BasicConsume{Queue: "q", ConsumerTag: "tag", Exclusive: true},
		&BasicNack{DeliveryTag: 77, Multiple: true, Requeue: true},
		&BasicGet{Queue: "q"},
		&BasicAck{DeliveryTag: 78},
	} {
		if got := byKey[want.Key()]; !reflect.DeepEqual(got, want) {
			t.Errorf("received %+v, want %+v", got, want)
		}
	}
	if len(p.headers) != 1 {
		t.Fatalf("received %d content headers, want 1", len(p.headers))
	}
	props := p.headers[0]
	props.Headers = sorted(t, props.Headers)
	want := Properties{
		Flags: 0xfffc &^ FlagClusterID, ContentType: "ct", ContentEncoding: "ce", Headers: interopTable, DeliveryMode: 2,
		Priority: 4, CorrelationID: "ci", ReplyTo: "rt", Expiration: "60", MessageID: "mi", Timestamp: 9, Type: "ty",
		UserID: "ui", AppID: "ai",
	}
	if !reflect.DeepEqual(props, want) {
		t.Errorf("received properties %+v, want %+v", props, want)
	}
}
