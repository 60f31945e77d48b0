package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// checkInterval is how often the files are looked at, at most.
const checkInterval = time.Second

// maxFile bounds a certificate or key file in bytes; a file that is longer is certainly another one.
const maxFile = 1 << 20

// Options say which files a Source serves.
type Options struct {
	// Field is the configuration section that the files come from, such as "amqp.tls"; it is used in errors and in the log.
	Field string
	// Cert is the path of the certificate chain in PEM, leaf first; Key that of its private key. Both are needed.
	Cert, Key string
	// CA is the path of the authorities in PEM that client certificates are verified against. It is needed if ClientAuth verifies.
	CA string
	// ClientAuth says whether clients have to show a certificate.
	ClientAuth tls.ClientAuthType
	// MinVersion is the oldest version of TLS that is spoken; 0 for TLS 1.2, which is also the least.
	MinVersion uint16
	// Logger is slog.Default() if nil.
	Logger *slog.Logger

	now func() time.Time // time.Now if nil
}

// Source is the certificates of a listener. They are read again when the files have changed, for connections that come after
// that; a change that is no good leaves the old ones in use.
type Source struct {
	opts    Options
	log     *slog.Logger
	current atomic.Pointer[loaded]

	mu      sync.Mutex // held by whoever looks at the files
	checked time.Time
	refused contents // the last contents that were no good, so that they are logged once
	failure string   // the last failure to read the files
}

// loaded is what became of the contents of the files.
type loaded struct {
	contents
	config *tls.Config
	leaf   *x509.Certificate
}

// contents are the bytes of the files.
type contents struct{ cert, key, ca []byte }

func (c contents) equal(d contents) bool {
	return bytes.Equal(c.cert, d.cert) && bytes.Equal(c.key, d.key) && bytes.Equal(c.ca, d.ca)
}

// Load reads the files for the first time. Its error names the field and the file.
func Load(o Options) (*Source, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.MinVersion < tls.VersionTLS12 {
		o.MinVersion = tls.VersionTLS12
	}
	s := &Source{opts: o, log: o.Logger}
	switch {
	case o.Cert == "" || o.Key == "":
		return nil, fmt.Errorf("%s.cert and %s.key: both files are needed to listen with TLS", o.Field, o.Field)
	case o.CA == "" && o.ClientAuth >= tls.VerifyClientCertIfGiven:
		return nil, fmt.Errorf("%s.ca: a file with the authorities is needed to verify client certificates", o.Field)
	}
	c, err := s.read()
	if err != nil {
		return nil, err
	}
	l, err := s.parse(c)
	if err != nil {
		return nil, err
	}
	s.checked = o.now()
	s.use(l)
	return s, nil
}

// Config returns a configuration for listeners that always serves the latest certificates.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         s.opts.MinVersion,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.latest().config, nil },
	}
}

// Leaf returns the certificate that is being served.
func (s *Source) Leaf() *x509.Certificate { return s.current.Load().leaf }

// latest looks at the files if that was not done lately and nobody else is doing it.
func (s *Source) latest() *loaded {
	if !s.mu.TryLock() {
		return s.current.Load()
	}
	defer s.mu.Unlock()
	if now := s.opts.now(); now.Sub(s.checked) >= checkInterval {
		s.checked = now
		s.reload()
	}
	return s.current.Load()
}

// reload uses the files if they have changed and are good. mu is held.
func (s *Source) reload() {
	c, err := s.read()
	if err != nil {
		if s.failure != err.Error() {
			s.failure = err.Error()
			s.log.Error("TLS files cannot be read, those in use are kept", "cause", err)
		}
		return
	}
	s.failure = ""
	if c.equal(s.current.Load().contents) {
		s.refused = contents{}
		return
	}
	if c.equal(s.refused) {
		return
	}
	l, err := s.parse(c)
	if err != nil {
		s.refused = c
		s.log.Error("TLS files have changed but are no good, those in use before are kept", "cause", err)
		return
	}
	s.refused = contents{}
	s.use(l)
	s.log.Info("TLS files reloaded", "section", s.opts.Field, "subject", l.leaf.Subject.String(), "serial", l.leaf.SerialNumber.Text(16),
		"until", l.leaf.NotAfter)
}

// use makes l current.
func (s *Source) use(l *loaded) {
	s.current.Store(l)
	if s.opts.now().After(l.leaf.NotAfter) {
		s.log.Warn("TLS certificate has expired, clients will refuse it", "section", s.opts.Field, "file", s.opts.Cert,
			"until", l.leaf.NotAfter)
	}
}

// read reads the files. It compares contents, not times: files may be exchanged several times within the clock's grain.
func (s *Source) read() (c contents, err error) {
	for _, f := range []struct {
		name, path string
		to         *[]byte
	}{{"cert", s.opts.Cert, &c.cert}, {"key", s.opts.Key, &c.key}, {"ca", s.opts.CA, &c.ca}} {
		if f.path == "" {
			continue
		}
		if *f.to, err = readFile(f.path); err != nil {
			return c, fmt.Errorf("%s.%s: %w", s.opts.Field, f.name, err)
		}
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%q is no file of at most %d bytes", path, maxFile)
	}
	return os.ReadFile(path)
}

// parse makes a configuration of contents.
func (s *Source) parse(c contents) (*loaded, error) {
	o := &s.opts
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("%s.cert %q and %s.key %q: %w", o.Field, o.Cert, o.Field, o.Key, errors.New(trimPrefix(err)))
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   o.MinVersion,
		ClientAuth:   o.ClientAuth,
		// A resumed session would live on the certificate it began with, whatever the authorities are by then.
		SessionTicketsDisabled: true,
		// Small first records are for browsers. A connection here lives long, and its writer fills records.
		DynamicRecordSizingDisabled: true,
	}
	if o.CA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(c.ca) {
			return nil, fmt.Errorf("%s.ca: no certificate in %q", o.Field, o.CA)
		}
	}
	return &loaded{contents: c, config: config, leaf: pair.Leaf}, nil
}

// trimPrefix returns the text of an error of crypto/tls without the name of that package.
func trimPrefix(err error) string {
	return string(bytes.TrimPrefix([]byte(err.Error()), []byte("tls: ")))
}
