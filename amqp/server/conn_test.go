package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// TestWaitingChannel has one channel wait for the cluster while others go on and its own frames are kept in order.
func TestWaitingChannel(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.channel(2)
	c.send(1, &wire.QueueDeclare{Queue: "slow"})
	<-s.gate.waits
	// Frames behind the waiting method: handled later, in order, a message and an own error among them.
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	c.raw(publish(1, "amq.fanout", "", "body"))
	c.send(1, &wire.ConfirmSelect{})
	c.raw(publish(1, "amq.fanout", "", "body"))
	c.send(1, &wire.BasicQos{})
	c.send(1, &wire.ChannelClose{ReplyCode: 200})
	c.send(1, &wire.ChannelOpen{})
	c.send(1, &wire.QueueDeclare{Queue: "missing", Passive: true})
	c.send(1, &wire.BasicQos{}) // ignored
	c.sync(2)                   // while channel 1 waits
	close(s.gate.open)
	if m := expect[*wire.QueueDeclareOk](c, 1); m.Queue != "slow" {
		t.Errorf("declared %q", m.Queue)
	}
	expect[*wire.QueueDeclareOk](c, 1)
	expect[*wire.ConfirmSelectOk](c, 1)
	for seen := 0; seen < 3; seen++ {
		f, err := c.frame()
		if err != nil {
			t.Fatal(err)
		}
		switch key, _ := wire.ParseMethodKey(f.Payload); key {
		case wire.KeyBasicQosOk:
		case wire.KeyBasicAck: // comes when the message is taken, or not at all if the channel closes before
			seen--
		case wire.KeyChannelCloseOk:
			seen = 1
		case wire.KeyChannelOpenOk:
			seen = 3
		default:
			t.Fatalf("got %v", key)
		}
	}
	c.expectClose(1, noMissing, wire.KeyQueueDeclare)
	c.sync(2)
}

// TestBacklogLimit sends more to a waiting channel than is kept. Nothing may be lost.
func TestBacklogLimit(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Queue: "ordinary", Exclusive: true})
	expect[*wire.QueueDeclareOk](c, 1)
	c.send(1, &wire.QueueDeclare{Queue: "slow"})
	<-s.gate.waits
	const messages = 60
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		body := string(make([]byte, 100_000))
		for range messages {
			c.raw(publish(1, "", "ordinary", body))
		}
		c.send(1, &wire.QueueDeclare{Queue: "ordinary", Passive: true})
	}()
	eventually(t, "full", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			return c.paused.Load() > 0
		}
		return false
	})
	close(s.gate.open)
	expect[*wire.QueueDeclareOk](c, 1)
	if m := expect[*wire.QueueDeclareOk](c, 1); m.MessageCount != messages {
		t.Errorf("%d messages, want %d", m.MessageCount, messages)
	}
	<-sent
}

// TestAnswersAreHeldBack asks for much more than the client reads.
func TestAnswersAreHeldBack(t *testing.T) {
	s := startServer(t, Options{OutboxBytes: 64 << 10})
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	name := expect[*wire.QueueDeclareOk](c, 1).Queue
	const messages, size = 40, 1 << 20
	for range messages {
		c.raw(publish(1, "", name, string(make([]byte, size))))
	}
	c.sync(1)
	for range messages {
		c.send(1, &wire.BasicGet{Queue: name, NoAck: true})
	}
	c.send(1, &wire.BasicQos{})
	var sc *conn
	s.mu.Lock()
	for sc = range s.conns {
	}
	s.mu.Unlock()
	c.channel2WhileFull(t, sc)
	got := 0
	for {
		f, err := c.frame()
		if err != nil {
			t.Fatal(err)
		}
		key, _ := wire.ParseMethodKey(f.Payload)
		if f.Type == wire.FrameBody {
			got += len(f.Payload)
		} else if f.Type == wire.FrameMethod && key == wire.KeyBasicQosOk {
			break
		}
	}
	if got != messages*size {
		t.Errorf("%d bytes, want %d", got, messages*size)
	}
}

// channel2WhileFull waits until answers are held back and checks that little more than the limit is in memory.
func (c *client) channel2WhileFull(t *testing.T, sc *conn) {
	t.Helper()
	eventually(t, "full", func() bool { return !sc.hasRoom() })
	sc.out.mu.Lock()
	pending := sc.out.pending
	sc.out.mu.Unlock()
	if pending > 4<<20 {
		t.Errorf("%d bytes wait for a client that does not read", pending)
	}
}

// TestReconnectWithExclusiveQueue loses connections and declares their exclusive queue again at once.
func TestReconnectWithExclusiveQueue(t *testing.T) {
	s := startServer(t, Options{})
	for range 20 {
		c := s.openChannel()
		c.send(1, &wire.QueueDeclare{Queue: "mine", Exclusive: true})
		expect[*wire.QueueDeclareOk](c, 1)
		_ = c.nc.Close()
		eventually(t, "noticed", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.ending) > 0 || len(s.conns) == 0
		})
	}
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Queue: "mine", Exclusive: true})
	expect[*wire.QueueDeclareOk](c, 1)
	other := s.openChannel()
	other.send(1, &wire.QueueDeclare{Queue: "mine", Passive: true})
	if m := expect[*wire.ChannelClose](other, 1); m.ReplyCode != wire.ResourceLocked {
		t.Errorf("got %s", m.ReplyText)
	}
}

func TestExclusiveQueueIsGoneWithCloseOk(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Queue: "gone", Exclusive: true, Durable: true})
	expect[*wire.QueueDeclareOk](c, 1)
	c.send(0, &wire.ConnectionClose{ReplyCode: 200, ReplyText: "bye"})
	expect[*wire.ConnectionCloseOk](c, 0)
	c = s.openChannel()
	c.send(1, &wire.QueueDeclare{Queue: "gone", Passive: true})
	c.expectClose(1, "NOT_FOUND - no queue 'gone' in vhost '/'", wire.KeyQueueDeclare)
}

