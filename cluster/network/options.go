package network

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

const (
	defaultListen      = "127.0.0.1:7672"
	defaultDialTimeout = 3 * time.Second
	shortSecret        = 16 // bytes; a shorter secret is guessed from a recorded handshake
)

// Options say how a node takes part in the network of its cluster.
type Options struct {
	Node    string // id of this node; required, see Identity
	Name    string // for people
	Release string // of this software

	// ClusterID returns the id of the cluster that the node is in, "" while in none. It is called for each handshake, must not
	// wait, and may be called from several goroutines at once. nil is the same as always "".
	ClusterID func() string

	Listen    string // host:port, port 0 for any free one; "" is 127.0.0.1:7672
	Advertise string // host:port or host at which the others reach the listener; "" takes the listen address, or one of this machine if that is unspecified

	Secret []byte      // nil or empty for none; not kept
	TLS    *TLSOptions // nil for none

	// BookFile is where the addresses of the others are kept, in the data directory. "" keeps them in memory only. It must not
	// be shared with another Network.
	BookFile string

	DialTimeout time.Duration // for connecting and handshake together; 0 is 3 s, more than 5 s is 5 s
	Logger      *slog.Logger  // nil is slog.Default()

	// Only tests set these.
	versions versions      // protocols to speak; zero is what this release speaks
	beat     time.Duration // between two signs of life of a link; 0 is beatEvery
}

func (o Options) withDefaults() Options {
	if o.ClusterID == nil {
		o.ClusterID = func() string { return "" }
	}
	if o.Listen == "" {
		o.Listen = defaultListen
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = defaultDialTimeout
	}
	o.DialTimeout = min(o.DialTimeout, handshakeTimeout) // the other side waits no longer
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.beat == 0 {
		o.beat = beatEvery
	}
	if o.versions == (versions{}) {
		o.versions = versions{minProtocol, maxProtocol}
	}
	return o
}

// insecure says that nothing is authenticated.
func (o Options) insecure() bool { return len(o.Secret) == 0 && o.TLS == nil }

// advertised returns the address that the others are told, for a listener at the given address.
func (o Options) advertised(listener net.Addr) (string, error) {
	at, ok := listener.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("%w: cluster.listen %s: not TCP", ErrOption, o.Listen)
	}
	port := strconv.Itoa(at.Port)
	if o.Advertise != "" {
		address := o.Advertise
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(address, port)
		}
		if err := checkAddress(address); err != nil {
			return "", fmt.Errorf("%w: cluster.advertise: %w", ErrOption, err)
		}
		return address, nil
	}
	if host, _, err := net.SplitHostPort(o.Listen); err == nil && host != "" && net.ParseIP(host) == nil {
		return net.JoinHostPort(host, port), nil // a name outlives the address behind it
	}
	if !at.IP.IsUnspecified() {
		return at.String(), nil
	}
	host, err := localHost()
	if err != nil {
		return "", fmt.Errorf("%w: cluster.listen %s is no address that others can call, and none was found: set cluster.advertise: %w", ErrOption, o.Listen, err)
	}
	return net.JoinHostPort(host, port), nil
}

// localHost returns the address from which this machine calls others, or else its name. Nothing is sent: connecting a datagram
// socket to an address of documentation (RFC 5737, RFC 3849) only looks up the route.
func localHost() (string, error) {
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		c, err := net.Dial("udp", far)
		if err != nil {
			continue
		}
		local, ok := c.LocalAddr().(*net.UDPAddr)
		if err := c.Close(); err == nil && ok && !local.IP.IsUnspecified() {
			return local.IP.String(), nil
		}
	}
	return os.Hostname()
}

// checkAddress tells whether a node can be called there.
func checkAddress(address string) error {
	if len(address) > maxAddress {
		return fmt.Errorf("address of %d bytes, more than %d", len(address), maxAddress)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not host:port: %w", address, err)
	}
	if host == "" {
		return fmt.Errorf("address %q has no host", address)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("address %q stands for all addresses of a machine, name one", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %q has no port from 1 to 65535", address)
	}
	return nil
}
