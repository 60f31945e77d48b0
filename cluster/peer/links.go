package peer

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// Options make Links. Node and Conn must be set.
type Options struct {
	// Node is the name of this node.
	Node string
	// Conn returns a connection to a node, made with DialOptions. It is called for each attempt to set up a link, and must not
	// block. The connection stays the callee's.
	Conn   func(node string) (grpc.ClientConnInterface, error)
	Logger *slog.Logger
	// OnLink is called when a link has come up, and when it is lost and everything over it is answered; alternately for each
	// node, from a goroutine of the link. It may be nil.
	OnLink func(node string, up bool)
	// OnNotice is called for each notice of the other node's Service, in order. It must not block. It may be nil.
	OnNotice func(node string, n *peerv1.Notice)
	// LinkTimeout is after how long a link over which nothing comes counts as lost; 0 stands for 5 seconds. It must be that of the
	// other nodes' Services.
	LinkTimeout time.Duration
	// CallTimeout bounds the calls of a handle that wait; 0 stands for 10 seconds.
	CallTimeout time.Duration
}

const (
	defaultLinkTimeout = 5 * time.Second
	defaultCallTimeout = 10 * time.Second

	// firstDelay and lastDelay are the first and the longest delay between attempts to set up a link, or its connection.
	firstDelay = 20 * time.Millisecond
	lastDelay  = time.Second

	// window is the initial flow control window of streams and connections in bytes.
	window = 4 << 20
)

// DialOptions are what connections for links need.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstDelay, Multiplier: 2, Jitter: 0.2, MaxDelay: lastDelay},
			MinConnectTimeout: defaultLinkTimeout,
		}),
		grpc.WithReadBufferSize(128 << 10), grpc.WithWriteBufferSize(128 << 10),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}
}

// ServerOptions are what a server with a Service needs.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.ReadBufferSize(128 << 10), grpc.WriteBufferSize(128 << 10),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	}
}

// Links are the links of this node to the others, over which it uses their queues.
type Links struct {
	opts Options

	mu     sync.Mutex
	links  map[string]*link
	queues map[uint64][]*remote // by id: one for each node that was named as its leader
	closed bool
}

// NewLinks returns Links to no node yet.
func NewLinks(o Options) *Links {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LinkTimeout == 0 {
		o.LinkTimeout = defaultLinkTimeout
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = defaultCallTimeout
	}
	return &Links{opts: o, links: make(map[string]*link), queues: make(map[uint64][]*remote)}
}

// Close ends all links and returns when everything over them is answered and their goroutines have ended.
func (l *Links) Close() {
	l.mu.Lock()
	l.closed = true
	list := make([]*link, 0, len(l.links))
	for _, k := range l.links {
		list = append(list, k)
	}
	l.mu.Unlock()
	for _, k := range list {
		k.cancel()
	}
	for _, k := range list {
		k.wait()
	}
}

// link returns the link to a node, which may be one that was never connected. mu is held.
func (l *Links) link(node string) *link {
	k := l.links[node]
	if k == nil {
		k = newLink(l, node)
		l.links[node] = k
	}
	return k
}

// Connect keeps a link to node from now on: it is set up again whenever it is lost.
func (l *Links) Connect(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.link(node); !l.closed && !k.running {
		k.start()
	}
}

// Disconnect ends the link to node. It returns when everything over it is answered. Handles of node's queues stay usable for
// after the next Connect.
func (l *Links) Disconnect(node string) {
	l.mu.Lock()
	k := l.links[node]
	if k == nil || !k.running {
		l.mu.Unlock()
		return
	}
	delete(l.links, node)
	next := newLink(l, node)
	l.links[node] = next
	for _, list := range l.queues {
		for _, h := range list {
			if h.node == node {
				h.link.Store(next)
			}
		}
	}
	l.mu.Unlock()
	k.cancel()
	k.wait()
}

// Up reports whether the link to node is up.
func (l *Links) Up(node string) bool { return l.session(node) != nil }

func (l *Links) session(node string) *session {
	l.mu.Lock()
	k := l.links[node]
	l.mu.Unlock()
	if k == nil {
		return nil
	}
	return k.session.Load()
}

// Notify sends n, which must not be changed afterwards, to the Service of node. It does not wait. It returns false when n is
// dropped because the link is down or too much is waiting.
func (l *Links) Notify(node string, n *peerv1.Notice) bool {
	s := l.session(node)
	return s != nil && s.notify(n)
}

// Queue returns the handle that stands for queue id led by node: the same one for the same arguments until Drop.
func (l *Links) Queue(node string, id uint64) queue.Handle {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.queues[id] {
		if h.node == node {
			return h
		}
	}
	h := &remote{links: l, node: node, id: id}
	h.link.Store(l.link(node))
	l.queues[id] = append(l.queues[id], h)
	return h
}

// Drop forgets the handles of queue id, which is deleted: they are as those of a deleted queue from now on, see queue.Handle.Drop.
func (l *Links) Drop(id uint64) {
	l.mu.Lock()
	list := slices.Clone(l.queues[id])
	l.mu.Unlock()
	for _, h := range list {
		h.Drop()
	}
}

// forget takes h out of the handles.
func (l *Links) forget(h *remote) {
	l.mu.Lock()
	list := slices.DeleteFunc(l.queues[h.id], func(o *remote) bool { return o == h })
	if l.queues[h.id] = list; len(list) == 0 {
		delete(l.queues, h.id)
	}
	l.mu.Unlock()
}
