package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script makes a history from lines like
//
//	client node operation name start end outcome [message [ack|requeue|none [again]]]
//
// with times in milliseconds. "pause", "cut" and "kill" as operations are faults: the name is the other node. "#" begins a comment.
func script(t *testing.T, text string) (ops []Op) {
	t.Helper()
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 7 {
			t.Fatalf("script: %q has %d words", line, len(f))
		}
		number := func(s string) int64 {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				t.Fatalf("script: %q: %v", line, err)
			}
			return n
		}
		op := Op{
			Client: f[0], Node: int(number(f[1])), Kind: Kind(f[2]), Name: f[3],
			Start: number(f[4]) * 1e6, End: number(f[5]) * 1e6, Outcome: Outcome(f[6]),
		}
		if len(f) > 7 {
			op.Message = f[7]
		}
		if len(f) > 8 {
			op.Settled = Settled(f[8])
		}
		op.Redelivered = len(f) > 9
		if slices.Contains(AllFaults(), FaultKind(f[2])) {
			op.Fault = &Fault{Kind: FaultKind(f[2]), Node: op.Node, Other: int(number(f[3]))}
			op.Kind = FaultDone
		}
		ops = append(ops, op)
	}
	return ops
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         []string // rules that are broken
	}{
		{"nothing", "", nil},
		{"confirmed and consumed", `
			p 0 publish q 1 2 ok p/1
			c 1 deliver q 3 3 ok p/1 ack`, nil},
		{"delivered before the confirm", `
			c 1 deliver q 2 2 ok p/1 ack
			p 0 publish q 1 3 ok p/1`, nil},
		{"confirmed and never delivered", `p 0 publish q 1 2 ok p/1`, []string{"lost"}},
		{"confirmed, delivered and given back", `
			p 0 publish q 1 2 ok p/1
			c 1 deliver q 3 3 ok p/1 requeue`, []string{"lost"}},
		{"given back and delivered again", `
			p 0 publish q 1 2 ok p/1
			c 1 deliver q 3 3 ok p/1 requeue
			c 1 deliver q 4 4 ok p/1 ack again`, nil},
		{"kept by a channel that ended", `
			p 0 publish q 1 2 ok p/1
			c 1 deliver q 3 3 ok p/1 none`, []string{"lost"}},
		{"consumed again after a lost acknowledgement", `
			p 0 publish q 1 2 ok p/1
			c 1 deliver q 3 3 ok p/1 ack
			d 1 deliver q 4 4 ok p/1 ack again`, nil},
		{"two first deliveries", `
			p 0 publish q 1 2 ok p/1
			c 1 deliver q 3 3 ok p/1 ack
			d 1 deliver q 4 4 ok p/1 ack`, []string{"duplicate"}},
		{"two first deliveries of what has no known outcome", `
			p 0 publish q 1 2 unknown p/1
			c 1 deliver q 3 3 ok p/1 ack
			d 1 deliver q 4 4 ok p/1 ack`, nil},
		{"not confirmed and not delivered", `
			p 0 publish q 1 2 unknown p/1
			p 0 publish q 1 2 fail    p/2`, nil},
		{"refused and delivered all the same", `
			p 0 publish q 1 2 fail p/1
			c 0 deliver q 3 3 ok   p/1 ack`, nil},
		{"never published", `c 0 deliver q 3 3 ok p/1 ack`, []string{"foreign"}},
		{"in another queue", `
			p 0 publish q 1 2 unknown p/1
			c 0 deliver r 3 3 ok p/1 ack`, []string{"foreign"}},
		{"out of order", `
			p 0 publish q 1 2 ok p/9
			p 0 publish q 1 2 ok p/10
			c 0 deliver q 3 3 ok p/10 ack
			c 0 deliver q 4 4 ok p/9  ack`, []string{"order"}},
		{"another order of two consumers", `
			p 0 publish q 1 2 ok p/9
			p 0 publish q 1 2 ok p/10
			c 0 deliver q 3 3 ok p/10 ack
			d 0 deliver q 4 4 ok p/9  ack`, nil},
		{"another order of two channels", `
			p 0 publish q 1 2 ok p/1
			r 0 publish q 3 4 ok r/1
			c 0 deliver q 5 5 ok r/1 ack
			c 0 deliver q 6 6 ok p/1 ack`, nil},
		{"a redelivery late", `
			p 0 publish q 1 2 ok p/1
			p 0 publish q 1 2 ok p/2
			c 0 deliver q 3 3 ok p/2 ack
			c 0 deliver q 4 4 ok p/1 ack again`, nil},

		{"gone with its queue", `
			a 0 declare-queue q 1 2 ok
			p 0 publish q 3 4 ok p/1
			a 0 delete-queue q 5 6 ok`, nil},
		{"gone with its queue, the delete of which nobody answered", `
			a 0 declare-queue q 1 2 ok
			p 0 publish q 3 4 ok p/1
			a 0 delete-queue q 5 6 unknown
			a 0 look-queue q 7 8 absent`, nil},
		{"lost in a queue whose delete did not happen", `
			a 0 declare-queue q 1 2 ok
			p 0 publish q 3 4 ok p/1
			a 0 delete-queue q 5 6 unknown
			a 0 look-queue q 7 8 ok`, []string{"lost"}},
		{"lost in a queue whose delete was refused", `
			a 0 declare-queue q 1 2 ok
			p 0 publish q 3 4 ok p/1
			a 0 delete-queue q 5 6 fail`, []string{"lost"}},
		{"confirmed into a queue that is gone", `
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue q 3 4 ok
			p 0 publish q 5 6 ok p/1`, []string{"phantom"}},
		{"returned from a queue that is there", `
			a 0 declare-queue q 1 2 ok
			p 0 publish q 5 6 absent p/1`, []string{"names"}},
		{"returned by a node that was cut off", `
			n 0 cut 1 1 2 ok
			a 1 declare-queue q 1 2 ok
			p 0 publish q 5 6 absent p/1`, nil},

		{"declared, found, deleted, not found", `
			a 0 look-queue    q 0 1 absent
			a 0 declare-queue q 1 2 ok
			b 1 look-queue    q 3 4 ok
			a 2 delete-queue  q 5 6 ok
			b 1 look-queue    q 7 8 absent`, nil},
		{"declared and not found", `
			a 0 declare-queue q 1 2 ok
			b 1 look-queue    q 3 4 absent`, []string{"names"}},
		{"not found while being declared", `
			a 0 declare-queue q 1 4 ok
			b 1 look-queue    q 2 3 absent`, nil},
		{"found, then not, while being declared", `
			a 0 declare-queue q 1 9 ok
			b 1 look-queue    q 2 3 ok
			b 1 look-queue    q 4 5 absent`, []string{"names"}},
		{"resurrected", `
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			b 1 look-queue    q 5 6 ok`, []string{"names"}},
		{"found before it was declared", `
			b 1 look-exchange    q 1 2 ok
			a 0 declare-exchange q 3 4 ok`, []string{"names"}},
		{"a declare without an answer, late", `
			a 0 declare-queue q 1 2 unknown
			b 1 look-queue    q 3 4 absent
			b 1 look-queue    q 5 6 ok`, nil},
		{"a declare without an answer, undone by nobody", `
			a 0 declare-queue q 1 2 unknown
			b 1 look-queue    q 3 4 ok
			b 1 look-queue    q 5 6 absent`, []string{"names"}},
		{"a delete without an answer", `
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 unknown
			b 1 look-queue    q 5 6 ok
			b 1 look-queue    q 7 8 absent`, nil},
		{"a refused declare that has an effect", `
			a 0 declare-queue q 1 2 fail
			b 1 look-queue    q 3 4 ok`, []string{"names"}},
		{"names of two kinds", `
			a 0 declare-queue q 1 2 ok
			a 0 look-exchange q 3 4 absent`, nil},
		{"a binding is lost", `
			a 0 bind         q/k 1 2 ok
			b 1 look-binding q/k 3 4 absent`, []string{"names"}},
		{"a binding comes back", `
			a 0 bind         q/k 1 2 ok
			a 0 unbind       q/k 3 4 ok
			b 1 look-binding q/k 5 6 ok`, []string{"names"}},

		{"nodes route by a new binding one after the other", `
			a 0 bind         q/k 1 9 ok
			b 1 look-binding q/k 3 4 ok
			b 2 look-binding q/k 5 6 absent
			b 2 look-binding q/k 10 11 ok`, nil},
		{"a binding that is found in one place only", `
			a 0 bind         q/k 1 4 ok
			b 1 look-binding q/k 5 6 ok
			b 2 look-binding q/k 7 8 absent`, []string{"names"}},

		{"a node that is cut off finds what is deleted", `
			n 1 cut 2 1 9 ok
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			b 1 look-queue    q 5 6 ok`, nil},
		{"a node that is paused finds what is deleted", `
			n 1 pause 0 1 9 ok
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			b 1 look-queue    q 5 6 ok`, nil},
		{"long after", `
			n 1 cut 2 1 9 ok
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			b 1 look-queue    q 5010 5011 ok`, []string{"names"}},
		{"not for a fault of others", `
			n 0 cut 2 1 9 ok
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			b 1 look-queue    q 5 6 ok`, []string{"names"}},
		{"a delete on a node that is cut off has no effect", `
			n 1 cut 2 1 9 ok
			a 1 declare-queue q 1 2 ok
			a 1 delete-queue  q 3 4 ok
			b 0 look-queue    q 5 6 ok`, []string{"names"}},
		{"a delete of what was declared again since", `
			n 1 cut 2 1 9 ok
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			a 0 declare-queue q 5 6 ok
			b 1 delete-queue  q 7 8 ok
			a 0 look-queue    q 9 10 ok`, nil},
		{"not after a kill", `
			n 1 kill 0 1 9 ok
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			b 1 look-queue    q 5 6 ok`, []string{"names"}},
		{"a node that is cut off finds what never was", `
			n 1 cut 2 1 9 ok
			b 1 look-queue q 5 6 ok`, []string{"names"}},
		{"a node that is cut off misses what is there", `
			n 1 cut 2 1 9 ok
			a 0 declare-queue q 1 2 ok
			b 1 look-queue    q 3 4 absent`, []string{"names"}},
		{"a declare that found what is deleted already", `
			n 1 cut 2 1 9 ok
			a 0 declare-queue q 1 2 ok
			a 0 delete-queue  q 3 4 ok
			b 1 declare-queue q 5 6 ok
			a 0 look-queue    q 7 8 absent`, nil},
		{"the first declare of a name is lost", `
			n 1 cut 2 1 9 ok
			b 1 declare-queue q 5 6 ok
			a 0 look-queue    q 7 8 absent`, []string{"names"}},

		{"a process ended", `n 1 exit - 1 1 fail`, []string{"process"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			v := Check(script(t, c.script), 3)
			for _, violation := range v.Violations {
				got = append(got, violation.Rule)
			}
			if !slices.Equal(got, c.want) || len(v.Undecided) > 0 {
				t.Errorf("broken rules %q, undecided %q; want %q\n%v", got, v.Undecided, c.want, v.Violations)
			}
		})
	}
}

