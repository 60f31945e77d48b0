//go:build linux

package chaos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Bounds of the end of a round.
const (
	recoverTime = 90 * time.Second // until all nodes answer for all queues
	drainTime   = 60 * time.Second // until all messages are there, as long as more come
	drainIdle   = 7 * time.Second  // without one more message the rest is not waited for
	drainPause  = 300 * time.Millisecond
)

// ending is the part of a round after the faults: everything is taken out, and every node is asked for every name.
type ending struct {
	nodes    []*node
	history  *History
	sessions []*session // one per node
	stable   []string   // queues that are certainly there
	names    map[string]Kind
}

// perNode calls f for all nodes at once, and returns the error of one.
func (e *ending) perNode(f func(node int) error) error {
	var running sync.WaitGroup
	errs := make([]error, len(e.nodes))
	for i := range e.nodes {
		running.Go(func() { errs[i] = f(i) })
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// recover waits until each node answers for the queues of all nodes.
func (e *ending) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	return e.perNode(func(i int) error {
		for _, queue := range e.stable {
			for {
				_, o, err := e.sessions[i].lookQueue(queue)
				if o == OK || o == Absent { // absence is for the checker
					break
				}
				if !pause(ctx, retryPause) {
					return fmt.Errorf("node %d does not answer for queue %s %s after the last fault: %w", i, queue, recoverTime, err)
				}
			}
		}
		return nil
	})
}

// look asks every node for every name. Each has to answer within recoverTime.
func (e *ending) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	names := sorted(e.names)
	return e.perNode(func(i int) error {
		prober, p := e.prober(i), prober{}
		defer prober.finish()
		for _, name := range names {
			for {
				var o Outcome
				var err error
				switch kind := e.names[name]; kind {
				case LookQueue:
					_, o, err = e.sessions[i].lookQueue(name)
				case LookExchange:
					o, err = e.sessions[i].lookExchange(name)
				case LookBinding:
					queue, key := splitBinding(name)
					o, err = prober.lookBinding(&p, queue, key)
				}
				if o == OK || o == Absent {
					break
				}
				if !pause(ctx, retryPause) {
					return fmt.Errorf("node %d does not answer for %s: %w", i, name, err)
				}
			}
		}
		return nil
	})
}

func (e *ending) prober(node int) *session {
	return &session{node: e.nodes[node], name: fmt.Sprintf("last-prober-%d", node), history: e.history}
}

// drain takes out all messages of all queues that are there. What a client had when its connection ended may come back a while
// later, so it goes on until nothing is missing that should come, or nothing comes any more.
func (e *ending) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	consumed, since := 0, time.Now()
	for {
		if err := e.perNode(func(i int) error { return e.drainPart(ctx, i) }); err != nil {
			return err
		}
		c := checker{ops: e.history.Ops()}
		c.checkMessages()
		if c.verdict.Consumed > consumed {
			consumed, since = c.verdict.Consumed, time.Now()
		}
		complete := true
		for _, v := range c.verdict.Violations {
			complete = complete && v.Rule != "lost"
		}
		if complete || time.Since(since) > drainIdle || !pause(ctx, drainPause) {
			return nil
		}
	}
}

// drainPart takes out the queues whose turn it is on a node.
func (e *ending) drainPart(ctx context.Context, node int) error {
	s := e.sessions[node]
	var queues []string
	for _, name := range e.stable {
		if !strings.HasPrefix(name, boundPrefix) { // those hold what came from looking for bindings
			queues = append(queues, name)
		}
	}
	for _, name := range sorted(e.names) {
		if e.names[name] == LookQueue {
			queues = append(queues, name)
		}
	}
	for i, queue := range queues {
		if i%len(e.nodes) != node {
			continue
		}
		ready, o, err := s.lookQueue(queue)
		if o == Absent || o == OK && ready == 0 {
			continue
		}
		for more := o == OK; more; {
			more, err = get(s, queue)
		}
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("draining queue %s on node %d: %w", queue, node, err)
		}
	}
	return nil
}
