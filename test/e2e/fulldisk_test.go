//go:build e2e

package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// smallDisk mounts a file system of its own for the broker's data.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("brokerd-e2e", dir, "tmpfs", 0, options); err != nil {
		if errors.Is(err, syscall.EPERM) {
			t.Skip("not permitted to mount a small file system: ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill takes all free space of the disk with one file, which it returns.
func fill(t *testing.T, disk string) string {
	t.Helper()
	name := filepath.Join(disk, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, mib)
	for len(block) > 0 {
		_, err := f.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2] // down to the last byte
		case err != nil:
			t.Fatal(err)
		}
	}
	return name
}

const fullDiskBody = 64 * kib

// fullDisk is a broker on a small disk and what it has promised about the queue "full". Each body begins with a number.
type fullDisk struct {
	t         *testing.T
	b         *broker
	next      uint64
	confirmed map[uint64]bool
	acked     map[uint64]bool
}

// publish publishes up to n messages, one at a time, until the broker takes no more. It returns how that showed, or "" when all
// were confirmed.
func (f *fullDisk) publish(n int) string {
	f.t.Helper()
	conn, err := f.b.tryDial()
	if err != nil {
		return err.Error()
	}
	defer closeQuietly(conn)
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	ch, err := conn.Channel()
	if err != nil {
		return err.Error()
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 1))
	if err := ch.Confirm(false); err != nil {
		return err.Error()
	}
	for range n {
		f.next++
		body := bytes.Repeat([]byte{byte(f.next)}, fullDiskBody)
		binary.BigEndian.PutUint64(body, f.next)
		if err := ch.Publish("", "full", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}); err != nil {
			return err.Error()
		}
		select {
		case c, ok := <-confirms:
			if !ok {
				return "the channel was closed"
			}
			if !c.Ack {
				return "nack"
			}
			f.confirmed[f.next] = true
		case notice := <-blocked:
			if notice.Active {
				return "connection.blocked: " + notice.Reason
			}
		case <-time.After(3 * time.Second):
			return "silence"
		}
	}
	return ""
}

// consume takes and acknowledges n messages with basic.get and checks them, or all for n < 0.
func (f *fullDisk) consume(n int) {
	f.t.Helper()
	conn := f.b.dial()
	defer closeQuietly(conn)
	ch := openChannel(f.t, conn)
	for ; n != 0; n-- {
		d, ok, err := ch.Get("full", false)
		if err != nil {
			f.t.Fatalf("get: %v", err)
		}
		if !ok {
			if n > 0 {
				f.t.Errorf("the queue is empty, %d more messages wanted", n)
			}
			return
		}
		number := binary.BigEndian.Uint64(d.Body)
		if len(d.Body) != fullDiskBody || bytes.Count(d.Body[8:], d.Body[7:8]) != fullDiskBody-8 {
			f.t.Errorf("message %d is damaged", number)
		}
		if f.acked[number] && !d.Redelivered {
			f.t.Errorf("message %d came again after its acknowledgement, with redelivered=false", number)
		}
		f.acked[number] = true
		if err := d.Ack(false); err != nil {
			f.t.Fatalf("ack: %v", err)
		}
	}
}

// TestFullDisk fills the broker's disk, with its own messages and then to the last byte with a foreign file. It has to stop
// taking messages, stay up, let consumers go on, and take messages again once there is room.
func TestFullDisk(t *testing.T) {
	for _, test := range []struct{ name, minFree string }{{"with alarm", "64MiB"}, {"without alarm", "0"}} {
		t.Run(test.name, func(t *testing.T) {
			disk := smallDisk(t, "size=384m")
			b := newBroker(t)
			b.dir = filepath.Join(disk, "data")
			b.set("store.min_free", test.minFree)
			b.start()
			f := &fullDisk{t: t, b: b, confirmed: map[uint64]bool{}, acked: map[uint64]bool{}}
			declare(t, b.channel(), "full")

			how := f.publish(8000)
			t.Logf("after %d messages of %d KiB: %s", len(f.confirmed), fullDiskBody/kib, how)
			if how == "" || len(f.confirmed) < 100 {
				t.Fatalf("%d messages were confirmed on a disk of 384 MiB", len(f.confirmed))
			}
			f.consume(20)

			ballast := fill(t, disk)
			t.Logf("disk full to the last byte: %s", f.publish(100))
			f.consume(20)
			// The result does not matter here; what may not happen is that the broker ends or hangs.
			if _, err := openChannel(t, b.dial()).QueueDeclare("new", true, false, false, false, nil); err != nil {
				t.Logf("declare on the full disk: %v", err)
			}
			if !b.running() {
				t.Fatalf("the broker did not survive a full disk: %s", b.cmd.ProcessState)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}

			f.consume(len(f.confirmed) / 2)
			eventually(t, time.Minute, "100 messages confirmed after space was freed", func() bool { return f.publish(100) == "" })
			b.kill()
			b.start()
			f.consume(-1)
			lost := 0
			for number := range f.confirmed {
				if !f.acked[number] {
					lost++
				}
			}
			if lost > 0 {
				t.Errorf("%d of %d confirmed messages are lost", lost, len(f.confirmed))
			}
			b.stop()
		})
	}
}
