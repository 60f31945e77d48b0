//go:build e2e

package e2e

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	diskRate    = 50 * mib // bytes of bodies per second
	diskBody    = 16 * kib
	diskBacklog = 2000 // unanswered publishes; also what consumers may be behind
)

// TestDiskUse lets a steady flow of persistent messages through, with a consumer that keeps up. The data directory must stay
// below four times the live data and 1 GiB, and fall below 1 GiB within a minute of the end.
func TestDiskUse(t *testing.T) {
	duration := size(15*time.Second, 3*time.Minute)
	b := startBroker(t)
	conn := b.dial()
	p := newConfirmer(t, conn, diskBacklog)
	declare(t, p.ch, "disk")
	var published, acked atomic.Int64
	consumer := consumeDisk(t, b, &acked)

	var largest, largestLive int64
	stop := sample(t, 200*time.Millisecond, func() {
		live := (published.Load() - acked.Load()) * diskBody // read before the disk, where garbage only grows meanwhile
		used := b.diskUsage()
		largest, largestLive = max(largest, used), max(largestLive, live)
		if used > 4*live+gib {
			t.Errorf("%d MiB on disk with %d MiB live", used/mib, live/mib)
		}
	})
	begin, cpu := time.Now(), b.cpu()
	body := make([]byte, diskBody)
	for n := int64(0); time.Since(begin) < duration; n++ {
		binary.BigEndian.PutUint64(body, uint64(n))
		p.publish("disk", body)
		published.Add(1)
		// Every 64 messages the publisher waits until they are due.
		if due := begin.Add(time.Duration(float64(n*diskBody) / diskRate * float64(time.Second))); n%64 == 0 && time.Until(due) > 0 {
			time.Sleep(time.Until(due))
		}
	}
	p.flush()
	took := time.Since(begin)
	eventually(t, time.Minute, "all messages consumed", func() bool { return acked.Load() == published.Load() })
	drained := time.Now()
	stop()
	t.Logf("%.1f MiB/s for %s; at most %d MiB live and %d MiB on disk; %.0f%% of a processor; %s",
		float64(published.Load()*diskBody)/mib/took.Seconds(), took.Round(time.Second), largestLive/mib, largest/mib,
		100*(b.cpu()-cpu).Seconds()/took.Seconds(), b.memory())
	if rate := float64(published.Load()*diskBody) / took.Seconds(); rate < diskRate*0.9 && !*race {
		t.Errorf("only %.1f MiB/s went through, want %d", rate/mib, diskRate/mib)
	}
	eventually(t, time.Minute, "data directory below 1 GiB", func() bool { return b.diskUsage() < gib })
	t.Logf("%s after the end %d MiB on disk", time.Since(drained).Round(time.Millisecond), b.diskUsage()/mib)
	if err := consumer.Close(); err != nil {
		t.Error(err)
	}
	b.stop()
}

// consumeDisk acknowledges everything that comes, and checks the order.
func consumeDisk(t *testing.T, b *broker, acked *atomic.Int64) *amqp.Channel {
	t.Helper()
	ch := b.channel()
	if err := ch.Qos(diskBacklog, 0, false); err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume("disk", "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the channel
		for d := range deliveries {
			if n := binary.BigEndian.Uint64(d.Body); n != uint64(acked.Load()) {
				t.Errorf("message %d came after %d messages", n, acked.Load())
				return
			}
			if err := d.Ack(false); err != nil {
				return
			}
			acked.Add(1)
		}
	}()
	return ch
}
