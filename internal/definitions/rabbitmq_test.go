package definitions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// TestRabbitMQ imports what a RabbitMQ 3.10.8 exported, a file in the shape of 4.x, and exports them again.
func TestRabbitMQ(t *testing.T) {
	for _, name := range []string{"rabbitmq-3.10.json", "rabbitmq-4.json"} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t)
			data := readFile(t, name)
			d := mustParse(t, data, name)
			for _, w := range d.Warnings {
				t.Errorf("warning: %v", w)
			}
			report := mustApply(t, b, d, ApplyOptions{Prune: true, Actor: "carol"})
			if len(report.Conflicts) > 0 {
				t.Errorf("conflicts: %v", report.Conflicts)
			}
			wantNoDiff(t, b, d)
			out := export(b, "")
			compareJSON(t, data, out)
			again := mustParse(t, out, "export")
			wantNoDiff(t, b, again)

			other := startBroker(t)
			mustApply(t, other, again, ApplyOptions{Prune: true})
			if copied := export(other, ""); !bytes.Equal(copied, out) {
				t.Errorf("the export of a copy differs:\n%s\nwant\n%s", copied, out)
			}
		})
	}
}

// compareJSON fails unless out has every definition of in with every field in the same order and of the same value, but for the
// order of sections and definitions. Fields that out has beside them must be those of newer versions.
func compareJSON(t *testing.T, in, out []byte) {
	t.Helper()
	bare := !bytes.Contains(in, []byte(`"metadata"`))
	a, b := lines(t, in, bare), lines(t, out, bare)
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if !b[k] {
			t.Errorf("lost: %s", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if !a[k] {
			t.Errorf("made up: %s", k)
		}
	}
}

// lines returns each definition of a file as section and canonical text with its keys in their order. What one version exports and
// another does not is left out, of vhosts all but their names if they are bare.
func lines(t *testing.T, data []byte, bare bool) map[string]bool {
	t.Helper()
	v, ok := readValue(data)
	if !ok {
		t.Fatalf("no JSON: %s", data)
	}
	all := make(map[string]bool)
	for _, m := range v.members {
		for i := range m.value.items {
			item := &m.value.items[i]
			item.members = slices.DeleteFunc(item.members, func(f member) bool {
				switch m.name + "." + f.name {
				case "queues.type", "vhosts.limits": // of RabbitMQ 4; the limits are among the parameters as well
					return true
				case "vhosts.description", "vhosts.tags", "vhosts.metadata": // RabbitMQ 3.10 does not export them
					return bare
				}
				return false
			})
			if name := item.get("name"); m.name == "global_parameters" && name != nil && strings.HasPrefix(name.text, "internal") {
				continue
			}
			if tags := item.get("tags"); m.name == "users" && tags != nil {
				slices.SortFunc(tags.items, func(a, b value) int { return strings.Compare(a.text, b.text) })
			}
			// Nested objects have no order.
			var keys []string
			for _, f := range item.members {
				keys = append(keys, f.name)
			}
			all[fmt.Sprintf("%s %v %s", m.name, keys, appendValue(nil, item, true))] = true
		}
	}
	return all
}

// TestRabbitMQVHost puts the definitions of one vhost into another.
func TestRabbitMQVHost(t *testing.T) {
	b := startBroker(t)
	d := mustParse(t, readFile(t, "rabbitmq-3.10-vhost.json"), "vhost.json")
	if !d.Detached() {
		t.Fatal("not recognized as definitions of one vhost")
	}
	if _, err := Diff(b.State(), d); err == nil || !strings.Contains(err.Error(), "say into which vhost") {
		t.Errorf("without a vhost: %v", err)
	}
	d, err := d.In("target")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Diff(b.State(), d); err == nil || !strings.Contains(err.Error(), "there is no such vhost") {
		t.Errorf("into a vhost that does not exist: %v", err)
	}
	if _, err := b.PutVHost(t.Context(), meta.VHost{Name: "target"}); err != nil {
		t.Fatal(err)
	}
	before := b.State()
	mustApply(t, b, d, ApplyOptions{Prune: true})
	wantNoDiff(t, b, d)
	if got, want := len(slices.Collect(b.State().QueuesIn("target"))), d.Count(Queues); got != want || want == 0 {
		t.Errorf("%d queues, want %d", got, want)
	}
	for v := range before.VHosts() {
		if b.State().VHost(v.Name) == nil {
			t.Errorf("vhost %s was deleted", v.Name)
		}
	}
	out := mustParse(t, export(b, "target"), "out")
	if !out.Detached() {
		t.Error("the export of one vhost is not recognized as such")
	}
	if again, err := out.In("target"); err != nil {
		t.Error(err)
	} else {
		wantNoDiff(t, b, again)
	}
	whole := mustParse(t, readFile(t, "rabbitmq-3.10.json"), "whole.json")
	if _, err := whole.In("target"); err == nil {
		t.Error("definitions of a cluster went into one vhost")
	}
}

// TestPasswords: hashes from elsewhere work, and plain passwords are hashed.
func TestPasswords(t *testing.T) {
	b := startBroker(t)
	data := readFile(t, "rabbitmq-3.10.json")
	mustApply(t, b, mustParse(t, data, "f"), ApplyOptions{})
	for user, password := range map[string]string{"alice": "s3cret", "carol": "c", "guest": "guest"} {
		if _, err := b.Authenticate(user, password, true); err != nil {
			t.Errorf("%s cannot log in: %v", user, err)
		}
	}
	if _, err := b.Authenticate("bob", "", true); err == nil {
		t.Error("bob, who has no password, can log in")
	}
	if l := b.UserLimits("alice"); l[cluster.MaxChannels] != 200 || l[cluster.MaxConnections] != 10 {
		t.Errorf("limits of alice: %v", l)
	}
	if l := b.VHostLimits("shop"); l[cluster.MaxQueues] != 500 {
		t.Errorf("limits of shop: %v", l)
	}
	// A password in plain text is hashed once, and not again when it is the same.
	plain := mustParse(t, []byte(`{"users": [{"name": "dora", "password": "d", "tags": "management, monitoring"}]}`), "plain")
	mustApply(t, b, plain, ApplyOptions{})
	hash := b.State().User("dora").PasswordHash
	if _, err := b.Authenticate("dora", "d", true); err != nil {
		t.Error(err)
	}
	if got := b.State().User("dora").Tags; !slices.Equal(got, []string{"management", "monitoring"}) {
		t.Errorf("tags %q", got)
	}
	if r := mustApply(t, b, plain, ApplyOptions{}); r.Counts.Unchanged != 1 || !bytes.Equal(hash, b.State().User("dora").PasswordHash) {
		t.Errorf("the same password again: %+v", r.Counts)
	}
	// What the plan shows is no secret.
	other := mustParse(t, []byte(`{"users": [{"name": "dora", "password": "hidden", "tags": []}]}`), "plain")
	plan, err := Diff(b.State(), other)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := plan.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	const want = "~ user dora: password_hash, tags [\"management\",\"monitoring\"] -> []\n"
	if !strings.HasPrefix(text.String(), "~ user dora: password_hash, tags") || strings.Contains(string(shown), "hidden") {
		t.Errorf("plan:\n%swant\n%s\nJSON: %s", text.String(), want, shown)
	}
}
