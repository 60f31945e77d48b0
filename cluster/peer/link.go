package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// link is the link to one node: a session while it is up.
type link struct {
	links   *Links
	node    string
	session atomic.Pointer[session] // nil while the link is down

	running bool // guarded by Links.mu
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
}

func newLink(l *Links, node string) *link {
	k := &link{links: l, node: node, done: make(chan struct{})}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// start starts the link's goroutine. Links.mu is held.
func (k *link) start() {
	k.running = true
	go k.run(k.ctx)
}

// run sets up the link, again and again until ctx ends.
func (k *link) run(ctx context.Context) {
	defer close(k.done)
	delay := firstDelay
	down := false
	for ctx.Err() == nil {
		s, err := open(ctx, k)
		if err != nil {
			if !down && ctx.Err() == nil {
				k.links.opts.Logger.Debug("no link to node", "node", k.node, "error", err)
				down = true
			}
			select {
			case <-ctx.Done():
			case <-time.After(jitter(delay)):
			}
			delay = min(2*delay, lastDelay)
			continue
		}
		delay, down = firstDelay, false
		k.links.opts.Logger.Debug("link is up", "node", k.node)
		k.session.Store(s)
		k.tell(true)
		err = s.serve(ctx)
		k.tell(false)
		if ctx.Err() == nil {
			k.links.opts.Logger.Debug("link lost", "node", k.node, "error", err)
		}
	}
}

// wait returns when the link's goroutine has ended; the link was cancelled, so that it does not start any more.
func (k *link) wait() {
	k.links.mu.Lock()
	running := k.running
	k.links.mu.Unlock()
	if running {
		<-k.done
	}
}

func (k *link) tell(up bool) {
	if fn := k.links.opts.OnLink; fn != nil {
		fn(k.node, up)
	}
}

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

var errSilent = errors.New("nothing was heard of the other node")

// open sets up a stream and greets.
func open(ctx context.Context, k *link) (*session, error) {
	o := &k.links.opts
	conn, err := o.Conn(k.node)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(o.LinkTimeout, cancel)
	stream, err := peerv1.NewQueuesClient(conn).Link(ctx, grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))
	if err == nil {
		err = stream.Send(&peerv1.LinkRequest{Operations: []*peerv1.Operation{{
			Hello: &peerv1.Hello{ProtocolMin: protocol, ProtocolMax: protocol, Node: o.Node}}}})
	}
	var first *peerv1.LinkResponse
	if err == nil || errors.Is(err, errEOF) { // what ended the stream is what Recv returns
		first, err = stream.Recv()
	}
	if err == nil && (len(first.Events) != 1 || first.Events[0].Welcome == nil || first.Events[0].Welcome.Protocol != protocol) {
		err = fmt.Errorf("node %s does not speak protocol %d", k.node, protocol)
	}
	if !late.Stop() && err != nil {
		err = fmt.Errorf("no answer within %v: %w", o.LinkTimeout, err)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return newSession(k, stream, cancel), nil
}
