//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// memory is what /proc says of a process, in bytes.
type memory struct {
	peak int64 // VmHWM: the most that was resident, ever
	rss  int64 // VmRSS
	anon int64 // RssAnon: of that, what is not backed by a file
}

func (m memory) String() string {
	return fmt.Sprintf("resident %d MiB (%d MiB without files), peak %d MiB", m.rss/mib, m.anon/mib, m.peak/mib)
}

// memory reads the figures of the running process; they are zero when it is gone.
func (b *broker) memory() memory {
	var m memory
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		return m
	}
	fields := map[string]*int64{"VmHWM:": &m.peak, "VmRSS:": &m.rss, "RssAnon:": &m.anon}
	for scanner := bufio.NewScanner(bytes.NewReader(status)); scanner.Scan(); {
		parts := strings.Fields(scanner.Text())
		if len(parts) == 3 && fields[parts[0]] != nil {
			n, _ := strconv.ParseInt(parts[1], 10, 64) // the kernel writes numbers
			*fields[parts[0]] = n * kib
		}
	}
	return m
}

// cpu returns the processor time the running process has used.
func (b *broker) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The command name in parentheses may hold spaces; user and system time are the 12th and 13th field behind it.
	parts := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, part := range parts[11:13] {
		n, _ := strconv.ParseInt(part, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100)
}

// checkPeak fails the test when the process has ever had more than limit bytes resident.
func (b *broker) checkPeak(limit int64) {
	b.t.Helper()
	m := b.memory()
	b.t.Logf("memory: %s; processor time %s", m, b.cpu())
	if m.peak > limit && !*race {
		b.t.Errorf("peak of resident memory: %d MiB, want at most %d MiB", m.peak/mib, limit/mib)
	}
}

// diskUsage returns the bytes that the files below the data directory occupy, holes not counted.
func (b *broker) diskUsage() int64 {
	var sum int64
	err := filepath.WalkDir(b.dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreMissing(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	if err != nil {
		b.t.Errorf("disk usage: %v", err)
	}
	return sum
}

// ignoreMissing drops the error of a file that the broker deleted during a walk.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sample calls f every interval until the returned function is called, which waits for the last call.
func sample(t *testing.T, interval time.Duration, f func()) (stop func()) {
	t.Helper()
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				f()
			case <-quit:
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(quit)
		done.Wait()
	})
	t.Cleanup(stop)
	return stop
}
