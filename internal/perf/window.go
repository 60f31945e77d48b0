package perf

import (
	"fmt"
	"math/bits"
	"sync/atomic"
)

// window tracks the publisher confirms of one channel. The writer publishes while there is room, the reader settles.
//
// The writer owns times beyond settled tags; it stores a tag's time before it raises published, and the reader looks at times
// only up to published, so that the atomic orders the two. The reader lowers its claim on a slot by raising low, and the writer
// reuses the slot only after it has seen that.
type window struct {
	limit int64
	mask  int64
	times []int64  // by tag & mask: when the message was sent (or was to be sent)
	done  []uint64 // bit by tag & mask: settled out of order, above low; reader only

	published atomic.Int64 // highest tag published; written by the writer
	settled   atomic.Int64 // number of settled tags; written by the reader
	low       atomic.Int64 // all tags up to this one are settled; written by the reader
}

// newWindow returns a window of at most limit unsettled messages, which is at least 1.
func newWindow(limit int) *window {
	// Twice the limit, so that one late tag does not stop the writer as soon as the window has moved on.
	size := int64(1) << bits.Len64(uint64(2*limit-1))
	size = max(size, 64)
	return &window{
		limit: int64(limit),
		mask:  size - 1,
		times: make([]int64, size),
		done:  make([]uint64, size/64),
	}
}

// room returns how many messages may be published now. For the writer.
func (w *window) room() int64 {
	published := w.published.Load()
	return min(w.limit-(published-w.settled.Load()), w.low.Load()+int64(len(w.times))-published)
}

// note stores the time of a tag that is about to be published. For the writer.
func (w *window) note(tag, sent int64) { w.times[tag&w.mask] = sent }

// publish makes the tags up to tag known to the reader. It has to happen before they are written to the socket.
func (w *window) publish(tag int64) { w.published.Store(tag) }

// sentRun is a number of messages with the same time of sending.
type sentRun struct{ sent, count int64 }

// settle marks tag, or all tags up to it, as confirmed or refused, and appends the times of the newly settled messages to runs.
// A tag of 0 with multiple stands for all. It is an error to settle what was not published or was settled before. For the
// reader.
func (w *window) settle(tag uint64, multiple bool, runs []sentRun) ([]sentRun, error) {
	published, low := w.published.Load(), w.low.Load()
	if tag == 0 && multiple {
		tag = uint64(published)
	}
	if tag > uint64(published) || tag == 0 {
		return runs, fmt.Errorf("the broker confirmed delivery tag %d, but only %d were published", tag, published)
	}
	last, n := int64(tag), int64(0)
	if multiple {
		for t := low + 1; t <= last; t++ {
			if w.isDone(t) {
				w.done[(t&w.mask)>>6] &^= 1 << (t & 63)
				continue
			}
			runs = addRun(runs, w.times[t&w.mask])
			n++
		}
		low = max(low, last)
	} else {
		if !w.outstanding(last) {
			return runs, fmt.Errorf("the broker confirmed delivery tag %d twice", tag)
		}
		runs = addRun(runs, w.times[last&w.mask])
		n = 1
		if last == low+1 {
			low = last
		} else {
			w.done[(last&w.mask)>>6] |= 1 << (last & 63)
		}
	}
	for low < published && w.isDone(low+1) {
		low++
		w.done[(low&w.mask)>>6] &^= 1 << (low & 63)
	}
	// settled first: if low rose first, the writer would see room in the ring only, which the limit still bounds.
	w.settled.Add(n)
	w.low.Store(low)
	return runs, nil
}

// outstanding reports whether a published tag is not settled yet. For the reader, or when both have ended.
func (w *window) outstanding(tag int64) bool {
	return tag > w.low.Load() && tag <= w.published.Load() && !w.isDone(tag)
}

func (w *window) isDone(tag int64) bool { return w.done[(tag&w.mask)>>6]&(1<<(tag&63)) != 0 }

func addRun(runs []sentRun, sent int64) []sentRun {
	if n := len(runs); n > 0 && runs[n-1].sent == sent {
		runs[n-1].count++
		return runs
	}
	return append(runs, sentRun{sent: sent, count: 1})
}
