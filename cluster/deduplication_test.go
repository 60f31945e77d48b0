package cluster

import (
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// publishIDs publishes persistent messages with a deduplication header each, and waits until they are confirmed.
func publishIDs(t *testing.T, h queue.Handle, ids ...string) {
	t.Helper()
	done := make(chan []uint64, 1)
	p := &queue.Publication{Batch: &queue.Batch{First: 1, Last: uint64(len(ids)), Complete: func(b *queue.Batch) { done <- b.Refused() }}}
	for _, id := range ids {
		properties := wire.Properties{Headers: table("x-deduplication-header", id), DeliveryMode: 2}
		p.Block.Append(&block.Record{Flags: block.Persistent, RoutingKey: []byte("q"), Properties: properties.Append(nil)})
	}
	p.Batch.Add()
	h.Publish(p)
	if refused := <-done; len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
}

// A queue drops what it has had, before and after a restart.
func TestQueueDeduplication(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	s := QueueSpec{Name: "q", Durable: true, Arguments: table("x-message-deduplication", true, "x-cache-size", 2)}
	_, err := a.DeclareQueue(s)
	must(t, err)
	messages := func(want int) {
		t.Helper()
		info, err := a.DeclareQueue(s)
		must(t, err)
		if info.Messages != want {
			t.Fatalf("%d messages, want %d", info.Messages, want)
		}
	}
	h, err := a.QueueForRead("q")
	must(t, err)
	publishIDs(t, h, "a", "b", "a")
	publishIDs(t, h, "b", "", "")
	messages(4)
	n.restart()
	a = n.connect()
	h, err = a.QueueForRead("q")
	must(t, err)
	publishIDs(t, h, "a", "b")
	messages(4)
	publishIDs(t, h, "c", "a")
	messages(6)
	s.Arguments = table("x-message-deduplication", true, "x-cache-size", 3)
	_, err = a.DeclareQueue(s)
	want(t, err, "PRECONDITION_FAILED - inequivalent arg 'x-cache-size' for queue 'q' in vhost '/': received '3' but current is '2'")
}

// An exchange drops what it has had, before and after a restart, until it is deleted.
func TestExchangeDeduplication(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	s := ExchangeSpec{Name: "x", Type: "topic", Durable: true, Arguments: table("x-message-deduplication", true, "x-deduplication-header", "id")}
	must(t, a.DeclareExchange(s))
	must(t, a.DeclareExchange(ExchangeSpec{Name: "plain", Type: "topic", Durable: true, Arguments: table("x-message-deduplication", false)}))
	guard := func() *dedup.Guard { return a.Routes().Exchange("x").Guard() }
	take := func(ids ...string) (fresh int) {
		t.Helper()
		c := guard().Claim()
		for i, id := range ids {
			k, ok := guard().Options().KeyOf(&wire.PropertyView{Headers: table("id", id).Encode()})
			if !ok {
				t.Fatal("no key")
			}
			if _, isFresh := c.Take(k, time.Now().UnixMilli(), uint64(i), true); isFresh {
				fresh++
			}
		}
		done := make(chan []uint64)
		go c.Settle(func(seq uint64) bool { return ids[seq] == "refused" }, func(failed []uint64) { done <- failed })
		if failed := <-done; len(failed) > 0 {
			t.Fatalf("not logged: %v", failed)
		}
		return fresh
	}
	if got := take("a", "b", "a", "refused"); got != 3 {
		t.Fatalf("%d are new, want 3", got)
	}
	if a.Routes().Exchange("plain").Guard() != nil {
		t.Error("an exchange without deduplication has a guard")
	}
	// A change of the exchange's bindings keeps what it knows.
	before := guard()
	_, err := a.DeclareQueue(QueueSpec{Name: "q", Durable: true})
	must(t, err)
	must(t, a.BindQueue(BindingSpec{Source: "x", Destination: "q", RoutingKey: "#"}))
	if guard() != before {
		t.Error("a binding has changed the guard")
	}
	n.restart()
	a = n.connect()
	if got := take("a", "b", "refused", "c"); got != 2 {
		t.Fatalf("%d are new after the restart, want 2", got)
	}
	must(t, a.DeleteExchange("x", false))
	must(t, a.DeclareExchange(s))
	if got := take("a"); got != 1 {
		t.Fatal("a new exchange knows what an old one has had")
	}
	n.restart()
	a = n.connect()
	if got := take("a", "b"); got != 1 {
		t.Fatalf("%d are new after the second restart, want b alone", got)
	}
	must(t, a.DeleteExchange("x", false))
	n.restart()
	for id, r := range n.store.Recovered() {
		if len(r.States) > 0 {
			t.Errorf("the log kept %d records of %d", len(r.States), id)
		}
	}
}
