//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	dialTimeout = 3 * time.Second
	heartbeat   = 2 * time.Second // a connection that is silent for three of them is given up
	// patience is what one request may take. A broker that is not stopped or cut off answers within its commit timeout.
	patience = 12 * time.Second
)

// session is a client's connection to a node, with one channel that is opened again after an error. One goroutine uses it;
// closing it from another ends what it waits for.
type session struct {
	node    *node
	name    string // of the worker
	history *History

	conn   *amqp.Connection
	ch     *amqp.Channel
	client string // name of the channel in the history; no other channel has it
	opened int

	mu   sync.Mutex
	raw  net.Conn
	over bool
}

// errOver says that the session was closed for good.
var errOver = errors.New("the round is over")

// channel returns an open channel. It dials, or opens a channel, when there is none.
func (s *session) channel() (*amqp.Channel, error) {
	if s.ch != nil && !s.ch.IsClosed() {
		return s.ch, nil
	}
	defer s.guard()()
	if s.conn == nil || s.conn.IsClosed() {
		conn, err := amqp.DialConfig("amqp://guest:guest@"+s.node.amqp+"/", amqp.Config{
			Heartbeat: heartbeat,
			Dial: func(network, address string) (net.Conn, error) {
				c, err := net.DialTimeout(network, address, dialTimeout)
				if err != nil {
					return nil, err
				}
				s.mu.Lock()
				s.raw = c
				over := s.over
				s.mu.Unlock()
				if over {
					_ = c.Close()
					return nil, errOver
				}
				return c, c.SetDeadline(time.Now().Add(dialTimeout)) // the library clears it after the handshake
			},
		})
		if err != nil {
			return nil, err
		}
		s.conn = conn
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, err
	}
	s.ch = ch
	s.opened++
	s.client = fmt.Sprintf("%s.%d", s.name, s.opened)
	return ch, nil
}

// guard ends the connection when the returned function is not called within patience: then what waits for it returns.
func (s *session) guard() (release func()) {
	t := time.AfterFunc(patience, s.hangUp)
	return func() { t.Stop() }
}

// hangUp ends the connection without a word.
func (s *session) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.raw != nil {
		_ = s.raw.Close()
	}
}

// dropChannel closes the channel, so that what it has not settled goes back.
func (s *session) dropChannel() {
	if s.ch != nil {
		defer s.guard()()
		_ = s.ch.Close() // it may be closed already
		s.ch = nil
	}
}

// close ends the session for good. It may be called from any goroutine.
func (s *session) close() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.hangUp()
}

// finish closes the connection in order, if there is one.
func (s *session) finish() {
	if s.conn != nil {
		_ = s.conn.CloseDeadline(time.Now().Add(time.Second))
	}
	s.close()
}

// do carries out a request on a name and records it. refused says what a NOT_FOUND means.
func (s *session) do(kind Kind, name string, request func(*amqp.Channel) error) (Outcome, error) {
	ch, err := s.channel()
	if err != nil {
		return Fail, err
	}
	release := s.guard()
	op := Op{Client: s.client, Node: s.node.index, Kind: kind, Name: name, Start: s.history.Now()}
	err = request(ch)
	op.End = s.history.Now()
	release()
	op.Outcome = outcome(kind, err)
	if err != nil {
		op.Error = err.Error()
	}
	s.history.Add(op)
	s.missing(op)
	return op.Outcome, err
}

// outcome says what an answer means for a request on a name.
func outcome(kind Kind, err error) Outcome {
	if err == nil {
		return OK
	}
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server {
		return Unknown
	}
	switch e.Code {
	case amqp.NotFound:
		switch {
		case !strings.Contains(e.Reason, "NOT_FOUND - no "):
			// The node that leads the queue is down. A declare may have been committed before that was seen.
			if kind == DeclareQueue {
				return Unknown
			}
			return Fail
		case kind == LookQueue, kind == LookExchange:
			return Absent
		}
		return Fail
	case amqp.AccessRefused, amqp.PreconditionFailed, amqp.ResourceLocked:
		return Fail
	}
	return Unknown
}

