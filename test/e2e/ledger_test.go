//go:build e2e

package e2e

import (
	"fmt"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ledger is what a test knows of messages over several runs of a broker, for the contracts: nothing confirmed is lost, what
// came before a crash comes again with redelivered=true, what was settled for good never comes again, and order holds. It is
// safe for concurrent use.
type ledger struct {
	mu       sync.Mutex
	queues   map[string]map[messageID]*copyState
	received map[deliveryPath]int // last sequence number, in this run
	problems []string
	counts   map[string]int
}

// messageID is written into the body of a message: who published it, and as the how manieth.
type messageID struct {
	publisher string
	seq       int
}

func (id messageID) body() []byte { return fmt.Appendf(nil, "%s %d", id.publisher, id.seq) }

func parseMessageID(body []byte) (id messageID, err error) {
	_, err = fmt.Sscanf(string(body), "%s %d", &id.publisher, &id.seq)
	return id, err
}

// copyState is what happened to one message in one queue.
type copyState struct {
	confirmed bool // the publisher has its confirm
	delivered bool // some consumer had it in an earlier run
	now       bool // some consumer had it in this run
	acked     bool // an acknowledgement was sent, which a crash may undo
	settled   bool // the acknowledgement is durable: it must not come again
}

// deliveryPath is where messages keep their order: one publisher's in one queue, to one consumer.
type deliveryPath struct{ queue, consumer, publisher string }

func newLedger() *ledger {
	return &ledger{queues: map[string]map[messageID]*copyState{}, received: map[deliveryPath]int{}, counts: map[string]int{}}
}

// published notes a message before it is sent to the queues.
func (l *ledger) published(id messageID, queues []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts["published"]++
	for _, q := range queues {
		if l.queues[q] == nil {
			l.queues[q] = map[messageID]*copyState{}
		}
		l.queues[q][id] = &copyState{}
	}
}

func (l *ledger) confirmed(id messageID, queues []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts["confirmed"]++
	for _, q := range queues {
		l.queues[q][id].confirmed = true
	}
}

// delivered notes and checks a delivery. It takes the test for one that never puts messages back itself, so that within one run
// of the broker each message comes once and in order.
func (l *ledger) delivered(queue, consumer string, d *amqp.Delivery) messageID {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, err := parseMessageID(d.Body)
	if err != nil {
		l.problem("%s: a body that nobody published: %.60q", queue, d.Body)
		return id
	}
	l.counts["delivered"]++
	c := l.queues[queue][id]
	switch {
	case c == nil:
		l.problem("%s: %v was never published to this queue", queue, id)
		return id
	case c.now:
		l.problem("%s: %v came twice in one run", queue, id)
	case c.settled:
		l.problem("%s: %v came again after it was settled for good", queue, id)
	case c.delivered && !d.Redelivered:
		l.problem("%s: %v came before the crash and again with redelivered=false", queue, id)
	}
	if c.delivered {
		l.counts["redelivered"]++
	}
	c.now = true
	path := deliveryPath{queue, consumer, id.publisher}
	if last, ok := l.received[path]; ok && last >= id.seq {
		l.problem("%s: consumer %s got %v after %d", queue, consumer, id, last)
	}
	l.received[path] = id.seq
	return id
}

func (l *ledger) acked(queue string, ids []messageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts["acknowledged"] += len(ids)
	for _, id := range ids {
		if c := l.queues[queue][id]; c != nil {
			c.acked = true
		}
	}
}

func (l *ledger) settled(queue string, ids []messageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts["settled"] += len(ids)
	for _, id := range ids {
		if c := l.queues[queue][id]; c != nil {
			c.settled = true
		}
	}
}

// settleAcked makes every acknowledgement sent so far a durable one: the broker has processed them all and ended in order.
func (l *ledger) settleAcked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, copies := range l.queues {
		for _, c := range copies {
			c.settled = c.settled || c.acked
		}
	}
}

// endRun forgets what holds only within one run of the broker.
func (l *ledger) endRun() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.received)
	for _, copies := range l.queues {
		for _, c := range copies {
			c.delivered = c.delivered || c.now
			c.now = false
		}
	}
}

// missing returns how many confirmed messages of the queue have neither come in this run nor been acknowledged.
func (l *ledger) missing(queue string) (n int, example messageID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, c := range l.queues[queue] {
		if c.confirmed && !c.acked && !c.now {
			n++
			example = id
		}
	}
	return n, example
}

// fail notes what a goroutine other than the test's has seen.
func (l *ledger) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem(format, args...)
}

// problem keeps the first problems; a broken broker makes thousands.
func (l *ledger) problem(format string, args ...any) {
	l.counts["problems"]++
	if len(l.problems) < 20 {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

// report fails the test with the problems found so far and forgets them.
func (l *ledger) report(t *testing.T, where string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%s: %v", where, l.counts)
	for _, p := range l.problems {
		t.Errorf("%s: %s", where, p)
	}
	l.problems = nil
}
