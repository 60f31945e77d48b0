package chaos

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		nodes := rapid.IntRange(2, 5).Draw(t, "nodes")
		length := time.Duration(rapid.Int64Range(int64(5*time.Second), int64(10*time.Minute)).Draw(t, "length"))
		p := NewPlan(seed, nodes, length, AllFaults())
		if again := NewPlan(seed, nodes, length, AllFaults()); again.String() != p.String() {
			t.Fatalf("two plans of one seed:\n%s\n%s", p, again)
		}
		if len(p.Faults) == 0 {
			t.Fatalf("no faults in %s", length)
		}
		var counts = map[FaultKind]int{}
		for i, f := range p.Faults {
			counts[f.Kind]++
			if f.At < planLead || f.For < 100*time.Millisecond || f.At+f.For > length-planTail {
				t.Fatalf("%s does not fit into %s", f, length)
			}
			if f.Node == f.Other || f.Node >= nodes || f.Other >= nodes {
				t.Fatalf("%s: nodes %d and %d of %d", f, f.Node, f.Other, nodes)
			}
			for _, g := range p.Faults[:i] {
				if g.At > f.At {
					t.Fatalf("%s is before %s", f, g)
				}
				if g.At+g.For > f.At && g.links() == f.links() {
					t.Fatalf("%s during %s", f, g)
				}
			}
		}
		for _, k := range AllFaults() {
			if length >= 2*time.Minute && counts[k] == 0 {
				t.Fatalf("no %s in %s", k, length)
			}
		}
	})
}

func TestPlansDiffer(t *testing.T) {
	if a, b := NewPlan(1, 3, time.Minute, AllFaults()), NewPlan(2, 3, time.Minute, AllFaults()); a.String() == b.String() {
		t.Errorf("two seeds, one plan: %s", a)
	}
}

func TestPlanOfKinds(t *testing.T) {
	for _, f := range NewPlan(1, 3, time.Minute, []FaultKind{Pause}).Faults {
		if f.Kind != Pause {
			t.Errorf("%s, want pauses only", f)
		}
	}
	if p := NewPlan(1, 3, time.Minute, nil); len(p.Faults) != 0 {
		t.Errorf("%s, want no faults", p)
	}
}
