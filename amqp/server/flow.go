package server

import "sync"

// flow is the bytes that a connection has published and that queues have not taken over.
type flow struct {
	limit int

	mu       sync.Mutex
	inFlight int
	room     chan struct{} // closed when there is room again; nil while nobody waits
}

func (f *flow) add(n int) {
	f.mu.Lock()
	f.inFlight += n
	f.mu.Unlock()
}

// Done implements queue.Flow.
func (f *flow) Done(n int) {
	f.mu.Lock()
	f.inFlight -= n
	if f.room != nil && f.inFlight <= f.limit/2 {
		close(f.room)
		f.room = nil
	}
	f.mu.Unlock()
}

func (f *flow) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inFlight > f.limit
}

// wait returns when less than the limit is in flight, or when interrupt is closed.
func (f *flow) wait(interrupt <-chan struct{}) {
	f.mu.Lock()
	if f.inFlight <= f.limit {
		f.mu.Unlock()
		return
	}
	if f.room == nil {
		f.room = make(chan struct{})
	}
	room := f.room
	f.mu.Unlock()
	select {
	case <-room:
	case <-interrupt:
	}
}
