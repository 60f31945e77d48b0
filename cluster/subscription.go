package cluster

import (
	"sync"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Event is what the broker says on the event exchange: a name such as queue.created, and the particulars by RabbitMQ's names.
type Event struct {
	Time    time.Time
	Name    string
	Details wire.Table // must not be written to
}

// Subscription receives the events that this node tells: those of the metadata if it leads that, those of its connections, channels
// and logins always.
type Subscription struct {
	events *events
	c      chan Event
	once   sync.Once
	lagged chan struct{}
}

// Subscribe begins to receive events. Up to buffer of them (at least 1) wait for the subscriber; when there are more, the subscription ends, see
// Lagged. Close must be called.
func (b *Broker) Subscribe(buffer int) *Subscription {
	s := &Subscription{events: &b.events, c: make(chan Event, max(buffer, 1)), lagged: make(chan struct{})}
	e := &b.events
	e.mu.Lock()
	if e.subscribers == nil {
		e.subscribers = make(map[*Subscription]struct{})
	}
	e.subscribers[s] = struct{}{}
	e.subscribed.Store(true)
	e.mu.Unlock()
	e.look()
	return s
}

// Events delivers the events in the order in which they were told. It is never closed.
func (s *Subscription) Events() <-chan Event { return s.c }

// Lagged is closed when the subscriber was too slow; nothing more comes then.
func (s *Subscription) Lagged() <-chan struct{} { return s.lagged }

// Close ends the subscription. It may be called again.
func (s *Subscription) Close() {
	e := s.events
	e.mu.Lock()
	delete(e.subscribers, s)
	e.subscribed.Store(len(e.subscribers) > 0)
	e.mu.Unlock()
	e.look()
}

// tell hands an event to the subscribers and never waits for one.
func (e *events) tell(ev Event) {
	if !e.subscribed.Load() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.subscribers {
		select {
		case s.c <- ev:
		default:
			s.once.Do(func() { close(s.lagged) })
			delete(e.subscribers, s)
		}
	}
	e.subscribed.Store(len(e.subscribers) > 0)
}
