package ctl

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/brokerd/brokerd/internal/admin/socket"
	"github.com/brokerd/brokerd/internal/certs"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		target Target
		want   string // the addresses, or a part of the error
		code   int
	}{
		{"socket", Target{DataDir: "d", User: "u"}, "", 0},
		{"port", Target{Addresses: []string{"broker", "[::1]", "::1", "10.0.0.1:1"}}, "broker:8672 [::1]:8672 [::1]:8672 10.0.0.1:1", 0},
		{"loopback", Target{Addresses: []string{"127.0.0.1", "localhost:1"}, User: "u"}, "127.0.0.1:8672 localhost:1", 0},
		{"plain", Target{Addresses: []string{"broker"}, User: "u"}, "unencrypted", ExitUsage},
		{"plain allowed", Target{Addresses: []string{"broker"}, User: "u", Plaintext: true}, "broker:8672", 0},
		{"encrypted", Target{Addresses: []string{"broker"}, User: "u", TLS: true}, "broker:8672", 0},
		{"no host", Target{Addresses: []string{":5"}}, `":5" is not host:port`, ExitUsage},
		{"port 0", Target{Addresses: []string{"a:0"}}, `"a:0" is not host:port`, ExitUsage},
		{"empty", Target{Addresses: []string{"a", ""}}, `"" is not host:port`, ExitUsage},
		{"half a pair", Target{Cert: "c"}, "--tls-cert and --tls-key", ExitUsage},
		{"many", Target{Addresses: make([]string, 100)}, "at most 64", ExitUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.target.Validate()
			got := strings.Join(c.target.Addresses, " ")
			if err != nil {
				got = err.Error()
			}
			if ExitCode(err) != c.code || !strings.Contains(got, c.want) {
				t.Errorf("%s (exit code %d), want %s (%d)", got, ExitCode(err), c.want, c.code)
			}
		})
	}
}

// serve starts a gRPC server that knows health checks and returns what the clients' authorization was.
func serve(t *testing.T, l net.Listener, options ...grpc.ServerOption) <-chan string {
	t.Helper()
	seen := make(chan string, 10)
	s := grpc.NewServer(append(options, grpc.UnaryInterceptor(
		func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			seen <- strings.Join(md.Get("authorization"), " ")
			return next(ctx, r)
		}))...)
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return seen
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func check(t *testing.T, target Target) error {
	t.Helper()
	if err := target.Validate(); err != nil {
		return err
	}
	conn, err := target.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return Explain(err, target)
}

func TestFailover(t *testing.T) {
	t.Parallel()
	dead := listen(t)
	alive := listen(t)
	seen := serve(t, alive)
	dead.Close()
	target := Target{Addresses: []string{dead.Addr().String(), alive.Addr().String()}, User: "u", Password: "p"}
	if err := check(t, target); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "Basic dTpw" {
		t.Errorf("authorization %q", got)
	}
	target.Addresses = target.Addresses[:1]
	if err := check(t, target); ExitCode(err) != ExitUnavailable || !strings.Contains(err.Error(), "connection refused; is brokerd running") {
		t.Errorf("nobody there: %v (exit code %d)", err, ExitCode(err))
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := check(t, Target{DataDir: dir}); ExitCode(err) != ExitUnavailable || !strings.Contains(err.Error(), "there is no node with the socket") {
		t.Errorf("no socket: %v", err)
	}
	l, err := socket.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := serve(t, l)
	if err := check(t, Target{DataDir: dir, User: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != "" {
		t.Errorf("the socket got credentials: %q", got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := certs.Create(certs.Request{Dir: dir, Nodes: []string{"n1"}, Hosts: []string{"127.0.0.1"}, Valid: time.Hour}); err != nil {
		t.Fatal(err)
	}
	transport, err := credentials.NewServerTLSFromFile(filepath.Join(dir, "n1.pem"), filepath.Join(dir, "n1-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	serve(t, l, grpc.Creds(transport))
	target := Target{Addresses: []string{l.Addr().String()}, TLS: true, CA: filepath.Join(dir, "ca.pem")}
	if err := check(t, target); err != nil {
		t.Errorf("trusted: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*Target)
		want   string
		code   int
	}{
		"not trusted":   {func(x *Target) { x.CA = "" }, "TLS: tls: failed to verify certificate", ExitUnavailable},
		"another name":  {func(x *Target) { x.ServerName = "other" }, "TLS: tls: failed to verify certificate", ExitUnavailable},
		"not verified":  {func(x *Target) { x.CA, x.SkipVerify = "", true }, "", 0},
		"no such file":  {func(x *Target) { x.CA = "nowhere.pem" }, "--tls-ca: open nowhere.pem", ExitNoInput},
		"no CA in it":   {func(x *Target) { x.CA = filepath.Join(dir, "n1-key.pem") }, "holds no certificate", ExitData},
		"no cert there": {func(x *Target) { x.Cert, x.Key = "a", "b" }, "--tls-cert, --tls-key", ExitNoInput},
	} {
		changed := target
		c.change(&changed)
		err := check(t, changed)
		if ExitCode(err) != c.code || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (exit code %d), want %q (%d)", name, err, ExitCode(err), c.want, c.code)
		}
	}
}
