package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brokerd/brokerd/internal/definitions"
)

// binary is the brokerd under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "brokerd-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		// TestUnwritable runs it as another user.
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binary = filepath.Join(dir, "brokerd")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// command prepares the binary with a clean environment.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "BROKERD_") })
	cmd.Env = append(cmd.Env, "BROKERD_HTTP_LISTEN=") // several brokers run at a time
	return cmd
}

// finish runs cmd to its end and returns what it wrote and its exit code.
func finish(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), diagnostics.String(), cmd.ProcessState.ExitCode()
}

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "brokerd.yaml")
	wrong := filepath.Join(dir, "wrong.yaml")
	for path, content := range map[string]string{
		file:  "log: {level: warn}\ndefault_pass: very secret\n",
		wrong: "amqp: {frame_max: 12}\nlog: {levle: x}\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		args   []string
		env    string
		code   int
		stdout string // regular expression
		stderr string // exact, every line begins with "brokerd: "
	}{
		{name: "version", args: []string{"version"}, stdout: `^brokerd \S+ \(.*go1\.\S+ \w+/\w+\)\n$`},
		{name: "version with argument", args: []string{"version", "x"}, code: 64,
			stderr: "brokerd: brokerd version takes no arguments, but got \"x\"\n"},
		{name: "help", args: []string{"--help"}, stdout: `(?s)Usage:.*--data-dir`},
		{name: "check", args: []string{"config", "check", "--config", file}, stdout: `^configuration is valid\n$`},
		{name: "check wrong file", args: []string{"config", "check", "--config", wrong}, code: 78,
			stderr: "brokerd: log.levle (file " + wrong + "): not a configuration key, did you mean log.level?\n" +
				"brokerd: amqp.frame_max = \"12\" (file " + wrong + "): out of range; allowed: 4KiB to 16MiB\n"},
		{name: "check missing file", args: []string{"config", "check", "--config", dir + "/none"}, code: 78,
			stderr: "brokerd: configuration file " + dir + "/none: no such file or directory\n"},
		{name: "check unknown variable", args: []string{"config", "check"}, env: "BROKERD_LOG_LEVLE=x", code: 78,
			stderr: "brokerd: BROKERD_LOG_LEVLE: not a configuration key, did you mean BROKERD_LOG_LEVEL?\n"},
		{name: "print", args: []string{"config", "print", "--config", file, "--log-format", "json"}, env: "BROKERD_NODE_NAME=n1",
			stdout: `(?s)  name: n1 # environment BROKERD_NODE_NAME\n.*  level: warn # file ` + regexp.QuoteMeta(file) +
				`\n  format: json # flag --log-format\n.*\n# default_pass: not shown \(file `},
		{name: "unknown flag", args: []string{"--data-dri", "x"}, code: 64,
			stderr: "brokerd: unknown flag: --data-dri, did you mean --data-dir?\n"},
		{name: "unknown flag like nothing", args: []string{"config", "check", "--zzzzz"}, code: 64,
			stderr: "brokerd: unknown flag: --zzzzz (see brokerd --help)\n"},
		{name: "flag without value", args: []string{"--data-dir"}, code: 64,
			stderr: "brokerd: flag needs an argument: --data-dir\n"},
		{name: "bad flag value", args: []string{"--log-level", "loud"}, code: 64,
			stderr: "brokerd: log.level = \"loud\" (flag --log-level): unknown; allowed: debug, info, warn, error\n"},
		{name: "bad variable", env: "BROKERD_STORE_SYNC=never", code: 78,
			stderr: "brokerd: store.sync = \"never\" (environment BROKERD_STORE_SYNC): unknown; allowed: always, interval, os\n"},
		{name: "unknown command", args: []string{"confg"}, code: 64,
			stderr: "brokerd: brokerd has no command \"confg\", did you mean config?\n"},
		{name: "unknown config command", args: []string{"config", "show"}, code: 64,
			stderr: "brokerd: brokerd config has no command \"show\" (it has check, print)\n"},
		{name: "config alone", args: []string{"config"}, code: 64,
			stderr: "brokerd: brokerd config needs a command: check or print\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(test.args...)
			if test.env != "" {
				cmd.Env = append(cmd.Env, test.env)
			}
			stdout, stderr, code := finish(t, cmd)
			if code != test.code || stderr != test.stderr {
				t.Errorf("exit code %d, want %d; stderr\n got %q\nwant %q", code, test.code, stderr, test.stderr)
			}
			if test.stdout == "" && stdout != "" || !regexp.MustCompile(test.stdout).MatchString(stdout) {
				t.Errorf("stdout\n got %q\nwant %s", stdout, test.stdout)
			}
			if strings.Contains(stdout+stderr, "very secret") {
				t.Error("the password is shown")
			}
		})
	}
}

// broker is a running brokerd and its log.
type broker struct {
	cmd    *exec.Cmd
	reader *bufio.Reader
	log    strings.Builder
	timer  *time.Timer
}

