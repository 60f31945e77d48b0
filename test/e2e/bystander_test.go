//go:build e2e

package e2e

import (
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// bystander is a well-behaved client beside hostile ones: it publishes a persistent message, waits for its confirm and its
// delivery, and begins again.
type bystander struct {
	t    *testing.T
	quit chan struct{}
	done sync.WaitGroup

	rounds  []time.Duration // owned by the goroutine until done
	failure string
}

// startBystander runs until stop, which checks that it was served all the time.
func startBystander(t *testing.T, b *broker) *bystander {
	t.Helper()
	s := &bystander{t: t, quit: make(chan struct{})}
	conn, err := b.tryDial()
	if err != nil {
		t.Fatalf("bystander: %v", err)
	}
	t.Cleanup(func() { closeQuietly(conn) })
	ch := openChannel(t, conn)
	q, err := ch.QueueDeclare("", true, false, true, false, nil)
	if err != nil {
		t.Fatalf("bystander: %v", err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatalf("bystander: %v", err)
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 1))
	deliveries, err := ch.Consume(q.Name, "", true, true, false, false, nil)
	if err != nil {
		t.Fatalf("bystander: %v", err)
	}
	s.done.Go(func() {
		for {
			begin := time.Now()
			if err := ch.Publish("", q.Name, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("b")}); err != nil {
				s.failure = err.Error()
				return
			}
			timeout := time.After(patience)
			for range 2 {
				select {
				case _, ok := <-confirms:
					if !ok {
						s.failure = "the channel was closed"
						return
					}
				case _, ok := <-deliveries:
					if !ok {
						s.failure = "the consumer was cancelled"
						return
					}
				case <-timeout:
					s.failure = "no confirm or delivery in " + patience.String()
					return
				}
			}
			s.rounds = append(s.rounds, time.Since(begin))
			select {
			case <-time.After(5 * time.Millisecond):
			case <-s.quit:
				return
			}
		}
	})
	return s
}

// stop ends the bystander and fails the test when it was not served, or slowly: one round of a hundred may take longer than
// half a second, which is much more than normal and allows for a busy machine.
func (s *bystander) stop() {
	s.t.Helper()
	close(s.quit)
	s.done.Wait()
	if s.failure != "" {
		s.t.Errorf("bystander: %s after %d rounds", s.failure, len(s.rounds))
	}
	if len(s.rounds) == 0 {
		s.t.Error("bystander: not one round")
		return
	}
	slices.Sort(s.rounds)
	p99 := s.rounds[len(s.rounds)*99/100]
	s.t.Logf("bystander: %d rounds, half below %s, 99%% below %s, at most %s", len(s.rounds),
		s.rounds[len(s.rounds)/2].Round(10*time.Microsecond), p99.Round(10*time.Microsecond),
		s.rounds[len(s.rounds)-1].Round(10*time.Microsecond))
	if p99 > 500*time.Millisecond && !*race {
		s.t.Errorf("bystander: 99%% of the rounds take up to %s", p99)
	}
}
