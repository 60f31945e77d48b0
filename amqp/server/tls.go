package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// UserFrom says which name in a client certificate is the user of SASL EXTERNAL.
type UserFrom string

// The values of Options.UserFrom. Of several names of a kind the first one counts.
const (
	UserFromCN    UserFrom = "cn"    // common name of the subject
	UserFromDNS   UserFrom = "dns"   // subject alternative name of type DNS
	UserFromEmail UserFrom = "email" // subject alternative name of type email
	UserFromURI   UserFrom = "uri"   // subject alternative name of type URI
)

// user returns the name of the user that a certificate stands for.
func (f UserFrom) user(cert *x509.Certificate) (string, error) {
	var name, kind string
	switch f {
	case UserFromDNS:
		kind = "DNS name"
		if len(cert.DNSNames) > 0 {
			name = cert.DNSNames[0]
		}
	case UserFromEmail:
		kind = "email address"
		if len(cert.EmailAddresses) > 0 {
			name = cert.EmailAddresses[0]
		}
	case UserFromURI:
		kind = "URI"
		if len(cert.URIs) > 0 {
			name = cert.URIs[0].String()
		}
	default:
		kind, name = "common name", cert.Subject.CommonName
	}
	if name == "" {
		return "", fmt.Errorf("client certificate '%s' has no %s to take the user from", cert.Subject, kind)
	}
	return name, nil
}

// session is what is known of a connection's TLS after its handshake.
type session struct {
	version, cipher string
	// certificate is the client's, verified; nil when it has shown none.
	certificate *x509.Certificate
}

// secure performs the TLS handshake. The read deadline is set already.
func (c *conn) secure() error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.opts.HandshakeTimeout)); err != nil {
		return err
	}
	if err := c.tls.Handshake(); err != nil {
		if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			return fmt.Errorf("TLS handshake: client does not speak TLS on this port, but %s", foreign(plain.RecordHeader[:]))
		}
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.records.polling()
	s := c.tls.ConnectionState()
	c.session = &session{version: tls.VersionName(s.Version), cipher: tls.CipherSuiteName(s.CipherSuite)}
	if len(s.VerifiedChains) > 0 {
		c.session.certificate = s.PeerCertificates[0]
	}
	return c.nc.SetWriteDeadline(time.Time{})
}

// subject returns the subject of the client's certificate, empty if there is none.
func (s *session) subject() string {
	if s == nil || s.certificate == nil {
		return ""
	}
	return s.certificate.Subject.String()
}

// records lies between TLS and the socket and gives TLS what plain connections have: large reads into buffers that an idle
// connection does not hold, and one system call for all that is written at a time. Reading is done by one goroutine, the reader
// of the connection. Writing is done by the outbox's writer, and by TLS itself for its alerts.
type records struct {
	net.Conn
	raw   syscall.RawConn // nil when the socket cannot be read directly
	ready func(fd uintptr) bool

	// polled: Read takes from buf only, which wait fills. During the handshake it reads the socket.
	polled bool
	ahead  []byte // read before the handshake, to be taken first
	buf    []byte // nil, or from smallInputs
	r, w   int    // buf[r:w] was not taken yet
	err    error  // of the last try to read

	mu     sync.Mutex
	out    []byte // records that are gathered for one write; nil, or from chunks
	corked bool
}

func newRecords(nc net.Conn) *records {
	r := &records{Conn: nc, raw: rawConn(nc)}
	r.ready = r.tryRead
	return r
}

// prepend hands over what was read from the socket before TLS begins. It is copied.
func (r *records) prepend(b []byte) { r.ahead = append([]byte(nil), b...) }

// polling ends the handshake: from now on Read does not wait.
func (r *records) polling() { r.polled = true }

// errNoRecord is returned to TLS when there is nothing to read at the moment. It is a temporary error, which TLS survives in
// the middle of a record.
var errNoRecord net.Error = noRecord{}

type noRecord struct{}

func (noRecord) Error() string   { return "no TLS record at the moment" }
func (noRecord) Timeout() bool   { return true }
func (noRecord) Temporary() bool { return true }

// Read is called by TLS.
func (r *records) Read(b []byte) (int, error) {
	if len(r.ahead) > 0 {
		n := copy(b, r.ahead)
		r.ahead = r.ahead[n:]
		return n, nil
	}
	if !r.polled {
		return r.Conn.Read(b)
	}
	if r.r == r.w {
		return 0, errNoRecord
	}
	n := copy(b, r.buf[r.r:r.w])
	r.r += n
	if r.r == r.w && r.raw != nil {
		r.release()
	}
	return n, nil
}

// wait waits until the socket has something and reads it. It must be called when Read has returned errNoRecord.
func (r *records) wait() error {
	r.err = nil
	if r.raw == nil {
		r.acquire()
		n, err := r.Conn.Read(r.buf)
		r.w = n
		if n > 0 {
			return nil // an error comes again
		}
		return err
	}
	if err := r.raw.Read(r.ready); err != nil {
		return err
	}
	return r.err
}

// tryRead is called by the poller like that of input.
func (r *records) tryRead(fd uintptr) bool {
	r.acquire()
	n, again, err := readRaw(fd, r.buf)
	if again {
		r.release()
		return false
	}
	r.w = n
	r.err = err
	if n == 0 && err == nil {
		r.err = io.EOF
	}
	return true
}

func (r *records) acquire() {
	if r.buf == nil {
		r.buf = smallInputs.Get().(*[smallInput]byte)[:]
	}
	r.r, r.w = 0, 0
}

// release gives the buffer back.
func (r *records) release() {
	if r.buf != nil {
		smallInputs.Put((*[smallInput]byte)(r.buf))
	}
	r.buf, r.r, r.w = nil, 0, 0
}

// Write is called by TLS with whole records.
func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.corked {
		return r.Conn.Write(b)
	}
	if r.out == nil {
		r.out = chunks.Get().(*[chunkSize]byte)[:0]
	}
	if len(r.out)+len(b) > cap(r.out) {
		if err := r.writeOut(); err != nil {
			return 0, err
		}
	}
	r.out = append(r.out, b...) // a record is smaller than a chunk
	return len(b), nil
}

// cork has records gathered until uncork, which writes what is left of them.
func (r *records) cork() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.corked = true
}

func (r *records) uncork() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.corked = false
	err := r.writeOut()
	if cap(r.out) == chunkSize {
		chunks.Put((*[chunkSize]byte)(r.out[:chunkSize]))
	}
	r.out = nil
	return err
}

// writeOut writes what is gathered. mu is held.
func (r *records) writeOut() error {
	if len(r.out) == 0 {
		return nil
	}
	_, err := r.Conn.Write(r.out)
	r.out = r.out[:0]
	return err
}
