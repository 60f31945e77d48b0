package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// testService answers who called, and sends back what a stream brings.
var testService = grpc.ServiceDesc{
	ServiceName: "test.Test",
	Methods: []grpc.MethodDesc{{
		MethodName: "Who",
		Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := decode(&emptypb.Empty{}); err != nil {
				return nil, err
			}
			id, ok := Caller(ctx)
			return wrapperspb.String(fmt.Sprint(id.Node, "/", id.Name, "/", id.Cluster, "/", ok)), nil
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Echo", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error {
			for {
				m := &wrapperspb.BytesValue{}
				if err := s.RecvMsg(m); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
		},
	}},
}

func serveTest(t testing.TB, o Options) *Network {
	t.Helper()
	n := open(t, o)
	n.Server().RegisterService(&testService, nil)
	n.Serve()
	return n
}

func who(t testing.TB, c *grpc.ClientConn, opts ...grpc.CallOption) (string, error) {
	t.Helper()
	var answer wrapperspb.StringValue
	err := c.Invoke(timeout(t), "/test.Test/Who", &emptypb.Empty{}, &answer, opts...)
	return answer.GetValue(), err
}

func connTo(t testing.TB, n, to *Network) *grpc.ClientConn {
	t.Helper()
	if err := n.Learn(Identity{Node: to.options.Node, Address: to.Advertised()}); err != nil {
		t.Fatal(err)
	}
	c, err := n.Conn(to.options.Node)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func echo(t testing.TB, c *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	s, err := c.NewStream(timeout(t), &testService.Streams[0], "/test.Test/Echo", grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

func TestCalls(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for name, secure := range map[string]func(*Options){
		"open":   func(*Options) {},
		"secret": func(o *Options) { o.Secret = testSecret },
		"TLS":    func(o *Options) { o.Secret, o.TLS = testSecret, ca.valid(t) },
	} {
		t.Run(name, func(t *testing.T) {
			oa, ob := Options{Node: "a", Name: "alpha", ClusterID: func() string { return "c1" }}, Options{Node: "b"}
			secure(&oa)
			secure(&ob)
			a, b := serveTest(t, oa), serveTest(t, ob)
			c := connTo(t, a, b)
			if got, err := who(t, c); err != nil || got != "a/alpha/c1/true" {
				t.Errorf("got %q, %v", got, err)
			}
			if again, err := a.Conn("b"); err != nil || again != c {
				t.Errorf("another connection: %v", err)
			}
			s := echo(t, c)
			for _, size := range []int{0, 1, 64 << 10, 20 << 20} {
				if err := s.SendMsg(wrapperspb.Bytes(make([]byte, size))); err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				var m wrapperspb.BytesValue
				if err := s.RecvMsg(&m); err != nil || len(m.Value) != size {
					t.Fatalf("%d bytes: got %d, %v", size, len(m.Value), err)
				}
			}
			if err := s.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(&wrapperspb.BytesValue{}); !errors.Is(err, io.EOF) {
				t.Errorf("end of stream: %v", err)
			}
			// b has learned from the call where a is, and calls back.
			back, err := b.Conn("a")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := who(t, back); err != nil || got != "b///true" {
				t.Errorf("back: got %q, %v", got, err)
			}
		})
	}
}

func TestConnRefuses(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Node: "a"})
	if _, err := a.Conn("a"); !errors.Is(err, ErrSelf) {
		t.Errorf("itself: %v", err)
	}
	if _, err := a.Conn("b"); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("unknown: %v", err)
	}
	if _, ok := Caller(context.Background()); ok {
		t.Error("a caller outside of a call")
	}
}

// Another node at the address is not called in place of the one that is meant, and the reason is in the error of the call.
func TestConnFindsAnotherNode(t *testing.T) {
	t.Parallel()
	a, c := open(t, Options{Node: "a"}), serveTest(t, Options{Node: "c"})
	if err := a.Learn(Identity{Node: "b", Address: c.Advertised()}); err != nil {
		t.Fatal(err)
	}
	conn, err := a.Conn("b")
	if err != nil {
		t.Fatal(err)
	}
	_, err = who(t, conn)
	if status.Code(err) != codes.Unavailable || !contains(err, "looked for node b, found c") {
		t.Errorf("got %v", err)
	}
	if at, ok := a.Address("c"); !ok || at != c.Advertised() {
		t.Errorf("c is not in the book: %q", at)
	}
}

