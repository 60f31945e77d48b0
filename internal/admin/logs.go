package admin

import (
	"context"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// Bounds of Logs.
const (
	keptLines    = 1000
	maxAttribute = 2048 // bytes of a value
	watchBuffer  = 1024 // lines, events or figures that wait for one reader
)

// Logs keeps the last log lines of the process and hands new ones to those who watch. It is safe for concurrent use.
type Logs struct {
	mu       sync.Mutex
	lines    []*logLine // a ring once it is full
	at       int        // where the next one goes
	watchers map[*logWatcher]struct{}
}

type logLine struct {
	level slog.Level
	line  *adminv1.WatchLogsResponse // without the node
}

// logWatcher gets lines until it is too slow for them.
type logWatcher struct {
	lines  chan *logLine
	lagged chan struct{}
}

// NewLogs returns Logs without lines.
func NewLogs() *Logs { return &Logs{watchers: make(map[*logWatcher]struct{})} }

// Handler returns a handler that hands on to next, and keeps what next takes.
func (l *Logs) Handler(next slog.Handler) slog.Handler { return &logHandler{logs: l, next: next} }

// add keeps a line. It never waits.
func (l *Logs) add(line *logLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < keptLines {
		l.lines = append(l.lines, line)
	} else {
		l.lines[l.at] = line
		l.at = (l.at + 1) % keptLines
	}
	for w := range l.watchers {
		select {
		case w.lines <- line:
		default:
			close(w.lagged)
			delete(l.watchers, w)
		}
	}
}

// watch returns the last lines of at least the given level, n at most, and gives w what comes after them.
func (l *Logs) watch(n int, level slog.Level, w *logWatcher) (tail []*logLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.lines) - 1; i >= 0 && len(tail) < n; i-- {
		if line := l.lines[(l.at+i)%len(l.lines)]; line.level >= level {
			tail = append(tail, line)
		}
	}
	for i, j := 0, len(tail)-1; i < j; i, j = i+1, j-1 {
		tail[i], tail[j] = tail[j], tail[i]
	}
	if w != nil {
		l.watchers[w] = struct{}{}
	}
	return tail
}

func (l *Logs) unwatch(w *logWatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
}

// logHandler is slog's handler in front of another one.
type logHandler struct {
	logs  *Logs
	next  slog.Handler
	attrs []*adminv1.LogAttribute
	group string // prefix of keys, with its dot
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	line := &adminv1.WatchLogsResponse{Time: timestamppb.New(r.Time), Level: r.Level.String(), Message: text(r.Message)}
	line.Attributes = append(line.Attributes, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		line.Attributes = appendAttribute(line.Attributes, h.group, a)
		return true
	})
	h.logs.add(&logLine{level: r.Level, line: line})
	return h.next.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.next = h.next.WithAttrs(attrs)
	next.attrs = append([]*adminv1.LogAttribute(nil), h.attrs...)
	for _, a := range attrs {
		next.attrs = appendAttribute(next.attrs, h.group, a)
	}
	return &next
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.next = h.next.WithGroup(name)
	if name != "" {
		next.group = h.group + name + "."
	}
	return &next
}

func appendAttribute(list []*adminv1.LogAttribute, group string, a slog.Attr) []*adminv1.LogAttribute {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			list = appendAttribute(list, group, inner)
		}
		return list
	}
	if a.Equal(slog.Attr{}) {
		return list
	}
	value := v.String()
	if v.Kind() == slog.KindTime {
		value = v.Time().Format(time.RFC3339Nano)
	}
	if len(value) > maxAttribute {
		value = value[:maxAttribute]
		for len(value) > 0 && !utf8.ValidString(value[len(value)-1:]) {
			value = value[:len(value)-1]
		}
		value += "..."
	}
	return append(list, &adminv1.LogAttribute{Key: text(group + a.Key), Value: text(value)})
}
