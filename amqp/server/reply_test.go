package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

// content reads the content of the method before it.
func (c *client) content(channel uint16) (p wire.Properties, body string) {
	c.t.Helper()
	f, err := c.frame()
	check(err)
	if f.Type != wire.FrameHeader || f.Channel != channel {
		c.t.Fatalf("frame of type %d on channel %d where a content header is due", f.Type, f.Channel)
	}
	_, _, size, raw, err := wire.ParseContentHeader(f.Payload)
	check(err)
	p, err = wire.ParseProperties(raw)
	check(err)
	var b []byte
	for uint64(len(b)) < size {
		f, err := c.frame()
		check(err)
		b = append(b, f.Payload...)
	}
	return p, string(b)
}

// requester is a client with a reply consumer "t" on channel 1. It returns the name that its requests have as reply-to.
func (s *testServer) requester() (c *client, name string) {
	s.t.Helper()
	c = s.openChannel()
	c.send(1, &wire.BasicConsume{Queue: replyQueue, ConsumerTag: "t", NoAck: true})
	expect[*wire.BasicConsumeOk](c, 1)
	return c, c.request()
}

// request sends a request and returns its reply-to.
func (c *client) request() string {
	c.t.Helper()
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	q := expect[*wire.QueueDeclareOk](c, 1).Queue
	c.raw(publishWith(1, "", q, "request", false, wire.Properties{CorrelationID: "c1", ReplyTo: replyQueue}))
	c.send(1, &wire.BasicGet{Queue: q, NoAck: true})
	expect[*wire.BasicGetOk](c, 1)
	p, body := c.content(1)
	if !strings.HasPrefix(p.ReplyTo, replyPrefix) || p.CorrelationID != "c1" || body != "request" {
		c.t.Fatalf("request came as %+v %q", p, body)
	}
	return p.ReplyTo
}

func (c *client) expectReply(name, body string, tag uint64) {
	c.t.Helper()
	m := expect[*wire.BasicDeliver](c, 1)
	p, got := c.content(1)
	if m.ConsumerTag != "t" || m.DeliveryTag != tag || m.Exchange != "" || m.RoutingKey != name || m.Redelivered ||
		got != body || p.CorrelationID != "c1" {
		c.t.Fatalf("got %+v %+v %.40q", m, p, got)
	}
}

func TestReplies(t *testing.T) {
	s := startServer(t, Options{})
	a, name := s.requester()
	b := s.openChannel()
	b.send(1, &wire.ConfirmSelect{})
	expect[*wire.ConfirmSelectOk](b, 1)
	reply := wire.Properties{CorrelationID: "c1"}
	large := strings.Repeat("large ", 50_000)
	for i, body := range []string{"answer", "", large, strings.Repeat("m", shareBody)} {
		b.raw(publishWith(1, "", name, body, true, reply))
		expect[*wire.BasicAck](b, 1)
		a.expectReply(name, body, uint64(i+2)) // basic.get had the first tag
	}
	// By a carbon copy, to several, and in a transaction.
	other, second := s.requester()
	both := wire.Properties{CorrelationID: "c1", Headers: wire.Table{{Name: "CC", Value: strings1(name, second, second)}}}
	b.raw(publishWith(1, "", name, "to both", true, both))
	expect[*wire.BasicAck](b, 1)
	a.expectReply(name, "to both", 6)
	other.expectReply(name, "to both", 2)
	b.channel(2)
	b.send(2, &wire.TxSelect{})
	expect[*wire.TxSelectOk](b, 2)
	b.raw(publishWith(2, "", name, "committed", true, reply))
	b.send(2, &wire.TxCommit{})
	expect[*wire.TxCommitOk](b, 2)
	a.expectReply(name, "committed", 7)
	// To oneself.
	a.raw(publishWith(1, "", name, "self", true, reply))
	a.expectReply(name, "self", 8)
	a.sync(1)
	b.sync(1)
}

