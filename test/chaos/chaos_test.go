//go:build chaos && linux

package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var (
	duration = flag.Duration("duration", time.Minute, "how long rounds of faults go on")
	length   = flag.Duration("round", time.Minute, "longest round; each has its own cluster and seed")
	seed     = flag.Uint64("seed", 0, "seed of the first round, 0 for a new one; the others count up from it")
	planted  = flag.Duration("planted", 15*time.Second, "length of the rounds that must find a planted bug")
	race     = flag.Bool("race-brokerd", false, "build brokerd with the race detector")
	keep     = flag.String("keep", "", "directory for what is left of each round; default: a temporary one, kept on failure")
)

// roundSlack is what a round takes besides its faults, at most: start, recovery, drain and check.
const roundSlack = 5 * time.Minute

// directory returns a place for the rounds of a test. It goes away when the test has passed.
func directory(t *testing.T) string {
	t.Helper()
	if *keep != "" {
		return filepath.Join(*keep, t.Name())
	}
	dir, err := os.MkdirTemp("", "brokerd-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	return dir
}

func firstSeed() uint64 {
	if *seed != 0 {
		return *seed
	}
	return uint64(time.Now().UnixNano() % 1e9)
}

// runRound does a round; the test ends when that is not possible.
func runRound(t *testing.T, o Options) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), o.Length+roundSlack)
	defer cancel()
	begin := time.Now()
	o.Log = func(line string) { fmt.Printf("    [%6.2fs] %s\n", time.Since(begin).Seconds(), line) }
	fmt.Printf("%s", NewPlan(o.Seed, Nodes, o.Length, o.Faults))
	report, err := Run(ctx, o)
	if err != nil {
		t.Fatalf("seed %d: round not done: %v; see %s", o.Seed, err, o.Dir)
	}
	return report
}

// TestChaos runs rounds of faults for a while and checks each.
func TestChaos(t *testing.T) {
	dir := directory(t)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	program, err := Build(t.Context(), dir, "", *race)
	if err != nil {
		t.Fatal(err)
	}
	left := *duration
	for s := firstSeed(); left >= 5*time.Second && !t.Failed(); s++ {
		o := Options{
			Program: program, Dir: filepath.Join(dir, fmt.Sprintf("seed-%d", s)), Seed: s, Length: min(left, *length), Faults: AllFaults(),
		}
		left -= o.Length
		report := runRound(t, o)
		fmt.Printf("\n%s\n", report)
		if n := len(report.Verdict.Violations); n > 0 {
			t.Errorf("%d violations with seed %d: replay with -seed %d -duration %s; history, report and logs are in %s",
				n, s, s, o.Length, o.Dir)
		} else if *keep == "" {
			_ = os.RemoveAll(o.Dir) // hours of rounds would fill the disk
		}
	}
}

// TestFindsPlanted requires that bugs are found that are in the broker on purpose.
func TestFindsPlanted(t *testing.T) {
	for _, bug := range []struct {
		tag    string
		faults []FaultKind
		rules  []string // one of them must be broken
	}{
		{"fault_confirm_early", []FaultKind{Kill, KillAll}, []string{"lost"}},
		{"fault_apply_early", AllFaults(), []string{"names"}},
	} {
		t.Run(bug.tag, func(t *testing.T) {
			dir := directory(t)
			if err := os.MkdirAll(dir, 0o750); err != nil {
				t.Fatal(err)
			}
			program, err := Build(t.Context(), dir, bug.tag, false)
			if err != nil {
				t.Fatal(err)
			}
			s := firstSeed()
			report := runRound(t, Options{Program: program, Dir: filepath.Join(dir, "round"), Seed: s, Length: *planted, Faults: bug.faults})
			found := slices.ContainsFunc(report.Verdict.Violations, func(v Violation) bool { return slices.Contains(bug.rules, v.Rule) })
			if !found {
				t.Errorf("the planted bug %s was not found with seed %d; history, report and logs are in %s\n%s", bug.tag, s, dir, report)
				return
			}
			t.Logf("seed %d: %d violations, the first is %s", s, len(report.Verdict.Violations), report.Verdict.Violations[0])
		})
	}
}