// TestCheckCounts checks the figures of a verdict and of a report.
func TestCheckCounts(t *testing.T) {
	ops := script(t, `
		a 0 declare-queue q 0 1 ok
		p 0 publish q          1 2   ok p/1
		p 0 publish q          2 3   unknown p/2
		p 0 publish consumed-2 3 4   ok p/3
		p 0 publish consumed-2 4 5   fail p/4
		p 0 publish consumed-2 4 250 ok p/5
		c 0 deliver consumed-2 5 5   ok p/3 ack
		c 0 deliver consumed-2 5 5   ok p/5 ack
		n 0 kill 0 5 6 ok
		a 0 delete-queue q 6 1001 ok`)
	v := Check(ops, 3)
	if v.Confirmed != 3 || v.Consumed != 2 || v.Excused != 1 || v.Names != 1 || len(v.Violations) != 0 {
		t.Errorf("verdict %+v", v)
	}
	r := NewReport(NewPlan(1, 3, time.Minute, AllFaults()), ops, v)
	if got, want := r.Counts[Publish], (map[Outcome]int{OK: 3, Unknown: 1, Fail: 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("publishes %v, want %v", got, want)
	}
	if r.Faults[Kill] != 1 {
		t.Errorf("faults %v, want one kill", r.Faults)
	}
	want := map[string]time.Duration{"changes of names": time.Second, "messages to queues of node 2": 246 * time.Millisecond}
	if !reflect.DeepEqual(r.Gaps, want) {
		t.Errorf("gaps %v, want %v", r.Gaps, want)
	}
	for _, part := range []string{"seed 1,", "faults: kill 1", "3 confirmed, 2 of them consumed, 1 gone", "violations: 0"} {
		if !strings.Contains(r.String(), part) {
			t.Errorf("report without %q:\n%s", part, r)
		}
	}
}

// TestViolationsBounded checks that a history full of errors makes no endless verdict.
func TestViolationsBounded(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "p 0 publish q 1 2 ok p/%d\n", i)
	}
	if v := Check(script(t, text.String()), 3); len(v.Violations) != maxViolations {
		t.Errorf("%d violations, want %d", len(v.Violations), maxViolations)
	}
}

