package admin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"google.golang.org/grpc/codes"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// A message is followed from its publisher to its end, in confirm mode, without it, and in a transaction; others are not.
func TestTrace(t *testing.T) {
	r := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, ch := r.amqp()
	_, err := ch.QueueDeclare("dead", false, false, false, false, nil)
	must(t, err)
	_, err = ch.QueueDeclare("q", false, false, false, false, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
	must(t, err)
	deliveries, err := ch.Consume("q", "", false, false, false, false, nil)
	must(t, err)

	bad, err := adminv1.NewMessageServiceClient(r.local).TraceMessages(ctx, &adminv1.TraceMessagesRequest{Filter: &adminv1.MessageFilter{BodyContains: "x"}})
	must(t, err)
	_, err = bad.Recv()
	wantCode(t, err, codes.InvalidArgument, "filter.body_contains")

	stream, err := adminv1.NewMessageServiceClient(r.local).TraceMessages(ctx, &adminv1.TraceMessagesRequest{Vhost: "/",
		Filter: &adminv1.MessageFilter{MessageId: "wanted"}})
	must(t, err)
	_, err = stream.Header()
	must(t, err)
	publish := func(ch *amqp.Channel, id string) {
		t.Helper()
		must(t, ch.Publish("", "q", false, false, amqp.Publishing{MessageId: id, Body: []byte("body"), Headers: amqp.Table{"h": "x"}}))
	}
	// The steps of one message come from several goroutines: only their number counts.
	steps := func(n int) []string {
		t.Helper()
		var list []string
		for range n {
			m, err := stream.Recv()
			must(t, err)
			if m.GetMessageId() != "wanted" || m.GetBodySize() != 4 || m.GetVhost() != "/" {
				t.Errorf("step: %v", m)
			}
			list = append(list, fmt.Sprintf("%s %s%v", m.GetStep().String()[len("TRACE_STEP_"):], m.GetQueue(), m.GetQueues()))
		}
		slices.Sort(list)
		return list
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	publish(ch, "other")
	other := <-deliveries
	must(t, other.Ack(false))
	publish(ch, "wanted")
	d := <-deliveries
	must(t, d.Ack(false))
	want(steps(6), "ACK q[]", "COMMIT q[]", "DELIVER q[]", "ENQUEUE q[]", "PUBLISH []", "ROUTE [q]")

	_, confirming := r.amqp()
	must(t, confirming.Confirm(false))
	confirmed := confirming.NotifyPublish(make(chan amqp.Confirmation, 1))
	publish(confirming, "wanted")
	if c := <-confirmed; !c.Ack {
		t.Error("a followed message was refused")
	}
	d = <-deliveries
	must(t, d.Nack(false, false))
	want(steps(6), "COMMIT q[]", "DEAD_LETTER q[dead]", "DELIVER q[]", "ENQUEUE q[]", "PUBLISH []", "ROUTE [q]")

	_, tx := r.amqp()
	must(t, tx.Tx())
	publish(tx, "wanted")
	must(t, tx.TxRollback())
	want(steps(2), "PUBLISH []", "ROUTE [q]")
	publish(tx, "wanted")
	must(t, tx.TxCommit())
	d = <-deliveries
	must(t, d.Ack(false))
	want(steps(6), "ACK q[]", "COMMIT q[]", "DELIVER q[]", "ENQUEUE q[]", "PUBLISH []", "ROUTE [q]")
}
