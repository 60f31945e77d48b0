package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names of the authority's files.
const (
	CAFile    = "ca.pem"
	CAKeyFile = "ca-key.pem"
)

// maxNames bounds the nodes, clients and hosts of one call of Create.
const maxNames = 1000

// Request says which certificates to make.
type Request struct {
	Dir     string   // made if it does not exist
	Nodes   []string // each gets a certificate for servers and clients, with its name and all Hosts as alternative names
	Clients []string // each gets a certificate for clients, with the user's name as common name
	Hosts   []string // DNS names and IP addresses
	// Valid is how long the certificates are good, from a minute ago on.
	Valid time.Duration
}

// Created is what Create has made. Paths are those of Request.Dir joined with the file names.
type Created struct {
	CA       string // certificate of the authority
	ReusedCA bool   // it was there before
	Nodes    []Pair // in the order of Request.Nodes
	Clients  []Pair // in the order of Request.Clients
}

// Pair is a certificate and its key.
type Pair struct{ Name, Cert, Key string }

// Create makes an authority and certificates for a test cluster: ECDSA on P-256, keys in files that only their owner can read. If
// the directory has an authority already, its key included, that one signs. No file is overwritten: if one is there, or anything
// else fails, nothing is left behind.
func Create(r Request) (_ *Created, err error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	created := &Created{CA: filepath.Join(r.Dir, CAFile)}
	pair := func(name string) Pair {
		return Pair{Name: name, Cert: filepath.Join(r.Dir, name+".pem"), Key: filepath.Join(r.Dir, name+"-key.pem")}
	}
	for _, name := range r.Nodes {
		created.Nodes = append(created.Nodes, pair(name))
	}
	for _, name := range r.Clients {
		created.Clients = append(created.Clients, pair(name))
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return nil, err
	}
	var w writer
	defer func() {
		if err != nil {
			err = errors.Join(err, w.undo())
		}
	}()
	begin := time.Now().Add(-time.Minute)
	ca, err := openAuthority(r.Dir)
	switch {
	case err == nil:
		created.ReusedCA = true
	case errors.Is(err, fs.ErrNotExist):
		if ca, err = newAuthority(begin, begin.Add(r.Valid)); err != nil {
			return nil, err
		}
		if err := w.pair(created.CA, filepath.Join(r.Dir, CAKeyFile), ca.cert.Raw, ca.key); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	end := begin.Add(r.Valid)
	if end.After(ca.cert.NotAfter) {
		end = ca.cert.NotAfter
	}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, p := range created.Nodes {
		if err := ca.issue(&w, p, append([]string{p.Name}, r.Hosts...), both, begin, end); err != nil {
			return nil, err
		}
	}
	for _, p := range created.Clients {
		if err := ca.issue(&w, p, nil, both[1:], begin, end); err != nil {
			return nil, err
		}
	}
	return created, nil
}

// check refuses what would make files of other names than one would think, or certificates that are good for nothing.
func (r *Request) check() error {
	if len(r.Nodes)+len(r.Clients) == 0 {
		return errors.New("no certificate asked for: name a node or a client")
	}
	if n := len(r.Nodes) + len(r.Clients) + len(r.Hosts); n > maxNames {
		return fmt.Errorf("%d names are more than %d", n, maxNames)
	}
	if r.Valid < time.Hour {
		return fmt.Errorf("validity of %v is shorter than an hour", r.Valid)
	}
	seen := map[string]bool{strings.TrimSuffix(CAFile, ".pem"): true}
	for _, list := range []struct {
		kind  string
		names []string
	}{{"node", r.Nodes}, {"client", r.Clients}} {
		for _, name := range list.names {
			switch {
			case !fileName(name):
				return fmt.Errorf("%s %q is not 1 to 64 letters, digits and . _ @ -, which its files are named by", list.kind, name)
			case seen[name]:
				return fmt.Errorf("%s %q: a certificate of this name exists already in this call", list.kind, name)
			}
			seen[name] = true
		}
	}
	for name := range seen {
		if base, ok := strings.CutSuffix(name, "-key"); ok && seen[base] {
			return fmt.Errorf("names %q and %q would share a file", base, name)
		}
	}
	for _, host := range r.Hosts {
		if net.ParseIP(host) == nil && !hostName(host) {
			return fmt.Errorf("host %q is neither a DNS name nor an IP address", host)
		}
	}
	return nil
}

func fileName(s string) bool {
	return s != "" && len(s) <= 64 && s[0] != '.' && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return !(alphanumeric(r) || strings.ContainsRune("._@-", r))
	})
}

// hostName accepts a wildcard as first label.
func hostName(s string) bool {
	s = strings.TrimPrefix(s, "*.")
	return s != "" && len(s) <= 253 && !strings.HasPrefix(s, ".") && !strings.ContainsFunc(s, func(r rune) bool {
		return !(alphanumeric(r) || strings.ContainsRune(".-_", r))
	})
}

func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(begin, end time.Time) (*authority, error) {
	t, err := template("brokerd test authority", begin, end)
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

// openAuthority reads the authority of dir. The error is fs.ErrNotExist if there is none at all.
func openAuthority(dir string) (*authority, error) {
	certPath, keyPath := filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile)
	certPEM, err := readFile(certPath)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(keyPath); err == nil {
			return nil, fmt.Errorf("%s exists without %s: bring the certificate back, or use another directory", keyPath, CAFile)
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(keyPath)
	if err != nil {
		return nil, fmt.Errorf("%s exists but its key cannot be read (%s): bring it back, or use another directory", certPath, message(err))
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("%s or %s is not PEM", certPath, keyPath)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certPath, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyPath, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !cert.IsCA || !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s and %s are not an authority with its ECDSA key", certPath, keyPath)
	}
	if time.Now().After(cert.NotAfter) {
		return nil, fmt.Errorf("%s has expired on %s: use another directory", certPath, cert.NotAfter.Format(time.DateOnly))
	}
	return &authority{cert, ec}, nil
}

// message returns an error of the file system without the path.
func message(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// issue makes a certificate and writes it.
func (a *authority) issue(w *writer, p Pair, hosts []string, usage []x509.ExtKeyUsage, begin, end time.Time) error {
	t, err := template(p.Name, begin, end)
	if err != nil {
		return err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = usage
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if hostName(h) {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	return w.pair(p.Cert, p.Key, der, key)
}

func template(name string, begin, end time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    begin,
		NotAfter:     end,
	}, nil
}

// writer makes files and remembers which.
type writer struct{ made []string }

func (w *writer) pair(certPath, keyPath string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := w.file(certPath, 0o644, &pem.Block{Type: "CERTIFICATE", Bytes: cert}); err != nil {
		return err
	}
	return w.file(keyPath, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (w *writer) file(path string, mode fs.FileMode, b *pem.Block) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is not overwritten: use another directory or name, or remove it", path)
	}
	if err != nil {
		return err
	}
	w.made = append(w.made, path)
	return errors.Join(pem.Encode(f, b), f.Sync(), f.Close())
}

// undo removes what was made.
func (w *writer) undo() error {
	var errs []error
	for _, path := range w.made {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}
