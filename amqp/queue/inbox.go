package queue

import "sync/atomic"

// inbox is a lock-free stack that many goroutines push to and one drains at a time. A drain takes everything at once and
// reverses it, so the drainer sees the items in the order in which their pushes took effect; pushes of one goroutine keep
// their order.
//
// Why it is safe: a push publishes its item with a compare-and-swap on head, which orders the writes to the item before the
// swap that takes it. Items are never pushed twice and the drain leaves nil behind, so a head that a push has read can only
// be equal to the current head if nothing happened in between or the same item is still there (no ABA: memory is not reused
// while the pusher holds the pointer).
type inbox struct {
	head atomic.Pointer[item]
}

// item is one thing for the runner to do; exactly one of its fields is set (waits belongs to fn).
type item struct {
	next   *item
	pub    *Publication
	settle *Settlement
	wake   *Consumer
	seg    *segment // its op is done
	loaded *loadJob
	fn     func()
	waits  bool // fn must wait while the queue is held still
}

func (in *inbox) push(it *item) {
	for {
		old := in.head.Load()
		it.next = old
		if in.head.CompareAndSwap(old, it) {
			return
		}
	}
}

func (in *inbox) empty() bool { return in.head.Load() == nil }

// drain returns everything pushed so far, oldest first.
func (in *inbox) drain() *item {
	if in.empty() {
		return nil // a look does not take the cache line from the pushers
	}
	it := in.head.Swap(nil)
	var first *item
	for it != nil {
		next := it.next
		it.next = first
		first, it = it, next
	}
	return first
}
