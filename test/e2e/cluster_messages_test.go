//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestClusterMessages plays the same scenarios for each pair of a node that the client is connected to and a node that leads the
// queues, and requires that the client sees the same everywhere.
func TestClusterMessages(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			want := ""
			for i := range 9 {
				client, leader := g.nodes[i%3], g.nodes[(i%3+i/3)%3] // the local pairs come first
				s := newStage(t, sc.name, client, leader, g.nodes[(leader.index+1)%3])
				sc.play(s)
				got := s.finish()
				switch {
				case t.Failed():
					t.Fatalf("client on %s, leader %s:\n%s", client.name, leader.name, got)
				case want == "":
					want = got
				case got != want:
					t.Errorf("client on %s, leader %s:\n%s\nwant, as on %s alone:\n%s", client.name, leader.name, got, g.nodes[0].name, want)
				}
			}
			t.Logf("everywhere:\n%s", want)
		})
	}
}

// stage is what one scenario of one pair plays on. It writes down what a client sees.
type stage struct {
	t      *testing.T
	prefix string // of the names of this play
	client *amqp.Connection
	leader *amqp.Connection // for declarations: queues are led by the node where they are declared
	third  *amqp.Connection // to a node that is not the leader
	ch     *amqp.Channel    // on client
	log    strings.Builder
}

func newStage(t *testing.T, name string, client, leader, third *member) *stage {
	t.Helper()
	s := &stage{t: t, prefix: fmt.Sprintf("%s-%d%d-", strings.ReplaceAll(name, " ", "-"), client.index, leader.index)}
	for at, m := range map[**amqp.Connection]*member{&s.client: client, &s.leader: leader, &s.third: third} {
		conn, err := m.tryDial()
		if err != nil {
			t.Fatalf("dial: %v", err)
		}
		*at = conn
	}
	s.ch = openChannel(t, s.client)
	return s
}

// finish closes the connections and returns what was seen, with names that are the same for all pairs.
func (s *stage) finish() string {
	for _, conn := range []*amqp.Connection{s.client, s.leader, s.third} {
		closeQuietly(conn)
	}
	return strings.ReplaceAll(s.log.String(), s.prefix, "")
}

func (s *stage) name(name string) string { return s.prefix + name }

// note writes down a line.
func (s *stage) note(format string, args ...any) { fmt.Fprintf(&s.log, format+"\n", args...) }

// check ends the play when something fails that is not what the scenario looks at.
func (s *stage) check(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %s: %v", s.prefix, what, err)
	}
}

// refused writes down how the broker refuses something, which closes the channel.
func (s *stage) refused(what string, err error) {
	code, text := refusal(err)
	s.note("%s: %d %s", what, code, text)
	if code == 0 && err != nil {
		s.t.Errorf("%s: %s: %v", s.prefix, what, err)
	}
}

// declareOn declares a durable queue by way of a connection.
func (s *stage) declareOn(conn *amqp.Connection, name string, args amqp.Table) string {
	s.t.Helper()
	ch := openChannel(s.t, conn)
	defer ch.Close()
	_, err := ch.QueueDeclare(s.name(name), true, false, false, false, args)
	s.check("declare "+name, err)
	return s.name(name)
}

// queue declares a durable queue on its leader.
func (s *stage) queue(name string, args amqp.Table) string {
	s.t.Helper()
	return s.declareOn(s.leader, name, args)
}

// publish publishes and waits until the message is in its queues. The error of a nack is not fatal.
func (s *stage) publish(exchange, key string, m amqp.Publishing) (acked bool) {
	s.t.Helper()
	return s.publishVia(s.client, exchange, key, m)[0]
}

// publishVia publishes messages in confirm mode by way of a connection, and returns what became of each.
func (s *stage) publishVia(conn *amqp.Connection, exchange, key string, messages ...amqp.Publishing) (acked []bool) {
	s.t.Helper()
	ch := openChannel(s.t, conn)
	defer ch.Close()
	s.check("confirm.select", ch.Confirm(false))
	var confirms []*amqp.DeferredConfirmation
	for _, m := range messages {
		c, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, m)
		s.check("publish", err)
		confirms = append(confirms, c)
	}
	for _, c := range confirms {
		ok, err := c.WaitContext(s.context())
		s.check("confirm", err)
		acked = append(acked, ok)
	}
	return acked
}