func TestReplyConsumerEnds(t *testing.T) {
	for what, end := range map[string]func(c *client){
		"cancel": func(c *client) {
			c.send(1, &wire.BasicCancel{ConsumerTag: "t"})
			expect[*wire.BasicCancelOk](c, 1)
		},
		"channel.close": func(c *client) {
			c.send(1, &wire.ChannelClose{})
			expect[*wire.ChannelCloseOk](c, 1)
		},
		"channel error": func(c *client) {
			c.send(1, &wire.BasicAck{DeliveryTag: 9})
			expect[*wire.ChannelClose](c, 1)
		},
		"connection.close": func(c *client) {
			c.send(0, &wire.ConnectionClose{})
			expect[*wire.ConnectionCloseOk](c, 0)
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := startServer(t, Options{})
			a, name := s.requester()
			b := s.openChannel()
			b.send(1, &wire.QueueDeclare{Queue: name, Passive: true})
			if ok := expect[*wire.QueueDeclareOk](b, 1); ok.Queue != name || ok.ConsumerCount != 1 || ok.MessageCount != 0 {
				t.Fatalf("got %+v", ok)
			}
			end(a)
			if n := len(s.replies.byName); n != 0 {
				t.Errorf("%d reply consumers are left", n)
			}
			b.raw(publishWith(1, "", name, "late", true, wire.Properties{}))
			if r := expect[*wire.BasicReturn](b, 1); r.ReplyText != "NO_ROUTE" || r.RoutingKey != name {
				t.Errorf("returned as %+v", r)
			}
			b.content(1)
			b.send(1, &wire.QueueDeclare{Queue: name})
			b.expectClose(1, fmt.Sprintf("NOT_FOUND - no queue '%s' in vhost '/'", name), wire.KeyQueueDeclare)
		})
	}
}

// TestReplyNamesAreNotReused consumes, cancels and consumes again, and publishes the same request each time.
func TestReplyNamesAreNotReused(t *testing.T) {
	s := startServer(t, Options{})
	a, first := s.requester()
	a.send(1, &wire.BasicCancel{ConsumerTag: "t"})
	expect[*wire.BasicCancelOk](a, 1)
	a.send(1, &wire.BasicConsume{Queue: replyQueue, NoAck: true})
	if tag := expect[*wire.BasicConsumeOk](a, 1).ConsumerTag; !strings.HasPrefix(tag, "amq.ctag-") {
		t.Errorf("consumer tag %q", tag)
	}
	if second := a.request(); second == first {
		t.Error("the name of a cancelled consumer is used again")
	}
}

func TestReplyErrors(t *testing.T) {
	const none = replyPrefix + "bm9uZQ.none"
	consume := func(tag string, noAck bool) func(*client) {
		return func(c *client) {
			c.send(1, &wire.BasicConsume{Queue: replyQueue, ConsumerTag: tag, NoAck: noAck, NoWait: true})
		}
	}
	for _, tc := range []struct {
		what   string
		do     []func(*client)
		text   string
		method wire.MethodKey
	}{
		{"with acknowledgements", []func(*client){consume("t", false)},
			"PRECONDITION_FAILED - reply consumer cannot acknowledge", wire.KeyBasicConsume},
		{"second consumer", []func(*client){consume("t", true), consume("u", true)},
			"PRECONDITION_FAILED - reply consumer already set", wire.KeyBasicConsume},
		{"no consumer", []func(*client){func(c *client) {
			c.raw(publishWith(1, "amq.direct", "x", "r", false, wire.Properties{ReplyTo: replyQueue, Expiration: "no"}))
		}}, "PRECONDITION_FAILED - fast reply consumer does not exist", wire.KeyBasicPublish},
		{"cancelled consumer, properties seen before", []func(*client){consume("t", true), func(c *client) {
			m := publishWith(1, "amq.direct", "x", "r", false, wire.Properties{ReplyTo: replyQueue})
			c.raw(m)
			c.send(1, &wire.BasicCancel{ConsumerTag: "t", NoWait: true})
			c.raw(m)
		}}, "PRECONDITION_FAILED - fast reply consumer does not exist", wire.KeyBasicPublish},
		{"get", []func(*client){func(c *client) { c.send(1, &wire.BasicGet{Queue: replyQueue}) }},
			"NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'", wire.KeyBasicGet},
		{"bind", []func(*client){func(c *client) { c.send(1, &wire.QueueBind{Queue: replyQueue, Exchange: "amq.direct"}) }},
			"NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'", wire.KeyQueueBind},
		{"declare a made-up name", []func(*client){func(c *client) { c.send(1, &wire.QueueDeclare{Queue: none}) }},
			"NOT_FOUND - no queue '" + none + "' in vhost '/'", wire.KeyQueueDeclare},
	} {
		t.Run(tc.what, func(t *testing.T) {
			c := startServer(t, Options{}).openChannel()
			for _, do := range tc.do {
				do(c)
			}
			c.expectClose(1, tc.text, tc.method)
		})
	}
	c := startServer(t, Options{}).openChannel()
	for _, passive := range []bool{true, false} {
		c.send(1, &wire.QueueDeclare{Queue: replyQueue, Passive: passive})
		if ok := expect[*wire.QueueDeclareOk](c, 1); ok.Queue != replyQueue || ok.ConsumerCount != 1 {
			t.Errorf("passive %v: %+v", passive, ok)
		}
	}
	consume("t", true)(c)
	c.send(1, &wire.BasicConsume{Queue: replyQueue, ConsumerTag: "t"})
	c.expectClose(1, "PRECONDITION_FAILED - reply consumer cannot acknowledge", wire.KeyBasicConsume)
	c.send(1, &wire.ChannelCloseOk{})
	c.channel(1)
	consume("t", true)(c)
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	q := expect[*wire.QueueDeclareOk](c, 1).Queue
	c.send(1, &wire.BasicConsume{Queue: q, ConsumerTag: "t"})
	c.expectClose(0, "NOT_ALLOWED - attempt to reuse consumer tag 't'", wire.KeyBasicConsume)
}

