package server

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// Sizes of read buffers in bytes. Frames up to the default frame-max leave room for another one in a large buffer.
const (
	smallInput = 64 << 10
	largeInput = 256 << 10
	// maxParked is the longest partial frame that an idle connection keeps outside a read buffer. A longer one keeps the
	// buffer, as copying it back and forth would cost more than it saves.
	maxParked = 4 << 10
)

var (
	smallInputs = sync.Pool{New: func() any { return new([smallInput]byte) }}
	largeInputs = sync.Pool{New: func() any { return new([largeInput]byte) }}
)

// input is the receiving side of a connection: a pooled buffer that is filled by large reads and given back while there is
// nothing to read. It is used by one goroutine at a time, the reader.
type input struct {
	nc    net.Conn
	raw   syscall.RawConn // nil when nc cannot be read directly
	tls   *records        // below nc when that is TLS; nc is not waited for then, but this
	ready func(fd uintptr) bool

	buf    []byte // nil, or from a pool
	r, w   int    // buf[r:w] is unread
	parked []byte // the unread bytes while buf is nil

	sample sampler // of reads

	need   int    // unread bytes to make room for; set by fill
	direct []byte // where to read to instead of buf; set by readTo
	got    int    // bytes that were read to direct
	sparse bool   // the next fill reads sparseRead bytes at most
	total  uint64 // bytes that were read
	err    error
}

func newInput(nc net.Conn) *input {
	in := &input{nc: nc, raw: rawConn(nc)}
	in.ready = in.tryRead // one closure for all reads
	return in
}

// newSecureInput returns the receiving side of a TLS connection above r.
func newSecureInput(nc net.Conn, r *records) *input { return &input{nc: nc, tls: r} }

// prepend hands over what was read from the socket before, at most maxParked bytes. It is copied.
func (in *input) prepend(b []byte) { in.parked = append([]byte(nil), b...) }

// unread returns what was read and not yet consumed, valid until the next call of fill or release.
func (in *input) unread() []byte {
	if in.buf == nil {
		return in.parked
	}
	return in.buf[in.r:in.w]
}

// consume drops the first n unread bytes.
func (in *input) consume(n int) {
	if in.buf == nil {
		in.parked = in.parked[n:]
		return
	}
	in.r += n
}

// fill waits for more bytes and reads as many as there are and fit. There is room for at least need unread bytes afterwards.
func (in *input) fill(need int) error {
	in.need, in.direct, in.err = need, nil, nil
	if in.raw != nil {
		if err := in.raw.Read(in.ready); err != nil {
			return err
		}
		return in.err
	}
	if in.tls != nil {
		return in.fillSecure()
	}
	in.acquire()
	n, err := in.nc.Read(in.free())
	in.w += n
	in.total += uint64(n)
	in.sparse = false
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// fillSecure is fill for TLS: it reads records as long as there are some, and waits without a buffer.
func (in *input) fillSecure() error {
	for got := 0; ; {
		in.acquire()
		room := in.free()
		n, err := in.nc.Read(room)
		in.w += n
		in.total += uint64(n)
		got += n
		switch {
		case got > 0 && (err != nil || n == len(room) || in.sparse):
			in.sparse = false
			return nil // an error comes again
		case err == nil:
		case errors.Is(err, errNoRecord):
			in.park()
			if err := in.tls.wait(); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// readSecureTo is readTo for TLS.
func (in *input) readSecureTo(b []byte) (int, error) {
	for got := 0; ; {
		n, err := in.nc.Read(b[got:])
		got += n
		in.total += uint64(n)
		switch {
		case got == len(b), got > 0 && err != nil:
			return got, nil
		case err == nil:
		case errors.Is(err, errNoRecord):
			if err := in.tls.wait(); err != nil {
				return 0, err
			}
		default:
			return 0, err
		}
	}
}

// readTo waits for bytes that belong to b, behind which there is nothing unread, and reads as many as there are and fit. It returns
// how many they are.
func (in *input) readTo(b []byte) (int, error) {
	if in.tls != nil {
		return in.readSecureTo(b)
	}
	if in.raw == nil {
		n, err := in.nc.Read(b)
		if n > 0 {
			err = nil // it comes again
		}
		in.total += uint64(n)
		return n, err
	}
	in.direct, in.got, in.err = b, 0, nil
	err := in.raw.Read(in.ready)
	in.direct = nil
	if err == nil {
		err = in.err
	}
	return in.got, err
}

// free returns what fill may read to.
func (in *input) free() []byte {
	b := in.buf[in.w:]
	if in.sparse {
		b = b[:min(len(b), max(sparseRead, in.need))]
	}
	return b
}

// tryRead is called by the poller, at once and then whenever the socket may have become readable. It returns false to wait.
func (in *input) tryRead(fd uintptr) bool {
	b := in.direct
	if b == nil {
		in.acquire()
		b = in.free()
	}
	begin := in.sample.begin()
	n, again, err := readRaw(fd, b)
	if again {
		in.park()
		return false
	}
	in.total += uint64(n)
	if in.direct == nil {
		in.w += n
	} else {
		in.got = n
	}
	in.sparse = false
	in.err = err
	in.sample.end(begin)
	if n == 0 && err == nil {
		in.err = io.EOF
	}
	return true
}

// acquire provides a buffer with room for at least one more byte and for in.need unread bytes in all.
func (in *input) acquire() {
	have := in.unread()
	if in.buf != nil && in.r == in.w {
		in.r, in.w = 0, 0
	}
	if in.buf != nil && in.w < len(in.buf) && in.r+in.need <= len(in.buf) {
		return
	}
	need := max(in.need, len(have)+1)
	if in.buf != nil && need <= len(in.buf) {
		in.w = copy(in.buf, have)
		in.r = 0
		return
	}
	var next []byte
	switch {
	case need <= smallInput:
		next = smallInputs.Get().(*[smallInput]byte)[:]
	case need <= largeInput:
		next = largeInputs.Get().(*[largeInput]byte)[:]
	default:
		next = make([]byte, need)
	}
	n := copy(next, have)
	in.release()
	in.buf, in.r, in.w = next, 0, n
}

// park gives the buffer back unless a long partial frame is in it.
func (in *input) park() {
	have := in.unread()
	if in.buf == nil || len(have) > maxParked {
		return
	}
	var parked []byte
	if len(have) > 0 {
		parked = append(parked, have...)
	}
	in.release()
	in.parked = parked
}

// release gives the buffer back and forgets what is unread.
func (in *input) release() {
	switch len(in.buf) {
	case smallInput:
		smallInputs.Put((*[smallInput]byte)(in.buf))
	case largeInput:
		largeInputs.Put((*[largeInput]byte)(in.buf))
	}
	in.buf, in.parked, in.r, in.w = nil, nil, 0, 0
}
