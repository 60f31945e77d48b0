//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// patience is how long a test waits for what must happen soon, on a machine that may be busy with other things.
const patience = 30 * time.Second

// broker is a brokerd with its data directory and port; both stay the same over restarts. It belongs to the test's goroutine,
// but url, dir and the process figures may be used by others while it runs.
type broker struct {
	t    *testing.T
	dir  string
	addr string
	args []string // further flags
	env  []string // further environment

	cmd     *exec.Cmd
	pid     atomic.Int64  // of the last process
	exited  chan struct{} // closed when the process is gone
	logPath string
}

// newBroker prepares a broker with an empty data directory on a free port. The process is killed at the end of the test.
func newBroker(t *testing.T, args ...string) *broker {
	t.Helper()
	dir := t.TempDir()
	b := &broker{t: t, dir: filepath.Join(dir, "data"), addr: freeAddress(t), args: args, logPath: filepath.Join(dir, "log")}
	t.Cleanup(func() {
		b.kill()
		if strings.Contains(b.log(0), "WARNING: DATA RACE") { // with -race-brokerd
			t.Errorf("data race in the broker:\n%.4000s", b.log(int64(strings.Index(b.log(0), "WARNING: DATA RACE"))))
		}
		if t.Failed() {
			t.Logf("end of the broker's log:\n%s", b.logTail())
		}
	})
	return b
}

// startBroker is newBroker and start.
func startBroker(t *testing.T, args ...string) *broker {
	t.Helper()
	b := newBroker(t, args...)
	b.start()
	return b
}

// set adds an environment variable for later starts: key is a configuration key such as store.min_free.
func (b *broker) set(key, value string) {
	b.env = append(b.env, "BROKERD_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+value)
}

// freeAddress finds a free loopback port below the range that the system takes ports of outgoing connections from, so that
// no client of the test gets it while the broker is down. None is given out twice: its user may not listen yet.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(18000)))
		if err != nil {
			continue
		}
		address := l.Addr().String()
		_ = l.Close()
		if _, used := addressesGiven.LoadOrStore(address, true); !used {
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

var addressesGiven sync.Map

// environment is ours without variables that would configure the broker.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "BROKERD_") || strings.HasPrefix(entry, "GOMEMLIMIT=")
	})
}

// launch starts the process without waiting for its port.
func (b *broker) launch() {
	b.t.Helper()
	log, err := os.OpenFile(b.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	b.cmd = exec.Command(executable, append([]string{"--amqp-listen", b.addr, "--data-dir", b.dir}, b.args...)...)
	b.cmd.Env = append(environment(), b.env...)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	// When the test process itself is killed, the broker must not stay behind.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.pid.Store(int64(b.cmd.Process.Pid))
	exited := make(chan struct{})
	b.exited = exited
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // the state is in cmd.ProcessState
		close(exited)
	}(b.cmd)
}

// start runs the broker until it accepts connections, and returns how long that took.
func (b *broker) start() time.Duration {
	b.t.Helper()
	b.launch()
	return b.awaitUp()
}

// awaitUp waits until the launched broker accepts connections, and returns how long that took.
func (b *broker) awaitUp() time.Duration {
	b.t.Helper()
	begin := time.Now()
	for {
		conn, err := net.DialTimeout("tcp", b.addr, time.Second)
		if err == nil {
			_ = conn.Close()
			return time.Since(begin)
		}
		select {
		case <-b.exited:
			b.t.Fatalf("brokerd did not start: %s", b.cmd.ProcessState)
		case <-time.After(2 * time.Millisecond):
		}
		if time.Since(begin) > patience {
			b.t.Fatalf("brokerd accepts no connections after %s", patience)
		}
	}
}

// running reports whether the process is there.
func (b *broker) running() bool {
	if b.exited == nil {
		return false
	}
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// kill ends the process as a crash would.
func (b *broker) kill() {
	if b.running() {
		_ = b.cmd.Process.Kill() // it may be gone by now
		<-b.exited
	}
}

// terminate asks for an orderly end.
func (b *broker) terminate() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Errorf("SIGTERM: %v", err)
	}
}

// wait returns the exit code, -1 after a signal. It fails the test when the process does not end in time.
func (b *broker) wait(limit time.Duration) int {
	b.t.Helper()
	select {
	case <-b.exited:
		return b.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		b.t.Fatalf("brokerd still runs %s after it should have ended", limit)
		return 0
	}
}

// stop ends the broker in order, which must work.
func (b *broker) stop() {
	b.t.Helper()
	b.terminate()
	if code := b.wait(patience); code != 0 {
		b.t.Errorf("brokerd ended with %d after SIGTERM, want 0", code)
	}
}

// log returns what the broker has logged since offset bytes.
func (b *broker) log(offset int64) string {
	content, err := os.ReadFile(b.logPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Errorf("log: %v", err)
	}
	return string(content[min(int(offset), len(content)):])
}

// logSize is the offset for log at which the next line begins.
func (b *broker) logSize() int64 { return int64(len(b.log(0))) }

func (b *broker) logTail() string {
	content := b.log(0)
	return content[max(0, len(content)-8000):]
}

func (b *broker) url() string { return "amqp://guest:guest@" + b.addr + "/" }

// dial opens a connection that is closed at the end of the test.
func (b *broker) dial() *amqp.Connection {
	b.t.Helper()
	conn, err := b.tryDial()
	if err != nil {
		b.t.Fatalf("dial: %v", err)
	}
	b.t.Cleanup(func() { closeQuietly(conn) })
	return conn
}

// tryDial opens a connection for the caller to close.
func (b *broker) tryDial() (*amqp.Connection, error) {
	return amqp.DialConfig(b.url(), amqp.Config{
		Heartbeat: 20 * time.Second,
		Dial:      amqp.DefaultDial(10 * time.Second),
	})
}

// closeQuietly closes a connection whose peer may be gone already.
func closeQuietly(conn *amqp.Connection) {
	_ = conn.CloseDeadline(time.Now().Add(5 * time.Second))
}

// channel opens a channel on a connection of its own.
func (b *broker) channel() *amqp.Channel {
	b.t.Helper()
	return openChannel(b.t, b.dial())
}

func openChannel(t *testing.T, conn *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatalf("channel: %v", err)
	}
	return ch
}

// declare declares a durable queue.
func declare(t *testing.T, ch *amqp.Channel, name string) amqp.Queue {
	t.Helper()
	q, err := ch.QueueDeclare(name, true, false, false, false, nil)
	if err != nil {
		t.Fatalf("declare %s: %v", name, err)
	}
	return q
}

// eventually waits until ok holds.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > limit {
			t.Fatalf("not after %s: %s", limit, what)
		}
	}
}

// depth returns the number of ready messages of a queue.
func depth(t *testing.T, ch *amqp.Channel, queue string) int {
	t.Helper()
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		t.Fatalf("passive declare of %s: %v", queue, err)
	}
	return q.Messages
}
