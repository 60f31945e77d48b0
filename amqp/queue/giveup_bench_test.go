package queue

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
)

// benchPublish pushes b.N messages of 16 bytes in blocks of 100.
func benchPublish(b *testing.B, q *Queue, change func(i int, r *block.Record)) {
	r := rec(1, 16, false)
	for i := 0; i < b.N; {
		p := &Publication{Block: block.Block{Records: block.GetArena(100 * r.Len())}}
		for n := min(100, b.N-i); n > 0; n-- {
			change(i, r)
			p.Block.Append(r)
			i++
		}
		q.Publish(p)
		if i%10000 == 0 {
			q.call(func() {})
		}
	}
	settled(q)
}

// BenchmarkExpire publishes messages with random times to live, and lets them expire in steps of a millisecond; ns/op is per
// message.
func BenchmarkExpire(b *testing.B) {
	var clock atomic.Int64
	clock.Store(1)
	q := New(Options{ID: 1, Log: instantLog{}, Now: clock.Load})
	rnd := rand.New(rand.NewPCG(1, 2))
	benchPublish(b, q, func(_ int, r *block.Record) { r.Deadline = 2 + rnd.Int64N(10000) })
	b.ResetTimer()
	for clock.Load() < 10010 {
		clock.Add(1)
		q.call(func() {})
	}
	b.StopTimer()
	if s := status(b, q); s.Ready != 0 || s.Resident != 0 {
		b.Fatalf("%+v are left", s)
	}
	q.Stop()
}

// BenchmarkMaxLength publishes to a queue that keeps ten messages.
func BenchmarkMaxLength(b *testing.B) {
	set := NoSettings
	set.MaxLength = 10
	q := New(Options{ID: 1, Log: instantLog{}, Settings: set})
	benchPublish(b, q, func(int, *block.Record) {})
	if s := status(b, q); s.Ready > 10 {
		b.Fatalf("%+v are left", s)
	}
	q.Stop()
}

// BenchmarkPriorities publishes messages of four priorities in turn, and delivers them.
func BenchmarkPriorities(b *testing.B) {
	q := New(Options{ID: 1, Log: instantLog{}, MaxPriority: 3})
	var total atomic.Int64
	c := &Consumer{NoAck: true, Receiver: &counter{q: q, total: &total}}
	if err := q.Consume(c); err != nil {
		b.Fatal(err)
	}
	benchPublish(b, q, func(i int, r *block.Record) { r.Priority = uint8(i % 4) })
	if n := total.Load(); n != int64(b.N) {
		b.Fatalf("%d delivered, want %d", n, b.N)
	}
	q.Stop()
}
