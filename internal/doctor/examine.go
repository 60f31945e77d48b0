package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity says how bad a finding is.
type Severity int

// The severities, the worst last.
const (
	Info Severity = iota + 1
	Warning
	Critical
)

// String returns the severity in lower case.
func (s Severity) String() string {
	return [...]string{"none", "info", "warning", "critical"}[min(max(s, 0), Critical)]
}

// Finding is one thing that is likely to hurt.
type Finding struct {
	Check    string // which check found it
	Severity Severity
	Finding  string // what is wrong
	Evidence string // what shows it
	Remedy   string // what to do
	Node     string // empty: none in particular
	VHost    string
	Object   string // a queue, a consumer, a connection
}

// What the checks go by.
const (
	longQueue        = 100_000 // ready messages of a queue without a limit
	idleQueue        = 1_000   // ready messages of a queue that nobody consumes
	muchUnacked      = 10_000  // of one consumer without a prefetch limit
	oldUnacked       = 15 * time.Minute
	unusedQueue      = 7 * 24 * time.Hour
	churn            = 10 // connections opened in a minute for each open one
	churnFrom        = 120
	nearLimit        = 80 // percent
	skew             = 2 * time.Second
	expiresSoon      = 30 * 24 * time.Hour
	expiresVerySoon  = 7 * 24 * time.Hour
	manyChannels     = 256 // of one connection
	maxFindingsCheck = 100 // of one check; the rest is one finding that counts them
)

// check is one of the checks.
type check struct {
	name  string
	about string
	run   func(e *Evidence, report func(Finding))
}

var checks = []check{
	{"nodes-reachable", "all nodes can be reached, and a majority of those with a vote", checkReachable},
	{"alarms", "no node is short of memory or disk", checkAlarms},
	{"resources", "memory, disk and file descriptors are far from their limits", checkResources},
	{"releases", "all nodes run the same release", checkReleases},
	{"clocks", "the clocks of the nodes agree", checkClocks},
	{"certificates", "no certificate is about to expire", checkCertificates},
	{"listeners", "nothing listens beyond this machine without TLS", checkListeners},
	{"leaderless-queues", "no queue waits for a node that is down", checkLeaderless},
	{"unbounded-queues", "no long queue is without a limit", checkUnbounded},
	{"no-consumers", "no queue fills up without a consumer", checkNoConsumers},
	{"unused-queues", "no queue is unused for long", checkUnused},
	{"dead-letter-exchange", "dead-letter exchanges exist, and queues that give messages up have one", checkDeadLetters},
	{"prefetch", "consumers that acknowledge have a prefetch limit", checkPrefetch},
	{"unacked", "deliveries are acknowledged in time", checkUnacked},
	{"connection-churn", "connections are kept", checkChurn},
	{"channels", "connections do not leak channels", checkChannels},
	{"quorum", "the metadata survives the loss of a node", checkQuorum},
}

// Checks returns the names of all checks, and what each of them says if it finds nothing.
func Checks() (names, about []string) {
	for _, c := range checks {
		names, about = append(names, c.name), append(about, c.about)
	}
	return names, about
}

// Examine runs the checks with the given names, all if there are none, and returns what they find: the worst first, then in the order
// of the checks. An unknown name is an error that lists those there are. A check reports at most 100 findings one by one.
func Examine(e *Evidence, names ...string) ([]Finding, error) {
	for _, n := range names {
		if !slices.ContainsFunc(checks, func(c check) bool { return c.name == n }) {
			all, _ := Checks()
			return nil, fmt.Errorf("there is no check %q; there are %s", n, strings.Join(all, ", "))
		}
	}
	var list []Finding
	for _, c := range checks {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		n, worst := 0, Severity(0)
		c.run(e, func(f Finding) {
			f.Check = c.name
			if n++; n <= maxFindingsCheck {
				list = append(list, f)
			}
			worst = max(worst, f.Severity)
		})
		if n > maxFindingsCheck {
			list = append(list, Finding{Check: c.name, Severity: worst, Finding: fmt.Sprintf("%d more of the same kind", n-maxFindingsCheck),
				Evidence: fmt.Sprintf("%d in all", n), Remedy: "see the findings of this check above"})
		}
	}
	slices.SortStableFunc(list, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return list, nil
}

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(float64(part) / float64(whole) * 100)
}

// size formats bytes.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f /= 1024
		u++
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}