func TestHeartbeats(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openWith(wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096, Heartbeat: 1}, nil)
	start := time.Now()
	b := make([]byte, 1024)
	_ = c.nc.SetReadDeadline(start.Add(10 * time.Second))
	got := 0
	for {
		n, err := c.nc.Read(b)
		got += n
		if err != nil {
			break
		}
	}
	if silent := time.Since(start); silent < 1900*time.Millisecond || silent > 4200*time.Millisecond {
		t.Errorf("ended after %v", silent)
	}
	if got < 2*wire.FrameOverhead || string(b[:1]) != "\x08" {
		t.Errorf("%d bytes of heartbeats", got)
	}
}

func TestAlarm(t *testing.T) {
	s := startServer(t, Options{})
	publisher, consumer := s.openChannel(), s.openChannel()
	deaf := s.openWith(wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096}, nil)
	deaf.channel(1)
	publisher.raw(publish(1, "amq.fanout", "", "x")) // before the alarm: of no importance
	publisher.sync(1)
	s.Blocked("low on memory")
	publisher.sync(1)
	publisher.raw(publish(1, "amq.fanout", "", "x"))
	if m := expect[*wire.ConnectionBlocked](publisher, 0); m.Reason != "low on memory" {
		t.Errorf("reason %q", m.Reason)
	}
	publisher.send(1, &wire.BasicQos{}) // is not read
	deaf.raw(publish(1, "amq.fanout", "", "x"))
	consumer.sync(1)
	late := s.openChannel() // opened during the alarm
	late.sync(1)
	late.raw(publish(1, "amq.fanout", "", "x"))
	expect[*wire.ConnectionBlocked](late, 0)
	s.Blocked("low on memory & disk") // no second message
	eventually(t, "blocked", func() bool {
		n := 0
		for _, c := range s.Connections() {
			if c.BlockedByNode {
				n++
			}
		}
		return n == 3
	})
	s.Unblocked()
	expect[*wire.ConnectionUnblocked](publisher, 0)
	expect[*wire.BasicQosOk](publisher, 1)
	expect[*wire.ConnectionUnblocked](late, 0)
	deaf.sync(1)
	publisher.raw(publish(1, "amq.fanout", "", "x"))
	publisher.sync(1)
}

func TestShutdown(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	unfinished := s.dial()
	unfinished.raw([]byte(wire.ProtocolHeader))
	expect[*wire.ConnectionStart](unfinished, 0)
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background(), "shutdown") }()
	c.expectClose(0, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", 0)
	unfinished.expectEnd()
	select {
	case err := <-done:
		t.Fatalf("ended before close-ok: %v", err)
	default:
	}
	c.send(0, &wire.ConnectionCloseOk{})
	c.expectEnd()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Listen(context.Background(), "127.0.0.1:0"); !errors.Is(err, errStopped) {
		t.Errorf("listening again: %v", err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel() // never answers
	blocked := s.openChannel()
	s.Blocked("low on disk")
	blocked.raw(publish(1, "amq.fanout", "", "x"))
	expect[*wire.ConnectionBlocked](blocked, 0)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx, "shutdown"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	for _, c := range []*client{c, blocked} {
		expect[*wire.ConnectionClose](c, 0)
		c.expectEnd()
	}
}

func TestCloseConnections(t *testing.T) {
	s := startServer(t, Options{})
	named := append(wire.Table{{Name: "connection_name", Value: wire.String("reporting")}}, allCapabilities...)
	one := s.openWith(wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096, Heartbeat: 60}, named)
	one.channel(1)
	two := s.openChannel()
	n := s.CloseConnections("vhost 'v' is deleted", func(c Connection) bool {
		return c.Name == "reporting" && c.User == "guest" && c.VHost == "/" && c.Channels == 1 && c.FrameMax == 4096 &&
			c.Heartbeat == time.Minute && strings.HasPrefix(c.Peer, "127.0.0.1:")
	})
	if n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	one.expectClose(0, "CONNECTION_FORCED - vhost 'v' is deleted", 0)
	two.sync(1)
}

func TestCloseTimeout(t *testing.T) {
	s := startServer(t, Options{CloseTimeout: 30 * time.Millisecond})
	c := s.openChannel()
	c.send(1, &wire.ChannelOpen{})
	c.expectClose(0, "CHANNEL_ERROR - second 'channel.open' seen", wire.KeyChannelOpen)
	c.expectEnd()
	c = s.open()
	c.send(0, &wire.ConnectionClose{ReplyCode: 200})
	expect[*wire.ConnectionCloseOk](c, 0)
	c.expectEnd()
}

// TestChannelFailsFromElsewhere is about errors that are found when no frame of the channel is being handled.
func TestChannelFailsFromElsewhere(t *testing.T) {
	s := startServer(t, Options{})
	c := s.openChannel()
	c.channel(2)
	var sc *conn
	s.mu.Lock()
	for sc = range s.conns {
	}
	s.mu.Unlock()
	// The reader waits for input, so its state may be looked at.
	sc.channels[1].fail(wire.Errorf(wire.PreconditionFailed, "just so"))
	c.expectClose(1, "PRECONDITION_FAILED - just so", 0)
	c.send(1, &wire.ChannelCloseOk{})
	c.channel(1)
	c.sync(1)
	sc.channels[2].fail(errors.New("unknown to AMQP"))
	c.expectClose(0, "INTERNAL_ERROR", 0)
}
