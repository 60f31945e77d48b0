package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExamine(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	gone, empty := "gone", ""
	healthy := Node{Name: "n1", Reachable: true, Voter: true, Release: "1.0", Clock: now, MemoryUsed: 1, MemoryLimit: 100,
		DiskFree: 1 << 40, DiskMinFree: 1 << 30, FilesOpen: 10, FilesLimit: 1000}
	three := func(edit func(*Node)) []Node {
		nodes := []Node{healthy, healthy, healthy}
		nodes[1].Name, nodes[2].Name = "n2", "n3"
		edit(&nodes[1])
		return nodes
	}
	q := func(edit func(*Queue)) []Queue {
		x := Queue{Name: Name{"/", "q"}, Durable: true, Leader: "n1", Consumers: 1}
		edit(&x)
		return []Queue{x}
	}
	for _, test := range []struct {
		name string
		e    Evidence
		want []string // "check severity object-or-node"
	}{
		{"healthy", Evidence{Nodes: three(func(*Node) {})}, nil},
		{"down", Evidence{Nodes: three(func(n *Node) { n.Reachable = false })}, []string{"nodes-reachable critical n2"}},
		{"minority", Evidence{Nodes: []Node{healthy, {Name: "n2", Voter: true}, {Name: "n3", Voter: true}}},
			[]string{"nodes-reachable critical n2", "nodes-reachable critical n3", "nodes-reachable critical "}},
		{"two", Evidence{Nodes: []Node{healthy, healthy}}, []string{"quorum warning "}},
		{"alarm", Evidence{Nodes: three(func(n *Node) { n.Alarms = []string{"disk"} })}, []string{"alarms critical n2"}},
		{"memory", Evidence{Nodes: three(func(n *Node) { n.MemoryUsed = 85 })}, []string{"resources warning n2"}},
		{"disk", Evidence{Nodes: three(func(n *Node) { n.DiskFree = 3 << 29 })}, []string{"resources warning n2"}},
		{"files", Evidence{Nodes: three(func(n *Node) { n.FilesOpen = 900 })}, []string{"resources warning n2"}},
		{"releases", Evidence{Nodes: three(func(n *Node) { n.Release = "1.1" })}, []string{"releases info "}},
		{"clock", Evidence{Now: now, Nodes: three(func(n *Node) { n.Clock = now.Add(-5 * time.Second) })}, []string{"clocks warning n2"}},
		{"certificates", Evidence{Now: now, Nodes: three(func(n *Node) {
			for i, days := range []int{-1, 3, 20, 300} {
				n.Certificates = append(n.Certificates, Certificate{"amqp.tls.cert", fmt.Sprint(i), now.AddDate(0, 0, days)})
			}
		})}, []string{"certificates critical 0", "certificates critical 1", "certificates warning 2"}},
		{"listener", Evidence{Nodes: three(func(n *Node) {
			n.OpenListeners = []Listener{{"amqp", "0.0.0.0:5672", false, false}, {"amqp", "0.0.0.0:5671", true, false}, {"http", "[::1]:1", false, true}}
		})}, []string{"listeners warning 0.0.0.0:5672"}},
		{"churn", Evidence{Nodes: three(func(n *Node) { n.ConnectionsOpened, n.Connections = 600, 10 })}, []string{"connection-churn warning n2"}},
		{"channels", Evidence{Connections: []Connection{{Name: "c", Channels: 300}}}, []string{"channels warning c"}},
		{"leader down", Evidence{Queues: q(func(q *Queue) { q.LeaderDown = true })}, []string{"leaderless-queues critical q"}},
		{"unbounded", Evidence{Queues: q(func(q *Queue) { q.Ready = longQueue })}, []string{"unbounded-queues warning q"}},
		{"bounded", Evidence{Queues: q(func(q *Queue) { q.Ready, q.Bounded = longQueue, true })}, nil},
		{"no consumers", Evidence{Queues: q(func(q *Queue) { q.Ready, q.Consumers = idleQueue, 0 })}, []string{"no-consumers warning q"}},
		{"unused", Evidence{Queues: q(func(q *Queue) { q.UnusedFor, q.Consumers = unusedQueue, 0 })}, []string{"unused-queues info q"}},
		{"no exchange", Evidence{Queues: q(func(q *Queue) { q.DeadLetterExchange = &gone })}, []string{"dead-letter-exchange critical q"}},
		{"default exchange", Evidence{Queues: q(func(q *Queue) { q.DeadLetterExchange = &empty })}, nil},
		{"there", Evidence{Queues: q(func(q *Queue) { q.DeadLetterExchange = &gone }), Exchanges: map[Name]bool{{"/", "gone"}: true}}, nil},
		{"lost", Evidence{Queues: q(func(q *Queue) { q.RejectsWithoutDeadLetters = true })}, []string{"dead-letter-exchange warning q"}},
		{"prefetch", Evidence{Consumers: []Consumer{
			{Queue: Name{"/", "a"}, ManualAck: true}, {Queue: Name{"/", "b"}, ManualAck: true, Unacked: muchUnacked},
			{Queue: Name{"/", "c"}, ManualAck: true, Prefetch: 5}, {Queue: Name{"/", "d"}},
		}}, []string{"prefetch warning b", "prefetch info a"}},
		{"old", Evidence{Queues: q(func(q *Queue) { q.OldestUnacked = time.Hour })}, []string{"unacked warning q"}},
		{"unacked", Evidence{Queues: q(func(q *Queue) { q.Unacked = 20_000 })}, []string{"unacked warning q"}},
	} {
		if test.e.Now.IsZero() {
			test.e.Now = now
		}
		found, err := Examine(&test.e)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			what := f.Object
			if what == "" {
				what = f.Node
			}
			got = append(got, f.Check+" "+f.Severity.String()+" "+what)
			if f.Finding == "" || f.Evidence == "" || f.Remedy == "" {
				t.Errorf("%s: %+v says too little", test.name, f)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestExamineNames(t *testing.T) {
	e := Evidence{Nodes: []Node{{Name: "n", Voter: true, Alarms: []string{"disk"}}}}
	found, err := Examine(&e, "alarms")
	if err != nil || len(found) != 1 || found[0].Check != "alarms" {
		t.Errorf("got %v, %v", found, err)
	}
	if _, err := Examine(&e, "alarm"); err == nil || !strings.Contains(err.Error(), `no check "alarm"; there are nodes-reachable, alarms,`) {
		t.Errorf("got %v", err)
	}
	names, about := Checks()
	if len(names) != len(about) || len(names) != len(checks) {
		t.Errorf("%d names, %d texts, %d checks", len(names), len(about), len(checks))
	}
}

// TestExamineBound: a check that finds a lot does not fill the screen.
func TestExamineBound(t *testing.T) {
	var e Evidence
	for i := range 1000 {
		e.Queues = append(e.Queues, Queue{Name: Name{"/", fmt.Sprint(i)}, LeaderDown: true})
	}
	found, err := Examine(&e)
	if err != nil || len(found) != maxFindingsCheck+1 || found[maxFindingsCheck].Finding != "900 more of the same kind" {
		t.Errorf("%d findings, the last %+v, %v", len(found), found[len(found)-1], err)
	}
}
