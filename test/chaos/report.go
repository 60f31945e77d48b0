package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is the account of a round.
type Report struct {
	Plan       Plan
	Verdict    Verdict
	ErrorLines int // of level error in the logs of the nodes

	Counts map[Kind]map[Outcome]int
	Faults map[FaultKind]int
	// Gaps are the longest times without success while clients were at work: for messages to the queues of each node, and for
	// changes of names anywhere.
	Gaps map[string]time.Duration
}

// NewReport counts what is in a history.
func NewReport(p Plan, ops []Op, v Verdict) *Report {
	r := &Report{Plan: p, Verdict: v, Counts: map[Kind]map[Outcome]int{}, Faults: map[FaultKind]int{}, Gaps: map[string]time.Duration{}}
	successes := map[string][]int64{}
	for _, op := range ops {
		if op.Kind == FaultDone {
			r.Faults[op.Fault.Kind]++
			continue
		}
		if r.Counts[op.Kind] == nil {
			r.Counts[op.Kind] = map[Outcome]int{}
		}
		r.Counts[op.Kind][op.Outcome]++
		if op.Outcome != OK {
			continue
		}
		switch verbs[op.Kind].verb {
		case look:
			if _, node, ok := strings.Cut(op.Name, "consumed-"); ok && op.Kind == Publish {
				what := "messages to queues of node " + node
				successes[what] = append(successes[what], op.End)
			}
		default:
			if _, ok := verbs[op.Kind]; ok {
				successes["changes of names"] = append(successes["changes of names"], op.End)
			}
		}
	}
	for what, ends := range successes {
		slices.Sort(ends)
		for i := 1; i < len(ends); i++ {
			r.Gaps[what] = max(r.Gaps[what], time.Duration(ends[i]-ends[i-1]))
		}
	}
	return r
}

// String writes the report for people.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Plan)
	fmt.Fprintf(&b, "%-18s %9s %9s %9s %9s\n", "operation", OK, Absent, Fail, Unknown)
	for _, kind := range sorted(r.Counts) {
		c := r.Counts[kind]
		fmt.Fprintf(&b, "%-18s %9d %9d %9d %9d\n", kind, c[OK], c[Absent], c[Fail], c[Unknown])
	}
	fmt.Fprintf(&b, "\nfaults:")
	for _, kind := range sorted(r.Faults) {
		fmt.Fprintf(&b, " %s %d", kind, r.Faults[kind])
	}
	v := &r.Verdict
	fmt.Fprintf(&b, "\nmessages: %d confirmed, %d of them consumed, %d gone with their queue\n", v.Confirmed, v.Consumed, v.Excused)
	fmt.Fprintf(&b, "names: %d checked, %d undecided\n", v.Names, len(v.Undecided))
	fmt.Fprintf(&b, "error lines in the logs: %d\n", r.ErrorLines)
	for _, what := range sorted(r.Gaps) {
		fmt.Fprintf(&b, "longest without success: %s %s\n", what, r.Gaps[what].Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "violations: %d\n", len(v.Violations))
	for _, violation := range v.Violations {
		fmt.Fprintf(&b, "  %s\n", violation)
	}
	return b.String()
}
