package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/network"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// arrivals are queues that come from other nodes. What has arrived is kept until the metadata say that this node leads the queue, or that
// it never will by this attempt: the command that moves a queue names the runs of both nodes, so it does nothing once one of them
// has begun another. If this node goes down before it leads the queue, its next start deletes what has arrived.
type arrivals struct {
	broker *Broker

	mu      sync.Mutex
	byQueue map[uint64]*arrival
	stamp   uint64 // the last one
}

// arrival is one attempt to move a queue here.
type arrival struct {
	*queue.Arrival
	from    string
	fromRun uint64
	run     uint64 // of this node
	name    uint64 // as the sender calls it
	ready   bool   // all of it is here
	over    bool   // forgotten, or replaced by another attempt
}

// arrivedLog marks the ids under which the log has queues that came from other nodes. Neither queues nor guards have such ids.
const arrivedLog = 1 << 62

// newLogID returns an id that the log has never had anything under, because what it had of the same queue before may still be on its way out.
func newLogID() uint64 { return rand.Uint64()>>2 | arrivedLog }

// The identity of what the log has under such an id is the queue's id and a stamp. The greatest stamp counts: what has a lesser one
// was there before the queue left.

const identityLen = 16

func (s *arrivals) identity(queue uint64) []byte {
	s.stamp = max(s.stamp+1, uint64(time.Now().UnixNano()))
	b := binary.BigEndian.AppendUint64(nil, queue)
	return binary.BigEndian.AppendUint64(b, s.stamp)
}

// logs tells which ids of the log belong to which queue.
type logs struct {
	queues map[uint64]uint64 // by id in the log
	newest map[uint64]uint64 // id in the log, by queue
}

// queueOf returns the queue of an id in the log.
func (l *logs) queueOf(id uint64) uint64 {
	if id&arrivedLog == 0 {
		return id
	}
	return l.queues[id]
}

// of returns the id in the log under which a queue is.
func (l *logs) of(queue uint64) uint64 {
	if id, ok := l.newest[queue]; ok {
		return id
	}
	return queue
}

// identify finds out which queues have come from other nodes, and takes the identities out of their states.
func (s *arrivals) identify(recovered map[uint64]*block.Recovered) *logs {
	l := &logs{queues: make(map[uint64]uint64), newest: make(map[uint64]uint64)}
	stamps := make(map[uint64]uint64)
	for id, r := range recovered {
		if id&arrivedLog == 0 || id>>63 != 0 {
			continue
		}
		for i, st := range r.States {
			if st.Desc.Base != queue.ReservedState || len(st.Value) != identityLen {
				continue
			}
			q, stamp := binary.BigEndian.Uint64(st.Value), binary.BigEndian.Uint64(st.Value[8:])
			r.States = append(r.States[:i:i], r.States[i+1:]...)
			l.queues[id] = q
			s.stamp = max(s.stamp, stamp)
			if stamp > stamps[q] {
				stamps[q], l.newest[q] = stamp, id
			}
			break
		}
	}
	return l
}

// begin takes note of an attempt. It replaces an earlier one, which its sender has given up.
func (s *arrivals) begin(from string, m *peerv1.Begin) *arrival {
	b := s.broker
	a := &arrival{from: from, fromRun: m.GetRun(), run: b.run().Incarnation, name: m.GetArrival()}
	s.mu.Lock()
	old := s.byQueue[m.GetQueue()]
	s.byQueue[m.GetQueue()] = a
	identity := s.identity(m.GetQueue())
	if old != nil {
		old.over = true
	}
	s.mu.Unlock()
	if old != nil && old.ready {
		old.Abandon()
	}
	a.Arrival = queue.NewArrival(b.opts.Store, newLogID(), m.GetDurable(), identity)
	return a
}

// finish says that all of a is here, or that it will not come. It returns false if nobody wants it any more.
func (s *arrivals) finish(queue uint64, a *arrival, complete bool) bool {
	s.mu.Lock()
	wanted := complete && !a.over
	a.ready = wanted
	if !wanted && s.byQueue[queue] == a {
		delete(s.byQueue, queue)
	}
	s.mu.Unlock()
	if !wanted {
		a.Abandon()
	}
	return wanted
}

// forget ends an attempt.
func (s *arrivals) forget(from string, queue, name uint64) {
	s.mu.Lock()
	a := s.byQueue[queue]
	if a == nil || a.from != from || a.name != name {
		s.mu.Unlock()
		return
	}
	delete(s.byQueue, queue)
	a.over = true
	ready := a.ready
	s.mu.Unlock()
	if ready {
		a.Abandon()
	}
}

// take returns what has arrived of a queue that this node leads now, nil if there is nothing.
func (s *arrivals) take(queue uint64) *arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byQueue[queue]
	if a == nil || !a.ready {
		return nil
	}
	delete(s.byQueue, queue)
	return a
}

