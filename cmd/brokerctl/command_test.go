package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/brokerd/brokerd/internal/ctl"
)

// try runs a command line that needs no node.
func try(args ...string) result {
	var out, errs bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return result{out.String(), errs.String(), code}
}

// TestMistakes shows that a wrong command line is refused before anything is done, with what to do instead.
func TestMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"queus list", exitUsage, `no command "queus"; did you mean queues?`},
		{"queues lst", exitUsage, `no command "lst"; did you mean list?`},
		{"queues list more", exitUsage, `takes no arguments, but got "more"`},
		{"queues list --output xml", exitUsage, `output "xml" is none of table, json, yaml and csv`},
		{"queues list --timeout soon", exitUsage, "neither a number of seconds nor a duration"},
		{"queues list --address a --data-dir b", exitUsage, "--address and --data-dir are both given"},
		{"queues list --address :1", exitUsage, `address ":1" is not host:port`},
		{"queues list --address broker --user u", exitUsage, "would go to broker:8672 unencrypted"},
		{"queues list --address 127.0.0.1 --user u", exitUsage, "set BROKERCTL_PASSWORD or name a file with --password-file"},
		{"queues list --address 127.0.0.1 --user u --password-file DIR/none", ctl.ExitNoInput, "no such file"},
		{"queues list --tls-cert x", ctl.ExitUnavailable, "there is no node with the socket DIR/admin.sock"},
		{"queues list --context nowhere", ctl.ExitConfig, `there is no context "nowhere"`},
		{"queues list", ctl.ExitUnavailable, "there is no node with the socket DIR/admin.sock: start brokerd"},
		{"queues list --address 127.0.0.1:1", ctl.ExitUnavailable, "cannot reach 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused"},
		{"-q list_queues -n rabbit@host", ctl.ExitUnavailable, "there is no node"},
		{"completion tcsh", exitUsage, "bash, zsh, fish or powershell"},
		{"completion", exitUsage, "name one shell"},
		{"config use nowhere", ctl.ExitConfig, `there is no context "nowhere"`},
		{"config show", exitFailure, "there is no current context"},
		{"config set Prod --address a", exitUsage, `cannot be called "Prod"`},
		{"config set prod --address a --data-dir b", exitUsage, "both given"},
		{"config delete prod --yes", exitFailure, `there is no context "prod"`},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))
		args = append(args, "--config", filepath.Join(dir, "config.yaml"))
		if !slices.Contains(args, "--address") && !strings.HasPrefix(c.args, "config") && !strings.HasPrefix(c.args, "completion") {
			args = append(args, "--data-dir", dir)
		}
		if strings.HasPrefix(c.args, "completion") {
			args = args[:len(args)-2]
		}
		r := try(args...)
		if want := strings.ReplaceAll(c.want, "DIR", dir); r.code != c.code || !strings.Contains(r.errs, want) || strings.Count(r.errs, "\n") != 1 || r.out != "" {
			t.Errorf("%s: exit code %d, %q, %q, want %d and one line with %q", c.args, r.code, r.errs, r.out, c.code, want)
		}
	}
}

