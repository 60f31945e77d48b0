//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Queues that are there for the whole round, led by the node in their names. What comes to a kept queue stays until the end.
func consumedQueue(node int) string { return fmt.Sprintf("consumed-%d", node) }
func keptQueue(node int) string     { return fmt.Sprintf("kept-%d", node) }

// Pace of the clients. A round makes some 400 messages and 300 changes of names a second.
const (
	publishPause  = 60 * time.Millisecond // between bursts of a publisher
	publishBurst  = 12
	publishWindow = 64                     // unconfirmed messages of a publisher
	topologyPause = 5 * time.Millisecond   // between operations of a topology client
	retryPause    = 100 * time.Millisecond // after an error
	generation    = 3 * time.Second        // of the names that topology clients use
	namesAtOnce   = 2                      // of each kind in a generation
	keepPercent   = 25                     // share of messages for kept queues
)

// workers are the clients. All of them end soon after ctx.
type workers struct {
	nodes   []*node
	history *History
	seed    uint64
	ctx     context.Context

	mu       sync.Mutex
	sessions []*session
	names    map[string]Kind // all that topology clients have used, by the kind of the look for it
	done     sync.WaitGroup
	doomed   chan string // queues for another client to delete
}

func (w *workers) session(name string, n *node) *session {
	s := &session{node: n, name: fmt.Sprintf("%s-%d", name, n.index), history: w.history}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions = append(w.sessions, s)
	return s
}

func (w *workers) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, stream)) }

// start lets all clients of all nodes work.
func (w *workers) start() {
	stream := uint64(1000)
	for _, n := range w.nodes {
		for i := range 2 {
			stream++
			p := &publisher{w: w, s: w.session(fmt.Sprintf("publisher%d", i), n), rng: w.rng(stream)}
			w.done.Go(p.run)
			stream++
			t := &topologist{w: w, s: w.session(fmt.Sprintf("topology%d", i), n), rng: w.rng(stream)}
			w.done.Go(t.run)
		}
		for _, queue := range w.nodes {
			stream++
			c := &consumer{w: w, s: w.session("consumer-"+consumedQueue(queue.index), n), rng: w.rng(stream), queue: consumedQueue(queue.index)}
			w.done.Go(c.run)
		}
		stream++
		p := &binder{w: w, s: w.session("binder", n), looks: w.session("prober", n), rng: w.rng(stream)}
		w.done.Go(p.run)
		stream++
		ch := &churner{w: w, s: w.session("churn", n), rng: w.rng(stream)}
		w.done.Go(ch.run)
	}
}

// stop waits until the clients have ended. Their context must have ended. Connections that last longer than limit are cut.
func (w *workers) stop(limit time.Duration) {
	ended := make(chan struct{})
	go func() {
		w.done.Wait()
		close(ended)
	}()
	t := time.AfterFunc(limit, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, s := range w.sessions {
			s.close()
		}
	})
	<-ended
	t.Stop()
}

// use notes a name, for the end of the round.
func (w *workers) use(name string, look Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = look
}

func (w *workers) going() bool { return w.ctx.Err() == nil }

// generation is a number that goes up every while, for names that are fresh now and then.
func (w *workers) generation() int64 { return w.history.Now() / int64(generation) }
