package meta

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// addressBook resolves the ids of members, as the transport of a node does.
type addressBook struct {
	mu sync.Mutex
	of map[raft.ServerAddress]string
}

// tcpStream is the listener of one member. It is known by the member's id.
type tcpStream struct {
	net.Listener
	id   raft.ServerAddress
	book *addressBook

	mu       sync.Mutex
	accepted []net.Conn // the library leaves them open
}

func (s *tcpStream) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.accepted = append(s.accepted, c)
	}
	return c, err
}

func (s *tcpStream) Close() error {
	err := s.Listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.accepted {
		_ = c.Close()
	}
	return err
}

func (s *tcpStream) Addr() net.Addr { return idAddr(s.id) }

func (s *tcpStream) Dial(id raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	s.book.mu.Lock()
	address, ok := s.book.of[id]
	s.book.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("no address of %s", id)
	}
	return net.DialTimeout("tcp", address, timeout)
}

type idAddr string

func (a idAddr) Network() string { return "id" }
func (a idAddr) String() string  { return string(a) }

// newTCPCluster starts members whose Raft messages go over TCP. An election timeout of 0 is that of production.
func newTCPCluster(t testing.TB, n int, election time.Duration) *network {
	t.Helper()
	net := newNetwork(t, t.TempDir())
	t.Cleanup(net.close)
	book := &addressBook{of: map[raft.ServerAddress]string{}}
	net.opts = func(o *Options) {
		o.Transport, o.ElectionTimeout = newTCPTransport(t, book, o.NodeID), election
	}
	for _, id := range ids(n) {
		net.start(id, ids(n))
	}
	net.leader()
	return net
}

func newTCPTransport(t testing.TB, book *addressBook, id string) raft.Transport {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	book.mu.Lock()
	book.of[raft.ServerAddress(id)] = l.Addr().String()
	book.mu.Unlock()
	return raft.NewNetworkTransport(&tcpStream{Listener: l, id: raft.ServerAddress(id), book: book}, 3, 2*time.Second, io.Discard)
}

// TestTCP has members change their addresses, which are of no concern to the group.
func TestTCP(t *testing.T) {
	t.Parallel()
	net := newTCPCluster(t, 3, 300*time.Millisecond)
	for i, id := range ids(3) {
		propose(t, net.follower(), queue(fmt.Sprint("q", i)))
		net.stop(id)
		net.leader()
		net.start(id, ids(3)) // listens on another port
	}
	propose(t, net.follower(), queue("last"))
	net.same()
	if n := net.leader().State().NumQueues(); n != 4 {
		t.Errorf("%d queues, want 4", n)
	}
}