// fill publishes messages of one letter each, persistent, in one go.
func (s *stage) fill(queue, letters string) {
	s.t.Helper()
	var messages []amqp.Publishing
	for _, l := range letters {
		messages = append(messages, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(string(l))})
	}
	for _, ok := range s.publishVia(s.client, "", queue, messages...) {
		if !ok {
			s.t.Errorf("%s: a message was nacked", s.prefix)
		}
	}
}

func (s *stage) context() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// consume starts a consumer with a prefetch limit on a channel of its own.
func (s *stage) consume(queue, tag string, prefetch int, autoAck, exclusive bool, args amqp.Table) (*amqp.Channel, <-chan amqp.Delivery) {
	s.t.Helper()
	ch := openChannel(s.t, s.client)
	s.check("qos", ch.Qos(prefetch, 0, false))
	deliveries, err := ch.Consume(queue, tag, autoAck, exclusive, false, false, args)
	s.check("consume", err)
	return ch, deliveries
}

// next waits for a delivery and writes it down.
func (s *stage) next(who string, from <-chan amqp.Delivery) amqp.Delivery {
	s.t.Helper()
	select {
	case d, ok := <-from:
		if !ok {
			s.t.Fatalf("%s: %s: no further deliveries; so far:\n%s", s.prefix, who, s.log.String())
		}
		s.delivered(who, &d)
		return d
	case <-time.After(patience):
		s.t.Fatalf("%s: %s: nothing delivered in %s; so far:\n%s", s.prefix, who, patience, s.log.String())
		return amqp.Delivery{}
	}
}

// delivered writes down a delivery as the client sees it.
func (s *stage) delivered(who string, d *amqp.Delivery) {
	body := string(d.Body)
	if len(body) > 40 {
		body = fmt.Sprintf("%d bytes", len(body))
	}
	s.note("%s: %q tag %d redelivered %t mode %d priority %d exchange %q key %q%s", who, body, d.DeliveryTag, d.Redelivered,
		d.DeliveryMode, d.Priority, d.Exchange, d.RoutingKey, headersText(d.Headers))
}

// headersText writes headers in a fixed order, without times.
func headersText(h amqp.Table) string {
	var list []string
	for k, v := range h {
		switch v := v.(type) {
		case time.Time:
		case amqp.Table:
			list = append(list, k+"={"+headersText(v)+"}")
		case []any:
			for i, e := range v {
				if table, ok := e.(amqp.Table); ok {
					list = append(list, fmt.Sprintf("%s[%d]={%s}", k, i, headersText(table)))
				} else {
					list = append(list, fmt.Sprintf("%s[%d]=%v", k, i, e))
				}
			}
		default:
			list = append(list, fmt.Sprintf("%s=%v", k, v))
		}
	}
	slices.Sort(list)
	if len(list) == 0 {
		return ""
	}
	return " " + strings.Join(list, " ")
}

// get takes one message and writes it down.
func (s *stage) get(queue string, autoAck bool) (d amqp.Delivery, ok bool) {
	s.t.Helper()
	d, ok, err := s.ch.Get(queue, autoAck)
	s.check("get", err)
	if !ok {
		s.note("get: empty")
		return d, false
	}
	s.delivered(fmt.Sprintf("get, %d left", d.MessageCount), &d)
	return d, true
}

// counts waits until a queue has so many ready messages and consumers, and writes them down.
func (s *stage) counts(queue string, messages, consumers int) {
	s.t.Helper()
	ch := openChannel(s.t, s.client)
	defer ch.Close()
	var q amqp.Queue
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		var err error
		q, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		s.check("passive declare", err)
		if q.Messages == messages && q.Consumers == consumers || time.Since(begin) > patience {
			break
		}
	}
	s.note("queue %s: %d messages, %d consumers", q.Name, q.Messages, q.Consumers)
}
