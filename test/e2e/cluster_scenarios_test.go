//go:build e2e

package e2e

import (
	"bytes"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// scenarios are what TestClusterMessages plays. Each must write down the same wherever the client and the queue are.
var scenarios = []struct {
	name string
	play func(*stage)
}{
	{"confirms", playConfirms},
	{"mandatory", playMandatory},
	{"prefetch", playPrefetch},
	{"consumer priorities", playConsumerPriorities},
	{"single active consumer", playSingleActive},
	{"exclusive consumer", playExclusiveConsumer},
	{"get", playGet},
	{"requeue", playRequeue},
	{"recover", playRecover},
	{"purge", playPurge},
	{"conditional delete", playConditionalDelete},
	{"transactions", playTransactions},
	{"dead letters", playDeadLetters},
	{"priorities", playPriorities},
	{"length limits", playLengthLimits},
	{"direct reply", playDirectReply},
	{"large bodies", playLargeBodies},
	{"auto-delete", playAutoDelete},
	{"refusals", playRefusals},
	{"cancelled by deletion", playCancelledByDeletion},
	{"two consumers", playTwoConsumers},
}

// playConfirms publishes transient and persistent messages to a queue and through a fanout, and consumes them in order.
func playConfirms(s *stage) {
	q := s.queue("q", nil)
	x := s.name("x")
	s.check("exchange", s.ch.ExchangeDeclare(x, amqp.ExchangeFanout, true, false, false, false, nil))
	s.check("bind", s.ch.QueueBind(q, "", x, false, nil))
	var messages []amqp.Publishing
	for i := range 100 {
		messages = append(messages, amqp.Publishing{
			DeliveryMode: uint8(1 + i%2), Body: []byte{byte('A' + i%26)}, Priority: uint8(i % 3), ContentType: "text/plain",
			Headers: amqp.Table{"n": int32(i)},
		})
	}
	for i, ok := range append(s.publishVia(s.client, "", q, messages...), s.publishVia(s.client, x, "some.key", messages...)...) {
		if !ok {
			s.note("message %d nacked", i)
		}
	}
	_, deliveries := s.consume(q, "all", 0, true, false, nil)
	for range 200 {
		s.next("all", deliveries)
	}
	s.counts(q, 0, 1)
}

func playMandatory(s *stage) {
	q := s.queue("q", nil)
	x := s.name("x")
	s.check("exchange", s.ch.ExchangeDeclare(x, amqp.ExchangeTopic, true, false, false, false, nil))
	for _, bound := range []bool{false, true} {
		if bound {
			s.check("bind", s.ch.QueueBind(q, "#", x, false, nil))
		}
		ch := openChannel(s.t, s.client)
		returns := ch.NotifyReturn(make(chan amqp.Return, 1))
		s.check("confirm.select", ch.Confirm(false))
		c, err := ch.PublishWithDeferredConfirm(x, "a.b", true, false, amqp.Publishing{Body: []byte("m")})
		s.check("publish", err)
		acked, err := c.WaitContext(s.context())
		s.check("confirm", err)
		select {
		case r := <-returns:
			s.note("returned: %d %s %q %q %q", r.ReplyCode, r.ReplyText, r.Exchange, r.RoutingKey, r.Body)
		default:
			s.note("not returned")
		}
		s.note("acked %t", acked)
	}
	s.get(q, true)
}

func playPrefetch(s *stage) {
	q := s.queue("q", nil)
	s.fill(q, "abcdefghij")
	ch, deliveries := s.consume(q, "c", 3, false, false, nil)
	first := s.next("c", deliveries)
	s.next("c", deliveries)
	s.next("c", deliveries)
	s.counts(q, 7, 1)
	s.check("ack", first.Ack(false))
	fourth := s.next("c", deliveries)
	s.counts(q, 6, 1)
	s.check("ack", fourth.Ack(true))
	for range 3 {
		s.next("c", deliveries)
	}
	s.counts(q, 3, 1)
	s.check("close", ch.Close())
	s.counts(q, 6, 0)
	for range 6 {
		s.get(q, true)
	}
}

func playConsumerPriorities(s *stage) {
	q := s.queue("q", nil)
	_, low := s.consume(q, "low", 0, false, false, nil)
	_, high := s.consume(q, "high", 3, false, false, amqp.Table{"x-priority": int32(10)})
	s.fill(q, "abcde")
	for range 3 {
		s.next("high", high)
	}
	for range 2 {
		s.next("low", low)
	}
}

func playSingleActive(s *stage) {
	q := s.queue("q", amqp.Table{"x-single-active-consumer": true})
	ch1, one := s.consume(q, "one", 0, false, false, nil)
	_, two := s.consume(q, "two", 0, false, false, nil)
	s.fill(q, "abc")
	for range 3 {
		s.next("one", one)
	}
	s.counts(q, 0, 2)
	s.check("close", ch1.Close())
	for range 3 {
		s.next("two", two)
	}
	s.fill(q, "d")
	s.next("two", two)
}

func playExclusiveConsumer(s *stage) {
	q := s.queue("q", nil)
	ch, _ := s.consume(q, "alone", 0, false, true, nil)
	other := openChannel(s.t, s.leader)
	_, err := other.Consume(q, "late", false, false, false, false, nil)
	s.refused("beside an exclusive one", err)
	other = openChannel(s.t, s.client)
	_, err = other.Consume(q, "late", false, true, false, false, nil)
	s.refused("exclusive beside an exclusive one", err)
	s.check("cancel", ch.Cancel("alone", false))
	s.consume(q, "shared", 0, false, false, nil)
	other = openChannel(s.t, s.client)
	_, err = other.Consume(q, "late", false, true, false, false, nil)
	s.refused("exclusive beside a shared one", err)
}

func playGet(s *stage) {
	q := s.queue("q", nil)
	s.get(q, true)
	s.fill(q, "abc")
	first, _ := s.get(q, false)
	s.get(q, true)
	s.check("reject", first.Reject(true))
	s.counts(q, 2, 0)
	again, _ := s.get(q, false)
	s.check("ack", again.Ack(false))
	s.get(q, true)
	s.get(q, true)
}

func playRequeue(s *stage) {
	q := s.queue("q", nil)
	s.fill(q, "abcdef")
	ch, deliveries := s.consume(q, "c", 4, false, false, nil)
	var got []amqp.Delivery
	for range 4 {
		got = append(got, s.next("c", deliveries))
	}
	s.check("cancel", ch.Cancel("c", false))
	s.check("reject", got[1].Reject(true))
	s.check("nack", got[2].Nack(true, true))
	s.check("reject", got[3].Reject(false))
	s.counts(q, 5, 0)
	for range 5 {
		s.get(q, true)
	}
}

func playRecover(s *stage) {
	q := s.queue("q", nil)
	s.fill(q, "abc")
	ch, deliveries := s.consume(q, "c", 0, false, false, nil)
	for range 3 {
		s.next("c", deliveries)
	}
	s.check("recover", ch.Recover(true)) //lint:ignore SA1019 basic.recover is what this is about
	for range 3 {
		s.next("c", deliveries)
	}
}

func playPurge(s *stage) {
	q := s.queue("q", nil)
	s.fill(q, "abcdefg")
	d, _ := s.get(q, false)
	n, err := s.ch.QueuePurge(q, false)
	s.check("purge", err)
	s.note("purged %d", n)
	s.check("nack", d.Nack(false, true))
	s.counts(q, 1, 0)
	n, err = s.ch.QueueDelete(q, false, false, false)
	s.check("delete", err)
	s.note("deleted with %d", n)
}

func playConditionalDelete(s *stage) {
	q := s.queue("q", nil)
	s.fill(q, "ab")
	attempt := func(what string, ifUnused, ifEmpty bool) {
		ch := openChannel(s.t, s.client)
		n, err := ch.QueueDelete(q, ifUnused, ifEmpty, false)
		s.refused(what, err)
		s.note("deleted %d", n)
	}
	attempt("not empty", false, true)
	ch, deliveries := s.consume(q, "c", 0, true, false, nil)
	s.next("c", deliveries)
	s.next("c", deliveries)
	attempt("in use", true, false)
	s.check("cancel", ch.Cancel("c", false))
	s.counts(q, 0, 0)
	attempt("unused and empty", true, true)
	attempt("gone", false, false)
}

func playTransactions(s *stage) {
	q := s.queue("q", nil)
	ch := openChannel(s.t, s.client)
	s.check("tx.select", ch.Tx())
	publish := func(body string) {
		s.check("publish", ch.Publish("", q, false, false, amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent}))
	}
	publish("rolled back")
	s.check("rollback", ch.TxRollback())
	publish("one")
	publish("two")
	s.counts(q, 0, 0)
	s.check("commit", ch.TxCommit())
	s.counts(q, 2, 0)
	d, _, err := ch.Get(q, false)
	s.check("get", err)
	s.check("ack", d.Ack(false))
	s.check("rollback", ch.TxRollback())
	s.check("ack", d.Ack(false))
	s.check("commit", ch.TxCommit())
	s.check("close", ch.Close())
	s.counts(q, 1, 0)
	s.get(q, true)
}

