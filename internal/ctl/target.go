package ctl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/brokerd/brokerd/internal/admin/socket"
)

// DefaultPort is the port of addresses that name none: that of brokerd's admin.listen.
const DefaultPort = 8672

// DefaultDataDir is where the socket is looked for if nothing says where to connect to.
const DefaultDataDir = "./brokerd-data"

const (
	maxAddresses   = 64
	maxMessage     = 128 << 20       // bytes; definitions travel as one message
	connectTimeout = 3 * time.Second // for each address, before the next one is tried
)

// Target is a node, or several of one cluster, and how to be let in.
type Target struct {
	// Addresses of admin listeners (host:port; without a port DefaultPort); the first that answers is used. Without any, the socket
	// in DataDir is.
	Addresses []string
	// DataDir is the data directory of the node on this machine.
	DataDir string
	// User and Password to log in with; unused for the socket.
	User, Password string
	// TLS says to encrypt.
	TLS bool
	// CA is a file with the authorities that may vouch for the node; empty for those of the system.
	CA string
	// Cert and Key are files with a certificate to show, both or none.
	Cert, Key string
	// ServerName is the name that the node's certificate must have; empty for the host of the address.
	ServerName string
	// SkipVerify takes any certificate.
	SkipVerify bool
	// Plaintext allows to send the password to other machines without TLS.
	Plaintext bool
}

// Local says whether the target is the socket of the node on this machine.
func (t Target) Local() bool { return len(t.Addresses) == 0 }

// String names the target for errors.
func (t Target) String() string {
	if t.Local() {
		return socket.Path(t.DataDir)
	}
	return strings.Join(t.Addresses, ",")
}

// Validate normalizes the addresses and checks what does not need a connection. Errors carry exit codes.
func (t *Target) Validate() error {
	if len(t.Addresses) > maxAddresses {
		return Problemf(ExitUsage, "%d addresses are given, at most %d can be used", len(t.Addresses), maxAddresses)
	}
	for i, a := range t.Addresses {
		address, err := withPort(a)
		if err != nil {
			return &Problem{ExitUsage, err}
		}
		t.Addresses[i] = address
	}
	if (t.Cert == "") != (t.Key == "") {
		return Problemf(ExitUsage, "--tls-cert and --tls-key go together, but only one is set")
	}
	if t.Local() || t.TLS || t.User == "" || t.Plaintext {
		return nil
	}
	for _, a := range t.Addresses {
		if !loopback(a) {
			return Problemf(ExitUsage, "the password of %q would go to %s unencrypted: use --tls (or --tls-ca), or allow it with --insecure-plaintext",
				t.User, a)
		}
	}
	return nil
}

func withPort(a string) (string, error) {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		host, port = strings.Trim(a, "[]"), strconv.Itoa(DefaultPort)
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", fmt.Errorf("address %q is not host:port, such as broker1:%d or [::1]:%d", a, DefaultPort, DefaultPort)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || n == 0 {
		return "", fmt.Errorf("address %q is not host:port, such as broker1:%d or [::1]:%d", a, DefaultPort, DefaultPort)
	}
	return net.JoinHostPort(host, port), nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Dial prepares a connection, which is made by the first request. Errors carry exit codes.
func (t Target) Dial() (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithUserAgent("brokerctl"),
		grpc.WithDisableServiceConfig(),
	}
	if t.Local() {
		return t.dialSocket(options)
	}
	transport := insecure.NewCredentials()
	if t.TLS {
		config, err := t.tlsConfig()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	options = append(options, grpc.WithTransportCredentials(transport))
	if t.User != "" {
		options = append(options, grpc.WithPerRPCCredentials(basic{t.User, t.Password}))
	}
	addresses := make([]resolver.Address, len(t.Addresses))
	for i, a := range t.Addresses {
		addresses[i] = resolver.Address{Addr: a, ServerName: t.ServerName}
		if host, _, err := net.SplitHostPort(a); err == nil && t.ServerName == "" {
			addresses[i].ServerName = host
		}
	}
	// The default balancer tries the addresses in order and stays with the first that works.
	nodes := manual.NewBuilderWithScheme("nodes")
	nodes.InitialState(resolver.State{Addresses: addresses})
	return grpc.NewClient("nodes:///brokerd", append(options, grpc.WithResolvers(nodes))...)
}

func (t Target) dialSocket(options []grpc.DialOption) (*grpc.ClientConn, error) {
	path := socket.Path(t.DataDir)
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, Problemf(ExitUnavailable, "there is no node with the socket %s: start brokerd, or say where it is with --data-dir or --address", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, Problemf(ExitPermission, "the socket %s is only for the user who runs brokerd: become that user, or use --address and --user", path)
	case err != nil:
		return nil, &Problem{ExitUnavailable, err}
	}
	return grpc.NewClient("passthrough:///localhost", append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return socket.Dial(ctx, path) }))...)
}

func (t Target) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.SkipVerify}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, FileProblem(fmt.Errorf("--tls-ca: %w", err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, Problemf(ExitData, "--tls-ca: %s holds no certificate in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, FileProblem(fmt.Errorf("--tls-cert, --tls-key: %w", err))
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// basic sends user and password with each request.
type basic struct{ user, password string }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b basic) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(b.user+":"+b.password))}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials; Target.Validate has decided that.
func (b basic) RequireTransportSecurity() bool { return false }
