package peer

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
)

// counter is a receiver that only counts, and acknowledges runs of every messages.
type counter struct {
	h     queue.Handle
	every int
	total atomic.Int64
	moved chan struct{} // holds one when something was delivered
	open  queue.Range
	n     int
}

func (c *counter) Reserve(_ *queue.Consumer, n int) int { return n }
func (c *counter) Unreserve(*queue.Consumer, int)       {}
func (c *counter) Cancelled(*queue.Consumer)            {}
func (c *counter) Deliver(k *queue.Consumer, pieces []queue.Piece) {
	n := 0
	for i := range pieces {
		p := &pieces[i]
		n += p.Count
		if c.n > 0 && c.open.Last+1 != p.First {
			c.ack(k)
		}
		if c.n == 0 {
			c.open.First = p.First
		}
		c.open.Last = p.First + uint64(p.Count) - 1
		if c.n += p.Count; c.n >= c.every {
			c.ack(k)
		}
	}
	c.total.Add(int64(n))
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

func (c *counter) ack(k *queue.Consumer) {
	c.h.Settle(&queue.Settlement{Handle: c.h, Consumer: k, Ranges: []queue.Range{c.open}})
	c.n = 0
}

// BenchmarkPublishDeliverAck publishes 16-byte messages, delivers and acknowledges them: on the queue itself, and over a link. ns/op
// and cpu-ns/op are per message.
func BenchmarkPublishDeliverAck(b *testing.B) {
	for _, size := range []int{1, 10, 1000} {
		for _, where := range []string{"local", "link"} {
			b.Run(fmt.Sprintf("block=%d/%s", size, where), func(b *testing.B) {
				l := newLeader(b)
				var h queue.Handle = l.declare(queue.Options{ID: 1})
				if where == "link" {
					h = newUserAt(b, l.addr, "user").queue(1)
				}
				publishDeliverAck(b, h, size)
			})
		}
	}
}

// maxBacklog is how many messages may be on their way.
const maxBacklog = 64000

func publishDeliverAck(b *testing.B, h queue.Handle, size int) {
	c := &counter{h: h, every: size, moved: make(chan struct{}, 1)}
	if err := h.Consume(&queue.Consumer{Receiver: c}); err != nil {
		b.Fatal(err)
	}
	var one block.Block
	for range size {
		one.Append(rec(1, 16, false))
	}
	flow := &budget{}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	sent := int64(0)
	for sent < int64(b.N) {
		for sent-c.total.Load() > maxBacklog { // a longer one would measure the memory that it takes
			<-c.moved
		}
		p := &queue.Publication{Block: one, Flow: flow}
		p.Block.Records = append(block.GetArena(len(one.Records)), one.Records...)
		flow.add(p.Block.Size())
		h.Publish(p)
		sent += int64(size)
	}
	for deadline := time.Now().Add(30 * time.Second); c.total.Load() < sent; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			st, err := h.Status()
			b.Fatalf("%d of %d messages came: %+v, %v", c.total.Load(), sent, st, err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu()-began)/float64(b.N), "cpu-ns/op")
}

// cpu returns the processor time that the process has taken, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
