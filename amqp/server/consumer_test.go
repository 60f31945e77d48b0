package server

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

// fleetingQueue is gone as soon as somebody consumes from it.
type fleetingQueue struct{ takingQueue }

func (q *fleetingQueue) Consume(c *queue.Consumer) error {
	c.Receiver.Cancelled(c)
	return nil
}

// eagerQueue delivers a message before Consume returns.
type eagerQueue struct{ ledgerQueue }

func (q *eagerQueue) Consume(c *queue.Consumer) error {
	c.Receiver.Deliver(c, []queue.Piece{q.piece(1)})
	return nil
}

// methodsIn returns the methods in frames, by name.
func methodsIn(t *testing.T, frames []byte) string {
	t.Helper()
	var names []string
	for len(frames) > 0 {
		f, n, err := wire.ParseFrame(frames, 0)
		if n == 0 {
			t.Fatal(err)
		}
		if f.Type == wire.FrameMethod {
			key, _ := wire.ParseMethodKey(f.Payload)
			names = append(names, key.String())
		}
		frames = frames[n:]
	}
	return strings.Join(names, " ")
}

// TestConsumeOkComesFirst starts consumers of queues that are faster than the channel.
func TestConsumeOkComesFirst(t *testing.T) {
	for _, tc := range []struct {
		q      queue.Handle
		noWait bool
		want   string
	}{
		{&fleetingQueue{}, false, "basic.consume-ok basic.cancel"},
		{&fleetingQueue{}, true, "basic.cancel"},
		{&eagerQueue{}, false, "basic.consume-ok basic.deliver"},
		{&eagerQueue{}, true, "basic.deliver"},
	} {
		s := &recorder{}
		r := newRig(t, s)
		d := r.open(1).del
		if _, err := d.consume(tc.q, "q", &wire.BasicConsume{ConsumerTag: "t", NoWait: tc.noWait}, cluster.ConsumeArguments{Timeout: queue.None}); err != nil {
			t.Fatal(err)
		}
		r.c.out.close(flushTimeout)
		if got := methodsIn(t, s.taken()); got != "channel.open-ok "+tc.want {
			t.Errorf("%T, no-wait %v: got %s", tc.q, tc.noWait, got)
		}
	}
}

// TestBrokenConnectionTakesNothing reserves room on a connection that cannot be written to any more: a message without
// acknowledgement would be lost there.
func TestBrokenConnectionTakesNothing(t *testing.T) {
	s := &recorder{err: errors.New("broken pipe")}
	r := newRig(t, s)
	d := r.open(1).del
	<-r.c.out.fail()
	eventually(t, "idle", r.c.hasRoom)
	for _, noAck := range []bool{false, true} {
		c := &consumer{handle: &takingQueue{}, del: d, announced: true}
		c.Consumer = queue.Consumer{NoAck: noAck, Receiver: c}
		if n := c.Reserve(&c.Consumer, 10); n != 0 {
			t.Errorf("no-ack %v: room for %d messages", noAck, n)
		}
	}
}

// TestHalfClosedReader has a client that asks for more than it reads and then closes its sending side: the connection must end.
func TestHalfClosedReader(t *testing.T) {
	s := startServer(t, Options{OutboxBytes: 4096, CloseTimeout: 50 * time.Millisecond,
		TCP: TCPOptions{SendBuffer: 4096}})
	c := s.openChannel()
	check(c.nc.(*net.TCPConn).SetReadBuffer(4096))
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	name := expect[*wire.QueueDeclareOk](c, 1).Queue
	for range 200 {
		c.raw(publish(1, "", name, strings.Repeat("x", 100_000)))
	}
	c.sync(1)
	c.send(1, &wire.BasicConsume{Queue: name, NoAck: true})
	conns := s.Connections()
	eventually(t, "full", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for conn := range s.conns {
			return !conn.hasRoom()
		}
		return false
	})
	c.send(1, &wire.BasicQos{}) // the answer has to wait
	check(c.nc.(*net.TCPConn).CloseWrite())
	eventually(t, "ended", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0
	})
	if len(conns) != 1 {
		t.Errorf("%d connections", len(conns))
	}
	_, _ = io.Copy(io.Discard, c.nc)
}
