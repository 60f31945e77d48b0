//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"
)

// TestBacklog puts many messages into one queue that nobody reads, restarts the broker, and takes them out again. They must
// come in order, the restart must be quick, and the memory must stay small all the time.
func TestBacklog(t *testing.T) {
	tests := []struct {
		name            string
		messages, bytes int
	}{
		{"small messages", size(500_000, 5_000_000), 100},
		{"large messages", size(128, 1024), mib},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := startBroker(t)
			var anon atomic.Int64
			sample(t, 20*time.Millisecond, func() { anon.Store(max(anon.Load(), b.memory().anon)) })
			publishBacklog(t, b, test.messages, test.bytes)
			b.checkPeak(300 * mib)
			t.Logf("of that not backed by files: at most %d MiB", anon.Swap(0)/mib)
			b.stop()

			begin := time.Now()
			b.start()
			conn := b.dial()
			took := time.Since(begin)
			t.Logf("first connection %s after the start; %d MiB on disk", took.Round(time.Millisecond), b.diskUsage()/mib)
			if took > time.Second && !*race {
				t.Errorf("the restart took %s, want less than 1s", took)
			}
			if n := depth(t, openChannel(t, conn), "backlog"); n != test.messages {
				t.Errorf("%d messages after the restart, want %d", n, test.messages)
			}
			consumeBacklog(t, b, test.messages, test.bytes)
			b.checkPeak(300 * mib)
			t.Logf("of that not backed by files: at most %d MiB", anon.Load()/mib)
			b.stop()
		})
	}
}

// backlogBody is n as 8 bytes, again and again, so that it can be checked.
func backlogBody(buffer []byte, n int) []byte {
	for i := 0; i+8 <= len(buffer); i += 8 {
		binary.BigEndian.PutUint64(buffer[i:], uint64(n))
	}
	return buffer
}

func publishBacklog(t *testing.T, b *broker, messages, length int) {
	t.Helper()
	conn := b.dial()
	defer closeQuietly(conn)
	p := newConfirmer(t, conn, min(10_000, 32*mib/length))
	declare(t, p.ch, "backlog")
	begin := time.Now()
	buffer := make([]byte, length)
	for n := range messages {
		p.publish("backlog", backlogBody(buffer, n))
	}
	p.flush()
	took := time.Since(begin)
	t.Logf("published %d messages of %d bytes in %s: %.0f/s", messages, length, took.Round(time.Millisecond),
		float64(messages)/took.Seconds())
	if n := depth(t, p.ch, "backlog"); n != messages {
		t.Errorf("the queue has %d messages, want %d", n, messages)
	}
}

func consumeBacklog(t *testing.T, b *broker, messages, length int) {
	t.Helper()
	conn := b.dial()
	defer closeQuietly(conn)
	ch := openChannel(t, conn)
	prefetch := min(5000, max(8, 16*mib/length))
	if err := ch.Qos(prefetch, 0, false); err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume("backlog", "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	want := make([]byte, length)
	silence := time.NewTimer(patience)
	defer silence.Stop()
	for n := range messages {
		silence.Reset(patience)
		select {
		case d, ok := <-deliveries:
			if !ok {
				t.Fatalf("the channel was closed before message %d", n)
			}
			if !bytes.Equal(d.Body, backlogBody(want, n)) {
				t.Fatalf("message %d has the body %.16x... of %d bytes", n, d.Body, len(d.Body))
			}
			if n%(prefetch/4) == 0 || n == messages-1 {
				if err := d.Ack(true); err != nil {
					t.Fatal(err)
				}
			}
		case <-silence.C:
			t.Fatalf("message %d does not come", n)
		}
	}
	took := time.Since(begin)
	t.Logf("consumed in %s: %.0f/s", took.Round(time.Millisecond), float64(messages)/took.Seconds())
	if n := depth(t, ch, "backlog"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}
