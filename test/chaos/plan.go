package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// FaultKind is a way to disturb the cluster.
type FaultKind string

// Kinds of faults.
const (
	Kill    FaultKind = "kill"     // SIGKILL, and started again after a while
	KillAll FaultKind = "kill-all" // all nodes at once
	Restart FaultKind = "restart"  // SIGTERM, and started again after a while
	Pause   FaultKind = "pause"    // SIGSTOP, and SIGCONT after a while
	Isolate FaultKind = "isolate"  // all links of a node are cut: connections end, new ones are refused
	Strand  FaultKind = "strand"   // all links of a node hang: what is sent is lost, and nobody is told
	Cut     FaultKind = "cut"      // the link between two nodes is cut
	Hang    FaultKind = "hang"     // the link between two nodes hangs
	Slow    FaultKind = "slow"     // the link between two nodes has a delay
)

// AllFaults returns all kinds.
func AllFaults() []FaultKind {
	return []FaultKind{Kill, KillAll, Restart, Pause, Isolate, Strand, Cut, Hang, Slow}
}

// Fault is one disturbance.
type Fault struct {
	Kind  FaultKind     `json:"kind"`
	Node  int           `json:"node"`
	Other int           `json:"other"` // the far end for Cut, Hang and Slow
	At    time.Duration `json:"at"`    // since the round began
	For   time.Duration `json:"for"`
	Delay time.Duration `json:"delay,omitempty"` // of Slow, in each direction
}

func (f Fault) String() string {
	what := fmt.Sprintf("%-8s node %d", f.Kind, f.Node)
	switch f.Kind {
	case KillAll:
		what = fmt.Sprintf("%-8s", f.Kind)
	case Cut, Hang:
		what += fmt.Sprintf(" - node %d", f.Other)
	case Slow:
		what += fmt.Sprintf(" - node %d by %s", f.Other, f.Delay)
	}
	return fmt.Sprintf("%7.2fs  %s for %s", f.At.Seconds(), what, f.For)
}

// links says whether the fault is one of links, not of processes.
func (f Fault) links() bool {
	return slices.Contains([]FaultKind{Isolate, Strand, Cut, Hang, Slow}, f.Kind)
}

// disturbed returns the nodes that may know less than the others on account of the fault.
func (f Fault) disturbed(nodes int) []int {
	switch f.Kind {
	case Isolate, Strand:
		all := make([]int, nodes)
		for i := range all {
			all[i] = i
		}
		return all
	case Cut, Hang, Slow:
		return []int{f.Node, f.Other}
	case Pause:
		return []int{f.Node}
	}
	return nil
}

// Plan is the schedule of a round.
type Plan struct {
	Seed   uint64
	Faults []Fault // by the time of their beginning
}

// Margins of a plan: faults begin when the clients are at work, and end so that they are seen to recover.
const (
	planLead = time.Second
	planTail = time.Second
)

// NewPlan makes the schedule for a round of that length with nodes numbered from 0. It depends on the arguments alone. Each
// kind comes once before any comes twice. At most two faults hold at a time: one of links and one of processes.
func NewPlan(seed uint64, nodes int, length time.Duration, kinds []FaultKind) Plan {
	p := Plan{Seed: seed}
	rng := rand.New(rand.NewPCG(seed, 'p'))
	between := func(low, high time.Duration) time.Duration {
		return (low + time.Duration(rng.Int64N(int64(high-low)))).Round(10 * time.Millisecond)
	}
	var deck []FaultKind
	var over time.Duration                     // when the faults so far end
	free := planLead + between(0, time.Second) // when the next one begins
	var last Fault
	alone := false // last overlaps no other
	for len(kinds) > 0 {
		if len(deck) == 0 {
			deck = slices.Clone(kinds)
			rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		f := Fault{Kind: deck[0], Node: rng.IntN(nodes), At: free}
		deck = deck[1:]
		f.Other = (f.Node + 1 + rng.IntN(nodes-1)) % nodes
		switch f.Kind {
		case Kill, KillAll, Restart:
			f.For = between(200*time.Millisecond, 5*time.Second)
		case Pause:
			f.For = between(500*time.Millisecond, 8*time.Second)
		case Slow:
			f.For, f.Delay = between(2*time.Second, 6*time.Second), between(20*time.Millisecond, 300*time.Millisecond)
		default:
			f.For = between(500*time.Millisecond, 9*time.Second)
		}
		overlap := rng.IntN(3) == 0
		if overlap && alone && last.links() != f.links() {
			f.At = last.At + between(100*time.Millisecond, last.For)
			alone = false
		} else {
			alone = true
		}
		if f.At+f.For > length-planTail {
			f.For = length - planTail - f.At
			if f.For < 500*time.Millisecond {
				return p
			}
		}
		p.Faults = append(p.Faults, f)
		over = max(over, f.At+f.For)
		free = over + between(500*time.Millisecond, 5*time.Second)
		last = f
	}
	return p
}

// String lists the schedule.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d faults\n", p.Seed, len(p.Faults))
	for _, f := range p.Faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}
