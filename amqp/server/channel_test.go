package server

import (
	"strings"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

const noMissing = "NOT_FOUND - no queue 'missing' in vhost '/'"

// failChannel makes the server close channel 1.
func failChannel(c *client) {
	c.t.Helper()
	c.send(1, &wire.QueueDeclare{Queue: "missing", Passive: true})
	c.expectClose(1, noMissing, wire.KeyQueueDeclare)
}

func TestChannelStates(t *testing.T) {
	s := startServer(t, Options{})
	const second = "CHANNEL_ERROR - second 'channel.open' seen"
	for name, run := range map[string]func(c *client){
		"closed by the client, opened again": func(c *client) {
			c.send(1, &wire.ChannelClose{ReplyCode: 200})
			expect[*wire.ChannelCloseOk](c, 1)
			c.channel(1)
			c.sync(1)
		},
		"closed and opened in one go": func(c *client) {
			b := wire.AppendMethod(nil, 1, &wire.ChannelClose{ReplyCode: 200})
			b = wire.AppendMethod(b, 1, &wire.ChannelOpen{})
			c.raw(wire.AppendMethod(b, 1, &wire.BasicQos{}))
			expect[*wire.ChannelCloseOk](c, 1)
			expect[*wire.ChannelOpenOk](c, 1)
			expect[*wire.BasicQosOk](c, 1)
		},
		"closed by the server, opened after close-ok": func(c *client) {
			failChannel(c)
			c.send(1, &wire.QueueDeclare{Exclusive: true})
			c.raw(publish(1, "", "q", "body"))
			c.send(1, &wire.ChannelCloseOk{})
			c.channel(1)
			c.sync(1)
		},
		"closed by the server, opened without close-ok": func(c *client) {
			failChannel(c)
			c.send(1, &wire.ChannelOpen{})
			c.expectClose(0, second, wire.KeyChannelOpen)
		},
		"closed by both": func(c *client) {
			failChannel(c)
			c.send(1, &wire.ChannelClose{ReplyCode: 200})
			expect[*wire.ChannelCloseOk](c, 1)
			c.send(1, &wire.ChannelOpen{})
			c.expectClose(0, second, wire.KeyChannelOpen)
		},
		"opened twice": func(c *client) {
			c.send(1, &wire.ChannelOpen{})
			c.expectClose(0, second, wire.KeyChannelOpen)
		},
		"used after close": func(c *client) {
			c.send(1, &wire.ChannelClose{ReplyCode: 200})
			expect[*wire.ChannelCloseOk](c, 1)
			c.send(1, &wire.BasicQos{})
			c.expectClose(0, "CHANNEL_ERROR - expected 'channel.open'", wire.KeyBasicQos)
		},
		"other channels go on": func(c *client) {
			c.channel(2)
			failChannel(c)
			c.sync(2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.openChannel()
			c.t = t
			run(c)
		})
	}
}

func TestChannelMax(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openWith(wire.ConnectionTuneOk{ChannelMax: 2, FrameMax: 131072}, nil)
	c.channel(65535) // the number does not matter, the count does
	c.channel(2)
	c.send(2, &wire.ChannelClose{ReplyCode: 200})
	expect[*wire.ChannelCloseOk](c, 2)
	c.channel(3)
	c.send(4, &wire.ChannelOpen{})
	c.expectClose(0, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)", 0)
}

// TestConnectionErrors sends something on a connection with channel 1 and expects connection.close.
func TestConnectionErrors(t *testing.T) {
	s := startServer(t, Options{})
	const unexpectedMethod = "CHANNEL_ERROR - unexpected method in connection state running"
	const unimplemented = "COMMAND_INVALID - unimplemented method"
	for _, tc := range []struct {
		channel uint16
		m       wire.Method
		text    string
	}{
		{0, &wire.ConnectionOpen{VirtualHost: "/"}, unexpectedMethod},
		{0, &wire.ConnectionBlocked{Reason: "x"}, unexpectedMethod},
		{0, &wire.ChannelOpen{}, unexpectedMethod},
		{0, &wire.BasicPublish{}, unexpectedMethod},
		{2, &wire.QueueDeclare{Queue: "q"}, "CHANNEL_ERROR - expected 'channel.open'"},
		{1, &wire.ConnectionClose{ReplyCode: 200}, unimplemented},
		{1, &wire.ChannelCloseOk{}, unimplemented},
		{1, &wire.QueueDeclareOk{Queue: "q"}, unimplemented},
		{1, &wire.ChannelFlow{}, "NOT_IMPLEMENTED - active=false"},
		{1, &wire.BasicQos{PrefetchSize: 10}, "NOT_IMPLEMENTED - prefetch_size!=0 (10)"},
		{1, &wire.BasicRecover{}, "NOT_IMPLEMENTED - requeue=false"},
		{1, &wire.BasicRecoverAsync{}, "NOT_IMPLEMENTED - requeue=false"},
		{1, &wire.BasicPublish{Immediate: true}, "NOT_IMPLEMENTED - immediate=true"},
		{1, &wire.ExchangeDeclare{Exchange: "e1", Type: "nosuch"}, "COMMAND_INVALID - unknown exchange type 'nosuch'"},
	} {
		t.Run(strings.ReplaceAll(tc.m.Key().String(), ".", " "), func(t *testing.T) {
			c := s.openChannel()
			c.t = t
			c.send(tc.channel, tc.m)
			c.expectClose(0, tc.text, tc.m.Key())
			c.send(0, &wire.ConnectionCloseOk{})
			c.expectEnd()
		})
	}
}

// TestChannelErrors sends a method on channel 1 and expects channel.close.
func TestChannelErrors(t *testing.T) {
	s := startServer(t, Options{})
	const noneDeclared = "NOT_FOUND - no previously declared queue"
	for _, tc := range []struct {
		m    wire.Method
		text string
	}{
		{&wire.QueueDeclare{Queue: "missing", Passive: true, NoWait: true}, noMissing},
		{&wire.QueueDeclare{Passive: true}, "NOT_FOUND - no queue '' in vhost '/'"},
		{&wire.QueuePurge{Queue: "missing"}, noMissing},
		{&wire.QueueBind{Queue: "missing", Exchange: "amq.direct"}, noMissing},
		{&wire.BasicGet{Queue: "missing"}, noMissing},
		{&wire.BasicConsume{Queue: "missing"}, noMissing},
		{&wire.BasicGet{}, noneDeclared},
		{&wire.BasicConsume{}, noneDeclared},
		{&wire.QueueBind{Exchange: "amq.direct", RoutingKey: "k"}, noneDeclared},
		{&wire.QueueUnbind{Exchange: "amq.direct", RoutingKey: "k"}, noneDeclared},
		{&wire.QueuePurge{}, noneDeclared},
		{&wire.QueueDelete{}, noneDeclared},
		{&wire.ExchangeDelete{Exchange: "amq.direct"}, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"},
		{&wire.ExchangeBind{Destination: "amq.direct", Source: "missing"}, "NOT_FOUND - no exchange 'missing' in vhost '/'"},
		{&wire.BasicAck{DeliveryTag: 5}, "PRECONDITION_FAILED - unknown delivery tag 5"},
		{&wire.BasicNack{DeliveryTag: 5, Multiple: true}, "PRECONDITION_FAILED - unknown delivery tag 5"},
		{&wire.BasicReject{DeliveryTag: 5}, "PRECONDITION_FAILED - unknown delivery tag 5"},
		{&wire.TxCommit{}, "PRECONDITION_FAILED - channel is not transactional"},
		{&wire.TxRollback{}, "PRECONDITION_FAILED - channel is not transactional"},
	} {
		t.Run(strings.ReplaceAll(tc.m.Key().String(), ".", " "), func(t *testing.T) {
			c := s.openChannel()
			c.t = t
			c.send(1, tc.m)
			c.expectClose(1, tc.text, tc.m.Key())
			c.send(1, &wire.ChannelCloseOk{})
			c.channel(1)
		})
	}
}

func TestModes(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.send(1, &wire.ConfirmSelect{})
	expect[*wire.ConfirmSelectOk](c, 1)
	c.send(1, &wire.ConfirmSelect{NoWait: true})
	c.send(1, &wire.TxSelect{})
	c.expectClose(1, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", wire.KeyTxSelect)

	c = s.openChannel()
	c.send(1, &wire.TxSelect{})
	expect[*wire.TxSelectOk](c, 1)
	c.send(1, &wire.TxRollback{})
	expect[*wire.TxRollbackOk](c, 1)
	c.send(1, &wire.ConfirmSelect{})
	c.expectClose(1, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", wire.KeyConfirmSelect)
}

func TestSmallMethods(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.send(1, &wire.AccessRequest{Realm: "/data"})
	if m := expect[*wire.AccessRequestOk](c, 1); m.Ticket != 1 {
		t.Errorf("ticket %d", m.Ticket)
	}
	c.send(1, &wire.ChannelFlow{Active: true})
	if m := expect[*wire.ChannelFlowOk](c, 1); !m.Active {
		t.Error("flow-ok is not active")
	}
	c.send(1, &wire.BasicCancelOk{ConsumerTag: "t"})
	c.send(1, &wire.BasicCancel{ConsumerTag: "nope"})
	if m := expect[*wire.BasicCancelOk](c, 1); m.ConsumerTag != "nope" {
		t.Errorf("cancel-ok for %q", m.ConsumerTag)
	}
	c.send(0, &wire.ConnectionUpdateSecret{NewSecret: []byte("abc"), Reason: "r"})
	expect[*wire.ConnectionUpdateSecretOk](c, 0)
}

// TestQueueMethods follows a message through declare, bind, publish, get and delete, with the last declared queue's name.
func TestQueueMethods(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	name := expect[*wire.QueueDeclareOk](c, 1).Queue
	if !strings.HasPrefix(name, "amq.gen-") {
		t.Errorf("name %q", name)
	}
	c.send(1, &wire.QueueBind{Exchange: "amq.direct"})
	expect[*wire.QueueBindOk](c, 1)
	c.raw(publish(1, "amq.direct", name, "hello"))
	c.send(1, &wire.BasicGet{})
	m := expect[*wire.BasicGetOk](c, 1)
	if m.Exchange != "amq.direct" || m.RoutingKey != name || m.DeliveryTag != 1 || m.MessageCount != 0 {
		t.Errorf("get-ok %+v", m)
	}
	for _, typ := range []byte{wire.FrameHeader, wire.FrameBody} {
		if f, err := c.frame(); err != nil || f.Type != typ {
			t.Fatalf("frame of type %d, %v; want type %d", f.Type, err, typ)
		} else if typ == wire.FrameBody && string(f.Payload) != "hello" {
			t.Errorf("body %q", f.Payload)
		}
	}
	c.send(1, &wire.QueuePurge{})
	if m := expect[*wire.QueuePurgeOk](c, 1); m.MessageCount != 0 {
		t.Errorf("purged %d", m.MessageCount)
	}
	c.send(1, &wire.QueueUnbind{Exchange: "amq.direct"})
	expect[*wire.QueueUnbindOk](c, 1)
	c.send(1, &wire.QueueDeclare{Queue: "line\r\nbreak", Exclusive: true})
	if m := expect[*wire.QueueDeclareOk](c, 1); m.Queue != "linebreak" {
		t.Errorf("declared %q", m.Queue)
	}
	c.send(1, &wire.QueueDelete{Queue: name, NoWait: true})
	c.send(1, &wire.QueueDelete{})
	expect[*wire.QueueDeleteOk](c, 1)
}

func TestConsumerArguments(t *testing.T) {
	const invalid = "PRECONDITION_FAILED - invalid arg '%s' for queue 'q' in vhost '/'"
	for _, tc := range []struct {
		name  string
		value wire.Value
		want  int32
		text  string // behind invalid
	}{
		{"x-priority", wire.Int32(5), 5, ""},
		{"x-priority", wire.Int64(-5), -5, ""},
		{"x-priority", wire.Int64(1 << 40), 1<<31 - 1, ""},
		{"x-priority", wire.String("high"), 0, ": \"expected integer, got longstr\""},
		{"x-priority", wire.Double(1.5), 0, ": \"expected integer, got double\""},
		{"x-cancel-on-ha-failover", wire.Bool(true), 0, ""},
		{"x-cancel-on-ha-failover", wire.String("yes"), 0, ": {unacceptable_type,longstr}"},
		{"x-stream-offset", wire.String("bogus"), 0, " of queue type rabbit_classic_queue"},
		{"x-unknown", wire.Int32(1), 0, ""},
	} {
		args, err := cluster.CheckConsumeArguments("q", "/", wire.Table{{Name: tc.name, Value: tc.value}})
		got := args.Priority
		text := ""
		if err != nil {
			text = strings.TrimPrefix(err.(*wire.Error).Text, strings.ReplaceAll(invalid, "%s", tc.name))
		}
		if got != tc.want || text != tc.text {
			t.Errorf("%s = %+v: %d, %q; want %d, %q", tc.name, tc.value, got, text, tc.want, tc.text)
		}
	}
}