// stalled is a socket that does not take anything until it is opened.
type stalled struct {
	sink
	open chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	<-s.open
	return s.sink.Write(b)
}

// TestRepliesToSlowRequester publishes replies to a client that does not read: they must not pile up.
func TestRepliesToSlowRequester(t *testing.T) {
	s := &stalled{open: make(chan struct{})}
	r := newRig(t, s)
	defer close(s.open)
	a, b := r.open(1), r.open(2)
	check(a.del.consumeReplies(&wire.BasicConsume{ConsumerTag: "t", NoAck: true}))
	body := strings.Repeat("x", 100_000)
	for range 100 {
		r.feed(publishWith(2, "", a.del.reply.name, body, false, wire.Properties{}))
	}
	out := r.c.out
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.pending < out.limit || out.pending > out.limit+2*len(body) {
		t.Errorf("%d bytes wait, the limit is %d", out.pending, out.limit)
	}
	if n := b.pub.c.flow.inFlight; n != 0 {
		t.Errorf("%d bytes in flight", n)
	}
}

// TestReplyToKeepsProperties puts another reply-to into every combination of properties in front of it.
func TestReplyToKeepsProperties(t *testing.T) {
	whole := wire.Properties{ContentType: "ct", ContentEncoding: "ce", Headers: wire.Table{{Name: "h", Value: wire.String("v")}},
		DeliveryMode: 2, Priority: 3, CorrelationID: "c", Expiration: "7", MessageID: "m", Timestamp: 5, Type: "t", UserID: "u",
		AppID: "a", ClusterID: "cl"}
	front := []wire.PropertyFlag{wire.FlagContentType, wire.FlagContentEncoding, wire.FlagHeaders, wire.FlagDeliveryMode,
		wire.FlagPriority, wire.FlagCorrelationID}
	for mask := range 1 << len(front) {
		p := whole
		for i, f := range front {
			if mask&(1<<i) != 0 {
				p.Clear(f)
			}
		}
		p.ReplyTo = replyQueue
		raw := p.Append(nil)
		var view wire.PropertyView
		check(wire.ScanProperties(raw, &view))
		got := withReplyTo(raw, &view, "other")
		p.ReplyTo = "other"
		if want := p.Append(nil); string(got) != string(want) {
			t.Fatalf("mask %b:\ngot  %q\nwant %q", mask, got, want)
		}
	}
}
