package server

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/wire"
)

// TestAckWatchModel compares the watch with the exact times of deliveries: it never finds the oldest one older than it is, and
// at most one check younger.
func TestAckWatchModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const check = 10
		start := time.Unix(0, 0)
		var w ackWatch
		var u unacked
		sent := map[uint64]int{} // when
		next := uint64(1)
		h := &takingQueue{}
		for now := range 300 {
			at := start.Add(time.Duration(now))
			if n := rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "deliveries"); n > 0 {
				u.add(delivery{first: next, n: uint32(n), left: uint32(n), offset: next, handle: h})
				for range n {
					sent[next] = now
					next++
				}
			}
			if rapid.IntRange(0, 2).Draw(t, "ack") == 0 && next > 1 {
				lo := rapid.Uint64Range(1, next-1).Draw(t, "lo")
				u.settle(lo, rapid.Uint64Range(lo, min(next-1, lo+20)).Draw(t, "hi"), func(_ *delivery, lo, hi uint64) {
					for tag := lo; tag <= hi; tag++ {
						delete(sent, tag)
					}
				})
				u.compact()
			}
			if now%check != 0 {
				continue
			}
			want, first := uint64(0), true
			for tag := range sent {
				if first || tag < want {
					want, first = tag, false
				}
			}
			oldest, ok := u.oldest()
			if ok == first || oldest != want {
				t.Fatalf("oldest %d, %v; want %d, %v", oldest, ok, want, !first)
			}
			if !ok {
				w = ackWatch{}
				continue
			}
			age, exact := int(w.age(oldest, at)), now-sent[oldest]
			if age > exact || age < exact-check {
				t.Fatalf("age %d of a delivery that is %d old", age, exact)
			}
			w.mark(next, at)
		}
	})
}

// TestConsumerTimeout leaves a delivery unacknowledged, of a consumer and of basic.get, while others are acknowledged.
func TestConsumerTimeout(t *testing.T) {
	const timeout = 200 * time.Millisecond
	s := startServer(t, Options{ConsumerTimeout: timeout})
	for _, get := range []bool{false, true} {
		t.Run(fmt.Sprintf("get %v", get), func(t *testing.T) {
			c := s.openChannel()
			c.t = t
			c.channel(2)
			c.send(2, &wire.QueueDeclare{Exclusive: true})
			q := expect[*wire.QueueDeclareOk](c, 2).Queue
			c.raw(append(publish(2, "", q, "1"), publish(2, "", q, "2")...))
			c.sync(2) // what another channel gets in the same read chunk may come before
			begin := time.Now()
			if get {
				for range 2 {
					c.send(1, &wire.BasicGet{Queue: q})
					expect[*wire.BasicGetOk](c, 1)
					c.content(1)
				}
			} else {
				c.send(1, &wire.BasicConsume{Queue: q})
				expect[*wire.BasicConsumeOk](c, 1)
				for range 2 {
					expect[*wire.BasicDeliver](c, 1)
					c.content(1)
				}
			}
			c.send(1, &wire.BasicAck{DeliveryTag: 2})
			c.expectClose(1, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 200 ms. "+
				"This timeout value can be configured, see consumers doc guide to learn more", 0)
			if took := time.Since(begin); took < timeout {
				t.Errorf("closed after %v", took)
			}
			c.send(1, &wire.ChannelCloseOk{})
			c.send(2, &wire.BasicGet{Queue: q, NoAck: true})
			if m := expect[*wire.BasicGetOk](c, 2); !m.Redelivered || m.MessageCount != 0 {
				t.Errorf("got %+v", m)
			}
		})
	}
}

// TestConsumerTimeoutIsOver acknowledges in time: the watch ends by itself, and nothing happens to the channel.
func TestConsumerTimeoutIsOver(t *testing.T) {
	r := newRig(t, &recorder{})
	r.c.opts.ConsumerTimeout = 20 * time.Millisecond
	ch := r.open(1)
	d := ch.del
	watching := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.watch.timer != nil
	}
	for range 2 {
		d.mu.Lock()
		d.nextTag++
		d.track(delivery{first: d.nextTag - 1, n: 1, left: 1, handle: &takingQueue{}})
		d.mu.Unlock()
		if !watching() {
			t.Fatal("not watched")
		}
		check(d.ack(0, true))
		check(d.apply())
		eventually(t, "over", func() bool { return !watching() })
	}
	if e := ch.failure.Load(); e != nil {
		t.Errorf("channel failed: %v", e)
	}
	d.mu.Lock()
	d.nextTag++
	d.track(delivery{first: d.nextTag - 1, n: 1, left: 1, handle: &takingQueue{}})
	d.mu.Unlock()
	d.close()
	if watching() {
		t.Error("watched though closed")
	}
}
