//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	damageQueues   = 10
	damageMessages = 400 // per queue
)

// damageBody makes a body that can be checked for damage. Bodies are random, so that none is compressed away.
func damageBody(r *rand.Rand, queue, n int) []byte {
	content := fmt.Appendf(nil, "%d %d ", queue, n)
	for len(content) < 2000 {
		content = fmt.Append(content, r.Uint64())
	}
	sum := sha256.Sum256(content)
	return append(sum[:], content...)
}

// damageLine is what the log has to say: a warning or an error about damage.
var damageLine = regexp.MustCompile(`(?i)level=(WARN|ERROR).*(corrupt|damage|torn|truncat|checksum|crc|unreadable|incomplete|lost)`)

// TestDamagedFile damages one file of the stopped broker's messages at a time. It has to start, to say so in its log, to give
// out no damaged message, and to serve the rest.
func TestDamagedFile(t *testing.T) {
	tests := []struct {
		name   string
		kill   bool // the files are as after a crash, else as after an orderly stop
		damage func(r *rand.Rand, content []byte) []byte
	}{
		{"cut after crash", true, cutInUse},
		{"cut after stop", false, cutInUse},
		{"bit flipped after crash", true, flipBit},
		{"bit flipped after stop", false, flipBit},
		{"emptied", false, func(*rand.Rand, []byte) []byte { return nil }},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Logf("seed %d (repeat with -args -seed %d)", *seed, *seed)
			r := rand.New(rand.NewPCG(*seed, uint64(i)))
			b := startBroker(t)
			fillDamageQueues(t, b, r)
			if test.kill {
				b.kill()
			} else {
				b.stop()
			}
			path, content := messageFile(t, b.dir)
			damaged := test.damage(r, bytes.Clone(content))
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Logf("damaged %s (%d bytes, now %d)", filepath.Base(path), len(content), len(damaged))

			offset := b.logSize()
			b.start()
			served := drainDamageQueues(t, b)
			t.Logf("%d of %d messages are left", served, damageQueues*damageMessages)
			if served == damageQueues*damageMessages {
				t.Log("the damage hit nothing in use")
			} else if !damageLine.MatchString(b.log(offset)) {
				t.Errorf("messages are lost, and the log has no warning or error about damage:\n%s", b.log(offset))
			}
			if test.name != "emptied" && served < damageQueues*damageMessages/3 {
				t.Errorf("only %d messages are left", served)
			}
			for _, line := range damageLine.FindAllString(b.log(offset), 3) {
				t.Log(line)
			}
			b.stop()
		})
	}
}

func fillDamageQueues(t *testing.T, b *broker, r *rand.Rand) {
	t.Helper()
	conn := b.dial()
	defer closeQuietly(conn)
	p := newConfirmer(t, conn, 100)
	for q := range damageQueues {
		declare(t, p.ch, fmt.Sprintf("damage-%d", q))
	}
	for n := range damageMessages {
		for q := range damageQueues {
			p.publish(fmt.Sprintf("damage-%d", q), damageBody(r, q, n))
		}
	}
	p.flush()
}

