package meta

import (
	"context"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLog gives the Raft library's warnings and errors to slog; the rest, which it writes at every step, is dropped.
type raftLog struct {
	to   *slog.Logger
	name string
}

func (l raftLog) enabled(level hclog.Level) bool { return level >= hclog.Warn && level < hclog.Off }

// Log implements hclog.Logger.
func (l raftLog) Log(level hclog.Level, msg string, args ...any) {
	if !l.enabled(level) {
		return
	}
	at := slog.LevelWarn
	if level == hclog.Error {
		at = slog.LevelError
	}
	l.to.Log(context.Background(), at, msg, args...)
}

// Trace implements hclog.Logger.
func (l raftLog) Trace(string, ...any) {}

// Debug implements hclog.Logger.
func (l raftLog) Debug(string, ...any) {}

// Info implements hclog.Logger.
func (l raftLog) Info(string, ...any) {}

// Warn implements hclog.Logger.
func (l raftLog) Warn(msg string, args ...any) { l.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (l raftLog) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

// IsTrace implements hclog.Logger.
func (l raftLog) IsTrace() bool { return false }

// IsDebug implements hclog.Logger.
func (l raftLog) IsDebug() bool { return false }

// IsInfo implements hclog.Logger.
func (l raftLog) IsInfo() bool { return false }

// IsWarn implements hclog.Logger.
func (l raftLog) IsWarn() bool { return true }

// IsError implements hclog.Logger.
func (l raftLog) IsError() bool { return true }

// ImpliedArgs implements hclog.Logger; slog keeps them.
func (l raftLog) ImpliedArgs() []any { return nil }

// With implements hclog.Logger.
func (l raftLog) With(args ...any) hclog.Logger { return raftLog{l.to.With(args...), l.name} }

// Name implements hclog.Logger.
func (l raftLog) Name() string { return l.name }

// Named implements hclog.Logger.
func (l raftLog) Named(name string) hclog.Logger {
	if l.name != "" {
		name = l.name + "." + name
	}
	return l.ResetNamed(name)
}

// ResetNamed implements hclog.Logger.
func (l raftLog) ResetNamed(name string) hclog.Logger { return raftLog{l.to, name} }

// SetLevel implements hclog.Logger; the level is fixed.
func (l raftLog) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (l raftLog) GetLevel() hclog.Level { return hclog.Warn }

// StandardLogger implements hclog.Logger.
func (l raftLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.to.Handler(), slog.LevelWarn)
}

// StandardWriter implements hclog.Logger.
func (l raftLog) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(o).Writer()
}
