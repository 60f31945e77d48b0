package queue

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

// instantLog is a log that has everything at once and keeps nothing.
type instantLog struct{}

func (instantLog) Submit(op *block.Op) {
	if op.Owner != nil && op.Owner.Claim(op) {
		op.Owner.Done(op, nil)
	}
}
func (instantLog) Load(uint64, block.Desc) ([]byte, error) { return nil, errDisk }
func (instantLog) DropQueue(uint64)                        {}

// counter is a receiver that only counts, and acknowledges runs of every messages, none if that is 0.
type counter struct {
	q     *Queue
	every int
	total *atomic.Int64
	open  Range
	n     int
}

func (c *counter) Reserve(_ *Consumer, n int) int { return n }
func (c *counter) Unreserve(*Consumer, int)       {}
func (c *counter) Cancelled(*Consumer)            {}
func (c *counter) Deliver(k *Consumer, pieces []Piece) {
	n := 0
	for i := range pieces {
		p := &pieces[i]
		n += p.Count
		if k.NoAck || c.every == 0 {
			continue
		}
		last := p.First + uint64(p.Count) - 1
		if c.n > 0 && c.open.Last+1 != p.First {
			c.ack(k)
		}
		if c.n == 0 {
			c.open.First = p.First
		}
		c.open.Last = last
		if c.n += p.Count; c.n >= c.every {
			c.ack(k)
		}
	}
	c.total.Add(int64(n))
}

func (c *counter) ack(k *Consumer) {
	c.q.Settle(&Settlement{Consumer: k, Ranges: []Range{c.open}})
	c.n = 0
}

type flowWindow struct{ room chan struct{} }

func (f flowWindow) Done(int) { <-f.room }

// BenchmarkPublishDeliver publishes 16-byte messages and delivers them; ns/op is per message.
func BenchmarkPublishDeliver(b *testing.B) {
	for _, v := range []struct {
		block, consumers int
		noAck            bool
		persistent       bool
	}{
		{1000, 1, true, false},
		{1000, 1, false, false},
		{1000, 1, false, true},
		{1000, 10, false, false},
		{1000, 1000, false, false},
		{1, 1, true, false},
		{1, 1, false, false},
		{1, 1, false, true},
		{1, 10, false, false},
		{1, 1000, false, false},
	} {
		b.Run(fmt.Sprintf("block=%d/consumers=%d/noack=%v/persistent=%v", v.block, v.consumers, v.noAck, v.persistent),
			func(b *testing.B) { publishDeliver(b, v.block, v.consumers, v.noAck, v.persistent) })
	}
}

func publishDeliver(b *testing.B, size, consumers int, noAck, persistent bool) {
	q := newQueue(instantLog{}, nil)
	var total atomic.Int64
	for range consumers {
		c := &Consumer{NoAck: noAck, Receiver: &counter{q: q, every: size, total: &total}}
		if err := q.Consume(c); err != nil {
			b.Fatal(err)
		}
	}
	var one block.Block
	for range size {
		one.Append(rec(1, 16, persistent))
	}
	flow := flowWindow{make(chan struct{}, max(2, 4000/size))}
	b.ReportAllocs()
	b.ResetTimer()
	var sent int64
	for sent < int64(b.N) {
		p := &Publication{Block: one, Flow: flow}
		p.Block.Records = append(block.GetArena(len(one.Records)), one.Records...)
		flow.room <- struct{}{}
		q.Publish(p)
		sent += int64(size)
	}
	until(b, "delivery", func() bool { return total.Load() == sent })
	b.StopTimer()
	settled(q)
	q.Drop()
}

// BenchmarkRequeue requeues 100,000 messages and delivers them again; ns/op is for all of them.
func BenchmarkRequeue(b *testing.B) {
	for _, order := range []string{"run", "single", "random"} {
		b.Run(order, func(b *testing.B) {
			const n = 100_000
			q := newQueue(instantLog{}, nil)
			var total atomic.Int64
			c := &Consumer{Receiver: &counter{total: &total}}
			if err := q.Consume(c); err != nil {
				b.Fatal(err)
			}
			for i := range uint64(n / 500) {
				publish(q, i*500, i*500+500, 16, false)
			}
			settled(q)
			var ranges []Range
			for i := range uint64(n) {
				ranges = append(ranges, Range{i, i})
			}
			switch order {
			case "run":
				ranges = []Range{{0, n - 1}}
			case "random":
				rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { ranges[i], ranges[j] = ranges[j], ranges[i] })
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				total.Store(0)
				for first := 0; first < len(ranges); first += 1000 {
					q.Settle(&Settlement{Consumer: c, Outcome: Requeue, Ranges: ranges[first:min(first+1000, len(ranges))]})
				}
				until(b, "redelivery", func() bool { return total.Load() >= n })
			}
			b.StopTimer()
			q.Drop()
		})
	}
}

// BenchmarkAck publishes, delivers and acknowledges 100,000 messages in runs; ack-ns/msg is what the acknowledging takes.
func BenchmarkAck(b *testing.B) {
	for _, run := range []uint64{1, 10, 1000} {
		b.Run(fmt.Sprintf("run=%d", run), func(b *testing.B) {
			const n = 100_000
			q := newQueue(instantLog{}, nil)
			var total atomic.Int64
			c := &Consumer{Receiver: &counter{total: &total}}
			if err := q.Consume(c); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			var took time.Duration
			for base := uint64(0); b.N > int(base/n); base += n {
				for i := range uint64(n / 500) {
					publish(q, base+i*500, base+i*500+500, 16, false)
				}
				var all []*Settlement
				for i := base; i < base+n; i += 1000 {
					s := &Settlement{Consumer: c}
					for j := i; j < i+1000; j += run {
						s.Ranges = append(s.Ranges, Range{j, j + run - 1})
					}
					all = append(all, s)
				}
				settled(q)
				began := time.Now()
				for _, s := range all {
					q.Settle(s)
				}
				settled(q)
				took += time.Since(began)
			}
			b.StopTimer()
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N)/n, "ack-ns/msg")
			q.Drop()
		})
	}
}
