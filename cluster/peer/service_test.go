package peer

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

func TestNotices(t *testing.T) {
	l := newLeader(t)
	got := make(chan *peerv1.Notice, 200)
	u := newUser(t, l, "user", func(o *Options) { o.OnNotice = func(_ string, n *peerv1.Notice) { got <- n } })
	var want []string
	for i := range 100 {
		event := fmt.Sprint("event ", i)
		want = append(want, "user: "+event)
		if !u.links.Notify(leaderName, &peerv1.Notice{Event: []byte(event)}) {
			t.Fatalf("notice %d was dropped", i)
		}
	}
	until(t, "notices", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.notices) == 100 })
	l.mu.Lock()
	if !slices.Equal(l.notices, want) {
		t.Errorf("notices %v", l.notices)
	}
	l.mu.Unlock()
	body := bytes.Repeat([]byte("x"), 5*chunkBytes+1)
	reply := &peerv1.Notice{Reply: &peerv1.DirectReply{Vhost: []byte("/"), Name: []byte("amq.rabbitmq.reply-to.x"), Record: []byte("r"), Tail: body}}
	if !l.svc.Notify("user", reply) || !l.svc.Notify("user", &peerv1.Notice{Alarms: &peerv1.Alarms{Names: []string{"disk"}}}) {
		t.Fatal("a notice was dropped")
	}
	if n := <-got; !bytes.Equal(n.GetReply().GetTail(), body) || string(n.Reply.Name) != "amq.rabbitmq.reply-to.x" {
		t.Errorf("reply of %d bytes to %q, want %d", len(n.GetReply().GetTail()), n.GetReply().GetName(), len(body))
	}
	if n := <-got; !slices.Equal(n.GetAlarms().GetNames(), []string{"disk"}) {
		t.Errorf("alarms %v, want disk", n.GetAlarms().GetNames())
	}
	if len(reply.Reply.Tail) != len(body) {
		t.Error("Notify has changed the notice")
	}
	if l.svc.Notify("nobody", reply) || u.links.Notify("nobody", reply) {
		t.Error("a notice for a node without a link was taken")
	}
	// A link that takes nothing bounds what waits for it.
	u.proxy.stall()
	taken := 0
	for u.links.Notify(leaderName, reply) {
		if taken++; taken > 100 {
			t.Fatal("notices for a link that is stuck are taken without end")
		}
	}
	u.proxy.cut()
}

// TestRefusedStreams shows what a stream that does not keep to the rules is told.
func TestRefusedStreams(t *testing.T) {
	l := newLeader(t)
	stranger := newLeader(t, func(o *ServiceOptions) {
		o.Caller = func(context.Context) (string, bool) { return "", false }
	})
	hello := &peerv1.Operation{Hello: &peerv1.Hello{ProtocolMin: protocol, ProtocolMax: protocol, Node: "x"}}
	for _, v := range []struct {
		what string
		to   *leader
		ops  [][]*peerv1.Operation
		want codes.Code
	}{
		{"no hello", l, [][]*peerv1.Operation{{{Signal: &peerv1.Signal{}}}}, codes.InvalidArgument},
		{"a later protocol", l, [][]*peerv1.Operation{{{Hello: &peerv1.Hello{ProtocolMin: 7, ProtocolMax: 9}}}}, codes.FailedPrecondition},
		{"not a node", stranger, [][]*peerv1.Operation{{hello}}, codes.Unauthenticated},
		{"a damaged record", l, [][]*peerv1.Operation{{hello}, {{Publish: &peerv1.Publish{Queue: 1, Count: 1, Records: []byte("?")}}}}, codes.Unavailable},
		{"a body that did not come", l, [][]*peerv1.Operation{{hello}, {{Publish: &peerv1.Publish{Queue: 1, Count: 1, TailBefore: true}}}}, codes.Unavailable},
		{"a chunk of nothing", l, [][]*peerv1.Operation{{hello}, {{Chunk: &peerv1.Chunk{Data: []byte("x")}}}}, codes.Unavailable},
		{"what it does not know", l, [][]*peerv1.Operation{{hello}, {
			{}, {Credit: &peerv1.Credit{Consumer: 5}}, {Settle: &peerv1.Settle{Queue: 9, Ranges: []uint64{1, 2, 3}}},
			{Settle: &peerv1.Settle{Consumer: 3, Outcome: 77}}, {Signal: &peerv1.Signal{Kind: 99}},
			{Signal: &peerv1.Signal{Kind: peerv1.SignalKind_SIGNAL_KIND_PAUSE, Consumer: 3}}, {Notice: &peerv1.Notice{}},
		}, nil}, codes.OK},
	} {
		t.Run(v.what, func(t *testing.T) {
			conn, err := grpc.NewClient("passthrough:///"+v.to.addr, append(DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := peerv1.NewQueuesClient(conn).Link(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, ops := range v.ops {
				if err := stream.Send(&peerv1.LinkRequest{Operations: ops}); err != nil {
					break
				}
			}
			for range 3 { // a welcome, and signs of life
				if _, err = stream.Recv(); err != nil {
					break
				}
			}
			if status.Code(err) != v.want {
				t.Fatalf("%v, want %v", err, v.want)
			}
		})
	}
}

// TestReplacedLink shows that a node that comes again has back in the queues what its earlier link had.
func TestReplacedLink(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	first := newUser(t, l, "user")
	_, answered := publish(q, 0, 5, 16, false, nil)
	within(t, "confirm", answered)
	c := newSink(first.queue(1), -1)
	c.Exclusive = true
	c.consume(t)
	c.want(t, span(0, 5))
	first.links.Disconnect(leaderName)
	second := newUser(t, l, "user")
	d := newSink(second.queue(1), -1)
	d.Exclusive = true
	d.consume(t)
	d.want(t, span(0, 5))
	if !d.again[0] {
		t.Error("a requeued message is not marked as redelivered")
	}
}

// TestDropped shows what a deleted queue is for those who use it.
func TestDropped(t *testing.T) {
	l := newLeader(t)
	q := l.declare(queue.Options{ID: 1})
	u := newUser(t, l, "user")
	h := u.queue(1)
	c := newSink(h, -1)
	c.consume(t)
	if _, err := q.PrepareDelete(false, false); err != nil {
		t.Fatal(err)
	}
	flow := &budget{}
	b, answered := publish(h, 0, 5, 16, false, flow)
	failed := make(chan error)
	go func() { _, err := h.Purge(); failed <- err }()
	s := u.links.session(leaderName)
	until(t, "purge", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.calls) == 1 && len(s.sent) == 1 })
	h.Drop()
	within(t, "answer", answered)
	if err := <-failed; err != queue.ErrGone {
		t.Errorf("purge: %v, want %v", err, queue.ErrGone)
	}
	if len(b.Refused()) > 0 || flow.left() != 0 || c.cancelled != 1 {
		t.Errorf("refused %v, %d bytes left, cancelled %d times; want none, none, once", b.Refused(), flow.left(), c.cancelled)
	}
	q.Drop()
	_, answered = publish(h, 5, 6, 16, false, flow)
	within(t, "answer", answered)
	done := make(chan struct{})
	h.Settle(&queue.Settlement{Handle: h, Consumer: &c.Consumer, Ranges: []queue.Range{{First: 0, Last: 0}}, Done: func() { close(done) }})
	within(t, "settlement", done)
}
