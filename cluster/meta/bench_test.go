package meta

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkPropose declares durable queues from several clients at once, each waiting for its answer: fsync included.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			g := open(b, testOptions(b.TempDir()))
			first := g.raft.LastIndex()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range clients {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := g.Propose(context.Background(), queue(fmt.Sprint("q", i))); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
			b.ReportMetric(float64(b.N)/float64(g.raft.LastIndex()-first), "proposals/entry")
		})
	}
}

// BenchmarkBind adds and removes one binding, with its own routing key, in a state that has n of them from the same exchange to one queue.
func BenchmarkBind(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			f := newFSM(slog.New(slog.DiscardHandler), nil)
			setup := []Command{PutVHost{VHost{Name: "/"}}, queue("q")}
			for i := range n {
				setup = append(setup, Bind{toQueue("amq.topic", "q", fmt.Sprintf("stock.%d.nyse", i*7919))})
			}
			f.Apply(logEntry(b, 1, setup...))
			entry := logEntry(b, 2, Bind{toQueue("amq.topic", "q", "stock.new")})
			undo := logEntry(b, 3, Unbind{toQueue("amq.topic", "q", "stock.new")})
			b.ReportAllocs()
			for b.Loop() {
				f.Apply(entry)
				f.Apply(undo)
			}
		})
	}
}

// BenchmarkReplay applies log entries of 100 declares each, as a restart does.
func BenchmarkReplay(b *testing.B) {
	f := newFSM(slog.New(slog.DiscardHandler), nil)
	f.Apply(logEntry(b, 1, PutVHost{VHost{Name: "/"}}))
	n := uint64(1)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		commands := make([]Command, 100)
		for i := range commands {
			commands[i] = queue(fmt.Sprintf("q%d", n*100+uint64(i)))
		}
		n++
		entry := logEntry(b, n, commands...)
		b.StartTimer()
		f.Apply(entry)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/command")
}

// BenchmarkSnapshot writes and reads back a state of 10,000 queues with a binding each.
func BenchmarkSnapshot(b *testing.B) {
	f := newFSM(slog.New(slog.DiscardHandler), nil)
	commands := []Command{PutVHost{VHost{Name: "/"}}}
	for i := range 10_000 {
		name := fmt.Sprint("q", i)
		commands = append(commands, queue(name), Bind{toQueue("amq.topic", name, name)})
	}
	f.Apply(logEntry(b, 1, commands...))
	s := f.state.Load()
	data := snapshotBytes(b, s)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			snapshotBytes(b, s)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := readSnapshot(bytes.NewReader(data), CommandVersion); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkProposeCluster declares durable queues through members of a group of three over TCP on this machine, each with its own
// log and syncs.
func BenchmarkProposeCluster(b *testing.B) {
	for _, through := range []string{"leader", "follower", "all"} {
		for _, clients := range []int{1, 100} {
			b.Run(fmt.Sprintf("through=%s/clients=%d", through, clients), func(b *testing.B) {
				net := newTCPCluster(b, 3, 0)
				groups := net.running()
				switch through {
				case "leader":
					groups = []*Group{net.leader()}
				case "follower":
					groups = []*Group{net.follower()}
				}
				lead := net.leader()
				first := lead.raft.LastIndex()
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for c := range clients {
					g := groups[c%len(groups)]
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							if _, err := g.Propose(context.Background(), queue(fmt.Sprint("q", i))); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proposals/s")
				b.ReportMetric(float64(b.N)/float64(lead.raft.LastIndex()-first), "proposals/entry")
			})
		}
	}
}

// BenchmarkReadIndex asks at a follower of a group of three over TCP on this machine.
func BenchmarkReadIndex(b *testing.B) {
	for _, clients := range []int{1, 100} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			g := newTCPCluster(b, 3, 0).follower()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range clients {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := g.ReadIndex(context.Background()); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
		})
	}
}
