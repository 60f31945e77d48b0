package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/internal/ctl"
)

// TestLogin shows how one gets in over TCP, and what those hear who do not.
func TestLogin(t *testing.T) {
	n := startNode(t)
	n.must(t, "users", "create", "watcher", "--password", "w", "--tags", "monitoring")
	defer n.must(t, "users", "delete", "watcher", "--yes")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("guest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dead := "127.0.0.1:1," // failed over
	for _, c := range []struct {
		name, password, args string
		code                 int
		want                 string
	}{
		{"file", "", "--user guest --password-file FILE users whoami", 0, "administrator"},
		{"environment", "guest", "--user guest users whoami", 0, "administrator"},
		{"wrong password", "x", "--user guest users whoami", ctl.ExitPermission, "set --user and the password"},
		{"nobody", "", "users whoami", ctl.ExitPermission, "set --user and the password"},
		{"monitoring may look", "w", "--user watcher queues list --all-vhosts -o csv", 0, "name,vhost"},
		{"monitoring may not change", "w", "--user watcher vhosts create x", ctl.ExitPermission, "administrator"},
		{"nothing there", "guest", "--user guest queues show no-such", exitFailure, "no queue 'no-such' in vhost '/'"},
		{"bad value", "guest", "--user guest queues list --regex (", ctl.ExitData, "name_regex"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.password != "" {
				t.Setenv("BROKERCTL_PASSWORD", c.password)
			}
			args := append([]string{"--address", dead + n.node.AdminAddr()}, strings.Fields(strings.ReplaceAll(c.args, "FILE", file))...)
			r := n.ctl("", args...)
			if r.code != c.code || !strings.Contains(r.out+r.errs, c.want) || strings.Count(r.errs, "\n") > 1 {
				t.Errorf("exit code %d, %q, %q, want %d with %q", r.code, r.out, r.errs, c.code, c.want)
			}
		})
	}
}

// TestManyQueues shows that a list of more than a page comes complete, once each and in order.
func TestManyQueues(t *testing.T) {
	n := startNode(t)
	n.must(t, "vhosts", "create", "many")
	defer n.must(t, "vhosts", "delete", "many", "--yes")
	const count = 2*pageSize + 1
	var b, want strings.Builder
	b.WriteString(`{"queues":[`)
	for i := range count {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"q%05d","durable":true,"auto_delete":false,"arguments":{}}`, i)
		fmt.Fprintf(&want, "q%05d\n", i)
	}
	b.WriteString(`]}`)
	file := filepath.Join(t.TempDir(), "many.json")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	n.must(t, "definitions", "import", file, "--vhost", "many")
	if got := n.must(t, "queues", "list", "--vhost", "many", "--columns", "name", "--no-headers"); got != want.String() {
		t.Errorf("%d lines, want %d in order", strings.Count(got, "\n"), count)
	}
	if r := n.ctl("", n.here([]string{"definitions", "diff", file, "--vhost", "many"})...); r.code != 0 {
		t.Errorf("diff: exit code %d, %s%s", r.code, r.out, r.errs)
	}
}
