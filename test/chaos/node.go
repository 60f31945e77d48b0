//go:build linux

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// stopTime is what a node may take to stop in order.
const stopTime = 30 * time.Second

// node is a brokerd process that is started again and again on the same data. Its methods are safe for concurrent use.
type node struct {
	index   int
	program string
	dir     string // data, and the log beside it
	amqp    string
	listen  string // cluster.listen
	address string // where the others reach that
	initial string
	history *History

	pid atomic.Int64 // 0 when it does not run

	mu      sync.Mutex
	cmd     *exec.Cmd
	asked   bool          // somebody asked the process to end
	ended   chan struct{} // closed when the process is gone
	failure error         // of the process; valid once ended is closed
	starts  int
}

// start runs the process. It does not wait until the node is of use.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended != nil {
		select {
		case <-n.ended:
		default:
			return fmt.Errorf("node %d runs already", n.index)
		}
	}
	log, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	cmd := exec.Command(n.program,
		"--data-dir", filepath.Join(n.dir, fmt.Sprintf("node%d", n.index)), "--node-name", fmt.Sprintf("node%d", n.index),
		"--amqp-listen", n.amqp, "--cluster-listen", n.listen, "--cluster-advertise", n.address, "--cluster-initial", n.initial)
	cmd.Env = append(os.Environ(), "BROKERD_CLUSTER_SECRET=a secret for tests only", "BROKERD_CLUSTER_COMMIT_TIMEOUT=3s",
		"BROKERD_CLUSTER_NODE_TIMEOUT=3s", "BROKERD_MEMORY_LIMIT=512MiB", "BROKERD_STORE_MIN_FREE=64MiB")
	cmd.Stderr = log
	// The process must not outlive this one, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	n.cmd, n.asked, n.ended, n.failure = cmd, false, make(chan struct{}), nil
	n.starts++
	begun := make(chan error)
	go n.run(cmd, log, n.ended, begun)
	if err := <-begun; err != nil {
		return fmt.Errorf("node %d: %w", n.index, err)
	}
	return nil
}

// run keeps the process. The system ends a child with the thread that started it, so that thread stays.
func (n *node) run(cmd *exec.Cmd, log *os.File, ended chan struct{}, begun chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(ended)
	defer log.Close()
	err := cmd.Start()
	if err == nil {
		n.pid.Store(int64(cmd.Process.Pid))
	}
	begun <- err
	if err != nil {
		return
	}
	err = cmd.Wait()
	n.pid.Store(0)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failure = err
	if !n.asked {
		now := n.history.Now()
		n.history.Add(Op{
			Client: "nemesis", Node: n.index, Kind: Exit, Start: now, End: now, Outcome: Fail, Error: fmt.Sprintf("ended by itself: %v", err),
		})
	}
}

func (n *node) logFile() string { return filepath.Join(n.dir, fmt.Sprintf("node%d.log", n.index)) }

// signal sends a signal to the process, if there is one; ending says that it is to end by that.
func (n *node) signal(s syscall.Signal, ending bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = n.asked || ending
	if n.cmd != nil && n.cmd.Process != nil {
		_ = n.cmd.Process.Signal(s) // an error means that it is gone
	}
}

// kill ends the process at once and waits until it is gone.
func (n *node) kill() {
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	if ended == nil {
		return
	}
	n.signal(syscall.SIGKILL, true)
	<-ended
}

// stop ends the process in order. The error says why it did not end well.
func (n *node) stop() error {
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	if ended == nil {
		return nil
	}
	n.signal(syscall.SIGCONT, false)
	n.signal(syscall.SIGTERM, true)
	select {
	case <-ended:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.failure != nil {
			return fmt.Errorf("stopping in order: %w", n.failure)
		}
		return nil
	case <-time.After(stopTime):
		n.signal(syscall.SIGQUIT, true) // its goroutines go to the log
		select {
		case <-ended:
		case <-time.After(time.Second):
			n.kill()
		}
		return fmt.Errorf("not stopped in %s; its goroutines are in %s", stopTime, n.logFile())
	}
}

// troubles are what no log of a node may have.
var troubles = []string{"panic:", "fatal error:", "DATA RACE", "stored block is damaged"}

// readLog returns lines of the log that tell of a bug, and counts those of level error.
func (n *node) readLog() (bad []string, errorLines int, err error) {
	f, err := os.Open(n.logFile())
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, "level=ERROR") {
			errorLines++
		}
		for _, t := range troubles {
			if strings.Contains(line, t) && len(bad) < maxViolations {
				bad = append(bad, line)
			}
		}
	}
	return bad, errorLines, lines.Err()
}

// Ports are taken from below the range that the system hands out by itself, since a node needs its own again after a restart.
const (
	firstPort = 12000
	portRange = 16000
)

// freeAddresses returns n addresses on loopback that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	var list []string
	offset := os.Getpid() * 37
	for i := 0; i < portRange && len(list) < n; i++ {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+(offset+i)%portRange)
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		list = append(list, address)
	}
	if len(list) < n {
		return nil, fmt.Errorf("%d free ports between %d and %d, %d needed", len(list), firstPort, firstPort+portRange, n)
	}
	return list, nil
}

// Build compiles brokerd into dir, with build tags, and returns the file.
func Build(ctx context.Context, dir string, tags string, race bool) (string, error) {
	name := "brokerd"
	if tags != "" {
		name += "-" + tags
	}
	file := filepath.Join(dir, name)
	args := []string{"build", "-o", file}
	if tags != "" {
		args = append(args, "-tags", tags)
	}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/brokerd/brokerd/cmd/brokerd")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("go build: %w", err), errors.New(string(bytes.TrimSpace(out))))
	}
	return file, nil
}