// start runs brokerd on a free port until it is up.
func start(t *testing.T, args ...string) *broker {
	t.Helper()
	b := &broker{cmd: command(append([]string{"--amqp-listen", "127.0.0.1:0"}, args...)...)}
	stderr, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.reader = bufio.NewReader(stderr)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Killing it ends every wait for a line.
	b.timer = time.AfterFunc(20*time.Second, func() { _ = b.cmd.Process.Kill() })
	t.Cleanup(func() {
		b.timer.Stop()
		if b.cmd.ProcessState == nil {
			_ = b.cmd.Process.Kill()
			_ = b.cmd.Wait()
		}
	})
	b.await(t, "msg=started")
	return b
}

// await reads the log up to a line that contains all parts.
func (b *broker) await(t *testing.T, parts ...string) {
	t.Helper()
	for {
		line, err := b.reader.ReadString('\n')
		b.log.WriteString(line)
		if err != nil {
			t.Fatalf("no line with %q in the log (%v):\n%s", parts, err, b.log.String())
		}
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return
		}
	}
}

func (b *broker) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait reads the rest of the log and returns the exit code.
func (b *broker) wait(t *testing.T) int {
	t.Helper()
	rest, err := io.ReadAll(b.reader)
	if err != nil {
		t.Fatal(err)
	}
	b.log.Write(rest)
	var exit *exec.ExitError
	if err := b.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return b.cmd.ProcessState.ExitCode()
}

func TestSignalsStop(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for range 2 { // the second start finds the directory of the first
				b := start(t, "--data-dir", dir)
				b.signal(t, s)
				if code := b.wait(t); code != 0 || !strings.Contains(b.log.String(), "msg=stopped") {
					t.Errorf("exit code %d, want 0 and a line that it stopped; log\n%s", code, b.log.String())
				}
			}
		})
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "brokerd.yaml")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	b := start(t, "--data-dir", t.TempDir(), "--config", file)

	write("log: {level: debug}\nstore: {sync: os}\n")
	b.signal(t, syscall.SIGHUP)
	b.await(t, `level=WARN msg="configuration change needs a restart" key=store.sync old=always new=os`)
	b.await(t, `level=INFO msg="configuration changed" key=log.level old=info new=debug`)
	b.await(t, `msg="configuration reloaded" changes=2`)

	write("log: {level: loud}\n")
	b.signal(t, syscall.SIGHUP)
	b.await(t, `level=ERROR msg="configuration not reloaded, nothing has changed"`, "allowed: debug, info, warn, error")

	// From error on, only errors are logged: the reload says nothing, the next mistake does.
	write("log: {level: error}\n")
	b.signal(t, syscall.SIGHUP)
	b.await(t, "configuration changed", "new=error")
	write("nonsense")
	b.signal(t, syscall.SIGHUP)
	b.await(t, "level=ERROR", "configuration not reloaded")
	b.signal(t, syscall.SIGTERM)
	if code := b.wait(t); code != 0 || strings.Contains(b.log.String(), "msg=stopped") {
		t.Errorf("exit code %d, want 0 and no more info lines; log\n%s", code, b.log.String())
	}
}

func TestDataDirectoryRefused(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	b := start(t, "--data-dir", used)
	foreign := t.TempDir()
	file := filepath.Join(foreign, "diary.txt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		used:    fmt.Sprintf("is in use by process %d", b.cmd.Process.Pid),
		foreign: "is not brokerd's: it holds diary.txt and no brokerd.json",
		file:    "is not a directory",
	} {
		_, stderr, code := finish(t, command("--data-dir", dir, "--amqp-listen", "127.0.0.1:0", "--log-level", "error"))
		if line := fmt.Sprintf("brokerd: data directory %s %s\n", dir, want); code != 73 || stderr != line {
			t.Errorf("exit code %d, want 73; stderr\n got %q\nwant %q", code, stderr, line)
		}
	}
}

func TestUnwritable(t *testing.T) {
	t.Parallel()
	// Not below t.TempDir, which other users cannot enter.
	dir, err := os.MkdirTemp("", "brokerd-unwritable-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                        "is not writable: permission denied",
		filepath.Join(dir, "data"): "cannot be created: permission denied",
	} {
		cmd := command("--data-dir", path, "--amqp-listen", "127.0.0.1:0", "--log-level", "error")
		cmd.Dir = "/"
		if os.Getuid() == 0 { // the rights of a directory do not bind root
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		_, stderr, code := finish(t, cmd)
		if line := fmt.Sprintf("brokerd: data directory %s %s\n", path, want); code != 73 || stderr != line {
			t.Errorf("exit code %d, want 73; stderr\n got %q\nwant %q", code, stderr, line)
		}
	}
}

func TestExitCode(t *testing.T) {
	_, notFound := os.Open("/nonexistent")
	tests := []struct {
		err  error
		want int
	}{
		{&usageError{"x"}, 64},
		{fmt.Errorf("store: %w", notFound), 74},
		{fmt.Errorf("listen: %w", &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}), 74},
		{fmt.Errorf("sync: %w", syscall.ENOSPC), 74},
		{fmt.Errorf("definitions.load: %w", definitions.Errors{{Text: "wrong"}}), 78},
		{errors.New("anything else"), 1},
	}
	for _, test := range tests {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%v: got %d, want %d", test.err, got, test.want)
		}
	}
}
