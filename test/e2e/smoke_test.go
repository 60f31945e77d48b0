//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestSmoke is the shortest way through the broker; when it fails, no other test here says anything.
func TestSmoke(t *testing.T) {
	b := startBroker(t)
	ch := b.channel()
	declare(t, ch, "smoke")
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "smoke", true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("hello")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if acked, err := confirm.WaitContext(ctx); !acked || err != nil {
		t.Fatalf("publish: acked %t, %v", acked, err)
	}
	b.kill()
	b.start()
	ch = b.channel()
	got, ok, err := ch.Get("smoke", true)
	if err != nil || !ok || string(got.Body) != "hello" {
		t.Errorf("get after a crash: %q, %t, %v; want the message", got.Body, ok, err)
	}
	b.stop()
}
