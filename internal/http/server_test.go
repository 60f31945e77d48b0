package http

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server whose readiness the test sets.
type running struct {
	*Server
	t      *testing.T
	reason atomic.Pointer[string]
}

func start(t *testing.T) *running {
	t.Helper()
	r := &running{t: t}
	text := func(s string) nethttp.Handler {
		return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) { _, _ = io.WriteString(w, s) })
	}
	var err error
	r.Server, err = Listen(t.Context(), Options{
		Listen:    "127.0.0.1:0",
		Metrics:   text("metrics"),
		PerObject: text("per object"),
		NotReady: func() string {
			if p := r.reason.Load(); p != nil {
				return *p
			}
			return ""
		},
		Administrator: func(name, password string, loopback bool) error {
			if name == "admin" && password == "right" && loopback {
				return nil
			}
			return errors.New("refused")
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		nethttp.DefaultClient.CloseIdleConnections()
	})
	return r
}

// do makes a request and returns the answer's code and body.
func (r *running) do(method, path string, edit ...func(*nethttp.Request)) (int, string) {
	r.t.Helper()
	req, err := nethttp.NewRequestWithContext(r.t.Context(), method, "http://"+r.Addr().String()+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range edit {
		e(req)
	}
	resp, err := nethttp.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (r *running) expect(method, path string, code int, body string, edit ...func(*nethttp.Request)) {
	r.t.Helper()
	if c, b := r.do(method, path, edit...); c != code || !strings.Contains(b, body) {
		r.t.Errorf("%s %s: %d %q, want %d %q", method, path, c, b, code, body)
	}
}

func TestPaths(t *testing.T) {
	r := start(t)
	r.expect("GET", "/metrics", 200, "metrics")
	r.expect("GET", "/metrics/per-object?vhost=%2F", 200, "per object")
	r.expect("GET", "/health/live", 200, `{"status":"ok"}`)
	r.expect("GET", "/health/ready", 200, `{"status":"ok"}`)
	reason := "low on disk"
	r.reason.Store(&reason)
	r.expect("GET", "/health/ready", 503, `{"status":"failed","reason":"low on disk"}`)
	r.expect("GET", "/health/live", 200, `{"status":"ok"}`)
	r.expect("POST", "/metrics", 405, "")
	r.expect("GET", "/", 404, "")
	r.expect("GET", "/api/overview", 404, "")
}

func TestProfiles(t *testing.T) {
	r := start(t)
	as := func(name, password string) func(*nethttp.Request) {
		return func(req *nethttp.Request) { req.SetBasicAuth(name, password) }
	}
	r.expect("GET", "/debug/pprof/heap", 401, "administrator")
	r.expect("GET", "/debug/pprof/heap", 401, "administrator", as("admin", "wrong"))
	r.expect("GET", "/debug/pprof/", 200, "goroutine", as("admin", "right"))
	r.expect("GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile", as("admin", "right"))
	r.expect("GET", "/debug/pprof/profile?seconds=301", 400, "between 0 and 300", as("admin", "right"))
	r.expect("GET", "/debug/pprof/profile?seconds=NaN", 400, "between 0 and 300", as("admin", "right"))
	if code, body := r.do("GET", "/debug/pprof/profile?seconds=1", as("admin", "right")); code != 200 || len(body) == 0 {
		t.Errorf("profile: %d with %d bytes", code, len(body))
	}
}

func TestOnLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "192.0.2.1:1": false, "": false} {
		if got := onLoopback(&nethttp.Request{RemoteAddr: address}); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

func TestPortInUse(t *testing.T) {
	r := start(t)
	_, err := Listen(t.Context(), Options{Listen: r.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "http.listen: another process listens on "+r.Addr().String()) ||
		!strings.Contains(err.Error(), `""`) {
		t.Errorf("got %v", err)
	}
}

// TestCloseCutsOff closes a server while a client keeps it waiting.
func TestCloseCutsOff(t *testing.T) {
	r := start(t)
	nc, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "GET /metrics HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", r.Addr().String()); err == nil {
		t.Error("still listening")
	}
}
