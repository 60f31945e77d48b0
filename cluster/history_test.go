package cluster

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// say publishes persistent messages with these numbers through an exchange and waits until they are safe.
func (n *testNode) say(exchange string, headers wire.Table, numbers ...int) {
	n.t.Helper()
	v := n.routing.Load().VHost("/")
	done := make(chan struct{})
	p := posts{batch: &queue.Batch{First: 1, Last: 1, Complete: func(*queue.Batch) { close(done) }}}
	for _, number := range numbers {
		properties := wire.Properties{DeliveryMode: 2, Headers: headers}
		r := block.Record{Flags: block.Persistent, Arrived: time.Now().UnixMilli(), Deadline: time.Now().UnixMilli() + 3_600_000,
			Exchange: []byte(exchange), RoutingKey: []byte("k"), Properties: properties.Append(nil),
			Body: binary.BigEndian.AppendUint64(nil, uint64(number))}
		for _, q := range v.Route(nil, v.Exchange(exchange), r.RoutingKey, nil, headers.Encode()) {
			p.add(q, &r, 0, false)
		}
	}
	n.send(&p, &queue.Letters{})
	<-done
}

// chat declares a durable exchange "chat" that keeps three messages.
func (n *testNode) chat(a *Access) {
	n.t.Helper()
	must(n.t, a.DeclareExchange(ExchangeSpec{Name: "chat", Type: "x-recent-history", Durable: true,
		Arguments: table("x-recent-history-length", 3)}))
}

// join declares a durable queue and binds it to "chat".
func (n *testNode) join(a *Access, name string) {
	n.t.Helper()
	_, err := a.DeclareQueue(QueueSpec{Name: name, Durable: true})
	must(n.t, err)
	must(n.t, a.BindQueue(BindingSpec{Source: "chat", Destination: name}))
}

// heard returns the numbers of the messages that wait in a queue, which is empty then.
func (n *testNode) heard(a *Access, name string) (numbers []int) {
	n.t.Helper()
	h, err := a.QueueForRead(name)
	must(n.t, err)
	for {
		p, _, ok, err := h.Get(true)
		must(n.t, err)
		if !ok {
			return numbers
		}
		var r block.Record
		_, err = block.Parse(p.Records, p.Tail, &r)
		must(n.t, err)
		if r.Deadline != 0 || p.Redelivered {
			n.t.Errorf("message with deadline %d, redelivered %v", r.Deadline, p.Redelivered)
		}
		numbers = append(numbers, int(binary.BigEndian.Uint64(r.Body)))
	}
}

func (n *testNode) hears(a *Access, name string, numbers ...int) {
	n.t.Helper()
	if got := n.heard(a, name); !slices.Equal(got, numbers) {
		n.t.Errorf("%s got %v, want %v", name, got, numbers)
	}
}

func TestDeclareRecentHistory(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	for _, c := range []struct {
		length any
		text   string
	}{
		{0, "PRECONDITION_FAILED - Invalid argument 0, 'x-recent-history-length' must be a positive integer"},
		{-30, "PRECONDITION_FAILED - Invalid argument -30, 'x-recent-history-length' must be a positive integer"},
		{"1", "PRECONDITION_FAILED - Invalid argument <<\"1\">>, 'x-recent-history-length' must be a positive integer"},
		{100_001, "PRECONDITION_FAILED - Invalid argument 100001, 'x-recent-history-length' must not be above 100000"},
		{100_000, ""},
	} {
		want(t, a.DeclareExchange(ExchangeSpec{Name: "chat", Type: "x-recent-history", Arguments: table("x-recent-history-length", c.length)}), c.text)
	}
	if n.stores() != 1 {
		t.Errorf("%d stores, want 1", n.stores())
	}
	must(t, a.DeleteExchange("chat", false))
	if n.stores() != 0 {
		t.Errorf("%d stores are left", n.stores())
	}
}

// TestRecentHistory checks what a queue gets when it is bound: once for a binding, in order, and without what the header keeps out.
func TestRecentHistory(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.chat(a)
	n.say("chat", nil, 1, 2, 3, 4)
	n.say("chat", table("x-recent-history-no-store", wire.Bool(true)), 5)
	n.say("chat", table("x-recent-history-no-store", wire.Bool(false)), 6)
	n.join(a, "q")
	n.hears(a, "q", 3, 4, 6)
	n.join(a, "q") // there is such a binding
	n.hears(a, "q")
	must(t, a.UnbindQueue(BindingSpec{Source: "chat", Destination: "q"}))
	n.join(a, "q")
	n.hears(a, "q", 3, 4, 6)
	n.say("chat", nil, 7)
	if number, r := n.take(a, "q"); number != 7 || r.Deadline == 0 {
		t.Errorf("got message %d with deadline %d, want 7 with its own", number, r.Deadline)
	}
}

// TestRecentHistoryToExchange brings the history on through an exchange.
func TestRecentHistoryToExchange(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.chat(a)
	n.say("chat", nil, 1, 2)
	_, err := a.DeclareQueue(QueueSpec{Name: "far", Durable: true})
	must(t, err)
	must(t, a.BindQueue(BindingSpec{Source: "amq.direct", Destination: "far", RoutingKey: "k"}))
	must(t, a.BindExchange(BindingSpec{Source: "chat", Destination: "amq.direct"}))
	n.hears(a, "far", 1, 2)
}

// TestRecentHistoryAtOnce has many queues bound at the same time: each gets all of the history.
func TestRecentHistoryAtOnce(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.chat(a)
	n.say("chat", nil, 1, 2, 3)
	var wg sync.WaitGroup
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		wg.Go(func() { n.join(a, name) })
	}
	wg.Wait()
	for _, name := range names {
		n.hears(a, name, 1, 2, 3)
	}
}

// TestRecentHistoryRestart checks that a restart keeps the history and plays it to nobody again, and a crash too.
func TestRecentHistoryRestart(t *testing.T) {
	for name, again := range map[string]func(*testNode){"restart": (*testNode).restart, "crash": (*testNode).crash} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			a := n.connect()
			n.chat(a)
			n.say("chat", nil, 1, 2, 3, 4)
			n.join(a, "q")
			n.hears(a, "q", 2, 3, 4)
			_, err := a.PurgeQueue("q")
			must(t, err)
			again(n)
			a = n.connect()
			if name == "restart" { // acknowledgements of the last moments are lost in a crash
				n.hears(a, "q")
			}
			n.join(a, "later")
			n.hears(a, "later", 2, 3, 4)
			n.say("chat", nil, 5)
			n.join(a, "latest")
			n.hears(a, "latest", 3, 4, 5)
		})
	}
}
