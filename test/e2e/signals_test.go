//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/amqp/wire"
)

// TestTerminate ends a broker under load with SIGTERM: clients are told with code 320, the process ends with 0 in bounded time,
// and everything confirmed is there at the next start.
func TestTerminate(t *testing.T) {
	b := startBroker(t)
	conn := b.dial()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	ch := openChannel(t, conn)
	declare(t, ch, "terminate")
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 100_000))
	confirmed := 0
	for terminated := false; ; { // publish until the broker has closed the connection
		if confirmed >= 1000 && !terminated {
			b.terminate()
			terminated = true
		}
		if ch.Publish("", "terminate", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("t")}) != nil {
			break
		}
		for len(confirms) > 0 {
			if (<-confirms).Ack {
				confirmed++
			}
		}
	}
	for c := range confirms {
		if c.Ack {
			confirmed++
		}
	}
	select {
	case err := <-closed:
		want := "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
		if err == nil || err.Code != amqp.ConnectionForced || err.Reason != want {
			t.Errorf("connection closed with %v, want 320 %s", err, want)
		}
	case <-time.After(patience):
		t.Error("the client was not told")
	}
	if code := b.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	b.start()
	if n := depth(t, b.channel(), "terminate"); n < confirmed {
		t.Errorf("%d messages after the restart, %d were confirmed", n, confirmed)
	} else {
		t.Logf("%d messages confirmed, %d there", confirmed, n)
	}
	b.stop()
}

// TestTerminateDeafClients ends a broker whose clients do not answer connection.close, and one of which does not even read. It
// must not wait for them for long, and must not leave its own end unfinished.
func TestTerminateDeafClients(t *testing.T) {
	b := startBroker(t)
	declare(t, b.channel(), "deaf")
	p := newConfirmer(t, b.dial(), 100)
	for range 500 {
		p.publish("deaf", make([]byte, 100*kib))
	}
	p.flush()
	dead := openRawChannel(t, b)
	dead.send(1, &wire.BasicConsume{Queue: "deaf", ConsumerTag: "deaf"})
	dead.expect(wire.KeyBasicConsumeOk)
	for range 20 {
		open(t, b)
	}
	begin := time.Now()
	b.terminate()
	code := b.wait(patience)
	took := time.Since(begin)
	t.Logf("ended after %s", took.Round(time.Millisecond))
	if code != 0 {
		t.Errorf("exit code %d, want 0; log:\n%s", code, b.logTail())
	}
	if took > 12*time.Second { // shutdown.timeout is 10s
		t.Errorf("it took %s", took)
	}
	b.start()
	if n := depth(t, b.channel(), "deaf"); n != 500 {
		t.Errorf("%d messages after the restart, want 500", n)
	}
	b.stop()
}

// refused runs brokerd with args, as another user if uid is not 0. It must end by itself with an error: one clear line, which
// holds want.
func refused(t *testing.T, uid uint32, want string, args ...string) {
	t.Helper()
	cmd := exec.Command(executable, append([]string{"--log-level", "error"}, args...)...)
	cmd.Env = environment()
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("it did not end in %s:\n%s", patience, out.String())
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("it ended with %v, want an exit code", err)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != 1 || !strings.Contains(lines[0], want) {
		t.Errorf("got\n%s\nwant one line with %q", out.String(), want)
	} else {
		t.Logf("%v: %s", err, lines[0])
	}
}

func TestPortInUse(t *testing.T) {
	b := startBroker(t)
	refused(t, 0, b.addr, "--amqp-listen", b.addr, "--data-dir", t.TempDir())
	b.stop()
}

func TestDataDirRefused(t *testing.T) {
	b := startBroker(t)
	addr := freeAddress(t)
	t.Run("in use", func(t *testing.T) {
		refused(t, 0, fmt.Sprintf("%s is in use by process %d", b.dir, b.cmd.Process.Pid), "--amqp-listen", addr, "--data-dir", b.dir)
	})
	t.Run("foreign", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "photo.jpg"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, 0, dir, "--amqp-listen", addr, "--data-dir", dir)
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("the foreign directory was changed: %v, %v", entries, err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, 0, "is not a directory", "--amqp-listen", addr, "--data-dir", file)
	})
	t.Run("unwritable", func(t *testing.T) {
		// Not below t.TempDir, which other users cannot enter.
		dir, err := os.MkdirTemp("", "brokerd-e2e-unwritable-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		var uid uint32
		if os.Getuid() == 0 { // the rights of a directory do not bind root
			uid = 65534
		}
		refused(t, uid, "permission denied", "--amqp-listen", addr, "--data-dir", dir)
	})
	b.stop()
}

func TestBadConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "brokerd.yaml")
	if err := os.WriteFile(file, []byte("amqp: {heartbeat: never}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, 0, "amqp.heartbeat", "--config", file)
	refused(t, 0, "no such file", "--config", file+".not")
	refused(t, 0, "--data-dri", "--data-dri", "x")
	refused(t, 0, "amqp.listen", "--amqp-listen", "nonsense")
}
