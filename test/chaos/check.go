package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Violation is a contract that was not kept.
type Violation struct {
	Rule   string // "lost", "foreign", "duplicate", "order", "names", "phantom" or "process"
	Detail string
}

func (v Violation) String() string { return v.Rule + ": " + v.Detail }

// Verdict is what the checker has to say of a history.
type Verdict struct {
	Violations []Violation
	Names      int      // that were checked
	Undecided  []string // names for which the search took too long
	Confirmed  int      // messages
	Consumed   int      // messages that were acknowledged at least once
	Excused    int      // confirmed messages that went with their queue
}

// maxViolations bounds a verdict: one bug may break a rule for each message.
const maxViolations = 50

// DisturbedFor is how long after a fault of its links, or a pause, a node may not know the latest.
const DisturbedFor = 5 * time.Second

// window is a time in which a node may not know the latest.
type window struct{ from, to int64 }

type checker struct {
	ops     []Op
	windows [][]window          // by node
	changes map[string][]window // of bindings; nil until it is needed
	verdict Verdict
}

// Check judges a history of a cluster with that many nodes. Operations of one client must be in their order.
func Check(ops []Op, nodes int) Verdict {
	c := &checker{ops: ops, windows: make([][]window, nodes)}
	for _, op := range ops {
		if op.Kind == FaultDone && op.Fault != nil {
			for _, n := range op.Fault.disturbed(nodes) {
				c.windows[n] = append(c.windows[n], window{op.Start, op.End + int64(DisturbedFor)})
			}
		}
	}
	c.checkProcesses()
	c.checkMessages()
	c.checkNames()
	return c.verdict
}

// disturbed says whether the node may not have known the latest during an operation.
func (c *checker) disturbed(op *Op) bool {
	if op.Node < 0 || op.Node >= len(c.windows) {
		return false
	}
	for _, w := range c.windows[op.Node] {
		if op.Start <= w.to && op.End >= w.from {
			return true
		}
	}
	return false
}

func (c *checker) violate(rule, detail string) {
	if len(c.verdict.Violations) < maxViolations {
		c.verdict.Violations = append(c.verdict.Violations, Violation{rule, detail})
	}
}

func (c *checker) checkProcesses() {
	for _, op := range c.ops {
		if op.Kind == Exit {
			c.violate("process", fmt.Sprintf("node %d at %.3fs: %s", op.Node, seconds(op.Start), op.Error))
		}
	}
}

// line tells an operation for people.
func (op *Op) line() string {
	s := fmt.Sprintf("%9.4f - %9.4f  node %d  %-16s %-8s %s", seconds(op.Start), seconds(op.End), op.Node, op.Kind, op.Outcome, op.Client)
	if op.Message != "" {
		s += " " + op.Message
	}
	if op.Error != "" {
		s += " (" + op.Error + ")"
	}
	return s
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