// The connection follows a node that comes back elsewhere.
func TestConnFollowsTheNode(t *testing.T) {
	t.Parallel()
	a, b := serve(t, Options{Node: "a"}), serveTest(t, Options{Node: "b"})
	c := connTo(t, a, b)
	if _, err := who(t, c); err != nil {
		t.Fatal(err)
	}
	shut(t, b)
	b = serveTest(t, Options{Node: "b"})
	if _, err := b.Probe(timeout(t), a.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if got, err := who(t, c, grpc.WaitForReady(true)); err != nil || got != "a///true" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A first address that swallows what is sent to it leaves time for the second.
func TestConnTriesAllAddresses(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a, b := open(t, Options{Node: "a", DialTimeout: time.Second}), serveTest(t, Options{Node: "b"})
	for _, address := range []string{b.Advertised(), silent.Addr().String()} {
		if err := a.Learn(Identity{Node: "b", Address: address}); err != nil {
			t.Fatal(err)
		}
	}
	if at, _ := a.Address("b"); at != silent.Addr().String() {
		t.Fatalf("first address is %s", at)
	}
	c, err := a.Conn("b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := who(t, c, grpc.WaitForReady(true)); err != nil {
		t.Error(err)
	}
	if at, _ := a.Address("b"); at != b.Advertised() {
		t.Errorf("after the call, %s is first", at)
	}
}

// A connection that was in use comes back without a call.
func TestConnComesBackByItself(t *testing.T) {
	t.Parallel()
	a, b := open(t, Options{Node: "a", beat: 10 * time.Millisecond}), serveTest(t, Options{Node: "b"})
	c := connTo(t, a, b)
	if _, err := who(t, c); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	first := a.links["b"].conn.Load()
	a.mu.Unlock()
	if err := first.kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is another connection", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.links["b"].conn.Load() != first
	})
}

// A link that hangs without a word ends its calls, and comes back when it hangs no more.
func TestHangingLinkIsNoticed(t *testing.T) {
	t.Parallel()
	var log logged
	a, b := open(t, Options{Node: "a", beat: 50 * time.Millisecond, DialTimeout: time.Second, Logger: log.logger()}), open(t, Options{Node: "b"})
	p := newProxy(t, b.Addr().String())
	b.advertised = p.address()
	b.Server().RegisterService(&testService, nil)
	b.Serve()
	c := connTo(t, a, b)
	s := echo(t, c)
	if err := s.SendMsg(wrapperspb.Bytes(nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&wrapperspb.BytesValue{}); err != nil {
		t.Fatal(err)
	}
	p.hang(true)
	if err := s.RecvMsg(&wrapperspb.BytesValue{}); status.Code(err) != codes.Unavailable {
		t.Errorf("want Unavailable, got %v", err)
	}
	p.hang(false)
	if _, err := who(t, c, grpc.WaitForReady(true)); err != nil {
		t.Errorf("afterwards: %v; log: %q", err, log.all())
	}
}

func TestForgottenNodeIsNotCalled(t *testing.T) {
	t.Parallel()
	a, b := open(t, Options{Node: "a"}), serveTest(t, Options{Node: "b"})
	c := connTo(t, a, b)
	if _, err := who(t, c); err != nil {
		t.Fatal(err)
	}
	a.Forget("b")
	a.Forget("never known")
	if _, err := who(t, c); status.Code(err) != codes.Canceled {
		t.Errorf("want Canceled, got %v", err)
	}
	if _, err := a.Conn("b"); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("want ErrUnknownNode, got %v", err)
	}
	if _, err := who(t, connTo(t, a, b)); err != nil {
		t.Errorf("learned again: %v", err)
	}
}

// After a node has joined a cluster, its old connections, which say that it is in none, are replaced.
func TestRenewTellsTheNewCluster(t *testing.T) {
	t.Parallel()
	var cluster atomic.Value
	cluster.Store("")
	a := open(t, Options{Node: "a", ClusterID: func() string { return cluster.Load().(string) }})
	b := serveTest(t, Options{Node: "b", ClusterID: func() string { return "c1" }})
	c := connTo(t, a, b)
	if got, err := who(t, c); err != nil || got != "a///true" {
		t.Fatalf("before: got %q, %v", got, err)
	}
	cluster.Store("c1")
	a.Renew()
	eventually(t, "the new cluster is told", func() bool {
		got, err := who(t, c, grpc.WaitForReady(true))
		return err == nil && got == "a//c1/true"
	})
	// One that is in another cluster now is let in no more.
	cluster.Store("c2")
	a.Renew()
	eventually(t, "the foreign cluster is refused", func() bool {
		_, err := who(t, c)
		return err != nil && contains(err, ErrForeignCluster.Error())
	})
}

// Close ends calls in both directions and does not wait for streams that nobody ends.
func TestCloseEndsCalls(t *testing.T) {
	t.Parallel()
	a, b := serveTest(t, Options{Node: "a"}), serveTest(t, Options{Node: "b"})
	out := echo(t, connTo(t, a, b))
	in := echo(t, connTo(t, b, a))
	for _, s := range []grpc.ClientStream{out, in} {
		if err := s.SendMsg(wrapperspb.Bytes(nil)); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&wrapperspb.BytesValue{}); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, a)
	for name, s := range map[string]grpc.ClientStream{"out": out, "in": in} {
		if err := s.RecvMsg(&wrapperspb.BytesValue{}); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
