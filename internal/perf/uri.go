package perf

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// endpoint is a broker as a URI names it.
type endpoint struct {
	address        string // host:port
	user, password string
	vhost          string
}

// parseURI reads amqp://user:password@host:port/vhost. Everything but the scheme and the host may be left out; the path "/" is
// taken for the virtual host "/", as client libraries do. TLS and query parameters are refused rather than ignored.
func parseURI(s string) (endpoint, error) {
	u, err := url.Parse(s)
	if err != nil {
		return endpoint{}, fmt.Errorf("malformed URI %q: %w", redact(s), err.(*url.Error).Err)
	}
	switch {
	case u.Scheme == "amqps":
		return endpoint{}, fmt.Errorf("URI %q: TLS is not supported", u.Redacted())
	case u.Scheme != "amqp":
		return endpoint{}, fmt.Errorf("URI %q does not start with amqp://", u.Redacted())
	case u.Hostname() == "":
		return endpoint{}, fmt.Errorf("URI %q has no host", u.Redacted())
	case u.RawQuery != "":
		return endpoint{}, fmt.Errorf("URI %q: query parameters are not supported", u.Redacted())
	}
	e := endpoint{user: "guest", password: "guest", vhost: "/"}
	port := u.Port()
	if port == "" {
		port = "5672"
	}
	e.address = net.JoinHostPort(u.Hostname(), port)
	if u.User != nil {
		e.user = u.User.Username()
		e.password, _ = u.User.Password()
	}
	if path := strings.TrimPrefix(u.EscapedPath(), "/"); path != "" {
		if e.vhost, err = url.PathUnescape(path); err != nil {
			return endpoint{}, fmt.Errorf("URI %q: %w", u.Redacted(), err)
		}
	}
	return e, nil
}

// redact hides what stands before the host in a URI that cannot be parsed.
func redact(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "..." + s[i:]
	}
	return s
}
