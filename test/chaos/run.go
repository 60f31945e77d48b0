//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Nodes is the number of nodes of the cluster.
const Nodes = 3

// Options of a round.
type Options struct {
	Program string        // brokerd
	Dir     string        // for data, logs, history and report; empty or missing
	Seed    uint64        // of the plan and of what the clients choose
	Length  time.Duration // of the part with faults, at least 5 s
	Faults  []FaultKind   // nil for all
	Log     func(string)  // progress, for people; nil for none
}

// Files of a round in its directory, beside the logs and data of the nodes.
const (
	HistoryFile = "history.jsonl"
	ReportFile  = "report.txt"
)

// startTime bounds how long a fresh cluster takes to be of use; workersEnd is what clients get to end in order.
const (
	startTime  = 60 * time.Second
	workersEnd = 5 * time.Second
)

// round is a run of Run.
type round struct {
	opts    Options
	plan    Plan
	history *History
	nodes   []*node
	wires   *wires
	stable  []string
	broken  []Violation // seen outside of the history
	errors  int         // error lines in logs
}

// Run does one round: it starts a cluster, lets clients and the nemesis at it, repairs everything, takes out all messages and
// checks. The error says that the round could not be done; what is wrong with the broker is in the report. All processes have ended when
// it returns.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if o.Length < 5*time.Second {
		return nil, fmt.Errorf("length of a round %s: at least 5s", o.Length)
	}
	if o.Faults == nil {
		o.Faults = AllFaults()
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	r := &round{opts: o, plan: NewPlan(o.Seed, Nodes, o.Length, o.Faults)}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, err
	}
	if left, err := os.ReadDir(o.Dir); err != nil {
		return nil, err
	} else if len(left) > 0 {
		return nil, fmt.Errorf("directory %s for a round is not empty (it has %s): a round begins with a new cluster; name another one", o.Dir, left[0].Name())
	}
	if r.history, err = NewHistory(filepath.Join(o.Dir, HistoryFile)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.history.Close()) }()
	if err := r.prepare(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	if err := r.work(ctx); err != nil {
		return nil, err
	}
	r.stop()
	report = NewReport(r.plan, r.history.Ops(), Check(r.history.Ops(), Nodes))
	report.Verdict.Violations = append(r.broken, report.Verdict.Violations...)
	report.ErrorLines = r.errors
	return report, os.WriteFile(filepath.Join(o.Dir, ReportFile), []byte(report.String()), 0o640)
}

// prepare lays out the cluster without starting it.
func (r *round) prepare() error {
	addresses, err := freeAddresses(2*Nodes + Nodes*Nodes)
	if err != nil {
		return err
	}
	for i := range Nodes {
		r.nodes = append(r.nodes, &node{
			index: i, program: r.opts.Program, dir: r.opts.Dir, history: r.history, amqp: addresses[2*i], listen: addresses[2*i+1],
		})
	}
	if r.wires, err = newWires(r.nodes, addresses[2*Nodes:]); err != nil {
		return err
	}
	var initial []string
	for _, n := range r.nodes {
		initial = append(initial, n.address)
	}
	for _, n := range r.nodes {
		n.initial = strings.Join(initial, ",")
	}
	return nil
}

// work is the round from the start of the nodes until everything was looked at.
func (r *round) work(ctx context.Context) error {
	for _, n := range r.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	if err := r.furnish(ctx); err != nil {
		return err
	}
	names := map[string]Kind{}
	if err := r.disturb(ctx, names); err != nil {
		return err
	}
	e := &ending{nodes: r.nodes, history: r.history, stable: r.stable, names: names}
	for _, n := range r.nodes {
		s := &session{node: n, name: fmt.Sprintf("last-%d", n.index), history: r.history}
		defer s.finish()
		e.sessions = append(e.sessions, s)
	}
	r.opts.Log("the faults are over: recovering, taking out all messages, looking for all names")
	for _, step := range []func(context.Context) error{e.recover, e.drain, e.look} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			r.broken = append(r.broken, Violation{"recovery", err.Error()})
			return nil
		}
	}
	return nil
}

// furnish declares what is there for the whole round.
func (r *round) furnish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, n := range r.nodes {
		s := &session{node: n, name: fmt.Sprintf("furnisher-%d", n.index), history: r.history}
		defer s.finish()
		bound := bindingQueue(n.index)
		queues := map[string]amqp.Table{
			consumedQueue(n.index): nil, keptQueue(n.index): nil, bound: {"x-max-length": int32(1)},
		}
		for _, name := range sorted(queues) {
			if err := until(ctx, func() (Outcome, error) { return s.declareQueue(name, queues[name]) }); err != nil {
				return fmt.Errorf("cluster not ready: node %d: %w", n.index, err)
			}
			r.stable = append(r.stable, name)
		}
		if err := until(ctx, func() (Outcome, error) { return s.declareExchange(bindingExchange) }); err != nil {
			return fmt.Errorf("cluster not ready: node %d: %w", n.index, err)
		}
	}
	return nil
}

// until tries something until it works.
func until(ctx context.Context, try func() (Outcome, error)) error {
	for {
		o, err := try()
		if o == OK {
			return nil
		}
		if !pause(ctx, retryPause) {
			return fmt.Errorf("%w; the last error was %w", ctx.Err(), err)
		}
	}
}

// disturb is the part with clients and faults. It adds to names what the clients have used.
func (r *round) disturb(ctx context.Context, names map[string]Kind) error {
	working, stop := context.WithTimeout(ctx, r.opts.Length)
	defer stop()
	w := &workers{
		nodes: r.nodes, history: r.history, seed: r.opts.Seed, ctx: working, names: names, doomed: make(chan string, 30),
	}
	w.start()
	n := &nemesis{nodes: r.nodes, wires: r.wires, history: r.history, say: r.opts.Log}
	err := n.run(ctx, r.plan)
	<-working.Done()
	w.stop(workersEnd)
	return errors.Join(err, ctx.Err())
}

// stop ends the nodes in order and reads their logs.
func (r *round) stop() {
	results := make([]error, len(r.nodes))
	done := make(chan struct{})
	for i, n := range r.nodes {
		go func() {
			results[i] = n.stop()
			done <- struct{}{}
		}()
	}
	for range r.nodes {
		<-done
	}
	for i, n := range r.nodes {
		if results[i] != nil {
			r.broken = append(r.broken, Violation{"process", fmt.Sprintf("node %d: %v", i, results[i])})
		}
		bad, errorLines, err := n.readLog()
		if err != nil {
			bad = append(bad, err.Error())
		}
		for _, line := range bad {
			r.broken = append(r.broken, Violation{"process", fmt.Sprintf("node %d: %s", i, line)})
		}
		r.errors += errorLines
	}
}

// end ends what still runs.
func (r *round) end() error {
	for _, n := range r.nodes {
		n.kill()
	}
	return r.wires.close()
}
