//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestClusterTopology makes each change of the topology from each node and looks at it from all nodes, and then uses what was
// declared on one node at once on another, again and again.
func TestClusterTopology(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	t.Run("each operation from each node", func(t *testing.T) { eachOperation(t, g) })
	t.Run("read your writes", func(t *testing.T) { readYourWrites(t, g, size(2000, 100_000)) })
}

// eachOperation declares, binds, unbinds and deletes by way of each node, and checks after each step on each node.
func eachOperation(t *testing.T, g *group) {
	channels := make([]*again, len(g.nodes))
	for i, m := range g.nodes {
		channels[i] = &again{b: m.broker}
		defer channels[i].close()
	}
	do := func(i int, what string, f func(*amqp.Channel) error) {
		t.Helper()
		if err := channels[i].try(f); err != nil {
			t.Errorf("%s on node %d: %v", what, i, err)
		}
	}
	everywhere := func(what string, code int, f func(*amqp.Channel) error) {
		t.Helper()
		for i, c := range channels {
			if got, text := refusal(c.try(f)); got != code {
				t.Errorf("%s: on node %d %d %s, want %d", what, i, got, text, code)
			}
		}
	}
	// reaches publishes to an exchange by way of each node and says whether it is routed to the queue.
	reaches := func(exchange string, want bool) {
		t.Helper()
		for i, c := range channels {
			err := c.try(func(*amqp.Channel) error {
				routed, err := publishMandatory(t, c.conn, exchange, "key")
				if err == nil && routed != want {
					t.Errorf("exchange %s on node %d: routed %t, want %t", exchange, i, routed, want)
				}
				return err
			})
			if err != nil {
				t.Errorf("publish to %s on node %d: %v", exchange, i, err)
			}
		}
	}
	for i := range g.nodes {
		queue, first, second := fmt.Sprintf("op-queue-%d", i), fmt.Sprintf("op-first-%d", i), fmt.Sprintf("op-second-%d", i)
		seeQueue := func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			return err
		}
		seeExchange := func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive(first, amqp.ExchangeFanout, true, false, false, false, nil)
		}
		everywhere("queue before", 404, seeQueue)
		everywhere("exchange before", 404, seeExchange)
		do(i, "declare a queue", func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, false, false, false, nil)
			return err
		})
		everywhere("queue", 0, seeQueue)
		everywhere("the same queue again", 0, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, false, false, false, nil)
			return err
		})
		everywhere("another queue of the name", 406, func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, false, false, false, false, nil)
			return err
		})
		for name, kind := range map[string]string{first: amqp.ExchangeFanout, second: amqp.ExchangeTopic} {
			do(i, "declare an exchange", func(ch *amqp.Channel) error {
				return ch.ExchangeDeclare(name, kind, true, false, false, false, nil)
			})
		}
		everywhere("exchange", 0, seeExchange)
		reaches(first, false)
		do(i, "bind", func(ch *amqp.Channel) error { return ch.QueueBind(queue, "#", second, false, nil) })
		reaches(second, true)
		do(i, "bind exchanges", func(ch *amqp.Channel) error { return ch.ExchangeBind(second, "key", first, false, nil) })
		reaches(first, true)
		do(i, "unbind exchanges", func(ch *amqp.Channel) error { return ch.ExchangeUnbind(second, "key", first, false, nil) })
		reaches(first, false)
		do(i, "unbind", func(ch *amqp.Channel) error { return ch.QueueUnbind(queue, "#", second, nil) })
		reaches(second, false)
		do(i, "purge", func(ch *amqp.Channel) error {
			n, err := ch.QueuePurge(queue, false)
			if n != 2*len(g.nodes) {
				t.Errorf("purge on node %d: %d messages, want %d", i, n, 2*len(g.nodes))
			}
			return err
		})
		do(i, "delete an exchange", func(ch *amqp.Channel) error { return ch.ExchangeDelete(first, false, false) })
		everywhere("exchange after its deletion", 404, seeExchange)
		do(i, "delete a queue", func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		})
		everywhere("queue after its deletion", 404, seeQueue)
	}
}

// publishMandatory publishes a message that must be routed, on a channel of its own, and says whether it was.
func publishMandatory(t *testing.T, conn *amqp.Connection, exchange, key string) (routed bool, err error) {
	t.Helper()
	ch, err := conn.Channel()
	if err != nil {
		return false, err
	}
	defer ch.Close()
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	if err := ch.Confirm(false); err != nil {
		return false, err
	}
	confirm, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, amqp.Publishing{Body: []byte("body")})
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	acked, err := confirm.WaitContext(ctx)
	if err == nil && !acked {
		err = fmt.Errorf("nacked")
	}
	select { // a return comes before its confirm
	case <-returns:
		return false, err
	default:
		return true, err
	}
}

// readYourWrites declares on one node and uses it on another, n times.
func readYourWrites(t *testing.T, g *group, n int) {
	const workers = 4
	t.Logf("seed %d (repeat with -args -seed %d)", *seed, *seed)
	begin := time.Now()
	problems := make(chan error, workers)
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() { problems <- rereader{g: g, worker: w, times: n / workers}.run(t) })
	}
	done.Wait()
	for range workers {
		if err := <-problems; err != nil {
			t.Error(err)
		}
	}
	took := time.Since(begin)
	t.Logf("%d times in %s, %.0f/s", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
}

// rereader is one of those that declare on one node and use on another at the same time.
type rereader struct {
	g      *group
	worker int
	times  int
}

