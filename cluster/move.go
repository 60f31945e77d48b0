package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// A queue moves like this. Its leader holds the engine still and sends everything to the other node, which writes it to its log. Then
// the leader proposes meta.MoveQueue. Whatever comes of that is found out before the engine goes on: it is proposed again until the
// answer is certain, and the runs of both nodes in it make it void once one of them has restarted.
//
// When the change is applied, the other node starts its engine, and the former leader has it adopt the consumers. After that the former
// engine passes on what still reaches it, in order. On all nodes a gate keeps what is published from now on behind what is on its
// way (gate.go).

// moves answers the other nodes on behalf of queues that move.
type moves struct {
	peerv1.UnimplementedMoveServiceServer
	broker *Broker
	// rebalancing is held by the rebalance that runs on this node.
	rebalancing sync.Mutex
}

// ErrCannotMove says that a queue must stay where it is.
var ErrCannotMove = errors.New("queue cannot be moved")

// errNotLed says that this node does not lead a queue, any more or yet.
var errNotLed = errors.New("queue is led by another node")

// MoveQueue makes the node with this name or id the leader of a queue, with all its messages and consumers, while clients go on using
// it. It returns when that is so. Errors: ErrNoQueue and ErrNoNode of meta, ErrCannotMove with the reason. After any error the queue
// is where it was, unless ctx ended first: then the move may still be under way.
func (b *Broker) MoveQueue(ctx context.Context, vhost, name, toNode string) error {
	if b.network == nil {
		return fmt.Errorf("%w: this node is in no cluster (cluster.listen)", ErrCannotMove)
	}
	if err := b.meta.ReadIndex(ctx); err != nil {
		return err
	}
	s := b.State()
	q := s.Queue(vhost, name)
	if q == nil {
		return &meta.NameError{Err: meta.ErrNoQueue, VHost: vhost, Name: name}
	}
	to, err := b.FindNode(toNode)
	if err != nil {
		return err
	}
	return b.moveByID(ctx, q.ID, to.Name)
}

// maxMoveAttempts bounds how often a move begins again because the queue was moved meanwhile.
const maxMoveAttempts = 5

// moveByID has whoever leads a queue move it.
func (b *Broker) moveByID(ctx context.Context, id uint64, to string) error {
	var err error
	for range maxMoveAttempts {
		q := b.State().QueueByID(id)
		if q == nil {
			return &meta.NameError{Err: meta.ErrNoQueue, Name: fmt.Sprintf("id %d", id)}
		}
		if q.Leader == to {
			return nil
		}
		if q.Leader == b.opts.NodeID {
			err = b.moveAway(ctx, id, to)
		} else {
			err = b.askToMove(ctx, q, to)
		}
		if !errors.Is(err, errNotLed) {
			return err
		}
		if err := b.meta.ReadIndex(ctx); err != nil {
			return err
		}
	}
	return err
}

// askToMove has another node, which leads q, move it.
func (b *Broker) askToMove(ctx context.Context, q *meta.Queue, to string) error {
	conn, err := b.network.Conn(q.Leader)
	if err != nil {
		return fmt.Errorf("%w: its leader %s: %w", ErrCannotMove, b.nodeName(q.Leader), err)
	}
	_, err = peerv1.NewMoveServiceClient(conn).Move(ctx, &peerv1.MoveRequest{Queue: q.ID, To: to})
	switch st, _ := status.FromError(err); st.Code() {
	case codes.OK:
		return b.meta.ReadIndex(ctx)
	case codes.FailedPrecondition:
		return fmt.Errorf("%w: %s", ErrCannotMove, st.Message())
	case codes.NotFound:
		return errNotLed
	default:
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: its leader %s: %s", ErrCannotMove, b.nodeName(q.Leader), st.Message())
	}
}

