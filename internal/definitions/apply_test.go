package definitions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// planText returns the plan to bring b to a file, in words.
func planText(t *testing.T, b *cluster.Broker, file string) string {
	t.Helper()
	plan, err := Diff(b.State(), mustParse(t, []byte(file), "f.json"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := plan.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func apply(t *testing.T, b *cluster.Broker, file string, o ApplyOptions) (*Report, error) {
	t.Helper()
	plan, err := Diff(b.State(), mustParse(t, []byte(file), "f.json"))
	if err != nil {
		return nil, err
	}
	return Apply(t.Context(), b, plan, o)
}

const shopFile = `{
"vhosts": [{"name": "/"}, {"name": "shop"}],
"policies": [{"vhost": "shop", "name": "p", "pattern": "q", "definition": {"max-length": 5}}],
"queues": [{"name": "q", "vhost": "shop", "durable": true, "auto_delete": false, "arguments": {"x-max-length": 3}}],
"exchanges": [{"name": "x", "vhost": "shop", "type": "direct", "durable": true, "auto_delete": false}],
"bindings": [{"source": "x", "vhost": "shop", "destination": "q", "destination_type": "queue", "routing_key": "k"}]}`

func TestPlan(t *testing.T) {
	b := startBroker(t)
	const first = `+ vhost shop
+ policy p in vhost shop
+ exchange x in vhost shop
+ queue q in vhost shop
+ binding x -> queue q, key "k" in vhost shop
5 to create, 0 to update, 0 to delete, 1 unchanged
`
	if got := planText(t, b, shopFile); got != first {
		t.Errorf("got\n%swant\n%s", got, first)
	}
	before := b.State()
	r, err := apply(t, b, shopFile, ApplyOptions{DryRun: true, Prune: true})
	if err != nil || r.Counts.Create != 5 || !r.DryRun || b.State() != before {
		t.Errorf("dry run: %+v, %v", r, err)
	}
	var done []int
	r, err = apply(t, b, shopFile, ApplyOptions{Progress: func(n, total int) { done = append(done, n*100+total) }})
	if err != nil || r.Counts != (Counts{Create: 5, Unchanged: 1}) || !slices.Equal(done, []int{106, 206, 306, 406, 506, 606}) {
		t.Errorf("applied: %+v, %v, progress %v", r, err, done)
	}
	const other = `{
"vhosts": [{"name": "/"}, {"name": "shop"}],
"policies": [{"vhost": "shop", "name": "p", "pattern": "q", "definition": {"max-length": 6}, "priority": 2}],
"queues": [{"name": "q", "vhost": "shop", "durable": true, "auto_delete": false}],
"exchanges": [{"name": "y", "vhost": "shop", "type": "topic", "durable": true, "auto_delete": false}],
"bindings": []}`
	const second = `~ policy p in vhost shop: definition {"max-length":5} -> {"max-length":6}, priority 0 -> 2
+ exchange y in vhost shop
! queue q in vhost shop: arguments {"x-max-length":3,"x-queue-type":"classic"} -> {"x-queue-type":"classic"} (left as it is)
- exchange x in vhost shop
1 to create, 1 to update, 1 to delete, 2 unchanged, 1 in conflict
`
	if got := planText(t, b, other); got != second {
		t.Errorf("got\n%swant\n%s", got, second)
	}
	r, err = apply(t, b, other, ApplyOptions{})
	if err != nil || len(r.Conflicts) != 1 || r.Counts.Delete != 0 || b.State().Exchange("shop", "x") == nil {
		t.Errorf("import: %+v, %v", r, err)
	}
	if p := r.Conflicts[0].Position(); p.String() != "f.json:4:12" {
		t.Errorf("conflict at %v", p)
	}
	r, err = apply(t, b, other, ApplyOptions{Prune: true})
	if err != nil || r.Counts.Delete != 1 || b.State().Exchange("shop", "x") != nil || b.State().NumBindings() != 0 {
		t.Errorf("pruned: %+v, %v", r, err)
	}
	if b.State().User("guest") == nil {
		t.Error("a section that the file does not have was pruned")
	}
	// A vhost takes everything in it along, in one step.
	if r, err = apply(t, b, `{"vhosts": [{"name": "/"}], "queues": [], "policies": []}`, ApplyOptions{Prune: true}); err != nil || r.Counts.Delete != 1 {
		t.Errorf("deleting a vhost: %+v, %v", r, err)
	}
}

// TestRefused: what does not fit together changes nothing.
func TestRefused(t *testing.T) {
	b := startBroker(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.PutVHost(ctx, meta.VHost{Name: "safe", Protected: true})
	must(err)
	must(b.SetVHostLimit(ctx, "safe", cluster.MaxQueues, 2))
	_, _, err = b.DeclareQueue(ctx, "safe", cluster.QueueSpec{Name: "old", Durable: true})
	must(err)
	before := b.State()
	queue := func(name string) string {
		return fmt.Sprintf(`{"name": %q, "vhost": "safe", "durable": true, "auto_delete": false}`, name)
	}
	for _, c := range []struct {
		name, file string
		o          ApplyOptions
		want       string
	}{
		{"no vhost", `{"queues": [{"name": "q", "vhost": "none", "durable": true, "auto_delete": false}]}`, ApplyOptions{},
			`f.json:1:13: queues[0].vhost = "none": there is no such vhost, neither in the file nor in the cluster; add it to vhosts or remove this`},
		{"no user", `{"vhosts": [{"name": "new"}], "permissions": [{"user": "u", "vhost": "/", "configure": "", "write": "", "read": ""}]}`, ApplyOptions{},
			`f.json:1:47: permissions[0].user = "u": there is no such user, neither in the file nor in the cluster; add it to users or remove this`},
		{"no ends", `{"vhosts": [{"name": "new"}], "bindings": [{"source": "x", "vhost": "new", "destination": "q", "destination_type": "queue", "routing_key": ""}]}`, ApplyOptions{},
			`f.json:1:44: bindings[0].source = "x": there is no such exchange, neither in the file nor in the cluster; add it to exchanges or remove this
f.json:1:44: bindings[0].destination = "q": there is no such queue, neither in the file nor in the cluster; add it to queues or remove this`},
		{"binding arguments", `{"bindings": [{"source": "amq.headers", "vhost": "safe", "destination": "old", "destination_type": "queue", "routing_key": "", "arguments": {"x-match": 1}}]}`, ApplyOptions{},
			`f.json:1:15: bindings[0]: PRECONDITION_FAILED - Invalid x-match field type long (value 1); expected longstr`},
		{"queue limit", `{"queues": [` + queue("old") + `,` + queue("a") + `,` + queue("b") + `]}`, ApplyOptions{},
			`f.json:1:155: queues[2] = "b": one queue too many: the limit max-queues of the vhost "safe" is 2, it has 1 queues and the file adds 2; raise the limit or remove queues`},
		{"protected", `{"vhosts": [{"name": "/"}]}`, ApplyOptions{Prune: true},
			`vhosts = "safe": the vhost is protected from deletion; add it to the file, or take the protection away first`},
		{"needed", `{"exchanges": [], "queues": [], "bindings": [{"source": "amq.direct", "vhost": "safe", "destination": "old", "destination_type": "queue", "routing_key": ""}]}`,
			ApplyOptions{Prune: true}, `f.json:1:46: queues = "old": would be deleted, but bindings[0] needs it; add it to queues`},
		{"last administrator", `{"users": [{"name": "guest", "password_hash": "", "tags": []}]}`, ApplyOptions{},
			`users: no user with the tag administrator would be left; add one to the file`},
		{"himself", `{"users": [{"name": "boss", "password_hash": "", "tags": ["administrator"]}]}`, ApplyOptions{Prune: true, Actor: "guest"},
			`users = "guest": would delete the user who makes the change; add it to the file, or let somebody else apply it`},
	} {
		_, err := apply(t, b, c.file, c.o)
		var errs Errors
		if !errors.As(err, &errs) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := err.Error(); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
	if b.State() != before {
		t.Error("something was changed")
	}
}

// TestInterrupted: an import that is cut off can be repeated.
func TestInterrupted(t *testing.T) {
	b := startBroker(t)
	d := mustParse(t, big(300, 0), "big")
	plan, err := Diff(b.State(), d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Apply(ctx, b, plan, ApplyOptions{Progress: func(n, _ int) {
		if n == 2 {
			cancel()
		}
	}})
	cancel()
	if err == nil {
		t.Fatalf("not interrupted: %+v", r.Counts)
	}
	mustApply(t, b, d, ApplyOptions{})
	wantNoDiff(t, b, d)
}

func TestLoad(t *testing.T) {
	b := startBroker(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := Load(t.Context(), b, dir); err == nil || err.Error() != dir+": the directory has no file that ends in .json" {
		t.Errorf("empty directory: %v", err)
	}
	missing := filepath.Join(dir, "none.json")
	if _, err := Load(t.Context(), b, missing); err == nil || err.Error() != missing+": cannot be read: no such file or directory" {
		t.Errorf("no file: %v", err)
	}
	write("a.json", `{"vhosts": [{"name": "v"}], "users": [{"name": "boss", "password_hash": "", "tags": ["administrator"]}]}`)
	second := write("b.json", `{"queues": [{"name": "q", "vhost": "v", "durable": true, "auto_delete": false}]}`)
	write("c.txt", `not looked at`)
	l, err := Load(t.Context(), b, dir)
	if err != nil || l.Skipped || l.Report.Counts.Create != 3 || !slices.Equal(l.Definitions.Administrators(), []string{"boss"}) {
		t.Fatalf("%+v, %v", l, err)
	}
	before := b.State()
	if l, err = Load(t.Context(), b, dir); err != nil || !l.Skipped || b.State() != before {
		t.Errorf("the same again: %+v, %v", l, err)
	}
	write("b.json", "{\n\"queues\": [{}]}")
	var errs Errors
	if _, err = Load(t.Context(), b, dir); !errors.As(err, &errs) || errs[0].Position != (Position{second, 2, 12}) || b.State() != before {
		t.Errorf("a bad file: %v", err)
	}
	write("b.json", `{"vhosts": [{"name": "v", "description": "other"}]}`)
	if _, err = Load(t.Context(), b, dir); err == nil || !strings.Contains(err.Error(), "is defined in another way at "+filepath.Join(dir, "a.json")+":1:13") {
		t.Errorf("two files that differ: %v", err)
	}
	if strings.Contains(string(export(b, "")), loadedParameter) {
		t.Error("the export tells what was loaded")
	}
}

// big returns definitions with many queues, and some bindings for each.
func big(queues, bindings int) []byte {
	var out strings.Builder
	out.WriteString(`{"vhosts": [{"name": "/"}], "queues": [`)
	for i := range queues {
		fmt.Fprintf(&out, "%s{\"name\": \"queue-%d\", \"vhost\": \"/\", \"durable\": true, \"auto_delete\": false, \"arguments\": {\"x-max-length\": 1000}}", comma(i), i)
	}
	out.WriteString(`], "bindings": [`)
	for i := range queues * bindings {
		fmt.Fprintf(&out, "%s{\"source\": \"amq.topic\", \"vhost\": \"/\", \"destination\": \"queue-%d\", \"destination_type\": \"queue\", \"routing_key\": \"key.%d\", \"arguments\": {}}",
			comma(i), i%queues, i)
	}
	out.WriteString(`]}`)
	return []byte(out.String())
}

func comma(i int) string {
	if i == 0 {
		return "\n"
	}
	return ",\n"
}

func BenchmarkParse(b *testing.B) {
	data := big(10_000, 10)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data, "big"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkImport(b *testing.B) {
	for _, bindings := range []int{0, 10} {
		b.Run(fmt.Sprintf("10000 queues, %d bindings each", bindings), func(b *testing.B) {
			data := big(10_000, bindings)
			for b.Loop() {
				b.StopTimer()
				broker, stop := openBroker(b)
				b.StartTimer()
				d := mustParse(b, data, "big")
				mustApply(b, broker, d, ApplyOptions{})
				b.StopTimer()
				stop()
				b.StartTimer()
			}
		})
	}
}
