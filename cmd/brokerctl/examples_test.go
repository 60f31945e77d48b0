package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// refused are the commands that a node by itself refuses, for they need others.
var refused = map[string]bool{
	"cluster join":            true,
	"cluster leave":           true,
	"cluster remove":          true,
	"cluster transfer-leader": true,
	"queues move":             true,
	"nodes resume":            true,
	"join_cluster":            true,
	"forget_cluster_node":     true,
	"nodes drain":             true,
}

// elsewhere are the commands that are no client of a node, and tested beside their own files.
var elsewhere = map[string]bool{"perf": true}

// restless are the commands whose figures change from run to run: their golden files have 0 for each number.
var restless = regexp.MustCompile(`^$|^(status|top|logs|events|doctor|health|nodes (show|list|environment)|cluster status|cluster_status|environment|connections|channels|consumers|list_(connections|channels|consumers)|trace|certs|completion|close_|definitions export|export_definitions)`)

// harmless are the commands that change nothing.
var harmless = regexp.MustCompile(`(^| )(list|show|status|effective|explain|peek|health|doctor|top|logs|events|trace|environment|whoami|diff|export)$|^(list_|check_|await|wait|ping|cluster_status|completion|node_health)`)

// TestExamples runs the examples in the help of every command against a node, and compares what they print with golden files.
func TestExamples(t *testing.T) {
	n := startNode(t)
	t.Chdir(t.TempDir())
	t.Setenv("BROKERCTL_DATA_DIR", filepath.Join(n.dir, "data"))
	t.Setenv("BROKERCTL_CONFIG", filepath.Join(t.TempDir(), "config.yaml"))
	fixture := n.prepare(t)
	dirty := true
	each(rootCommand(), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "brokerctl"), " ")
		if elsewhere[path] || cmd.Name() == "help" {
			return
		}
		if !cmd.HasSubCommands() && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		if cmd.Example == "" {
			return
		}
		t.Run(strings.ReplaceAll(path, " ", "/"), func(t *testing.T) {
			var b strings.Builder
			for line := range strings.Lines(cmd.Example) {
				line = strings.TrimSpace(line)
				if dirty || !harmless.MatchString(path) {
					n.reset(t, path, fixture)
				}
				dirty = !harmless.MatchString(path) || path == "nodes drain"
				r := n.example(t, line)
				if r.code != 0 && !refused[path] {
					t.Errorf("%s: exit code %d\n%s%s", line, r.code, r.out, r.errs)
				}
				fmt.Fprintf(&b, "$ %s\n%s%s", line, r.out, r.errs)
				if r.code != 0 {
					fmt.Fprintf(&b, "exit code %d\n", r.code)
				}
			}
			compare(t, filepath.Join(goldenDir, fileName(path)), n.normalize(path, b.String()))
		})
	})
}

// goldenDir is absolute, as the test changes the directory.
var goldenDir = func() string {
	dir, err := filepath.Abs(filepath.Join("testdata", "golden"))
	if err != nil {
		panic(err)
	}
	return dir
}()

// fileName is the name of the golden file of a command.
func fileName(path string) string {
	if path == "" {
		return "brokerctl.txt"
	}
	return strings.ReplaceAll(path, " ", "-") + ".txt"
}

// prepare makes the objects that the examples speak of and returns a file that defines them.
func (n *testNode) prepare(t *testing.T) (fixture string) {
	for _, line := range []string{
		"exchanges declare events --type topic --durable",
		"exchanges declare audit --type fanout --durable --argument alternate-exchange=events",
		"queues declare orders --durable",
		"queues declare orders.dead --durable",
		"bindings declare --source events --destination orders --routing-key order.#",
		"vhosts create old",
		"users create app --password secret --tags management",
		"permissions set app",
		"permissions topic set app --exchange events",
		"policies set limits ^orders$ {\"max-length\":100000} --apply-to queues",
		"policies set cap .* {\"max-length\":1000000} --operator --apply-to queues",
		"parameters set --global cluster_tags {\"region\":\"eu\"}",
		"limits set user app max-channels=200",
		"limits set vhost / max-queues=5000",
	} {
		n.must(t, strings.Fields(line)...)
	}
	fixture = filepath.Join(t.TempDir(), "fixture.json")
	n.must(t, "definitions", "export", fixture)
	return fixture
}