// missing records that a name was found to be absent by a request that was not about that.
func (s *session) missing(op Op) {
	if op.Kind == LookQueue || op.Kind == LookExchange || op.Outcome == OK {
		return
	}
	for what, kind := range map[string]Kind{"no queue '": LookQueue, "no exchange '": LookExchange} {
		if _, rest, ok := strings.Cut(op.Error, what); ok {
			if name, _, ok := strings.Cut(rest, "'"); ok {
				s.history.Add(Op{Client: op.Client, Node: op.Node, Kind: kind, Name: name, Start: op.Start, End: op.End, Outcome: Absent, Error: op.Error})
			}
		}
	}
}

func (s *session) declareQueue(name string, args amqp.Table) (Outcome, error) {
	return s.do(DeclareQueue, name, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, args)
		return err
	})
}

func (s *session) deleteQueue(name string) (Outcome, error) {
	return s.do(DeleteQueue, name, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
}

// lookQueue returns the number of ready messages with the outcome OK.
func (s *session) lookQueue(name string) (ready int, o Outcome, err error) {
	o, err = s.do(LookQueue, name, func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
		ready = q.Messages
		return err
	})
	return ready, o, err
}

func (s *session) declareExchange(name string) (Outcome, error) {
	return s.do(DeclareExchange, name, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare(name, "direct", true, false, false, false, nil)
	})
}

func (s *session) deleteExchange(name string) (Outcome, error) {
	return s.do(DeleteExchange, name, func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
}

func (s *session) lookExchange(name string) (Outcome, error) {
	return s.do(LookExchange, name, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive(name, "direct", true, false, false, false, nil)
	})
}

// Bindings are those of one exchange to a queue per node, each with a routing key of its own.
const (
	bindingExchange = "bindings"
	boundPrefix     = "bound-"
)

func bindingQueue(node int) string { return fmt.Sprintf("%s%d", boundPrefix, node) }

func (s *session) bind(queue, key string) (Outcome, error) {
	return s.do(Bind, queue+" "+key, func(ch *amqp.Channel) error { return ch.QueueBind(queue, key, bindingExchange, false, nil) })
}

func (s *session) unbind(queue, key string) (Outcome, error) {
	return s.do(Unbind, queue+" "+key, func(ch *amqp.Channel) error { return ch.QueueUnbind(queue, key, bindingExchange, nil) })
}

// lookBinding publishes a transient message to find out whether it is routed. It needs a session of its own, whose channel is in
// confirm mode.
func (s *session) lookBinding(p *prober, queue, key string) (Outcome, error) {
	ch, err := s.channel()
	if err != nil {
		return Fail, err
	}
	defer s.guard()()
	if p.ch != ch {
		if err := p.open(ch); err != nil {
			return Fail, err
		}
	}
	op := Op{Client: s.client, Node: s.node.index, Kind: LookBinding, Name: queue + " " + key, Start: s.history.Now(), Outcome: Unknown}
	op.Outcome, err = p.probe(key)
	op.End = s.history.Now()
	if err != nil {
		op.Error = err.Error()
	}
	s.history.Add(op)
	return op.Outcome, err
}

// prober has what lookBinding needs of a channel.
type prober struct {
	ch       *amqp.Channel
	confirms <-chan amqp.Confirmation
	returns  <-chan amqp.Return
}

func (p *prober) open(ch *amqp.Channel) error {
	if err := ch.Confirm(false); err != nil {
		return err
	}
	p.ch = ch
	p.confirms = ch.NotifyPublish(make(chan amqp.Confirmation, 1))
	p.returns = ch.NotifyReturn(make(chan amqp.Return, 1))
	return nil
}

func (p *prober) probe(key string) (Outcome, error) {
	if err := p.ch.Publish(bindingExchange, key, true, false, amqp.Publishing{}); err != nil {
		return Unknown, err
	}
	confirm, ok := <-p.confirms
	if !ok {
		return Unknown, amqp.ErrClosed
	}
	select {
	case _, ok := <-p.returns: // comes before its confirm
		if ok {
			return Absent, nil
		}
		return Unknown, amqp.ErrClosed
	default:
	}
	if !confirm.Ack {
		return Unknown, nil
	}
	return OK, nil
}

// serials numbers what must not be named twice in a round.
var serials atomic.Int64
