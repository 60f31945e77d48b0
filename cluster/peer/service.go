package peer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// ServiceOptions make a Service. Queue must be set.
type ServiceOptions struct {
	// Queue returns the queue with this id if this node leads it, else nil. It must not block.
	Queue func(id uint64) queue.Handle
	// Await is called when Queue has returned nil: this node may be a moment behind with its metadata. It waits until the queue is
	// there, or it is clear that it will not be, and then returns nil, or until ctx ends after 2 seconds. The error says that neither
	// is clear. Nil stands for not waiting.
	Await func(ctx context.Context, id uint64) (queue.Handle, error)
	// OnNotice is called for each notice of another node, in order for each node. It must not block. It may be nil.
	OnNotice func(node string, n *peerv1.Notice)
	// Caller returns the name of the node that a stream comes from, as its connection was authenticated. Nil stands for believing
	// what the caller says, which is for connections that only nodes can have.
	Caller func(ctx context.Context) (node string, ok bool)
	Logger *slog.Logger
	// LinkTimeout is as Options.LinkTimeout.
	LinkTimeout time.Duration
}

// awaitTime bounds how long operations wait for a queue that is not there.
const awaitTime = 2 * time.Second

// Service serves the links of other nodes. It implements peerv1.QueuesServer; its server needs ServerOptions.
type Service struct {
	peerv1.UnimplementedQueuesServer
	opts ServiceOptions

	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	links  map[string]*serving // by node
	closed bool
	work   sync.WaitGroup // links and what they started
}

// NewService returns a Service.
func NewService(o ServiceOptions) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LinkTimeout == 0 {
		o.LinkTimeout = defaultLinkTimeout
	}
	v := &Service{opts: o, links: make(map[string]*serving)}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v
}

// Close ends all links. It returns when what was delivered over them is requeued and nothing of the Service runs any more. Call it
// before the queues are stopped.
func (v *Service) Close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.cancel()
	v.work.Wait()
}

// Notify sends n, which must not be changed afterwards, to the Links of node. It does not wait. It returns false when n is dropped
// because node has no link to this one or too much is waiting.
func (v *Service) Notify(node string, n *peerv1.Notice) bool {
	v.mu.Lock()
	s := v.links[node]
	v.mu.Unlock()
	return s != nil && s.out.notify(n)
}

// Link implements peerv1.QueuesServer.
func (v *Service) Link(stream peerv1.Queues_LinkServer) error {
	var node string
	if v.opts.Caller != nil {
		name, ok := v.opts.Caller(stream.Context())
		if !ok {
			return status.Error(codes.Unauthenticated, "links are for nodes of the cluster: the connection is not that of one")
		}
		node = name
	}
	// A caller that says nothing is cut off by its own timeout, or with its connection.
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if len(m.Operations) != 1 || m.Operations[0].Hello == nil {
		return status.Error(codes.InvalidArgument, "the first operation of a link must be hello, and come alone")
	}
	hello := m.Operations[0].Hello
	if hello.ProtocolMin > protocol || hello.ProtocolMax < protocol {
		return status.Errorf(codes.FailedPrecondition, "node %q speaks protocols %d to %d, this node speaks %d: upgrade the older one",
			hello.Node, hello.ProtocolMin, hello.ProtocolMax, protocol)
	}
	if v.opts.Caller == nil {
		node = hello.Node
	}
	s, err := v.begin(node, stream)
	if err != nil {
		return err
	}
	defer v.work.Done()
	defer close(s.over)
	err = s.serve()
	v.mu.Lock()
	if v.links[node] == s {
		delete(v.links, node)
	}
	v.mu.Unlock()
	v.opts.Logger.Debug("link of node ended", "node", node, "cause", err)
	return status.Error(codes.Unavailable, err.Error())
}

// begin makes the node's earlier link end, so that what was delivered over it is back in the queues, and counts the new one in work.
func (v *Service) begin(node string, stream peerv1.Queues_LinkServer) (*serving, error) {
	s := newServing(v, node, stream)
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return nil, status.Error(codes.Unavailable, "node is going down")
	}
	old := v.links[node]
	v.links[node] = s
	v.work.Add(1)
	v.mu.Unlock()
	if old != nil {
		old.stop()
		<-old.over
	}
	return s, nil
}