// Move implements peerv1.MoveServiceServer.
func (m *moves) Move(ctx context.Context, r *peerv1.MoveRequest) (*peerv1.MoveResponse, error) {
	err := m.broker.moveAway(ctx, r.GetQueue(), r.GetTo())
	switch {
	case errors.Is(err, errNotLed):
		return nil, status.Error(codes.NotFound, err.Error())
	case err != nil:
		var cannot *cannotMove
		if errors.As(err, &cannot) {
			return nil, status.Error(codes.FailedPrecondition, cannot.reason)
		}
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &peerv1.MoveResponse{}, nil
}

// cannotMove is ErrCannotMove with a reason that goes over the wire.
type cannotMove struct{ reason string }

func (e *cannotMove) Error() string { return ErrCannotMove.Error() + ": " + e.reason }
func (e *cannotMove) Unwrap() error { return ErrCannotMove }

func errCannotMove(format string, args ...any) error {
	return &cannotMove{fmt.Sprintf(format, args...)}
}

// checkMove says why q, which this node leads, cannot go to another node now.
func (b *Broker) checkMove(q *meta.Queue, to string) error {
	n := b.State().Node(to)
	switch {
	case q.Exclusive:
		return errCannotMove("an exclusive queue stays on the node of its connection")
	case n == nil:
		return errCannotMove("node %s is not a member of the cluster", to)
	case n.Draining:
		return errCannotMove("node %s is being drained", b.nodeName(to))
	case !b.Reachable(to):
		return errCannotMove("node %s cannot be reached", b.nodeName(to))
	}
	return nil
}

// moveAway moves a queue that this node leads. If ctx ends while the outcome is not known, the rest goes on in the background.
func (b *Broker) moveAway(ctx context.Context, id uint64, to string) error {
	e := b.engines.get(id)
	q := b.State().QueueByID(id)
	if e == nil || q == nil || q.Leader != b.opts.NodeID {
		return errNotLed
	}
	if err := b.checkMove(q, to); err != nil {
		return err
	}
	if !e.moving.TryLock() {
		return errCannotMove("it is being moved already")
	}
	done := make(chan error, 1)
	if !b.spawn(func() {
		defer e.moving.Unlock()
		work, cancel := context.WithCancelCause(b.staying)
		defer cancel(nil)
		stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
		defer stop()
		done <- b.carry(work, e, q, to)
	}) {
		e.moving.Unlock()
		return errCannotMove("its node is going down")
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// carry does the work of moveAway. ctx ends it as long as nothing is proposed.
func (b *Broker) carry(ctx context.Context, e *engine, q *meta.Queue, to string) error {
	began := time.Now()
	// Something may still be on its way by the former leader. It must not be overtaken because that becomes the leader again.
	settled, cancel := context.WithTimeout(ctx, settleTime)
	ok := b.nodes.settle(settled, e.since)
	cancel()
	if !ok {
		return errCannotMove("another node is not done with the last time it moved")
	}
	d, err := e.queue.Depart(ctx)
	if errors.Is(err, queue.ErrGone) {
		return &meta.NameError{Err: meta.ErrNoQueue, VHost: q.VHost, Name: q.Name}
	}
	if err != nil {
		return errCannotMove("%v", err)
	}
	e.setDeparture(d)
	c := meta.MoveQueue{ID: q.ID, From: b.opts.NodeID, To: to, FromRun: b.run().Incarnation}
	arrival := rand.Uint64()
	var index uint64
	if c.ToRun, err = b.sendQueue(ctx, d, q, to, c.FromRun, arrival); err == nil {
		index, err = b.commitMove(c)
	}
	switch {
	case err == nil:
	case errors.Is(err, errClosing):
		return err // nobody knows; the engine refuses what waits, and the next start of this node finds out
	default:
		e.setDeparture(nil)
		d.Stay()
		b.spawn(func() { b.giveUp(q.ID, to, arrival) })
		b.log.Warn("queue was not moved", "vhost", q.VHost, "queue", q.Name, "to", b.nodeName(to), "error", err)
		var name *meta.NameError
		if errors.As(err, &name) && errors.Is(err, meta.ErrNoQueue) {
			return err
		}
		return errCannotMove("%v", err)
	}
	select {
	case <-e.left:
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
	b.log.Info("queue moved", "vhost", q.VHost, "queue", q.Name, "to", b.nodeName(to), "took", time.Since(began))
	b.nodes.agree(b.ctx, index)
	return nil
}

// settleTime bounds the wait for what is on its way behind an earlier move.
const settleTime = 30 * time.Second

func (e *engine) setDeparture(d *queue.Departure) {
	e.mu.Lock()
	e.departure = d
	e.mu.Unlock()
}

var errClosing = errors.New("node is going down")

// commitMove proposes c until it is certain whether it was applied. It returns the index of the metadata then.
func (b *Broker) commitMove(c meta.MoveQueue) (index uint64, err error) {
	unknown := false
	for wait := firstPause; ; {
		ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
		r, err := b.meta.Propose(ctx, c)
		cancel()
		var name *meta.NameError
		switch {
		case err == nil:
			return r.Index, nil
		case errors.As(err, &name): // it will never be applied, but an attempt before may have been
			ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
			known := b.meta.ReadIndex(ctx)
			cancel()
			if known != nil {
				break
			}
			if q := b.State().QueueByID(c.ID); q != nil && q.Leader != c.From {
				return b.State().Index(), nil
			}
			return 0, err
		case !unknown && (errors.Is(err, meta.ErrNoLeader) || errors.Is(err, meta.ErrTooNew) || errors.Is(err, meta.ErrTooLarge)):
			return 0, err
		case errors.Is(err, meta.ErrShutdown), errors.Is(err, meta.ErrIncompatible):
			return 0, fmt.Errorf("%w: %w", errClosing, err)
		}
		unknown = true
		b.log.Warn("whether a queue has moved is not known yet, asking again", "queue_id", c.ID, "to", b.nodeName(c.To), "error", err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, lastPause)
		case <-b.leaving:
			return 0, errClosing
		}
	}
}

const (
	// moveChunk bounds the bytes of data in a message of the stream.
	moveChunk = 256 << 10
	// moveRanges bounds the requeued offsets in one.
	moveRanges = 16 << 10
)

// sendQueue sends a queue that is held still to another node, and returns the run of that node in which it has everything for good.
func (b *Broker) sendQueue(ctx context.Context, d *queue.Departure, q *meta.Queue, to string, run, arrival uint64) (uint64, error) {
	conn, err := b.network.Conn(to)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := peerv1.NewMoveServiceClient(conn).Receive(ctx)
	if err != nil {
		return 0, err
	}
	send := func(r *peerv1.ReceiveRequest) error {
		if err := stream.Send(r); err != nil {
			return fmt.Errorf("node %s: %w", b.nodeName(to), reasonOf(stream, err))
		}
		return nil
	}
	if err := send(&peerv1.ReceiveRequest{Begin: &peerv1.Begin{Queue: q.ID, Run: run, Durable: q.Durable, Arrival: arrival}}); err != nil {
		return 0, err
	}
	moved, err := d.Send(ctx, func(k *queue.MovedBlock) error { return sendBlock(send, k) })
	if err != nil {
		return 0, err
	}
	if err := sendRest(send, moved); err != nil {
		return 0, err
	}
	r, err := stream.CloseAndRecv()
	if err != nil {
		return 0, fmt.Errorf("node %s: %s", b.nodeName(to), status.Convert(err).Message())
	}
	return r.GetRun(), nil
}

// reasonOf returns why a stream broke, which Send does not tell.
func reasonOf(stream grpc.ClientStreamingClient[peerv1.ReceiveRequest, peerv1.ReceiveResponse], err error) error {
	if _, why := stream.CloseAndRecv(); why != nil {
		return errors.New(status.Convert(why).Message())
	}
	return err
}

func sendBlock(send func(*peerv1.ReceiveRequest) error, k *queue.MovedBlock) error {
	err := send(&peerv1.ReceiveRequest{Block: &peerv1.Block{Base: k.Base, Count: k.Count, Size: uint64(len(k.Records)), Gone: k.Gone,
		Redelivered: k.Redelivered, Failures: k.Failures}})
	for rest := k.Records; err == nil && len(rest) > 0; {
		n := min(len(rest), moveChunk)
		err = send(&peerv1.ReceiveRequest{Data: rest[:n]})
		rest = rest[n:]
	}
	return err
}

func sendRest(send func(*peerv1.ReceiveRequest) error, m *queue.MovedQueue) error {
	for i := range m.Lanes {
		l := &m.Lanes[i]
		for rest, first := l.Requeued, true; first || len(rest) > 0; first = false {
			n := min(len(rest), moveRanges)
			lane := &peerv1.Lane{Number: uint32(l.Number), Next: l.Next, Fresh: l.Fresh}
			for _, r := range rest[:n] {
				lane.Requeued = append(lane.Requeued, r.First, r.Last)
			}
			rest = rest[n:]
			if err := send(&peerv1.ReceiveRequest{Lane: lane}); err != nil {
				return err
			}
		}
	}
	for _, k := range m.Keys {
		if err := send(&peerv1.ReceiveRequest{Keys: k}); err != nil {
			return err
		}
	}
	return send(&peerv1.ReceiveRequest{End: &peerv1.End{Redelivered: m.Redelivered, Mark: m.Mark, Unacked: uint64(m.Unacked), Used: m.Used}})
}

// giveUp tells the other node that a move is over, until it has heard it or cannot have anything of it any more.
func (b *Broker) giveUp(queue uint64, to string, arrival uint64) {
	run := runOf(b.State(), to)
	for wait := firstPause; runOf(b.State(), to) == run; wait = min(2*wait, lastPause) {
		if conn, err := b.network.Conn(to); err == nil {
			ctx, cancel := context.WithTimeout(b.staying, b.opts.CommitTimeout)
			_, err = peerv1.NewMoveServiceClient(conn).Forget(ctx, &peerv1.ForgetRequest{Queue: queue, Arrival: arrival})
			cancel()
			if err == nil {
				return
			}
		}
		select {
		case <-time.After(wait):
		case <-b.leaving:
			return
		}
	}
}

// getFormer returns the engine of a queue that has moved away, nil if there is none.
func (s *engines) getFormer(id uint64) *engine {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.former[id]
}

// move follows a change of a queue's leader, made at index. Broker.mu is held; it does not wait.
func (s *engines) move(was, q *meta.Queue, index uint64) {
	b := s.broker
	old := s.handle(was)
	if was.Leader == b.opts.NodeID {
		s.mu.Lock()
		e := s.byID[q.ID]
		delete(s.byID, q.ID)
		if e != nil {
			s.former[q.ID] = e
		}
		s.mu.Unlock()
		if e != nil {
			b.spawn(func() { b.depart(e, q) })
		}
	}
	if q.Leader == b.opts.NodeID {
		b.arrive(was.Leader, q, index)
	}
	if b.links == nil {
		return
	}
	g := b.newGate(old, s.direct(q), q.Leader, index)
	s.mu.Lock()
	s.gates[q.ID] = g
	s.mu.Unlock()
}

// depart passes a queue's consumers, and what has waited, on to the new leader.
func (b *Broker) depart(e *engine, q *meta.Queue) {
	defer close(e.left)
	e.mu.Lock()
	d := e.departure
	e.mu.Unlock()
	if d == nil { // it was moved by hand
		b.log.Error("a queue was given to another node without its messages, which are dropped", "vhost", q.VHost, "queue", q.Name,
			"to", b.nodeName(q.Leader))
		var err error
		if d, err = e.queue.Depart(b.staying); err != nil {
			return
		}
	}
	d.Leave(b.links.Heir(q.Leader, q.ID))
}

// arrive starts the engine of a queue that this node leads from now on.
func (b *Broker) arrive(from string, q *meta.Queue, index uint64) {
	a := b.arrivals.take(q.ID)
	if a == nil {
		b.log.Error("a queue was given to this node without its messages", "vhost", q.VHost, "queue", q.Name, "from", b.nodeName(from))
		b.engines.start(q, source{log: newLogID(), since: index})
		return
	}
	b.engines.start(q, source{log: a.LogID(), arrival: a.Arrival, since: index})
	e := b.engines.get(q.ID)
	b.service.Bequeath(from, e.queue, a.Unsettled())
}

// forwardLetters implements queue.Options.Forward.
func (b *Broker) forwardLetters(id uint64, to queue.Handle, p *queue.Publication) {
	whole := p.Batch
	if whole == nil {
		to.Publish(p)
		return
	}
	b.sendAway(&post{block: p.Block, id: id}, to, whole, firstPause)
	if p.Flow != nil {
		p.Flow.Done(p.Block.Size())
	}
}

// Forget implements peerv1.MoveServiceServer.
func (m *moves) Forget(ctx context.Context, r *peerv1.ForgetRequest) (*peerv1.ForgetResponse, error) {
	caller, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	m.broker.arrivals.forget(caller, r.GetQueue(), r.GetArrival())
	return &peerv1.ForgetResponse{}, nil
}