// reset makes the node what prepare made it, and does what the examples of a command need beyond that.
func (n *testNode) reset(t *testing.T, path, fixture string) {
	t.Helper()
	n.must(t, "definitions", "apply", fixture, "--prune", "--yes")
	n.must(t, "queues", "purge", "orders", "--yes")
	if strings.HasPrefix(path, "nodes ") {
		if err := n.node.Broker().Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(path, "delete") && (path == "" || strings.Contains(path, "queue") || strings.Contains(path, "vhosts list")) {
		n.must(t, "queues", "publish", "orders", "a pair of shoes", "--persistent", "--header", "customer=7", "--property", "message-id=42")
		n.must(t, "queues", "publish", "orders", "a hat", "--header", "customer=8")
	}
	if strings.Contains(path, "vhost") || strings.Contains(path, "trac") || strings.Contains(path, "definitions") {
		n.must(t, "vhosts", "set", "old", "--protected=false")
		n.must(t, "vhosts", "set", "/", "--tracing=false", "--description=Default virtual host")
	}
	for _, name := range map[string][]string{
		"users create": {"app", "watcher"},
	}[path] {
		_ = n.ctl("", n.here([]string{"users", "delete", name, "--yes"})...)
	}
	if strings.HasPrefix(path, "config ") {
		for _, name := range []string{"prod", "local"} {
			if r := try("config", "set", name, "--address", "broker1:8672", "--user", "admin", "--tls"); r.code != 0 {
				t.Fatal(r.errs)
			}
		}
		if r := try("config", "use", "prod"); r.code != 0 {
			t.Fatal(r.errs)
		}
	}
	if err := os.WriteFile("ca.pem", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(fixture)
	if err == nil {
		err = os.WriteFile("definitions.json", content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var pipe = regexp.MustCompile(`^echo (\S+) \| (.*)$`)

// example runs a line of an example. CONNECTION in it stands for the name of a connection.
func (n *testNode) example(t *testing.T, line string) result {
	t.Helper()
	stdin := ""
	if m := pipe.FindStringSubmatch(line); m != nil {
		stdin, line = m[1]+"\n", m[2]
	}
	args, err := split(line)
	if err != nil || args[0] != "brokerctl" {
		t.Fatalf("%s: %v", line, err)
	}
	command := strings.Join(args[1:], " ")
	if regexp.MustCompile(`connection|channel|consumer`).MatchString(command) {
		name, closed := n.connect(t)
		defer closed()
		for i := range args {
			if args[i] == "CONNECTION" {
				args[i] = name
			}
		}
	}
	return n.ctl(stdin, args[1:]...)
}

// connect opens a connection with a consumer and returns its name.
func (n *testNode) connect(t *testing.T) (name string, closed func()) {
	t.Helper()
	conn, err := amqp.DialConfig("amqp://app:secret@"+n.amqp, amqp.Config{Properties: amqp.Table{"connection_name": "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.Consume("orders.dead", "cart", false, false, false, false, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for name == "" {
		if time.Now().After(deadline) {
			t.Fatal("the connection is not listed")
		}
		name = strings.TrimSpace(n.must(t, "connections", "list", "--columns", "name", "--no-headers"))
	}
	return name, func() { _ = conn.Close() }
}

// split splits a command line as a shell does, which knows single quotes only.
func split(line string) ([]string, error) {
	var args []string
	var b strings.Builder
	word, quoted := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			word, quoted = true, !quoted
		case r == ' ' && !quoted:
			if word {
				args = append(args, b.String())
			}
			b.Reset()
			word = false
		default:
			word = true
			b.WriteRune(r)
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed in %s", line)
	}
	if word {
		args = append(args, b.String())
	}
	return args, nil
}

var (
	timeText   = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	portText   = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	numberText = regexp.MustCompile(`\d+(\.\d+)?`)
	logText    = regexp.MustCompile(`(?m)^TIME .*\n`)
	unitText   = regexp.MustCompile(`\b[KMGT]iB\b`)
	spaceText  = regexp.MustCompile(` +`)
	idText     = regexp.MustCompile(`[0-9a-f]{8,32}`)
	// What numbers depend on the examples before: offsets of messages, ids of queues, bytes of memory.
	memberText = regexp.MustCompile(`("?\b(?:offset|id|memory)"?: *)\d+`)
	offsetText = regexp.MustCompile(`(?m)^ +\d+( {12}orders )`)
)

// normalize replaces what differs between runs.
func (n *testNode) normalize(path, s string) string {
	s = strings.ReplaceAll(s, n.dir, "DIR")
	s = timeText.ReplaceAllString(s, "TIME")
	s = portText.ReplaceAllString(s, "127.0.0.1:PORT")
	s = memberText.ReplaceAllString(s, "${1}0")
	s = offsetText.ReplaceAllString(s, "     0$1")
	if restless.MatchString(path) {
		s = idText.ReplaceAllString(s, "ID")
		s = numberText.ReplaceAllString(s, "0")
		s = unitText.ReplaceAllString(s, "B")
		s = spaceText.ReplaceAllString(s, " ")
	}
	if path == "top" { // how many samples there are is a matter of time
		lines := strings.Split(s, "\n")
		for i, l := range lines {
			lines[i] = strings.TrimSuffix(l, ",")
		}
		s = strings.Join(slices.Compact(lines), "\n")
	}
	if path == "logs" {
		s = logText.ReplaceAllString(s, "")
	}
	return s
}

// compare checks or, with -update, writes a golden file.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test -run '^%s$' -update writes it", err, strconv.Quote(t.Name()))
	}
	if got != string(want) {
		t.Errorf("%s is not what came:\n%s\nwant\n%s", filepath.Base(file), got, want)
	}
}