// TestContexts shows what a command connects to.
func TestContexts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BROKERCTL_CONFIG", filepath.Join(dir, "brokerctl", "config.yaml"))
	t.Setenv("BROKERCTL_PASSWORD", "sesame")
	if r := try("config", "set", "prod", "--address", "127.0.0.1:1,127.0.0.1:2", "--user", "admin", "--store-password", "--vhost", "shop"); r.code != 0 {
		t.Fatal(r.errs)
	}
	if r := try("config", "set", "local", "--data-dir", dir); r.code != 0 {
		t.Fatal(r.errs)
	}
	if r := try("config", "show"); !strings.Contains(r.out, "password:             ********") || strings.Contains(r.out, "sesame") {
		t.Errorf("show: %s", r.out)
	}
	info, err := os.Stat(os.Getenv("BROKERCTL_CONFIG"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info, err)
	}
	t.Setenv("BROKERCTL_PASSWORD", "")
	_ = os.Unsetenv("BROKERCTL_PASSWORD")
	for _, c := range []struct {
		name        string
		args        []string
		environment map[string]string
		want        ctl.Target
		vhost       string
	}{
		{"current context", nil, nil, ctl.Target{Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}, User: "admin", Password: "sesame"}, "shop"},
		{"other context", []string{"--context", "local"}, nil, ctl.Target{DataDir: dir}, "/"},
		{"context of the environment", nil, map[string]string{"BROKERCTL_CONTEXT": "local"}, ctl.Target{DataDir: dir}, "/"},
		{"environment over context", nil, map[string]string{"BROKERCTL_DATA_DIR": "e"}, ctl.Target{DataDir: "e", User: "admin"}, "shop"},
		{"flag over environment", []string{"--data-dir", "f", "-p", "x"}, map[string]string{"BROKERCTL_ADDRESS": "e", "BROKERCTL_VHOST": "y"},
			ctl.Target{DataDir: "f", User: "admin"}, "x"},
		{"user of the environment", []string{"--address", "[::1]"}, map[string]string{"BROKERCTL_USER": "e", "BROKERCTL_PASSWORD": "p"},
			ctl.Target{Addresses: []string{"[::1]:8672"}, User: "e", Password: "p"}, "shop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.environment {
				t.Setenv(name, value)
			}
			a := &app{}
			cmd := &cobra.Command{RunE: func(cmd *cobra.Command, _ []string) error {
				got, err := a.target(cmd)
				if err != nil || got.String() != c.want.String() || got.User != c.want.User || got.Password != c.want.Password || a.vhost != c.vhost {
					t.Errorf("%+v in %s, %v, want %+v in %s", got, a.vhost, err, c.want, c.vhost)
				}
				return nil
			}}
			a.globalFlags(cmd.Flags())
			cmd.SetArgs(append([]string{}, c.args...))
			if err := cmd.Execute(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJoinWatch(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"queues list --watch":             "queues list --watch",
		"queues list --watch 5s":          "queues list --watch=5s",
		"queues list --watch 2 -o json":   "queues list --watch=2 -o json",
		"queues show --watch orders":      "queues show --watch orders",
		"queues get -- --watch 5":         "queues get -- --watch 5",
		"--watch=1s queues list --watch ": "--watch=1s queues list --watch",
	} {
		if got := strings.Join(joinWatch(strings.Fields(in)), " "); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

func TestProperties(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"--property priority=256", "from 0 to 255"},
		{"--property timestamp=now", "timestamp is a time such as"},
		{"--property color=red", `no property "color"`},
		{"--property x", "is not k=v"},
		{"--header x", "neither name=value nor name:=JSON"},
		{"--body a --body-file b", "more than once"},
		{"--exchange e", "both given"},
	} {
		a := &app{}
		cmd := a.queuesPublish()
		a.globalFlags(cmd.Flags())
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			return runPublish(&call{app: a, cmd: cmd, ctx: context.Background(), args: args})
		}
		cmd.SetArgs(append([]string{"orders"}, strings.Fields(c.args)...))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.Execute(); err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

// TestConfirmation shows that nothing is destroyed without a terminal to ask on or --yes.
func TestConfirmation(t *testing.T) {
	t.Parallel()
	cmd := &cobra.Command{}
	cmd.SetIn(strings.NewReader("y\n"))
	c := &call{app: &app{}, cmd: cmd}
	if err := c.confirm("Delete queue %q", "a\x1b[2Jb"); exitCode(err) != exitUsage || !strings.Contains(err.Error(), `delete queue "a\x1b[2Jb": give --yes`) {
		t.Errorf("no terminal: %v", err)
	}
	c.yes = true
	if err := c.confirm("Delete"); err != nil {
		t.Errorf("--yes: %v", err)
	}
}
