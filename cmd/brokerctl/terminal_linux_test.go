package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a terminal: the command has tty, the test is at the other end.
type pty struct {
	tty, end *os.File
	mu       sync.Mutex
	seen     bytes.Buffer // guarded by mu
	done     chan struct{}
}

// openPTY opens a terminal of 80x24; what the command writes is collected until the test ends.
func openPTY(t *testing.T) *pty {
	t.Helper()
	end, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	var number uint32
	raw, err := end.SyscallConn()
	if err == nil {
		var failed error
		err = raw.Control(func(fd uintptr) {
			if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
				number, failed = ioctlNumber(int(fd))
			}
			if failed == nil {
				failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
			}
		})
		if err == nil {
			err = failed
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{tty: tty, end: end, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		var b [4096]byte
		for {
			n, err := end.Read(b[:])
			p.mu.Lock()
			p.seen.Write(b[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = tty.Close()
		_ = end.Close()
		<-p.done
	})
	return p
}

func ioctlNumber(fd int) (uint32, error) {
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	return uint32(n), err
}

func (p *pty) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// await waits until the command has written text.
func (p *pty) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.screen(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("%q does not come, but %q", text, p.screen())
		}
		select {
		case <-p.done:
			t.Fatalf("the terminal was closed before %q came: %q", text, p.screen())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// start runs a command line on the terminal.
func (n *testNode) start(p *pty, args ...string) <-chan int {
	code := make(chan int, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		code <- run(ctx, n.here(args), p.tty, p.tty, p.tty)
	}()
	return code
}

func (p *pty) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := io.WriteString(p.end, keys); err != nil {
		t.Fatal(err)
	}
}

func TestTopOnTerminal(t *testing.T) {
	n := startNode(t)
	n.must(t, "queues", "declare", "on-top", "--durable")
	n.must(t, "queues", "publish", "on-top", "x")
	defer n.must(t, "queues", "delete", "on-top", "--yes")
	p := openPTY(t)
	code := n.start(p, "top", "--interval", "100ms", "--vhost", "/")
	p.await(t, "queues by messages")
	p.await(t, "on-top")
	p.press(t, "s")
	p.await(t, "queues by ready")
	p.press(t, "q")
	if c := <-code; c != 0 {
		t.Errorf("exit code %d, %s", c, p.screen())
	}
	p.await(t, "\x1b[?1049l") // the screen from before is back
}

func TestConfirmationOnTerminal(t *testing.T) {
	n := startNode(t)
	n.must(t, "queues", "declare", "asked-for", "--durable")
	for _, c := range []struct {
		answer string
		code   int
		want   string
	}{
		{"\n", exitFailure, "not confirmed, nothing was done"},
		{"no\n", exitFailure, "not confirmed, nothing was done"},
		{"y\n", 0, `deleted queue "asked-for"`},
		{"yes\n", exitFailure, "NOT_FOUND"},
	} {
		p := openPTY(t)
		code := n.start(p, "queues", "delete", "asked-for")
		p.await(t, `Delete queue "asked-for" in virtual host "/" with its messages? [y/N]`)
		p.press(t, c.answer)
		p.await(t, c.want)
		if got := <-code; got != c.code {
			t.Errorf("%q: exit code %d, want %d: %s", c.answer, got, c.code, p.screen())
		}
	}
}

func TestPasswordOnTerminal(t *testing.T) {
	n := startNode(t)
	p := openPTY(t)
	code := n.start(p, "users", "create", "typed")
	defer n.must(t, "users", "delete", "typed", "--yes")
	p.await(t, "New password of typed:")
	p.press(t, "geheim\n")
	p.await(t, "The same again:")
	p.press(t, "geheim\n")
	if c := <-code; c != 0 || strings.Contains(p.screen(), "geheim") {
		t.Errorf("exit code %d, screen %q", c, p.screen())
	}
	if r := n.ctl("geheim\n", n.here([]string{"users", "authenticate", "typed", "--new-password-file", "-"})...); r.code != 0 {
		t.Errorf("the password is another: %s", r.errs)
	}
}