// playDeadLetters lets messages expire, rejects some and drops some, into a queue that another node leads.
func playDeadLetters(s *stage) {
	dlq := s.declareOn(s.third, "dlq", nil)
	route := func(args amqp.Table) amqp.Table {
		args["x-dead-letter-exchange"] = ""
		args["x-dead-letter-routing-key"] = dlq
		return args
	}
	_, dead := s.consume(dlq, "dead", 0, true, false, nil)
	ttl := s.queue("ttl", route(amqp.Table{"x-message-ttl": int32(20)}))
	s.fill(ttl, "ab")
	s.next("expired", dead)
	s.next("expired", dead)
	plain := s.queue("plain", route(amqp.Table{}))
	s.publish("", plain, amqp.Publishing{Body: []byte("own time"), Expiration: "20", Headers: amqp.Table{"kept": "yes"}})
	s.next("expired", dead)
	s.fill(plain, "cd")
	d, _ := s.get(plain, false)
	s.check("reject", d.Reject(false))
	s.next("rejected", dead)
	d, _ = s.get(plain, false)
	s.check("nack", d.Nack(true, false))
	s.next("rejected", dead)
	short := s.queue("short", route(amqp.Table{"x-max-length": int32(1)}))
	s.fill(short, "ef")
	s.next("dropped", dead)
	s.get(short, true)
	s.counts(dlq, 0, 1)
}

