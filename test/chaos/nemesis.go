//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// nemesis carries out a plan.
type nemesis struct {
	nodes   []*node
	wires   *wires
	history *History
	say     func(string)

	mu  sync.Mutex
	err error // what could not be done: the round is worth nothing then
}

// run carries out the plan until it is done or ctx ends, and takes back every fault. Times of the plan count from the call.
func (n *nemesis) run(ctx context.Context, p Plan) error {
	begin := time.Now()
	var running sync.WaitGroup
	for _, f := range p.Faults {
		running.Go(func() {
			if !pause(ctx, f.At-time.Since(begin)) {
				return
			}
			op := Op{Client: "nemesis", Node: f.Node, Kind: FaultDone, Fault: &f, Start: n.history.Now(), Outcome: OK}
			n.say(f.String())
			n.note(f, n.begin(f))
			pause(ctx, f.For)
			n.note(f, n.end(f))
			op.End = n.history.Now()
			n.history.Add(op)
		})
	}
	running.Wait()
	return n.err
}

func (n *nemesis) note(f Fault, err error) {
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.err = errors.Join(n.err, fmt.Errorf("fault %s: %w", f, err))
	}
}

// others calls f for each node but one.
func (n *nemesis) others(node int, f func(other int) error) (err error) {
	for i := range n.nodes {
		if i != node {
			err = errors.Join(err, f(i))
		}
	}
	return err
}

func (n *nemesis) begin(f Fault) error {
	switch f.Kind {
	case Kill:
		n.nodes[f.Node].kill()
	case KillAll:
		for _, node := range n.nodes {
			node.signal(syscall.SIGKILL, true)
		}
		for _, node := range n.nodes {
			node.kill() // waits
		}
	case Restart:
		if err := n.nodes[f.Node].stop(); err != nil {
			now := n.history.Now()
			n.history.Add(Op{Client: "nemesis", Node: f.Node, Kind: Exit, Start: now, End: now, Outcome: Fail, Error: err.Error()})
		}
	case Pause:
		n.nodes[f.Node].signal(syscall.SIGSTOP, false)
	case Isolate:
		return n.others(f.Node, func(other int) error { return n.wires.cut(f.Node, other) })
	case Strand:
		return n.others(f.Node, func(other int) error { return n.wires.hang(f.Node, other) })
	case Cut:
		return n.wires.cut(f.Node, f.Other)
	case Hang:
		return n.wires.hang(f.Node, f.Other)
	case Slow:
		return n.wires.slow(f.Node, f.Other, f.Delay)
	default:
		return errors.New("unknown kind")
	}
	return nil
}

func (n *nemesis) end(f Fault) error {
	switch f.Kind {
	case Kill, Restart:
		return n.nodes[f.Node].start()
	case KillAll:
		var err error
		for _, node := range n.nodes {
			err = errors.Join(err, node.start())
		}
		return err
	case Pause:
		n.nodes[f.Node].signal(syscall.SIGCONT, false)
	case Isolate, Strand:
		return n.others(f.Node, func(other int) error { return n.wires.mend(f.Node, other) })
	case Cut, Hang, Slow:
		return n.wires.mend(f.Node, f.Other)
	}
	return nil
}

// pause waits, and says whether ctx is still going on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
