package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/internal/config"
)

// TestLoopWhileStarting feeds the loop with what can happen before the node is up.
func TestLoopWhileStarting(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	full := errors.New("disk full")
	tests := []struct {
		name    string
		signals []os.Signal
		result  error // of the start, once it is cancelled or, without signals, at once; nil for never
		want    string
	}{
		{"start fails", nil, full, "disk full"},
		{"stopped while starting", []os.Signal{syscall.SIGTERM}, fmt.Errorf("recovery: %w", context.Canceled), "<nil>"},
		{"start fails while stopping", []os.Signal{syscall.SIGINT}, full, "disk full"},
		{"second signal", []os.Signal{syscall.SIGTERM, syscall.SIGINT}, nil, "stopped at once by a second signal (interrupt)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := &process{
				cfg:     config.Default(),
				log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
				level:   new(slog.LevelVar),
				stopped: make(chan error, 1),
			}
			signals := make(chan os.Signal, 2)
			for _, s := range test.signals {
				signals <- s
			}
			started := make(chan startResult, 1)
			answer := func() {
				if test.result != nil {
					started <- startResult{err: test.result}
				}
			}
			if len(test.signals) == 0 {
				answer()
			}
			if got := fmt.Sprint(p.loop(signals, started, answer)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
