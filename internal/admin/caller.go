package admin

import (
	"context"
	"encoding/base64"
	"net"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/cluster"
)

// caller is who asks.
type caller struct {
	name    string   // of the user; empty over the socket
	tags    []string // at the time of the call
	local   bool     // over the socket: the administrator of the machine
	node    string   // name of the node that asks for its caller, which it has checked
	address string
}

// tag is what a user must have to use a method. Each includes those before it, but that policymaker and monitoring do not include each
// other (SEMANTICS 15.4).
type tag string

const (
	anyTag        tag = "management, policymaker, monitoring or administrator"
	management    tag = "management"
	policymaker   tag = "policymaker"
	monitoring    tag = "monitoring"
	administrator tag = "administrator"
)

// includes are the tags that stand for a tag.
var includes = map[tag][]string{
	anyTag:        {"management", "policymaker", "monitoring", "administrator"},
	management:    {"management", "policymaker", "monitoring", "administrator"},
	policymaker:   {"policymaker", "administrator"},
	monitoring:    {"monitoring", "administrator"},
	administrator: {"administrator"},
}

// has says whether the caller has a tag, or one that includes it.
func (c *caller) has(t tag) bool {
	if c.local || c.node != "" {
		return true
	}
	return slices.ContainsFunc(includes[t], func(name string) bool { return slices.Contains(c.tags, name) })
}

// as returns the user whose permissions count, nil for administrators, who may do everything.
func (c *caller) as() *cluster.User {
	if c.has(administrator) {
		return nil
	}
	return &cluster.User{Name: c.name, Tags: c.tags}
}

// title names the caller in the log.
func (c *caller) title() string {
	switch {
	case c.node != "" && c.name != "":
		return c.name + " by way of " + c.node
	case c.node != "":
		return "local administrator of " + c.node
	case c.local:
		return "local administrator"
	}
	return c.name
}

type callerKey struct{}

// callerOf returns who asks. On the services for other nodes that is a node.
func (a *api) callerOf(ctx context.Context) *caller {
	if c, ok := ctx.Value(callerKey{}).(*caller); ok {
		return c
	}
	c := &caller{node: "another node"}
	if !a.trusted {
		return &caller{} // cannot be: the interceptors have put one into ctx. It may do nothing.
	}
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		c.name = first(md.Get(userHeader))
		if n := first(md.Get(nodeHeader)); n != "" {
			c.node = n
		}
	}
	return c
}

// Metadata with which nodes tell each other for whom they ask.
const (
	userHeader = "brokerd-user"
	nodeHeader = "brokerd-node"
)

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// maxLogins bounds the password hashes that are computed at a time, as each takes some 20 ms of a core.
const maxLogins = 4

// identify finds out who asks on a listener for users. Errors are UNAUTHENTICATED, and PERMISSION_DENIED for users without a tag.
func (s *Server) identify(ctx context.Context) (*caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the connection has no address")
	}
	c := &caller{address: p.Addr.String()}
	if p.Addr.Network() == "unix" {
		c.local, c.address = true, "admin.sock"
		return c, nil
	}
	loopback := false
	if t, ok := p.Addr.(*net.TCPAddr); ok {
		loopback = t.IP.IsLoopback()
	}
	u, err := s.login(ctx, p, loopback)
	if err != nil {
		s.log.Warn("admin login refused", "address", c.address, "error", err)
		return nil, err
	}
	c.name, c.tags = u.Name, u.Tags
	if !c.has(anyTag) {
		return nil, status.Errorf(codes.PermissionDenied, "user '%s' has none of the tags %s", c.name, anyTag)
	}
	return c, nil
}

// login checks credentials, or else the client's certificate.
func (s *Server) login(ctx context.Context, p *peer.Peer, loopback bool) (*cluster.User, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if given := md.Get("authorization"); len(given) > 0 {
		user, password, ok := basic(given[0])
		if !ok || len(given) > 1 {
			return nil, status.Error(codes.Unauthenticated, "metadata authorization: want one value \"Basic\" and base64 of user:password")
		}
		select {
		case s.logins <- struct{}{}:
			defer func() { <-s.logins }()
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		u, err := s.opts.Broker.Authenticate(user, password, loopback)
		if err != nil {
			s.log.Debug("admin login refused", "user", user, "error", err)
			return nil, status.Error(codes.Unauthenticated, "login refused: wrong user or password, or a user who may only log in from this machine")
		}
		return u, nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil, status.Error(codes.Unauthenticated, "credentials are needed: metadata authorization with \"Basic\" and base64 of user:password")
	}
	name := info.State.PeerCertificates[0].Subject.CommonName
	u, err := s.opts.Broker.AuthenticateExternal(name, loopback)
	if err != nil {
		return nil, status.Errorf(codes.Unauthenticated, "login refused: the certificate's common name '%s' is no user who may log in from here", name)
	}
	return u, nil
}

// basic splits the credentials of HTTP's basic authentication.
func basic(header string) (user, password string, ok bool) {
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "basic") {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(raw), ":")
}
