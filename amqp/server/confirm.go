package server

import (
	"slices"
	"sync"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// confirms answers the publishes of a channel in confirm mode. The batches of the channel complete in any order and on any
// goroutine; they are answered in order, so that an answer can cover a run of batches with one basic.ack.
type confirms struct {
	out     *outbox
	channel uint16
	stats   *stats

	mu      sync.Mutex
	batches []*queue.Batch // not answered yet, from off on
	off     int
	stopped bool
	// confirmed is the last publish sequence number that was answered.
	confirmed uint64
}

// add announces a batch before any of its blocks is pushed.
func (f *confirms) add(b *queue.Batch) {
	f.mu.Lock()
	if !f.stopped {
		f.batches = append(f.batches, b)
	}
	f.mu.Unlock()
}

// complete is queue.Batch.Complete.
func (f *confirms) complete(b *queue.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b.Completed = true
	if f.stopped || f.batches[f.off] != b {
		return
	}
	first, last := b.First, b.Last
	var refused []uint64
	for f.off < len(f.batches) && f.batches[f.off].Completed {
		b = f.batches[f.off]
		refused = append(refused, b.Refused()...)
		last = b.Last
		f.batches[f.off] = nil
		f.off++
	}
	f.confirmed = last
	switch {
	case f.off == len(f.batches):
		f.batches, f.off = f.batches[:0], 0
	case f.off > len(f.batches)/2:
		n := copy(f.batches, f.batches[f.off:])
		clear(f.batches[n:])
		f.batches, f.off = f.batches[:n], 0
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		refused = slices.Compact(refused)
		f.stats.refused.Add(uint64(len(refused)))
	}
	f.stats.confirmed.Add(last - first + 1 - uint64(len(refused)))
	f.out.mu.Lock()
	f.out.appendOwed(func(p []byte) []byte { return appendConfirms(p, f.channel, first, last, refused) })
	f.out.unlockAndWrite()
}

// stop drops what is not answered: the channel is closing.
func (f *confirms) stop() {
	f.mu.Lock()
	f.stopped = true
	f.batches, f.off = nil, 0
	f.mu.Unlock()
}

// appendConfirms appends the frames that answer all publishes [first, last]: nacks for the refused ones, acks for the others.
// Everything before first is answered already.
func appendConfirms(b []byte, channel uint16, first, last uint64, refused []uint64) []byte {
	slices.Sort(refused)
	for first <= last {
		for len(refused) > 0 && refused[0] < first {
			refused = refused[1:]
		}
		if len(refused) == 0 || refused[0] > first {
			to := last
			if len(refused) > 0 && refused[0] <= last {
				to = refused[0] - 1
			}
			b = wire.AppendAck(b, channel, to, to > first)
			first = to + 1
			continue
		}
		to := first
		for len(refused) > 0 && refused[0] <= to+1 && refused[0] <= last {
			to = max(to, refused[0])
			refused = refused[1:]
		}
		b = wire.AppendNack(b, channel, to, true, true)
		first = to + 1
	}
	return b
}