func (r rereader) run(t *testing.T) error {
	channels := make([]*amqp.Channel, len(r.g.nodes))
	returns := make([]chan amqp.Return, len(r.g.nodes))
	for i, m := range r.g.nodes {
		conn, err := m.tryDial()
		if err != nil {
			return err
		}
		defer closeQuietly(conn)
		if channels[i], err = conn.Channel(); err != nil {
			return err
		}
		if err := channels[i].Confirm(false); err != nil {
			return err
		}
		returns[i] = channels[i].NotifyReturn(make(chan amqp.Return, 1))
	}
	random := rand.New(rand.NewPCG(*seed, uint64(r.worker)))
	ctx, cancel := context.WithTimeout(t.Context(), size(time.Minute, 30*time.Minute))
	defer cancel()
	for i := range r.times {
		a, b := random.IntN(len(channels)), random.IntN(len(channels))
		queue := fmt.Sprintf("ryw-%d-%d", r.worker, i)
		if err := r.once(ctx, i, channels[a], channels[b], returns[b], queue); err != nil {
			return fmt.Errorf("%s declared on node %d, used on node %d, way %d: %w", queue, a, b, i%5, err)
		}
		if _, err := channels[b].QueueDelete(queue, false, false, false); err != nil {
			return fmt.Errorf("delete %s on node %d: %w", queue, b, err)
		}
	}
	return nil
}

// once declares a queue on one channel and uses it on another, in one of five ways.
func (r rereader) once(ctx context.Context, way int, on, by *amqp.Channel, returns <-chan amqp.Return, queue string) error {
	if _, err := on.QueueDeclare(queue, way%2 == 0, false, false, false, nil); err != nil {
		return err
	}
	publish := func(exchange, key string) error {
		confirm, err := by.PublishWithDeferredConfirm(exchange, key, true, false, amqp.Publishing{Body: []byte(queue)})
		if err != nil {
			return err
		}
		if acked, err := confirm.WaitContext(ctx); err != nil || !acked {
			return fmt.Errorf("acked %t, %w", acked, err)
		}
		select {
		case r := <-returns:
			return fmt.Errorf("returned: %d %s", r.ReplyCode, r.ReplyText)
		default:
			return nil
		}
	}
	switch way % 5 {
	case 0:
		return publish("", queue)
	case 1:
		if err := on.QueueBind(queue, queue, "amq.topic", false, nil); err != nil {
			return err
		}
		return publish("amq.topic", queue)
	case 2:
		_, err := by.QueueDeclarePassive(queue, false, false, false, false, nil)
		return err
	case 3:
		deliveries, err := by.Consume(queue, queue, true, false, false, false, nil)
		if err != nil {
			return err
		}
		if err := on.Publish("", queue, true, false, amqp.Publishing{Body: []byte(queue)}); err != nil {
			return err
		}
		select {
		case d, ok := <-deliveries:
			if !ok || string(d.Body) != queue {
				return fmt.Errorf("delivered: %t %q", ok, d.Body)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		return by.Cancel(queue, false)
	default:
		_, _, err := by.Get(queue, true)
		return err
	}
}

// TestClusterMinority stops two nodes of three: the third refuses changes of the topology, saying why, and goes on with the queues
// that it leads.
func TestClusterMinority(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	left := g.nodes[2]
	left.led("minority", nil)
	g.nodes[0].led("majority", nil)
	left.publishAll("minority", 1) // what is not deleted must not lose its messages
	g.nodes[0].kill()
	g.nodes[1].kill()
	var asked sync.WaitGroup
	for what, f := range map[string]func(*amqp.Channel) error{
		"declare a queue": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("new", true, false, false, false, nil)
			return err
		},
		"declare an exchange": func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare("new", amqp.ExchangeFanout, true, false, false, false, nil)
		},
		"bind": func(ch *amqp.Channel) error { return ch.QueueBind("minority", "key", "amq.topic", false, nil) },
		"delete": func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete("minority", false, false, false)
			return err
		},
		"find out whether a queue exists": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("new", true, false, false, false, nil)
			return err
		},
	} {
		asked.Go(func() {
			ops := &again{b: left.broker}
			defer ops.close()
			begin := time.Now()
			err := ops.try(f)
			wantRefusal(t, what, err, 541, "timed out", "no leader")
			if took := time.Since(begin); took > patience {
				t.Errorf("%s was refused after %s", what, took)
			}
		})
	}
	asked.Wait()
	// What is there goes on: an identical declaration, publishing, consuming.
	ch := left.channel()
	declare(t, ch, "minority")
	if nacked := left.publishAll("minority", 100); nacked != 0 {
		t.Errorf("%d messages of 100 to a queue of this node were refused", nacked)
	}
	if got := left.takeAll("minority"); len(got) != 101 || strings.Join(got[:3], " ") != "0 0 1" {
		t.Errorf("%d messages from a queue of this node: %.3q", len(got), got)
	}
	if nacked := left.publishAll("majority", 10); nacked != 10 {
		t.Errorf("%d messages of 10 to a queue of a dead node were refused", nacked)
	}
	_, err := ch.QueueDeclarePassive("majority", true, false, false, false, nil)
	wantRefusal(t, "a queue of a dead node", err, 404, "home node 'node0' of durable queue 'majority' in vhost '/' is down or inaccessible")

	for _, m := range g.nodes[:2] {
		m.launch()
	}
	for _, m := range g.nodes[:2] {
		m.awaitUp()
	}
	g.awaitLinks()
	ops := &again{b: left.broker}
	defer ops.close()
	ops.must(t, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare("new", true, false, false, false, nil)
		return err
	})
	if _, err := g.nodes[0].channel().QueueDeclarePassive("minority", true, false, false, false, nil); err != nil {
		t.Errorf("the queue whose deletion was refused: %v", err)
	}
}
