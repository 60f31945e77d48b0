package server

import (
	"context"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// newUser makes a user with all permissions in the vhost "/", who is gone after the test.
func newUser(t *testing.T, name string) {
	t.Helper()
	ctx := context.Background()
	_, err := node.PutUser(ctx, name, cluster.Secret{Password: name}, nil)
	check(err)
	_, err = node.SetPermission(ctx, meta.Permission{User: name, VHost: "/", Configure: ".*", Write: ".*", Read: ".*"})
	check(err)
	t.Cleanup(func() {
		if err := node.DeleteUser(ctx, name); err != nil && !strings.Contains(err.Error(), "no such user") {
			t.Error(err)
		}
	})
}

// openAs opens a connection as a user whose password is the name.
func (s *testServer) openAs(user string) *client {
	s.t.Helper()
	c := s.dial()
	c.raw([]byte(wire.ProtocolHeader))
	expect[*wire.ConnectionStart](c, 0)
	start := startOk()
	start.Response = []byte("\x00" + user + "\x00" + user)
	c.send(0, start)
	expect[*wire.ConnectionTune](c, 0)
	c.send(0, &wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072})
	c.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
	return c
}

func TestUserChannelLimit(t *testing.T) {
	newUser(t, "few")
	check(node.SetUserLimit(t.Context(), "few", cluster.MaxChannels, 2))
	s := startServer(t, Options{})
	c := s.openAs("few")
	expect[*wire.ConnectionOpenOk](c, 0)
	for range 3 { // closed channels do not count, whoever closes them
		c.channel(1)
		c.channel(2)
		c.send(1, &wire.ChannelClose{})
		expect[*wire.ChannelCloseOk](c, 1)
		c.send(2, &wire.QueueDeclare{Queue: "no such queue", Passive: true})
		expect[*wire.ChannelClose](c, 2)
		c.send(2, &wire.ChannelCloseOk{})
	}
	c.channel(1)
	c.channel(2)
	if n := node.UserUsage("few").Channels; n != 2 {
		t.Errorf("%d channels counted, want 2", n)
	}
	c.send(3, &wire.ChannelOpen{})
	c.expectClose(0, "NOT_ALLOWED - number of channels opened for user 'few' has reached the maximum allowed user limit of 2",
		wire.KeyChannelOpen)
	c.send(0, &wire.ConnectionCloseOk{})
	c.expectEnd()
	eventually(t, "given back", func() bool { return node.UserUsage("few").Channels == 0 })
}

func TestTopicPermission(t *testing.T) {
	newUser(t, "topical")
	_, err := node.SetTopicPermission(t.Context(), meta.TopicPermission{User: "topical", VHost: "/", Exchange: "amq.topic",
		Write: "^mine", Read: ".*"})
	check(err)
	s := startServer(t, Options{})
	const refused = "ACCESS_REFUSED - write access to topic 'yours' in exchange 'amq.topic' in vhost '/' refused for user 'topical'"
	for what, m := range map[string][]byte{
		"key":     publish(1, "amq.topic", "yours", "x"),
		"CC":      publishWith(1, "amq.topic", "mine", "x", false, headersField(wire.Field{Name: "CC", Value: strings1("mine", "yours")})),
		"user-id": publishWith(1, "amq.topic", "yours", "x", false, wire.Properties{UserID: "somebody else"}),
	} {
		t.Run(what, func(t *testing.T) {
			c := s.openAs("topical")
			expect[*wire.ConnectionOpenOk](c, 0)
			c.channel(1)
			for range 2 {
				c.raw(publish(1, "amq.topic", "mine.a", "x"))
				c.raw(publish(1, "amq.direct", "yours", "x"))
			}
			c.sync(1)
			c.raw(m)
			c.expectClose(1, refused, wire.KeyBasicPublish)
		})
	}
	// A permission that changes counts for what is published next, be it the same as before.
	c := s.openAs("topical")
	expect[*wire.ConnectionOpenOk](c, 0)
	c.channel(1)
	c.raw(publish(1, "amq.topic", "mine", "x"))
	c.sync(1)
	_, err = node.SetTopicPermission(t.Context(), meta.TopicPermission{User: "topical", VHost: "/", Exchange: "amq.topic", Read: ".*"})
	check(err)
	c.raw(publish(1, "amq.topic", "mine", "x"))
	c.expectClose(1, strings.Replace(refused, "yours", "mine", 1), wire.KeyBasicPublish)
}