func playPriorities(s *stage) {
	q := s.queue("q", amqp.Table{"x-max-priority": int32(5)})
	for i, p := range []uint8{1, 5, 3, 0, 5, 9} {
		s.publish("", q, amqp.Publishing{Priority: p, Body: []byte{byte('a' + i)}})
	}
	for range 6 {
		s.get(q, true)
	}
}

func playLengthLimits(s *stage) {
	refusing := s.queue("refusing", amqp.Table{"x-max-length": int32(3), "x-overflow": "reject-publish"})
	for range 5 {
		s.note("acked %t", s.publish("", refusing, amqp.Publishing{Body: []byte("m"), DeliveryMode: amqp.Persistent}))
	}
	s.counts(refusing, 3, 0)
	dropping := s.queue("dropping", amqp.Table{"x-max-length-bytes": int32(4)})
	s.fill(dropping, "abcdefg")
	s.counts(dropping, 4, 0)
	for range 4 {
		s.get(dropping, true)
	}
}

// playDirectReply has a client ask a server on the leader's node, which answers to the client's pseudo-queue.
func playDirectReply(s *stage) {
	q := s.queue("q", nil)
	server := openChannel(s.t, s.leader)
	questions, err := server.Consume(q, "server", true, false, false, false, nil)
	s.check("consume", err)
	answers, err := s.ch.Consume("amq.rabbitmq.reply-to", "client", true, false, false, false, nil)
	s.check("consume replies", err)
	for _, question := range []string{"one", "two"} {
		s.check("publish", s.ch.Publish("", q, false, false, amqp.Publishing{
			Body: []byte(question), ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: question,
		}))
		select {
		case d := <-questions:
			if !strings.HasPrefix(d.ReplyTo, "amq.rabbitmq.reply-to.") {
				s.note("reply-to %q", d.ReplyTo)
			}
			s.check("reply", server.Publish("", d.ReplyTo, false, false, amqp.Publishing{
				Body: []byte("answer to " + question), CorrelationId: d.CorrelationId,
			}))
		case <-time.After(patience):
			s.t.Fatalf("%s: no question", s.prefix)
		}
		select {
		case d := <-answers:
			s.note("%q for %q, redelivered %t, exchange %q", d.Body, d.CorrelationId, d.Redelivered, d.Exchange)
		case <-time.After(patience):
			s.t.Fatalf("%s: no answer", s.prefix)
		}
	}
}

func playLargeBodies(s *stage) {
	q := s.queue("q", nil)
	sizes := []int{10 << 20, 0, 1 << 20, 32 << 10, 131064, 131065}
	body := func(i int) []byte {
		return bytes.Repeat([]byte{byte('a' + i), byte(i), 0, 0xCE}, (sizes[i]+3)/4)[:sizes[i]]
	}
	for i := range sizes {
		s.note("acked %t", s.publish("", q, amqp.Publishing{Body: body(i), DeliveryMode: amqp.Persistent}))
	}
	ch, deliveries := s.consume(q, "c", 1, false, false, nil)
	for i := range sizes {
		d := s.next("c", deliveries)
		if !bytes.Equal(d.Body, body(i)) {
			s.note("body %d is not what was published", i)
		}
		s.check("ack", d.Ack(false))
	}
	s.check("close", ch.Close())
	s.counts(q, 0, 0)
}

