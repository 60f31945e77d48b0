package server

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// TestExchangeDeduplication publishes what comes again, as clients do.
func TestExchangeDeduplication(t *testing.T) {
	s := startServer(t, Options{})
	conn, err := amqp.Dial("amqp://guest:guest@" + s.Addrs()[0].String())
	check(err)
	defer conn.Close()
	open := func() *amqp.Channel {
		ch, err := conn.Channel()
		check(err)
		return ch
	}
	ch := open()
	const name = "server.once"
	check(ch.ExchangeDeclare(name, "topic", true, false, false, false, amqp.Table{"x-message-deduplication": true}))
	defer func() { check(ch.ExchangeDelete(name, false, false)) }()
	q, err := ch.QueueDeclare("server.once", true, false, true, false, nil)
	check(err)
	for _, key := range []string{"a.*", "*.b"} {
		check(ch.QueueBind(q.Name, key, name, false, nil))
	}
	check(ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp.Return, 10))
	message := func(id any) amqp.Publishing {
		return amqp.Publishing{Headers: amqp.Table{"x-deduplication-header": id}, DeliveryMode: 2, Body: fmt.Append(nil, id)}
	}
	var confirms []*amqp.DeferredConfirmation
	send := func(key string, id any) {
		c, err := ch.PublishWithDeferredConfirm(name, key, true, false, message(id))
		check(err)
		confirms = append(confirms, c)
	}
	send("none", "returned")
	for _, id := range []any{"1", "2", "1", int32(1), int64(1), "returned", "2"} {
		send("a.b", id)
	}
	for _, c := range confirms {
		if !c.Wait() {
			t.Errorf("message %d is refused", c.DeliveryTag)
		}
	}
	if r := <-returns; string(r.Body) != "returned" || len(returns) > 0 {
		t.Errorf("%q came back, and %d more", r.Body, len(returns))
	}

	// Without confirms, and in transactions. What was rolled back is not known.
	plain, tx := open(), open()
	check(tx.Tx())
	check(tx.Publish(name, "a.b", false, false, message("rolled back")))
	check(tx.TxRollback())
	for _, id := range []string{"2", "rolled back", "3", "3"} {
		check(tx.Publish(name, "a.b", false, false, message(id)))
	}
	check(tx.TxCommit())
	check(plain.Publish(name, "a.b", false, false, message("3")))
	check(plain.Publish(name, "a.b", false, false, message("4")))
	check(plain.Publish(name, "a.b", false, false, message("4")))
	check(plain.Publish("", q.Name, false, false, message("4")))
	check(plain.Close())

	for _, want := range []string{"1", "2", "1", "returned", "rolled back", "3", "4", "4"} {
		d, ok, err := ch.Get(q.Name, true)
		check(err)
		if !ok || string(d.Body) != want {
			t.Fatalf("got %q, %t; want %q", d.Body, ok, want)
		}
	}
	if d, ok, err := ch.Get(q.Name, true); ok || err != nil {
		t.Errorf("got %q, %v; want nothing", d.Body, err)
	}
}

// A repetition waits for the message that came first, and is refused with it.
func TestRepetitionWaits(t *testing.T) {
	s := &recorder{}
	r := newRig(t, s)
	q := &storingQueue{patient: true}
	r.queue("q", q)
	r.exchange("x", "fanout")
	r.must(r.builder.SetGuard("/", "x", dedup.NewGuard(dedup.Options{Header: "message_id"}, nil, 0, nil)))
	r.bind("x", "q", "")
	confirmSelect := func(id uint16) *channel {
		ch := r.open(id)
		r.feed(wire.AppendMethod(nil, id, &wire.ConfirmSelect{}))
		return ch
	}
	first, second := confirmSelect(1), confirmSelect(2)
	send := func(id uint16, messageIDs ...string) {
		var b []byte
		for _, m := range messageIDs {
			p := wire.Properties{MessageID: m}
			b = wire.AppendMethod(b, id, &wire.BasicPublish{Exchange: "x"})
			b = wire.AppendContentHeader(b, id, basicClass, 0, p.Append(nil))
		}
		r.feed(b)
	}
	answered := func(ch *channel) (list []*queue.Batch) {
		c := ch.pub.confirms
		c.mu.Lock()
		defer c.mu.Unlock()
		return append(list, c.batches[c.off:]...)
	}
	send(1, "a", "b", "a")
	send(2, "b", "c")
	send(2, "a")
	if n, m := len(answered(first)), len(answered(second)); len(q.open) != 2 || n != 1 || m != 2 {
		t.Fatalf("%d publications, %d and %d batches open; want 2, 1 and 2", len(q.open), n, m)
	}
	batches := append(answered(first), answered(second)...)
	q.open[0].Batch.Refuse(2) // b
	q.answer(1)
	if n := len(answered(second)); n != 2 {
		t.Fatalf("%d batches open before the first messages are safe, want 2", n)
	}
	q.answer(0)
	if n, m := len(answered(first)), len(answered(second)); n+m != 0 {
		t.Fatalf("%d and %d batches open at the end", n, m)
	}
	for i, want := range []string{"[2]", "[1]", "[]"} {
		if got := fmt.Sprint(batches[i].Refused()); got != want {
			t.Errorf("batch %d: %s refused, want %s", i, got, want)
		}
	}
	send(1, "a", "b", "c")
	if n := len(q.messages); n != 4 { // a, b, c, and b again
		t.Errorf("%d messages, want 4", n)
	}
	q.answer(0)
}
