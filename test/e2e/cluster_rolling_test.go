//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestClusterRollingRestart restarts all nodes one after the other, in order, while clients on all nodes publish to queues of all
// nodes and consume from them. No confirmed message is lost, and all clients go on.
func TestClusterRollingRestart(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	for i, m := range g.nodes {
		m.led(rollingQueue(i), nil)
	}
	r := &rolling{t: t, g: g, sent: map[string]bool{}, got: map[string]int{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var publishers, consumers sync.WaitGroup
	for i := range g.nodes {
		for j := range g.nodes {
			publishers.Go(func() { r.publish(ctx, i, j) })
		}
	}
	ending, end := context.WithCancel(t.Context())
	defer end()
	for i := range g.nodes {
		consumers.Go(func() { r.consume(ending, (i+1)%len(g.nodes), i) })
	}
	for _, m := range g.nodes {
		r.awaitProgress(m.name)
		begin := time.Now()
		m.stop()
		stopped := time.Since(begin)
		up := m.start()
		t.Logf("%s: stopped in %s, serves again after %s", m.name, stopped.Round(time.Millisecond), up.Round(time.Millisecond))
		if up > patience {
			t.Errorf("%s took %s to serve again", m.name, up)
		}
		g.awaitLinks()
	}
	r.awaitProgress("the end")
	stop()
	publishers.Wait()
	eventually(t, patience, "all confirmed messages have come", func() bool { return len(r.missing()) == 0 })
	end()
	consumers.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	again := 0
	for _, n := range r.got {
		if n > 1 {
			again++
		}
	}
	t.Logf("%d messages confirmed, %d of them delivered more than once", len(r.sent), again)
}

func rollingQueue(i int) string { return fmt.Sprintf("rolling-%d", i) }

// rolling is what the clients of TestClusterRollingRestart know. It is safe for concurrent use.
type rolling struct {
	t *testing.T
	g *group

	mu   sync.Mutex
	sent map[string]bool // confirmed
	got  map[string]int  // received: how often
}

// publish publishes to the queue of node to by way of node from, one message after the other, over as many connections as it takes.
func (r *rolling) publish(ctx context.Context, from, to int) {
	client := &again{b: r.g.nodes[from].broker}
	defer client.close()
	for n := 0; ctx.Err() == nil; n++ {
		body := fmt.Sprintf("%d-%d-%d", from, to, n)
		err := client.try(func(ch *amqp.Channel) error {
			if err := ch.Confirm(false); err != nil {
				return err
			}
			c, err := ch.PublishWithDeferredConfirm("", rollingQueue(to), false, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
			if err != nil {
				return err
			}
			select {
			case <-c.Done():
				if !c.Acked() {
					return fmt.Errorf("nacked")
				}
				r.mu.Lock()
				r.sent[body] = true
				r.mu.Unlock()
				return nil
			case <-time.After(patience):
				return fmt.Errorf("no confirm")
			}
		})
		if err != nil {
			pauseFor(ctx, 20*time.Millisecond)
		}
	}
}

// consume consumes the queue of a node by way of another one, and begins again whenever that ends.
func (r *rolling) consume(ctx context.Context, by, from int) {
	client := &again{b: r.g.nodes[by].broker}
	defer client.close()
	for ctx.Err() == nil {
		_ = client.try(func(ch *amqp.Channel) error { // whatever ended it, there is another try
			if err := ch.Qos(50, 0, false); err != nil {
				return err
			}
			deliveries, err := ch.ConsumeWithContext(ctx, rollingQueue(from), "", false, false, false, false, nil)
			if err != nil {
				return err
			}
			for d := range deliveries {
				r.mu.Lock()
				r.got[string(d.Body)]++
				r.mu.Unlock()
				if err := d.Ack(false); err != nil {
					return err
				}
			}
			return fmt.Errorf("cancelled")
		})
		pauseFor(ctx, 20*time.Millisecond)
	}
}

// pauseFor waits before another try, or until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (r *rolling) missing() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for body := range r.sent {
		if r.got[body] == 0 {
			list = append(list, body)
		}
	}
	return list
}

// awaitProgress waits until each publisher has had another message confirmed and something has come.
func (r *rolling) awaitProgress(when string) {
	r.t.Helper()
	count := func() map[string]int {
		r.mu.Lock()
		defer r.mu.Unlock()
		counts := map[string]int{}
		for body := range r.sent {
			counts[body[:3]]++
		}
		return counts
	}
	before := count()
	eventually(r.t, patience, "all publishers go on, before the restart of "+when, func() bool {
		now := count()
		for i := range r.g.nodes {
			for j := range r.g.nodes {
				if key := fmt.Sprintf("%d-%d", i, j); now[key] < before[key]+20 {
					return false
				}
			}
		}
		return true
	})
}