// revokedAccess is what a connection gets whose user is deleted while it is being opened.
type revokedAccess struct{ Access }

func (a revokedAccess) Revoked() error {
	return wire.Errorf(wire.ConnectionForced, "user 'u' is deleted")
}

type revokingBroker struct{ testBroker }

func (b revokingBroker) Open(u *cluster.User, vhost string, id uint64) (Access, error) {
	a, err := b.testBroker.Open(u, vhost, id)
	return revokedAccess{a}, err
}

func TestRevokedWhileOpening(t *testing.T) {
	s := startServer(t, Options{})
	s.broker = revokingBroker{s.broker.(testBroker)}
	c := s.open()
	c.expectClose(0, "CONNECTION_FORCED - user 'u' is deleted", 0)
	c.send(0, &wire.ConnectionCloseOk{})
	c.expectEnd()
}

// TestConnectionEvents listens to the event exchange.
func TestConnectionEvents(t *testing.T) {
	s := startServer(t, Options{})
	listener := s.openChannel()
	listener.send(1, &wire.QueueDeclare{Exclusive: true})
	q := expect[*wire.QueueDeclareOk](listener, 1).Queue
	listener.send(1, &wire.QueueBind{Queue: q, Exchange: "amq.rabbitmq.event", RoutingKey: "connection.*"})
	expect[*wire.QueueBindOk](listener, 1)
	listener.send(1, &wire.BasicConsume{Queue: q, NoAck: true})
	expect[*wire.BasicConsumeOk](listener, 1)
	c := s.openWith(wire.ConnectionTuneOk{ChannelMax: 7, FrameMax: 8192},
		wire.Table{{Name: "connection_name", Value: wire.String("mine")}})
	name := c.nc.LocalAddr().String() + " -> " + c.nc.RemoteAddr().String()
	next := func(key string, want wire.Table) {
		t.Helper()
		if m := expect[*wire.BasicDeliver](listener, 1); m.RoutingKey != key {
			t.Fatalf("event %s, want %s", m.RoutingKey, key)
		}
		p, _ := listener.content(1)
		for _, f := range want {
			if v, ok := p.Headers.Get(f.Name); !ok || !v.Equal(f.Value) {
				t.Errorf("%s: %s is %+v, want %+v", key, f.Name, v, f.Value)
			}
		}
	}
	next("connection.created", wire.Table{
		{Name: "name", Value: wire.String(name)}, {Name: "vhost", Value: wire.String("/")},
		{Name: "user_provided_name", Value: wire.String("mine")}, {Name: "peer_host", Value: wire.String("127.0.0.1")},
		{Name: "channel_max", Value: wire.Int64(7)}, {Name: "frame_max", Value: wire.Int64(8192)},
	})
	check(c.nc.Close())
	next("connection.closed", wire.Table{{Name: "name", Value: wire.String(name)}})
}

// TestPublishBehindInvalidAck sends both in one chunk: the channel is closed before the message.
func TestPublishBehindInvalidAck(t *testing.T) {
	r := newRig(t, &recorder{})
	q := &takingQueue{}
	r.queue("q", q)
	ch := r.open(1)
	chunk := publish(1, "", "q", "before")
	chunk = wire.AppendAck(chunk, 1, 9, false)
	chunk = append(chunk, publish(1, "", "q", "behind")...)
	r.feed(chunk)
	ch.wait()
	if q.messages != 1 || ch.state != channelClosing {
		t.Errorf("%d messages, state %d", q.messages, ch.state)
	}
}