// review gives up what this node will never lead by this attempt. It does not wait.
func (s *arrivals) review(state *meta.State) {
	s.mu.Lock()
	var ended []*arrival
	for id, a := range s.byQueue {
		q := state.QueueByID(id)
		if a.ready && (q == nil || q.Leader != a.from || runOf(state, a.from) != a.fromRun ||
			runOf(state, s.broker.opts.NodeID) != a.run) {
			delete(s.byQueue, id)
			a.over = true
			ended = append(ended, a)
		}
	}
	s.mu.Unlock()
	for _, a := range ended {
		a.Abandon()
	}
}

func runOf(s *meta.State, node string) uint64 {
	if n := s.Node(node); n != nil {
		return n.Incarnation
	}
	return 0
}

// callerOf returns the node that makes a call.
func callerOf(ctx context.Context) (string, error) {
	id, ok := network.Caller(ctx)
	if !ok {
		return "", status.Error(codes.Unauthenticated, "the calling node is not known")
	}
	return id.Node, nil
}

// Receive implements peerv1.MoveServiceServer.
func (m *moves) Receive(stream grpc.ClientStreamingServer[peerv1.ReceiveRequest, peerv1.ReceiveResponse]) error {
	b := m.broker
	caller, err := callerOf(stream.Context())
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	begin := first.GetBegin()
	switch {
	case begin == nil:
		return status.Error(codes.InvalidArgument, "a queue begins with begin")
	case b.owner.Load() == nil || b.stopping.Load():
		return status.Error(codes.Unavailable, "the node is starting or stopping")
	}
	a := b.arrivals.begin(caller, begin)
	err = receiveQueue(stream, a.Arrival)
	if !b.arrivals.finish(begin.GetQueue(), a, err == nil) {
		if err == nil {
			err = errors.New("the move was given up")
		}
		return status.Error(codes.Aborted, err.Error())
	}
	b.arrivals.review(b.State()) // what has changed meanwhile
	return stream.SendAndClose(&peerv1.ReceiveResponse{Run: a.run})
}

// receiveQueue reads a queue up to its end.
func receiveQueue(stream grpc.ClientStreamingServer[peerv1.ReceiveRequest, peerv1.ReceiveResponse], a *queue.Arrival) error {
	var moved queue.MovedQueue
	lanes := make(map[uint32]int)
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the queue has no end")
		}
		if err != nil {
			return err
		}
		switch {
		case r.GetBlock() != nil:
			k, err := receiveBlock(stream, r.GetBlock())
			if err != nil {
				return err
			}
			if err := a.Put(k); err != nil {
				return err
			}
		case r.GetLane() != nil:
			l := r.GetLane()
			i, ok := lanes[l.GetNumber()]
			if !ok {
				i = len(moved.Lanes)
				lanes[l.GetNumber()] = i
				moved.Lanes = append(moved.Lanes, queue.MovedLane{Number: int(l.GetNumber()), Next: l.GetNext(), Fresh: l.GetFresh()})
			}
			for at := 0; at+1 < len(l.GetRequeued()); at += 2 {
				moved.Lanes[i].Requeued = append(moved.Lanes[i].Requeued, queue.Range{First: l.GetRequeued()[at], Last: l.GetRequeued()[at+1]})
			}
		case len(r.GetKeys()) > 0:
			moved.Keys = append(moved.Keys, r.GetKeys())
		case r.GetEnd() != nil:
			e := r.GetEnd()
			moved.Redelivered, moved.Mark, moved.Unacked, moved.Used = e.GetRedelivered(), e.GetMark(), int(e.GetUnacked()), e.GetUsed()
			return a.Finish(&moved)
		}
	}
}

// receiveBlock reads the data of a block.
func receiveBlock(stream grpc.ClientStreamingServer[peerv1.ReceiveRequest, peerv1.ReceiveResponse], k *peerv1.Block) (*queue.MovedBlock, error) {
	if k.GetSize() > block.MaxRecordLen {
		return nil, fmt.Errorf("%w: block of %d bytes at offset %d", block.ErrCorrupt, k.GetSize(), k.GetBase())
	}
	records := make([]byte, 0, k.GetSize())
	for len(records) < int(k.GetSize()) {
		r, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if len(r.GetData()) == 0 || len(records)+len(r.GetData()) > cap(records) {
			return nil, fmt.Errorf("%w: %d bytes of %d at offset %d, and then something else", block.ErrCorrupt, len(records), k.GetSize(), k.GetBase())
		}
		records = append(records, r.GetData()...)
	}
	return &queue.MovedBlock{Base: k.GetBase(), Count: k.GetCount(), Records: records, Gone: k.GetGone(),
		Redelivered: k.GetRedelivered(), Failures: k.GetFailures()}, nil
}
