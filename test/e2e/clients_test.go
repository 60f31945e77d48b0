//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// amqplibVersion is installed when NODE_PATH names no place that has amqplib.
const amqplibVersion = "amqplib@2.3.1"

// missing skips the test, unless CI=true, where everything has to be there.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// run runs a command of a client in its own time limit and returns what it wrote.
func run(t *testing.T, limit time.Duration, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(environment(), env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("ended after %s: %w", limit, ctx.Err())
	}
	return string(out), err
}

func client(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "clients", file))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// debianPython is the interpreter that sees the modules of Debian's packages.
func debianPython() string {
	if python := os.Getenv("E2E_PYTHON"); python != "" {
		return python
	}
	return "/usr/bin/python3"
}

// TestPika runs the scenarios of pika, the common client for Python.
func TestPika(t *testing.T) {
	python := debianPython()
	if out, err := run(t, patience, nil, python, "-c", "import pika"); err != nil {
		missing(t, "%s has no pika (Debian: python3-pika): %v\n%s", python, err, out)
	}
	b := startBroker(t)
	out, err := run(t, time.Minute, nil, python, client(t, "pika_scenario.py"), b.url())
	t.Log(out)
	if err != nil {
		t.Error(err)
	}
	b.stop()
}

// TestCelery runs workers of Celery, the common task queue for Python, which speaks AMQP with py-amqp.
func TestCelery(t *testing.T) {
	python := debianPython()
	if out, err := run(t, patience, nil, python, "-c", "import celery, amqp"); err != nil {
		missing(t, "%s has no celery (Debian: celery): %v\n%s", python, err, out)
	}
	b := startBroker(t)
	out, err := run(t, 2*time.Minute, nil, python, client(t, "celery_scenario.py"), b.url())
	t.Log(out)
	if err != nil {
		t.Error(err)
	}
	b.stop()
}

// TestAmqplib runs the scenarios of amqplib, the common client for Node.js.
func TestAmqplib(t *testing.T) {
	node := os.Getenv("E2E_NODE")
	if node == "" {
		var err error
		if node, err = exec.LookPath("node"); err != nil {
			missing(t, "no node: %v", err)
		}
	}
	var env []string
	if _, err := run(t, patience, nil, node, "-e", `require("amqplib")`); err != nil {
		npm, err := exec.LookPath("npm")
		if err != nil {
			missing(t, "no amqplib in NODE_PATH, and no npm: %v", err)
		}
		modules := t.TempDir()
		out, err := run(t, time.Minute, nil, npm, "install", "--prefix", modules, "--no-audit", "--no-fund", amqplibVersion)
		if err != nil {
			missing(t, "npm cannot install %s: %v\n%s", amqplibVersion, err, out)
		}
		env = append(env, "NODE_PATH="+filepath.Join(modules, "node_modules"))
	}
	b := startBroker(t)
	out, err := run(t, time.Minute, env, node, client(t, "amqplib_scenario.js"), b.url())
	t.Log(out)
	if err != nil {
		t.Error(err)
	}
	b.stop()
}

// TestAMQP091Suite runs the integration tests that the authors of amqp091-go wrote for RabbitMQ. The script says which are
// left out, and why.
func TestAMQP091Suite(t *testing.T) {
	b := startBroker(t)
	out, err := run(t, 4*time.Minute, nil, "bash", client(t, "amqp091.sh"), b.url())
	passed := strings.Count(out, "--- PASS: Test")
	t.Logf("%d tests passed", passed)
	if err != nil {
		t.Errorf("%v\n%s", err, suiteFailures(out))
	} else if passed < 70 {
		t.Errorf("only %d tests ran:\n%s", passed, out)
	}
	b.stop()
}

// suiteLine matches what go test -v writes of tests that go well.
var suiteLine = regexp.MustCompile(`^(=== |\s*--- PASS: |PASS$|\s+\w+_test\.go:\d+: .*(OK|successful.*|not open")$)`)

// suiteFailures drops the lines of tests that passed.
func suiteFailures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !suiteLine.MatchString(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}
