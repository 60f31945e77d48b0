package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
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
			oldest, ok := uint64(0), false
			u.oldest(func(_ *delivery, tag uint64) bool {
				oldest, ok = tag, true
				return false
			})
			if ok == first || oldest != want {
				t.Fatalf("oldest %d, %v; want %d, %v", oldest, ok, want, !first)
			}
			if !ok {
				w = ackWatch{}
				continue
			}
			w.forget(oldest)
			for tag, when := range sent {
				if age, exact := int(w.age(tag, at)), now-when; age > exact || age < exact-check {
					t.Fatalf("age %d of a delivery that is %d old", age, exact)
				}
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

// TestAckMarksAreBounded checks that notes do not pile up, and that what is forgotten makes nothing older.
func TestAckMarksAreBounded(t *testing.T) {
	var w ackWatch
	start := time.Unix(0, 0)
	const notes = 100 * maxAckMarks
	for i := range uint64(notes) {
		w.mark(i+1, start.Add(time.Duration(i)))
	}
	if len(w.marks) > maxAckMarks {
		t.Errorf("%d notes", len(w.marks))
	}
	for tag := range uint64(notes) {
		if age := w.age(tag, start.Add(notes)); age > time.Duration(notes-tag) {
			t.Fatalf("delivery %d is %d old, not %d", tag, notes-tag, age)
		}
	}
}

// TestConsumerTimeoutSources has the timeout come from the argument of basic.consume, that of the queue, and a policy that is set
// while the delivery waits. Consumers with more patience do not mind.
func TestConsumerTimeoutSources(t *testing.T) {
	timeout := func(ms int) wire.Table { return wire.Table{{Name: "x-consumer-timeout", Value: wire.Int64(int64(ms))}} }
	for _, c := range []struct {
		name           string
		node           time.Duration
		queue, consume wire.Table
		policy         string // set when the delivery is there
		get            bool
		want           int // ms, 0: none
	}{
		{name: "consumer", consume: timeout(120), want: 120},
		{name: "consumer before node", node: time.Millisecond, consume: timeout(120), want: 120},
		{name: "consumer before queue", queue: timeout(1), consume: timeout(120), want: 120},
		{name: "consumer without limit", node: 100 * time.Millisecond, queue: timeout(1), consume: timeout(0)},
		{name: "queue", queue: timeout(130), want: 130},
		{name: "queue without a limit on the node", node: -1, queue: timeout(130), want: 130},
		{name: "queue before node", node: time.Millisecond, queue: timeout(130), want: 130},
		{name: "queue and basic.get", queue: timeout(130), get: true, want: 130},
		{name: "policy below queue", queue: timeout(5000), policy: `{"consumer-timeout":140}`, want: 140},
		{name: "queue below policy", queue: timeout(150), policy: `{"consumer-timeout":100000}`, want: 150},
		{name: "policy raises that of the node", node: time.Second, policy: `{"consumer-timeout":3600000}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t, Options{ConsumerTimeout: c.node})
			cl := s.openChannel()
			q := "patience " + c.name
			cl.send(1, &wire.QueueDeclare{Queue: q, Exclusive: true, Arguments: c.queue})
			expect[*wire.QueueDeclareOk](cl, 1)
			cl.raw(publish(1, "", q, "1"))
			if c.get {
				cl.send(1, &wire.BasicGet{Queue: q})
				expect[*wire.BasicGetOk](cl, 1)
			} else {
				cl.send(1, &wire.BasicConsume{Queue: q, Arguments: c.consume})
				expect[*wire.BasicConsumeOk](cl, 1)
				expect[*wire.BasicDeliver](cl, 1)
			}
			cl.content(1)
			if c.policy != "" {
				_, err := node.PutPolicy(t.Context(), meta.Policy{VHost: "/", Name: q, Pattern: "^" + q + "$", ApplyTo: "queues",
					Definition: []byte(c.policy)})
				check(err)
				defer func() { check(node.DeletePolicy(context.Background(), "/", q, false)) }()
			}
			if c.want == 0 { // another consumer tells when the node's time is over
				cl.channel(2)
				cl.send(2, &wire.QueueDeclare{Exclusive: true})
				clock := expect[*wire.QueueDeclareOk](cl, 2).Queue
				cl.raw(publish(2, "", clock, "2"))
				cl.send(2, &wire.BasicConsume{Queue: clock, Arguments: timeout(int(2 * c.node / time.Millisecond))})
				expect[*wire.BasicConsumeOk](cl, 2)
				expect[*wire.BasicDeliver](cl, 2)
				cl.content(2)
				expect[*wire.ChannelClose](cl, 2)
				cl.send(2, &wire.ChannelCloseOk{})
				cl.sync(1)
				return
			}
			cl.expectClose(1, fmt.Sprintf("PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: %d ms. "+
				"This timeout value can be configured, see consumers doc guide to learn more", c.want), 0)
		})
	}
}

// TestConsumerTimeoutShortens has a patient consumer watched, and then an impatient one on the same channel.
func TestConsumerTimeoutShortens(t *testing.T) {
	r := newRig(t, &recorder{})
	d := r.open(1).del
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, every := range []time.Duration{maxAckCheck, maxAckCheck / 2, maxAckCheck} {
		d.nextTag++
		d.track(delivery{first: d.nextTag - 1, n: 1, left: 1, handle: &takingQueue{}}, every)
		if want := []time.Duration{maxAckCheck, maxAckCheck / 2, maxAckCheck / 2}[i]; d.watch.every != want {
			t.Errorf("looks every %v, want %v", d.watch.every, want)
		}
	}
	d.stopWatch()
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
		d.track(delivery{first: d.nextTag - 1, n: 1, left: 1, handle: &takingQueue{}}, minAckCheck)
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
	d.track(delivery{first: d.nextTag - 1, n: 1, left: 1, handle: &takingQueue{}}, minAckCheck)
	d.mu.Unlock()
	d.close()
	if watching() {
		t.Error("watched though closed")
	}
}
