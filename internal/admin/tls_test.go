package admin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/brokerd/brokerd/internal/config"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// authority makes certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a := &authority{t: t, key: key, cert: &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	must(t, err)
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	return a
}

// issue makes a certificate that is good until the given time.
func (a *authority) issue(name string, until time.Time) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-2 * time.Hour),
		NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	must(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// write writes a certificate and its key and returns their paths.
func write(t *testing.T, dir, name string, c tls.Certificate) (cert, key string) {
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o600))
	if c.PrivateKey != nil {
		der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		must(t, err)
		must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	}
	return cert, key
}

// The user of a client certificate is its common name; certificates of others, and those that have expired, are nobody's.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ca, foreign := newAuthority(t, "ca"), newAuthority(t, "foreign")
	caFile, _ := write(t, dir, "ca", tls.Certificate{Certificate: [][]byte{ca.cert.Raw}})
	soon := time.Now().Add(time.Hour)
	cert, key := write(t, dir, "node", ca.issue("node", soon))
	r := start(t, func(c *config.Config) {
		c.Admin = config.Admin{Listen: "127.0.0.1:0", Cert: cert, Key: key, ClientCA: caFile}
	})
	_, err := adminv1.NewUserServiceClient(r.local).PutUser(context.Background(), &adminv1.PutUserRequest{Name: "operator", Tags: []string{"monitoring"}})
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, c := range []struct {
		what string
		cert []tls.Certificate
		code codes.Code
	}{
		{"none", nil, codes.Unauthenticated},
		{"good", []tls.Certificate{ca.issue("operator", soon)}, codes.OK},
		{"no user", []tls.Certificate{ca.issue("stranger", soon)}, codes.Unauthenticated},
		{"expired", []tls.Certificate{ca.issue("operator", time.Now().Add(-time.Minute))}, codes.Unavailable},
		{"foreign", []tls.Certificate{foreign.issue("operator", soon)}, codes.Unavailable},
	} {
		conn := r.dial(r.node.AdminAddr(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: c.cert})))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		out, err := adminv1.NewUserServiceClient(conn).GetCurrentUser(ctx, &adminv1.GetCurrentUserRequest{})
		cancel()
		if c.what == "foreign" && err != nil { // a client shows no certificate that the server's authorities do not sign
			continue
		}
		wantCode(t, err, c.code)
		if err == nil && (out.GetUser().GetName() != "operator" || out.GetLocal()) {
			t.Errorf("%s: %v", c.what, out)
		}
	}
	plain := r.dial(r.node.AdminAddr())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = adminv1.NewUserServiceClient(plain).GetCurrentUser(ctx, &adminv1.GetCurrentUserRequest{})
	wantCode(t, err, codes.Unavailable)
}
