package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/node"
)

// shutdownGrace is what a node gets beyond shutdown.timeout to return from Shutdown after its context has ended.
const shutdownGrace = 2 * time.Second

// process is the broker as the operating system sees it. All of it belongs to the goroutine of run.
type process struct {
	cfg   *config.Config // in effect: what was started with, and live changes since
	load  func() (*config.Config, error)
	log   *slog.Logger
	level *slog.LevelVar

	node     *node.Node // nil until started
	stopping bool
	failure  error // why the node is stopping, nil for a signal
	stopped  chan error
}

// run starts a node with the configuration from load and keeps it until a signal or a fatal error ends it.
func run(load func() (*config.Config, error)) error {
	// Signals are taken before the first step, so that none is lost in a slow start.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	cfg, err := load()
	if err != nil {
		return err
	}
	p := &process{cfg: cfg, load: load, level: new(slog.LevelVar), stopped: make(chan error, 1)}
	p.level.Set(cfg.Log.Level)
	p.log = newLogger(cfg.Log.Format, p.level)
	p.log.Info("starting", "version", versionText(), "node", cfg.Node.Name, "pid", os.Getpid())
	p.limitMemory()

	// The node is started beside the loop, so that signals work during a long recovery too.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := make(chan startResult, 1)
	go func() {
		n, err := node.Start(ctx, cfg, p.log)
		started <- startResult{n, err}
	}()
	return p.loop(signals, started, cancel)
}

type startResult struct {
	node *node.Node
	err  error
}

// loop handles one event at a time until the process is to end.
func (p *process) loop(signals <-chan os.Signal, started <-chan startResult, cancelStart func()) error {
	begin := time.Now()
	var fatal <-chan error
	for {
		select {
		case r := <-started:
			switch {
			case r.err != nil && p.stopping && errors.Is(r.err, context.Canceled):
				return nil // stopped by a signal before it was up
			case r.err != nil:
				return r.err
			}
			p.node, fatal = r.node, r.node.Fatal()
			p.log.Info("started", "took", time.Since(begin).Round(time.Millisecond))
			if p.stopping {
				p.shutdown()
			}
		case err := <-fatal:
			fatal = nil
			p.log.Error("the node cannot go on", "error", err)
			p.failure = err
			if !p.stopping {
				p.stopping = true
				p.shutdown()
			}
		case err := <-p.stopped:
			if p.failure == nil && err == nil {
				p.log.Info("stopped")
			}
			return errors.Join(p.failure, err)
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				p.reload()
			case p.stopping:
				return fmt.Errorf("stopped at once by a second signal (%s)", s)
			default:
				p.log.Info("shutting down", "signal", s.String(), "timeout", p.cfg.Shutdown.Timeout)
				p.stopping = true
				if p.node == nil {
					cancelStart()
				} else {
					p.shutdown()
				}
			}
		}
	}
}

// shutdown stops the node in the background and reports to p.stopped, within the configured time and some grace.
func (p *process) shutdown() {
	timeout := p.cfg.Shutdown.Timeout
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- p.node.Shutdown(ctx)
	}()
	go func() {
		select {
		case err := <-done:
			if err != nil {
				err = fmt.Errorf("shutdown: %w", err)
			}
			p.stopped <- err
		case <-time.After(timeout + shutdownGrace):
			p.stopped <- fmt.Errorf("shutdown not finished after %s, giving up", timeout+shutdownGrace)
		}
	}()
}

// reload reads the configuration again, applies the log level and says which changes need a restart.
func (p *process) reload() {
	fresh, err := p.load()
	if err != nil {
		p.log.Error("configuration not reloaded, nothing has changed", "error", err)
		return
	}
	changes := config.Diff(p.cfg, fresh)
	for _, c := range changes {
		if c.Live {
			p.log.Info("configuration changed", "key", c.Key, "old", c.Old, "new", c.New)
		} else {
			p.log.Warn("configuration change needs a restart", "key", c.Key, "old", c.Old, "new", c.New)
		}
	}
	// p.cfg is shared with the node, so the change goes into a copy.
	cfg := *p.cfg
	cfg.Log.Level = fresh.Log.Level
	p.cfg = &cfg
	p.level.Set(cfg.Log.Level)
	p.log.Info("configuration reloaded", "changes", len(changes))
}

// limitMemory makes memory.limit the soft limit of the Go runtime.
func (p *process) limitMemory() {
	limit := p.cfg.Memory.Limit
	if total, err := config.TotalMemory(); err == nil && limit > total {
		p.log.Warn("memory.limit is more than the memory of this machine or container", "limit", limit, "total", total)
	}
	if own := os.Getenv("GOMEMLIMIT"); own != "" {
		p.log.Info("GOMEMLIMIT is set and kept as the runtime's limit", "GOMEMLIMIT", own, "memory.limit", limit)
		return
	}
	debug.SetMemoryLimit(limit)
}

func newLogger(format config.LogFormat, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
