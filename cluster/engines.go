package cluster

import (
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
)

// engines are the queues that this node leads. The map changes only while a state takes effect, so whoever read-locks
// Broker.mu sees the engines that fit the state; mu is for those who look for one engine only.
type engines struct {
	broker *Broker

	mu   sync.RWMutex
	byID map[uint64]*engine
	// former are engines of queues that have moved to other nodes: they pass on what still comes here.
	former map[uint64]*engine
	// gates stand for queues that have moved since this node runs.
	gates map[uint64]*gate
}

// engine is a queue that this node leads.
type engine struct {
	def   *meta.Queue
	queue *queue.Queue
	since uint64 // see source
	// settings are what arguments and policies make of the queue.
	settings atomic.Pointer[policy.Settings]
	// policies are the names of the policy and the operator policy in force.
	policies atomic.Pointer[[2]string]

	// deleting is held from the engine's word that the queue may go until the cluster has agreed or refused, so that a
	// second delete does not take the first one's outcome for granted.
	deleting sync.Mutex
	// moving is held while the queue is being moved to another node.
	moving sync.Mutex

	mu sync.Mutex // guards the rest
	// departure is not nil while the queue is held still to be moved; left is closed when it has.
	departure *queue.Departure
	left      chan struct{}
	// leaving is not nil while an auto-delete queue without consumers is being deleted; it is closed when that is over.
	leaving chan struct{}
	again   bool // the last consumer left once more while leaving
}

// source is where a queue's messages come from. The zero source is that of a new queue.
type source struct {
	log       uint64           // id in the log, 0 for the queue's
	recovered *block.Recovered // found in the log
	arrival   *queue.Arrival   // sent by the node that led the queue before
	since     uint64           // index of the metadata at which this node became the leader, 0 if it was when it started
}

// start makes the engine of q if there is none.
func (s *engines) start(q *meta.Queue, from source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[q.ID] != nil {
		return
	}
	e := &engine{def: q, since: from.since, left: make(chan struct{})}
	o := &s.broker.opts
	set, names := s.broker.settingsOf(q)
	e.settings.Store(set)
	e.policies.Store(names)
	settings, deadLetter := engineSettings(set), func(l *queue.Letters) { s.broker.deadLetter(e, l) }
	name, store := q.StoreOf()
	delays := store && !q.KeepsHistory()
	switch {
	case delays:
		settings.DeadLetters = true
		deadLetter = func(l *queue.Letters) { s.broker.routeDue(e, name, l) }
	case store:
		settings.MaxLength, settings.MaxBytes = int64(exchange.HistoryLength(q.Arguments)), historyBytes
	}
	e.queue = queue.New(queue.Options{
		ID:         q.ID,
		Name:       q.Name,
		Durable:    q.Durable,
		AutoDelete: q.AutoDelete,
		Log:        o.Store,
		LogID:      from.log,
		Recovered:  from.recovered,
		Arrival:    from.arrival,
		Memory:     o.Memory,
		OnUnused:   func() { s.broker.unused(e) },
		OnExpired:  func() { s.broker.expired(e) },

		MaxPriority:  set.MaxPriority,
		SingleActive: set.SingleActiveConsumer,
		Settings:     settings,
		Delays:       delays,
		DeadLetter:   deadLetter,
		Forward:      func(to queue.Handle, p *queue.Publication) { s.broker.forwardLetters(q.ID, to, p) },
		Logger:       o.Logger,

		Deduplication: deduplication(set.Deduplication),
	})
	s.byID[q.ID] = e
	if s.broker.running && !store {
		s.broker.figures.created.Add(1)
	}
}

// drop ends the engine of a queue that is gone, and its stored messages. It does not wait.
func (s *engines) drop(id uint64) {
	s.mu.Lock()
	e, f := s.byID[id], s.former[id]
	delete(s.byID, id)
	delete(s.former, id)
	delete(s.gates, id)
	s.mu.Unlock()
	if e != nil {
		if e.def.Type != meta.TypeStore {
			s.broker.figures.deleted.Add(1)
		}
		e.queue.Drop()
	}
	if f != nil {
		f.queue.Drop()
	}
}

// stop ends all engines and leaves their messages in the log. The stores of exchanges go first: what they give up meanwhile still
// finds the queues where it belongs.
func (s *engines) stop() {
	all := s.all()
	for _, stores := range []bool{true, false} {
		for _, e := range all {
			if (e.def.Type == meta.TypeStore) == stores {
				e.queue.Stop()
			}
		}
	}
}

// get returns the engine of a queue, nil if this node does not have it.
func (s *engines) get(id uint64) *engine {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byID[id]
}

// handle returns what stands for q on this node.
func (s *engines) handle(q *meta.Queue) queue.Handle {
	s.mu.RLock()
	g := s.gates[q.ID]
	s.mu.RUnlock()
	if g != nil && g.leader == q.Leader {
		return g
	}
	return s.direct(q)
}

// direct is handle for a queue that has not moved.
func (s *engines) direct(q *meta.Queue) queue.Handle {
	if e := s.get(q.ID); e != nil {
		return e.queue
	}
	if q.Leader == s.broker.opts.NodeID {
		return absent{id: q.ID, err: queue.ErrGone}
	}
	if s.broker.links == nil {
		return absent{id: q.ID, err: queue.ErrUnavailable}
	}
	return s.broker.links.Queue(q.Leader, q.ID)
}

// all returns the engines there are.
func (s *engines) all() []*engine {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*engine, 0, len(s.byID))
	for _, e := range s.byID {
		all = append(all, e)
	}
	return all
}

// lockDelete keeps others from deleting the queue until the returned function is called.
func (s *engines) lockDelete(id uint64) (unlock func()) {
	e := s.get(id)
	if e == nil {
		return func() {}
	}
	e.deleting.Lock()
	return e.deleting.Unlock
}

// goodbye returns what to wait for while e is on its way out for want of consumers, nil if it is not.
func (e *engine) goodbye() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leaving
}

// leave notes that e must go. It returns false if somebody is seeing to that already.
func (e *engine) leave() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaving != nil {
		e.again = true
		return false
	}
	e.leaving = make(chan struct{})
	return true
}

// stay notes that e has consumers again. It returns false if the last one has left since, so that e must go after all.
func (e *engine) stay() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.again {
		e.again = false
		return false
	}
	close(e.leaving)
	e.leaving = nil
	return true
}

// gone ends the departure: the queue is deleted, or the broker is closing.
func (e *engine) gone() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.leaving)
	e.leaving = nil
}
