package ctl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigRoundTrip(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "made", "config.yaml")
	if c, err := LoadConfig(file); err != nil || len(c.Contexts) != 0 {
		t.Fatalf("no file: %v, %v", c, err)
	}
	want := Context{Address: "a:1,b:2", User: "admin", Password: "sesame: #1", VHost: "/x", TLSCA: "ca.pem", InsecureSkip: true}
	c := &Config{Current: "prod.eu-1", Contexts: map[string]Context{"prod.eu-1": want, "local": {DataDir: "/var/lib/brokerd"}}}
	if err := c.Save(file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v, want 0600", info.Mode(), err)
	}
	back, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := back.Context(""); err != nil || got != want {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	if got := strings.Join(back.Names(), " "); got != "local prod.eu-1" {
		t.Fatalf("names %s", got)
	}
	if _, err := back.Context("nowhere"); ExitCode(err) != ExitConfig {
		t.Fatalf("unknown context: %v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, content, want string
		mode                os.FileMode
	}{
		{"no yaml", "a: [", "config.yaml: ", 0o600},
		{"unknown key", "contexts:\n  a:\n    adress: x\n", "adress", 0o600},
		{"current", "current: b\n", `the current context "b" is not in it`, 0o600},
		{"both", "contexts:\n  a: {address: x, data-dir: y}\n", "both address and data-dir", 0o600},
		{"readable", "contexts:\n  a: {password: x}\n", "others may read it: chmod 600", 0o644},
		{"name", "contexts:\n  'a b': {address: x}\n", `cannot be called "a b"`, 0o600},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(c.content), c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadConfig(file)
			if err == nil || !strings.Contains(err.Error(), c.want) || ExitCode(err) != ExitConfig {
				t.Errorf("%v (exit code %d), want %q", err, ExitCode(err), c.want)
			}
		})
	}
}
