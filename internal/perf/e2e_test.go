//go:build e2e

package perf

import (
	"bufio"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// startBroker builds brokerd, runs it on a free port and returns its URI.
func startBroker(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "brokerd")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/brokerd/brokerd/cmd/brokerd").CombinedOutput(); err != nil {
		t.Fatalf("building brokerd: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, "--amqp-listen", "127.0.0.1:0", "--http-listen", "", "--data-dir", filepath.Join(dir, "data"))
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		line := regexp.MustCompile(`msg="listening for AMQP" address=(\S+)`)
		s := bufio.NewScanner(log)
		for s.Scan() {
			if m := line.FindStringSubmatch(s.Text()); m != nil {
				listening <- m[1]
			}
		}
		_, _ = io.Copy(io.Discard, log)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("brokerd: %v", err)
		}
	})
	select {
	case address := <-listening:
		return "amqp://guest:guest@" + address
	case <-drained:
		t.Fatal("brokerd ended")
	case <-time.After(30 * time.Second):
		t.Fatal("brokerd does not listen after 30 s")
	}
	return ""
}

func TestBroker(t *testing.T) {
	uri := startBroker(t)
	for _, c := range []struct {
		name     string
		change   func(o *Options)
		received int64
	}{
		{"transient", func(o *Options) { o.Count = 50_000 }, 50_000},
		{"persistent and confirmed", func(o *Options) {
			o.Count, o.Persistent, o.Durable, o.Confirm, o.Prefetch = 20_000, true, true, 500, 200
		}, 20_000},
		{"single acknowledgements", func(o *Options) { o.Count, o.MultiAck, o.Prefetch = 5_000, 1, 10 }, 5_000},
		{"automatic acknowledgements", func(o *Options) { o.Count, o.AutoAck = 20_000, true }, 20_000},
		{"many of each on few connections", func(o *Options) {
			o.Producers, o.Consumers, o.Queues, o.Channels, o.Count, o.Confirm = 6, 10, 4, 3, 5_000, 50
		}, 30_000},
		{"fanout", func(o *Options) { o.Exchange, o.ExchangeType, o.Queues, o.Count = "perf.f", "fanout", 3, 5_000 }, 15_000},
		{"topic", func(o *Options) {
			o.Exchange, o.ExchangeType, o.RoutingKey, o.BindingKey, o.Queues, o.Count = "perf.t", "topic", "a.b", "a.#", 2, 5_000
		}, 10_000},
		{"headers", func(o *Options) { o.Exchange, o.ExchangeType, o.Queues, o.Count = "perf.h", "headers", 2, 5_000 }, 5_000},
		{"large", func(o *Options) { o.Size, o.Count, o.Confirm = 300_000, 200, 10 }, 200},
		{"limited rate", func(o *Options) { o.Rate, o.Count = 10_000, 2_000 }, 2_000},
		{"auto-delete with arguments", func(o *Options) {
			o.AutoDelete, o.Count = true, 1_000
			o.QueueArguments = wire.Table{}.Set("x-max-length", wire.Int64(1_000_000))
		}, 1_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := DefaultOptions()
			o.URIs, o.Verify = []string{uri}, true
			c.change(&o)
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if v := r.Verification; !v.OK || v.Received != c.received {
				t.Errorf("verification %+v, want %d received and nothing wrong", *v, c.received)
			}
			if o.Confirm > 0 && r.Confirmed.Total != r.Published.Total {
				t.Errorf("%d of %d confirmed", r.Confirmed.Total, r.Published.Total)
			}
		})
	}
	t.Run("fill and drain", func(t *testing.T) {
		fill := DefaultOptions()
		fill.URIs, fill.Consumers, fill.Count, fill.Keep = []string{uri}, 0, 30_000, true
		if r, err := Run(t.Context(), fill); err != nil || r.Published.Total != 30_000 {
			t.Fatalf("%+v, %v", r, err)
		}
		drain := DefaultOptions()
		drain.URIs, drain.Producers, drain.Consumers, drain.Drain, drain.Verify = []string{uri}, 0, 2, true, true
		r, err := Run(t.Context(), drain)
		if err != nil || !r.Verification.OK || r.Received.Total != 30_000 {
			t.Fatalf("%+v, %v", r, err)
		}
	})
	t.Run("returned", func(t *testing.T) {
		o := DefaultOptions()
		o.URIs, o.Consumers, o.Queues, o.RoutingKey = []string{uri}, 0, 0, "nowhere"
		o.Mandatory, o.Confirm, o.Count = true, 100, 1_000
		if r, err := Run(t.Context(), o); err != nil || r.Returned != 1_000 || r.Confirmed.Total != 1_000 {
			t.Fatalf("%+v, %v", r, err)
		}
	})
}
