package server

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

// Message is a message that an operator publishes.
type Message struct {
	Exchange, RoutingKey string // at most 255 bytes each
	Properties           wire.Properties
	Body                 []byte
}

// ErrBlocked is returned by Publish during an alarm.
var ErrBlocked = errors.New("publishers are blocked")

// Publish publishes a message in the name of user as if a client did, with all its checks, and waits for the confirm or until ctx
// ends. routed says whether any queue gets it, confirmed whether all of them took it. Errors are those that close a client's
// channel, ErrBlocked, and that of ctx, after which the message may still be taken.
func (s *Server) Publish(ctx context.Context, access Access, user *cluster.User, vhost string, m Message) (routed, confirmed bool, err error) {
	if s.alarm.Load() != nil {
		return false, false, ErrBlocked
	}
	c := newConn(s, nowhere{}, s.nextID.Add(1), nil)
	c.user, c.vhost, c.access = user, vhost, access
	c.frameMax = s.opts.FrameMax
	ch := newChannel(c, 1)
	ch.pub, ch.del = newPublisher(c, ch), newDeliveries(c, ch)
	ch.state = channelOpen
	defer c.out.close(0)
	defer ch.pub.abort()
	ch.pub.selectConfirm()
	done := make(chan bool, 1)
	ch.pub.complete = func(b *queue.Batch) { done <- len(b.Refused()) == 0 }

	frame := wire.AppendMethod(nil, ch.id, &wire.BasicPublish{Exchange: m.Exchange, RoutingKey: m.RoutingKey, Mandatory: true})
	frame = wire.AppendContentHeader(frame, ch.id, basicClass, uint64(len(m.Body)), m.Properties.Append(nil))
	for len(frame) > 0 {
		f, n, err := wire.ParseFrame(frame, 0)
		if err == nil {
			_, err = ch.frame(f)
		}
		if err != nil {
			return false, false, err
		}
		frame = frame[n:]
	}
	if len(m.Body) > 0 {
		if err := ch.body(m.Body); err != nil {
			return false, false, err
		}
	}
	ch.pub.flush()
	routed = ch.pub.figures.returned.Load() == 0
	select {
	case confirmed = <-done:
		return routed, confirmed, nil
	case <-ctx.Done():
		return routed, false, ctx.Err()
	}
}

// nowhere is the socket of a client that is not there.
type nowhere struct{}

type nowhereAddr struct{}

func (nowhereAddr) Network() string { return "admin" }
func (nowhereAddr) String() string  { return "admin" }

func (nowhere) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (nowhere) Write(b []byte) (int, error)      { return len(b), nil }
func (nowhere) Close() error                     { return nil }
func (nowhere) LocalAddr() net.Addr              { return nowhereAddr{} }
func (nowhere) RemoteAddr() net.Addr             { return nowhereAddr{} }
func (nowhere) SetDeadline(time.Time) error      { return nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }
