package cluster

import (
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
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