func playAutoDelete(s *stage) {
	at := openChannel(s.t, s.leader)
	q := s.name("q")
	_, err := at.QueueDeclare(q, true, true, false, false, nil)
	s.check("declare", err)
	s.fill(q, "a")
	ch, deliveries := s.consume(q, "c", 0, true, false, nil)
	s.next("c", deliveries)
	s.check("cancel", ch.Cancel("c", false))
	gone := func() error {
		ch := openChannel(s.t, s.client)
		defer ch.Close()
		_, err := ch.QueueDeclarePassive(q, true, true, false, false, nil)
		return err
	}
	begin := time.Now()
	for err = gone(); err == nil && time.Since(begin) < patience; err = gone() {
		time.Sleep(2 * time.Millisecond)
	}
	s.refused("after the last consumer", err)
}

func playRefusals(s *stage) {
	q := s.queue("q", amqp.Table{"x-max-priority": int32(5)})
	try := func(what string, f func(*amqp.Channel) error) {
		s.refused(what, f(openChannel(s.t, s.client)))
	}
	try("other arguments", func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(q, true, false, false, false, amqp.Table{"x-max-priority": int32(6)})
		return err
	})
	try("not durable", func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(q, false, false, false, false, amqp.Table{"x-max-priority": int32(5)})
		return err
	})
	try("no queue to consume", func(ch *amqp.Channel) error {
		_, err := ch.Consume(s.name("none"), "c", true, false, false, false, nil)
		return err
	})
	try("no queue to get from", func(ch *amqp.Channel) error {
		_, _, err := ch.Get(s.name("none"), true)
		return err
	})
	try("no queue to purge", func(ch *amqp.Channel) error {
		_, err := ch.QueuePurge(s.name("none"), false)
		return err
	})
	try("no queue to bind", func(ch *amqp.Channel) error { return ch.QueueBind(s.name("none"), "", "amq.topic", false, nil) })
	try("no exchange to bind to", func(ch *amqp.Channel) error { return ch.QueueBind(q, "", s.name("none"), false, nil) })
	try("wrong argument of a consumer", func(ch *amqp.Channel) error {
		_, err := ch.Consume(q, "c", true, false, false, false, amqp.Table{"x-priority": "high"})
		return err
	})
	// An exclusive queue belongs to the connection on the leader's node.
	at := openChannel(s.t, s.leader)
	own := s.name("own")
	_, err := at.QueueDeclare(own, false, false, true, false, nil)
	s.check("declare", err)
	try("consume from another's queue", func(ch *amqp.Channel) error {
		_, err := ch.Consume(own, "c", true, false, false, false, nil)
		return err
	})
	try("get from another's queue", func(ch *amqp.Channel) error {
		_, _, err := ch.Get(own, true)
		return err
	})
	try("declare another's queue", func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(own, false, false, true, false, nil)
		return err
	})
	try("delete another's queue", func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(own, false, false, false)
		return err
	})
	s.note("publish to another's queue: acked %t", s.publish("", own, amqp.Publishing{Body: []byte("m")}))
}

// playCancelledByDeletion deletes a queue under its consumer by way of the leader's node.
func playCancelledByDeletion(s *stage) {
	q := s.queue("q", nil)
	s.fill(q, "a")
	ch, deliveries := s.consume(q, "c", 0, false, false, nil)
	cancels := ch.NotifyCancel(make(chan string, 1))
	d := s.next("c", deliveries)
	_, err := openChannel(s.t, s.leader).QueueDelete(q, false, false, false)
	s.check("delete", err)
	select {
	case tag := <-cancels:
		s.note("cancelled %s", tag)
	case <-time.After(patience):
		s.t.Fatalf("%s: not cancelled", s.prefix)
	}
	s.check("ack of what is gone", d.Ack(false))
	s.check("the channel goes on", ch.Qos(1, 0, false))
}

// playTwoConsumers has a consumer on the client's node and one on the leader's share a queue.
func playTwoConsumers(s *stage) {
	q := s.queue("q", nil)
	_, one := s.consume(q, "one", 1, false, false, nil)
	other := openChannel(s.t, s.leader)
	s.check("qos", other.Qos(1, 0, false))
	two, err := other.Consume(q, "two", false, false, false, false, nil)
	s.check("consume", err)
	s.fill(q, "abcd")
	d1, d2 := s.next("one", one), s.next("two", two)
	s.counts(q, 2, 2)
	s.check("ack", d2.Ack(false))
	s.next("two", two)
	s.check("ack", d1.Ack(false))
	s.next("one", one)
}
