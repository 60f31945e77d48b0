//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestClusterLoad declares 10,000 queues with ten bindings each over 1,000 connections on three nodes, and reports how fast that
// went, how much memory it takes, how long a message takes, and how soon a restarted node serves again.
func TestClusterLoad(t *testing.T) {
	if !*long {
		t.Skip("with -long only")
	}
	const queues, bindings, connections = 10_000, 100_000, 1_000
	g := startGroup(t, 3)
	if err := g.nodes[0].channel().ExchangeDeclare("load", amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	for _, m := range g.nodes {
		t.Logf("%s before: %s", m.name, m.memory())
	}
	channels := make([]*amqp.Channel, connections)
	parallel(t, 50, connections, func(i int) error {
		conn, err := g.nodes[i%3].tryDial()
		if err != nil {
			return err
		}
		channels[i], err = conn.Channel()
		return err
	})
	defer parallel(t, 50, connections, func(i int) error { return channels[i].Close() })
	rate := func(what string, n int, f func(i int) error) {
		begin := time.Now()
		parallel(t, connections, n, f)
		took := time.Since(begin)
		t.Logf("%d %s in %s: %.0f/s", n, what, took.Round(time.Millisecond), float64(n)/took.Seconds())
	}
	// Worker i of parallel has channel i: each calls f with its own numbers, in turn.
	rate("queues declared", queues, func(i int) error {
		_, err := channels[i%connections].QueueDeclare(fmt.Sprint("load-", i), true, false, false, false, nil)
		return err
	})
	rate("bindings", bindings, func(i int) error {
		return channels[i%connections].QueueBind(fmt.Sprint("load-", i%queues), fmt.Sprintf("key.%d", i), "load", false, nil)
	})
	rate("identical declarations", queues, func(i int) error {
		_, err := channels[i%connections].QueueDeclare(fmt.Sprint("load-", i), true, false, false, false, nil)
		return err
	})
	for _, m := range g.nodes {
		t.Logf("%s with %d queues, %d bindings, %d connections: %s", m.name, queues, bindings, connections/3, m.memory())
	}
	for _, m := range g.nodes {
		t.Logf("%s routes through the topic exchange, confirmed: %s", m.name, latency(t, m, bindings))
	}
	m := g.nodes[1]
	begin := time.Now()
	m.stop()
	stopped := time.Since(begin)
	up := m.start()
	t.Logf("restart: stopped in %s, serves again after %s", stopped.Round(time.Millisecond), up.Round(time.Millisecond))
	if up > patience {
		t.Errorf("the restart took %s", up)
	}
	for i := 1; i < connections; i += 3 { // those of the restarted node are gone
		conn, err := m.tryDial()
		if err != nil {
			t.Fatal(err)
		}
		if channels[i], err = conn.Channel(); err != nil {
			t.Fatal(err)
		}
	}
}

// parallel calls f for 0 to n-1 on so many goroutines, of which the one with number i has all i modulo workers, in order.
func parallel(t *testing.T, workers, n int, f func(i int) error) {
	t.Helper()
	var done sync.WaitGroup
	problems := make(chan error, workers)
	for w := range workers {
		done.Go(func() {
			for i := w; i < n; i += workers {
				if err := f(i); err != nil {
					problems <- fmt.Errorf("number %d: %w", i, err)
					return
				}
			}
		})
	}
	done.Wait()
	close(problems)
	for err := range problems {
		t.Fatal(err)
	}
}

// latency publishes to queues of all nodes, one message at a time, and says how long confirms take.
func latency(t *testing.T, m *member, bindings int) string {
	t.Helper()
	conn, err := m.tryDial()
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(conn)
	ch := openChannel(t, conn)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var times []time.Duration
	for i := range 2000 {
		begin := time.Now()
		c, err := ch.PublishWithDeferredConfirm("load", fmt.Sprintf("key.%d", i*7919%bindings), true, false,
			amqp.Publishing{Body: []byte("m")})
		if err != nil {
			t.Fatal(err)
		}
		if acked, err := c.WaitContext(ctx); err != nil || !acked {
			t.Fatalf("acked %t, %v", acked, err)
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return fmt.Sprintf("median %s, p99 %s", times[len(times)/2], times[len(times)*99/100])
}
