package server

import (
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestSocketOptions reads back from an accepted socket what was asked for.
func TestSocketOptions(t *testing.T) {
	s := startServer(t, Options{})
	s.open()
	var nc net.Conn
	s.mu.Lock()
	for c := range s.conns {
		nc = c.nc
	}
	s.mu.Unlock()
	get := func(level, option int) (v int) {
		t.Helper()
		rc, err := nc.(*net.TCPConn).SyscallConn()
		check(err)
		var gerr error
		check(rc.Control(func(fd uintptr) { v, gerr = syscall.GetsockoptInt(int(fd), level, option) }))
		check(gerr)
		return v
	}
	// Linux doubles the sizes for its own bookkeeping and caps them first.
	size := func(capFile string) int {
		b, err := os.ReadFile(capFile)
		check(err)
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		check(err)
		return 2 * min(256<<10, n)
	}
	for _, tc := range []struct {
		name          string
		level, option int
		want          int
	}{
		{"TCP_NODELAY", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{"SO_RCVBUF", syscall.SOL_SOCKET, syscall.SO_RCVBUF, size("/proc/sys/net/core/rmem_max")},
		{"SO_SNDBUF", syscall.SOL_SOCKET, syscall.SO_SNDBUF, size("/proc/sys/net/core/wmem_max")},
		{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 30},
		{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 30},
	} {
		if got := get(tc.level, tc.option); got != tc.want {
			t.Errorf("%s = %d, want %d", tc.name, got, tc.want)
		}
	}
}

func TestSocketOptionsOff(t *testing.T) {
	s := startServer(t, Options{TCP: TCPOptions{Delay: true, ReceiveBuffer: -1, SendBuffer: -1, KeepAlive: -1}})
	s.open()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		rc, err := c.nc.(*net.TCPConn).SyscallConn()
		check(err)
		check(rc.Control(func(fd uintptr) {
			for name, option := range map[string][2]int{
				"TCP_NODELAY":  {syscall.IPPROTO_TCP, syscall.TCP_NODELAY},
				"SO_KEEPALIVE": {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
			} {
				if v, err := syscall.GetsockoptInt(int(fd), option[0], option[1]); v != 0 || err != nil {
					t.Errorf("%s = %d, %v", name, v, err)
				}
			}
		}))
	}
}

// TestIdleInputHoldsNoBuffer does what the poller does to an input that waits, with nothing and with part of a frame unread.
func TestIdleInputHoldsNoBuffer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	check(err)
	defer peer.Close()
	nc, err := l.Accept()
	check(err)
	defer nc.Close()
	in := newInput(nc)
	attempt := func() (read bool) {
		check(in.raw.Control(func(fd uintptr) { read = in.tryRead(fd) }))
		return read
	}
	if in.need = 8; attempt() || in.buf != nil {
		t.Fatal("buffer held while there was never anything to read")
	}
	for n, part := range []string{"part", " of a ", "frame"} {
		_, err := peer.Write([]byte(part))
		check(err)
		check(in.fill(8))
		if in.buf == nil {
			t.Fatal("no buffer for what was read")
		}
		if attempt() || in.buf != nil {
			t.Fatalf("buffer held after part %d", n)
		}
	}
	if got := string(in.unread()); got != "part of a frame" {
		t.Fatalf("unread: %q", got)
	}
	in.consume(10)
	long := strings.Repeat("x", smallInput)
	go func() { _, _ = peer.Write([]byte(long)) }()
	for len(in.unread()) < 5+len(long) {
		check(in.fill(5 + len(long)))
	}
	if got := string(in.unread()); got != "frame"+long {
		t.Fatalf("%d bytes unread, want %d", len(got), 5+len(long))
	}
	if attempt() || len(in.buf) != largeInput {
		t.Error("a long partial frame was not left in its buffer")
	}
	in.release()
}

func TestListenOnIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	_ = l.Close()
	s := startServer(t, Options{})
	if err := s.Listen(t.Context(), "[::1]:0", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Addrs()); n != 3 {
		t.Fatalf("%d listeners", n)
	}
	nc, err := net.Dial("tcp", s.Addrs()[1].String())
	check(err)
	defer nc.Close()
	if !isLoopback(nc.RemoteAddr()) {
		t.Error("::1 is not seen as loopback")
	}
	if err := s.Listen(t.Context(), "127.0.0.1:0", s.Addrs()[0].String()); err == nil {
		t.Error("a taken address is accepted")
	}
}

func TestLoopback(t *testing.T) {
	for ip, want := range map[string]bool{"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "10.0.0.1": false} {
		if got := isLoopback(&net.TCPAddr{IP: net.ParseIP(ip)}); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
}