// messageFile finds the file that holds most of the messages: the one that is largest without the zeros at its end.
func messageFile(t *testing.T, dir string) (path string, content []byte) {
	t.Helper()
	largest := 0
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		// The metadata are not meant here: a broker that has lost its queues has no messages to serve.
		if err != nil || !entry.Type().IsRegular() || strings.Contains(name, "raft") || strings.HasSuffix(name, ".db") {
			return err
		}
		b, err := os.ReadFile(name)
		if used := len(bytes.TrimRight(b, "\x00")); err == nil && used > largest {
			path, content, largest = name, b, used
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if largest < 100*kib {
		t.Fatalf("no file with messages below %s: the largest has %d bytes", dir, largest)
	}
	return path, content
}

// cutInUse cuts the file off somewhere in the second half of what is used.
func cutInUse(r *rand.Rand, content []byte) []byte {
	used := len(bytes.TrimRight(content, "\x00"))
	return content[:used/2+r.IntN(used/2)]
}

// flipBit changes one bit in the middle of what is used.
func flipBit(r *rand.Rand, content []byte) []byte {
	used := len(bytes.TrimRight(content, "\x00"))
	content[used/4+r.IntN(used/2)] ^= 1 << r.IntN(8)
	return content
}

// drainDamageQueues takes and checks what is left, and returns how much that is. Every queue has to work.
func drainDamageQueues(t *testing.T, b *broker) int {
	t.Helper()
	ch := b.channel()
	p := newConfirmer(t, b.dial(), 10)
	served := 0
	for q := range damageQueues {
		name := fmt.Sprintf("damage-%d", q)
		p.publish(name, []byte("after"))
		p.flush()
		last := -1
		for {
			d, ok, err := ch.Get(name, true)
			if err != nil {
				t.Fatalf("get from %s: %v", name, err)
			}
			if !ok {
				t.Errorf("%s: the message published after the damage is not there", name)
				break
			}
			if string(d.Body) == "after" {
				break
			}
			served++
			var queue, n int
			if len(d.Body) <= sha256.Size || sha256.Sum256(d.Body[sha256.Size:]) != [sha256.Size]byte(d.Body) {
				t.Errorf("%s: a damaged message of %d bytes was delivered", name, len(d.Body))
			} else if _, err := fmt.Sscan(string(d.Body[sha256.Size:]), &queue, &n); err != nil || queue != q || n <= last {
				t.Errorf("%s: message %d of queue %d after message %d (%v)", name, n, queue, last, err)
			}
			last = n
		}
	}
	return served
}

// TestDamagedFileOfAnyKind damages every file in turn, on copies of one data directory: values, tables, logs. Whatever it is, the broker has to start, to serve what can be had, and to have said something if messages are gone.
func TestDamagedFileOfAnyKind(t *testing.T) {
	t.Logf("seed %d (repeat with -args -seed %d)", *seed, *seed)
	r := rand.New(rand.NewPCG(*seed, 100))
	for _, state := range []string{"crash", "stop"} {
		origin := startBroker(t)
		fillDamageQueues(t, origin, r)
		if state == "crash" {
			origin.kill()
		} else {
			origin.stop()
		}
		for _, path := range filesToDamage(t, origin.dir) {
			for i, damage := range damages {
				t.Run(strings.Join([]string{state, damage.name, path}, " "), func(t *testing.T) {
					b := newBroker(t)
					r := rand.New(rand.NewPCG(*seed, uint64(i))) // its own, so that the subtest alone does the same
					damageCopy(t, origin.dir, b.dir, path, func(content []byte) []byte { return damage.do(r, content) })
					if filepath.Base(path) == "MANIFEST" && !startsOrRefuses(t, b) {
						return // it may say that the files have a format of the future
					}
					if !b.running() {
						b.start()
					}
					served := drainDamageQueues(t, b)
					t.Logf("%d of %d messages are left", served, damageQueues*damageMessages)
					if served < damageQueues*damageMessages && !damageLine.MatchString(b.log(0)) {
						t.Errorf("messages are lost, and the log has no warning or error about damage:\n%s", b.log(0))
					}
					b.stop()
				})
			}
		}
	}
}

var damages = []struct {
	name string
	do   func(*rand.Rand, []byte) []byte
}{{"cut", cutInUse}, {"flip", flipBit}}

// TestDamagedMetadata damages the database of the metadata. The broker may refuse to start, with one clear line; when it starts,
// all queues have to be there.
func TestDamagedMetadata(t *testing.T) {
	origin := startBroker(t)
	fillDamageQueues(t, origin, rand.New(rand.NewPCG(*seed, 200)))
	origin.stop()
	matches, err := filepath.Glob(filepath.Join(origin.dir, "*", "*.db"))
	if err != nil || len(matches) == 0 {
		t.Fatalf("no database of metadata (%v)", err)
	}
	path, err := filepath.Rel(origin.dir, matches[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		name string
		do   func(content []byte) []byte
	}{
		{"cut to a quarter", func(content []byte) []byte { return content[:len(content)/4] }},
		{"cut to a half", func(content []byte) []byte { return content[:len(content)/2] }},
		{"cut to three quarters", func(content []byte) []byte { return content[:len(content)*3/4] }},
		{"emptied", func([]byte) []byte { return nil }},
		// One bit in each copy of a queue's name, so that the change is in use wherever it is.
		{"bit flipped", func(content []byte) []byte {
			return bytes.ReplaceAll(content, []byte("damage-5"), []byte("damagm-5"))
		}},
		{"zeroed behind the first pages", func(content []byte) []byte {
			clear(content[8*kib:])
			return content
		}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			b := newBroker(t)
			damageCopy(t, origin.dir, b.dir, path, damage.do)
			if startsOrRefuses(t, b) {
				t.Logf("started; %d messages are left", drainDamageQueues(t, b))
			}
		})
	}
}

// startsOrRefuses starts the broker and reports whether it serves. When it does not, it has to end with one clear line.
func startsOrRefuses(t *testing.T, b *broker) bool {
	t.Helper()
	b.launch()
	eventually(t, patience, "started or ended", func() bool {
		return !b.running() || strings.Contains(b.log(0), "listening for AMQP")
	})
	if b.running() {
		return true
	}
	log := strings.TrimSpace(b.log(0))
	lines := strings.Split(log, "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "brokerd: ") || b.cmd.ProcessState.ExitCode() <= 0 || strings.Contains(log, "goroutine ") {
		t.Errorf("ended with %s, without a clear line:\n%.800s", b.cmd.ProcessState, log)
	} else {
		t.Logf("refused: %s", last)
	}
	return false
}

// filesToDamage lists the files with content of the message store, relative to the data directory.
func filesToDamage(t *testing.T, dir string) []string {
	t.Helper()
	messages, _ := messageFile(t, dir)
	first, err := filepath.Rel(dir, messages)
	if err != nil {
		t.Fatal(err)
	}
	// The store is the top folder that the messages are in.
	first, _, _ = strings.Cut(filepath.ToSlash(first), "/")
	var paths []string
	err = filepath.WalkDir(filepath.Join(dir, first), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() { // a killed broker leaves its socket behind
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil || len(bytes.TrimRight(content, "\x00")) < 4 {
			return err
		}
		path, err := filepath.Rel(dir, name)
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// damageCopy copies a data directory and damages one file of the copy.
func damageCopy(t *testing.T, origin, dir, path string, damage func([]byte) []byte) {
	t.Helper()
	// A killed broker leaves its socket behind, which cannot be copied.
	if err := os.Remove(filepath.Join(origin, "admin.sock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(origin)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, path), damage(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
