package cluster

import (
	"encoding/binary"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

func TestRedrive(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	_, err := a.DeclareQueue(QueueSpec{Name: "work", Durable: true,
		Arguments: table("x-dead-letter-exchange", "", "x-dead-letter-routing-key", "dead")})
	must(t, err)
	_, err = a.DeclareQueue(QueueSpec{Name: "dead", Durable: true})
	must(t, err)
	work, err := a.QueueForRead("work")
	must(t, err)
	dead, err := a.QueueForRead("dead")
	must(t, err)

	send := func(h queue.Handle, first, count int, headers wire.Table) {
		t.Helper()
		var b block.Block
		properties := wire.Properties{DeliveryMode: 2, Headers: headers, Expiration: "3600000"}
		for i := range count {
			b.Append(&block.Record{Flags: block.Persistent, Exchange: []byte("amq.topic"), RoutingKey: []byte("orders.new"),
				Properties: properties.Append(nil), Body: binary.BigEndian.AppendUint64(nil, uint64(first+i))})
		}
		done := make(chan struct{})
		batch := &queue.Batch{First: 1, Last: uint64(count), Complete: func(*queue.Batch) { close(done) }}
		batch.Add()
		h.Publish(&queue.Publication{Block: b, Batch: batch})
		<-done
	}
	send(dead, 1000, 1, nil) // no dead letter
	send(work, 0, 600, table("kind", "order"))
	for range 600 {
		p, _, ok, err := work.Get(false)
		must(t, err)
		if !ok {
			t.Fatal("work is empty")
		}
		work.Settle(&queue.Settlement{Handle: work, Outcome: queue.Drop, Ranges: []queue.Range{{First: p.First, Last: p.First}}})
	}
	ready := func(h queue.Handle) int {
		s, err := h.Status()
		must(t, err)
		return s.Ready
	}
	eventually(t, "the dead letters arrive", func() bool { return ready(dead) == 601 })

	odd := func(r *block.Record, p *wire.Properties) bool {
		if v, _ := p.Headers.Get("kind"); len(p.Headers) > 0 && v.Str != "order" {
			t.Errorf("headers %v", p.Headers)
		}
		return binary.BigEndian.Uint64(r.Body)%2 == 1
	}
	got, err := a.Redrive(t.Context(), "dead", Redrive{Wanted: odd, DryRun: true})
	if err != nil || got.Total != 601 || got.Sent != 300 || got.Skipped != 301 {
		t.Errorf("dry run: %+v, %v", got, err)
	}
	eventually(t, "the dry run puts everything back", func() bool { return ready(dead) == 601 && ready(work) == 0 })

	told := 0
	got, err = a.Redrive(t.Context(), "dead", Redrive{Wanted: odd, Progress: func(Redriven) { told++ }})
	if err != nil || got.Sent != 300 || got.Skipped != 301 || told == 0 {
		t.Errorf("redriven: %+v, %v; told %d times", got, err, told)
	}
	for i := 1; i < 600; i += 2 {
		number, r := n.take(a, "work")
		p, err := wire.ParseProperties(r.Properties)
		must(t, err)
		if _, dead := p.Headers.Get("x-death"); number != i || dead || len(p.Headers) != 1 || string(r.RoutingKey) != "orders.new" ||
			string(r.Exchange) != "amq.topic" {
			t.Fatalf("message %d for %d from %s with key %s, headers %v", number, i, r.Exchange, r.RoutingKey, p.Headers)
		}
	}

	// What has no origin stays, at its place.
	got, err = a.Redrive(t.Context(), "dead", Redrive{Count: 10, Rate: 1000})
	if err != nil || got.Sent != 9 || got.Skipped != 1 || got.Reason != "it is no dead letter: it has no header x-death" {
		t.Errorf("ten: %+v, %v", got, err)
	}
	eventually(t, "the rest is back", func() bool { return ready(dead) == 292 })
	if number, _ := n.take(a, "dead"); number != 1000 {
		t.Errorf("message %d is first, want the one that is no dead letter", number)
	}

	other := "amq.direct"
	got, err = a.Redrive(t.Context(), "dead", Redrive{Exchange: &other, Count: 1})
	if err != nil || got.Sent != 0 || got.Reason != "exchange 'amq.direct' has no queue for it" {
		t.Errorf("to an exchange without queues: %+v, %v", got, err)
	}
	_, err = a.DeleteQueue("work", false, false)
	must(t, err)
	got, err = a.Redrive(t.Context(), "dead", Redrive{Count: 1})
	if err != nil || got.Sent != 0 || got.Reason != "the queue 'work' that it comes from does not exist" {
		t.Errorf("without the queue: %+v, %v", got, err)
	}
	_, err = a.Redrive(t.Context(), "nowhere", Redrive{})
	want(t, err, "NOT_FOUND - no queue 'nowhere' in vhost '/'")
	eventually(t, "nothing is lost", func() bool { return ready(dead) == 291 })
}
