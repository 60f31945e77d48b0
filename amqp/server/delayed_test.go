package server

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestDelayedExchange publishes through an x-delayed-message exchange as clients do, in confirm mode and with mandatory set.
func TestDelayedExchange(t *testing.T) {
	s := startServer(t, Options{})
	conn, err := amqp.Dial("amqp://guest:guest@" + s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	check(err)
	check(ch.ExchangeDeclare("server.late", "x-delayed-message", false, false, false, false, amqp.Table{"x-delayed-type": "topic"}))
	defer func() { check(ch.ExchangeDelete("server.late", false, false)) }()
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	check(err)
	check(ch.QueueBind(q.Name, "a.*", "server.late", false, nil))
	deliveries, err := ch.Consume(q.Name, "", true, true, false, false, nil)
	check(err)
	check(ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp.Return, 10))

	send := func(key, body string, delay any) {
		headers := amqp.Table{}
		if delay != nil {
			headers["x-delay"] = delay
		}
		c, err := ch.PublishWithDeferredConfirm("server.late", key, true, false,
			amqp.Publishing{Headers: headers, DeliveryMode: 2, Body: []byte(body)})
		check(err)
		if !c.Wait() {
			t.Errorf("%s is refused", body)
		}
	}
	large := fmt.Sprintf("%050000d", 0)
	start := time.Now().Truncate(time.Millisecond) // as the broker counts
	send("a.b", "fourth", int32(300))
	send("a.b", large, int64(200))
	send("a.b", "second", "100")
	send("none", "nobody's", int32(10))
	send("a.b", "first", int32(-100))
	send("none", "returned", nil)
	for _, want := range []struct {
		body    string
		delay   time.Duration
		negated any
	}{
		{"first", 0, int32(-100)},
		{"second", 100 * time.Millisecond, int64(-100)},
		{large, 200 * time.Millisecond, int64(-200)},
		{"fourth", 300 * time.Millisecond, int32(-300)},
	} {
		select {
		case d := <-deliveries:
			if string(d.Body) != want.body || d.Headers["x-delay"] != want.negated || d.Exchange != "server.late" || d.RoutingKey != "a.b" {
				t.Errorf("got %.20q with %v from %s, %s; want %.20q with %v", d.Body, d.Headers, d.Exchange, d.RoutingKey, want.body, want.negated)
			}
			if passed := time.Since(start); passed < want.delay {
				t.Errorf("%.20q after %v", d.Body, passed)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%.20q does not come", want.body)
		}
	}
	select {
	case r := <-returns:
		if string(r.Body) != "returned" {
			t.Errorf("%s came back", r.Body)
		}
	case <-time.After(5 * time.Second):
		t.Error("the message without a delay is not returned")
	}
}