// TestManyUnknown checks that a name on which many operations have no known outcome is decided.
func TestManyUnknown(t *testing.T) {
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "a 0 declare-queue q %d %d unknown\na 1 delete-queue q %d %d unknown\n", 10*i, 10*i+1, 10*i+2, 10*i+3)
	}
	text.WriteString("b 1 look-queue q 1000 1001 ok\nb 1 look-queue q 1002 1003 absent\n")
	if v := Check(script(t, text.String()), 3); len(v.Violations)+len(v.Undecided) > 0 {
		t.Errorf("verdict %+v", v)
	}
}

func TestHistoryFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	h, err := NewHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	want := script(t, `
		a 0 declare-queue q 1 2 ok
		p 1 publish q 3 4 unknown p/1
		c 2 deliver q 5 6 ok p/1 requeue again
		n 1 cut 2 1 9 ok`)
	for _, op := range want {
		h.Add(op)
	}
	if !reflect.DeepEqual(h.Ops(), want) {
		t.Errorf("in memory %v, want %v", h.Ops(), want)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadHistory(bytes.NewReader(content))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %v, %v; want %v", got, err, want)
	}
	_, err = ReadHistory(strings.NewReader(string(content) + "{broken"))
	if err == nil || !strings.Contains(err.Error(), "line 5") {
		t.Errorf("error %v, want one of line 5", err)
	}
}
