package network

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// TLSOptions names PEM files. They are read again when they have changed, so that certificates can be renewed without a restart.
// The certificate must be good for both client and server; names in it do not matter, because nodes may move.
type TLSOptions struct {
	CAFile   string // the authorities; whoever has a certificate of theirs is a member, so they must sign for this cluster only
	CertFile string // this node's certificate, followed by its intermediates
	KeyFile  string // the key of the certificate
}

// files returns the configuration keys and the paths.
func (o TLSOptions) files() [3][2]string {
	return [3][2]string{
		{"cluster.tls.ca_file", o.CAFile}, {"cluster.tls.cert_file", o.CertFile}, {"cluster.tls.key_file", o.KeyFile},
	}
}

// certificates keeps what is in the files.
type certificates struct {
	options TLSOptions
	log     *slog.Logger

	mu     sync.Mutex
	stamps [3]stamp // of the files when they were read last, successfully or not
	loaded loaded   // of the last success
}

// loaded is one consistent state of the files. It is read-only.
type loaded struct {
	pair  tls.Certificate
	roots *x509.CertPool
}

// stamp tells versions of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

// newCertificates reads the files. The error names the file.
func newCertificates(o TLSOptions, log *slog.Logger) (*certificates, error) {
	c := &certificates{options: o, log: log}
	var err error
	if c.stamps, err = o.stat(); err != nil {
		return nil, err
	}
	if c.loaded, err = o.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// current returns what is in the files now. While they cannot be used, which is normal in the middle of a renewal, it is what
// was in them before.
func (c *certificates) current() loaded {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps, err := c.options.stat()
	if err == nil && stamps == c.stamps {
		return c.loaded
	}
	if err == nil {
		c.stamps = stamps // a bad file is tried again when it changes again
		var l loaded
		if l, err = c.options.load(); err == nil {
			c.loaded = l
			c.log.Info("cluster certificates read again", "expires", l.pair.Leaf.NotAfter)
			return l
		}
	} else if c.stamps == ([3]stamp{}) {
		return c.loaded // said before
	} else {
		c.stamps = [3]stamp{}
	}
	c.log.Warn("cluster certificates cannot be read again, the old ones stay in use", "error", err)
	return c.loaded
}

func (o TLSOptions) stat() (stamps [3]stamp, err error) {
	for i, f := range o.files() {
		if f[1] == "" {
			return stamps, fmt.Errorf("%w: %s is empty: give all three files of cluster.tls", ErrOption, f[0])
		}
		info, err := os.Stat(f[1])
		if err != nil {
			return stamps, fmt.Errorf("%s: %w", f[0], err)
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

// load reads the files and makes sure that others will accept the certificate.
func (o TLSOptions) load() (loaded, error) {
	pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return loaded{}, fmt.Errorf("cluster.tls.cert_file %s with cluster.tls.key_file %s: %w", o.CertFile, o.KeyFile, err)
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return loaded{}, fmt.Errorf("cluster.tls.ca_file: %w", err)
	}
	l := loaded{pair: pair, roots: x509.NewCertPool()}
	if !l.roots.AppendCertsFromPEM(pem) {
		return loaded{}, fmt.Errorf("cluster.tls.ca_file %s: no certificate in it", o.CAFile)
	}
	chain := []*x509.Certificate{pair.Leaf}
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return loaded{}, fmt.Errorf("cluster.tls.cert_file %s: %w", o.CertFile, err)
		}
		chain = append(chain, c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := verifyChain(chain, l.roots, usage); err != nil {
			return loaded{}, fmt.Errorf("cluster.tls.cert_file %s is of no use with cluster.tls.ca_file %s (it must be valid, signed by that authority, and good for client and server): %w", o.CertFile, o.CAFile, err)
		}
	}
	return l, nil
}

// verifyChain checks a chain against the authorities, without regard to names.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

// config returns the TLS configuration of one connection.
func (c *certificates) config(server bool) *tls.Config {
	l := c.current()
	usage := x509.ExtKeyUsageServerAuth
	if server {
		usage = x509.ExtKeyUsageClientAuth
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{l.pair},
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true, // every connection shows a certificate that is valid now
		// The name in the certificate is not what a node is known by, so the standard check, which wants one, is replaced.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyChain(s.PeerCertificates, l.roots, usage)
		},
	}
}
