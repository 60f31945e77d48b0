package http

import (
	"net"
	nethttp "net/http"
	"net/http/pprof"
	"strconv"
	"time"
)

const (
	// maxProfile bounds the time that a profile takes, in seconds.
	maxProfile = 300
	// loginDelay is how long a refused login waits for its answer. As logins are checked one at a time, it bounds guessing.
	loginDelay = time.Second
)

// profiles adds /debug/pprof for administrators. CPU profiles carry the label subsystem.
func (s *Server) profiles(mux *nethttp.ServeMux) {
	login := make(chan struct{}, 1)
	for path, handler := range map[string]nethttp.HandlerFunc{
		"GET /debug/pprof/":        pprof.Index,
		"GET /debug/pprof/cmdline": pprof.Cmdline,
		"GET /debug/pprof/profile": pprof.Profile,
		"GET /debug/pprof/symbol":  pprof.Symbol,
		"GET /debug/pprof/trace":   pprof.Trace,
	} {
		mux.HandleFunc(path, func(w nethttp.ResponseWriter, r *nethttp.Request) {
			if s.admit(w, r, login) && bounded(w, r) {
				handler(w, r)
			}
		})
	}
}

// admit answers whoever is not an administrator, and returns false then.
func (s *Server) admit(w nethttp.ResponseWriter, r *nethttp.Request, login chan struct{}) bool {
	if !onLoopback(r) {
		nethttp.Error(w, "profiles are only for clients on this machine, as passwords would be sent unencrypted: use a tunnel",
			nethttp.StatusForbidden)
		return false
	}
	refuse := func() bool {
		w.Header().Set("WWW-Authenticate", `Basic realm="brokerd"`)
		nethttp.Error(w, "name and password of an administrator are needed", nethttp.StatusUnauthorized)
		return false
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return refuse()
	}
	select {
	case login <- struct{}{}:
		defer func() { <-login }()
	case <-r.Context().Done():
		return false
	}
	if err := s.opts.Administrator(name, password, true); err != nil {
		s.log.Warn("profiles refused", "user", name, "peer", r.RemoteAddr, "cause", err)
		wait := time.NewTimer(loginDelay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
		}
		return refuse()
	}
	s.log.Info("profile read", "user", name, "peer", r.RemoteAddr, "path", r.URL.Path)
	return true
}

func onLoopback(r *nethttp.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}

// bounded refuses profiles that would take too long.
func bounded(w nethttp.ResponseWriter, r *nethttp.Request) bool {
	text := r.URL.Query().Get("seconds")
	if text == "" {
		return true
	}
	if seconds, err := strconv.ParseFloat(text, 64); err != nil || !(seconds >= 0 && seconds <= maxProfile) {
		nethttp.Error(w, "seconds is not a number between 0 and "+strconv.Itoa(maxProfile), nethttp.StatusBadRequest)
		return false
	}
	return true
}
