package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// peerTimeout bounds the wait for other nodes in an answer for the whole cluster.
const peerTimeout = 2 * time.Second

// gather asks all other nodes at once. It returns their answers and the names of those that gave none in time.
func gather[T any](ctx context.Context, a *api, ask func(context.Context, grpc.ClientConnInterface) (T, error)) (answers []T, unreachable []string) {
	answers, down := gatherByNode(ctx, a, func(ctx context.Context, _ string, conn grpc.ClientConnInterface) (T, error) { return ask(ctx, conn) })
	return answers, a.names(down)
}

// gatherByNode is gather for those who want to know whom they ask; it returns the ids of the nodes that gave no answer.
func gatherByNode[T any](ctx context.Context, a *api, ask func(context.Context, string, grpc.ClientConnInterface) (T, error)) (answers []T, down []string) {
	conns := a.peers()
	if len(conns) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(a.forPeer(ctx), peerTimeout)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for id, conn := range conns {
		all.Go(func() {
			answer, err := ask(ctx, id, conn)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				a.log.Debug("a node did not answer an admin request", "node", a.nodeName(id), "error", err)
				down = append(down, id)
				return
			}
			answers = append(answers, answer)
		})
	}
	all.Wait()
	return answers, down
}

// names returns the names of nodes in order.
func (a *api) names(ids []string) []string {
	var list []string
	for _, id := range ids {
		list = append(list, a.nodeName(id))
	}
	slices.Sort(list)
	return list
}

// forPeer tells the other node for whom this one asks.
func (a *api) forPeer(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, userHeader, a.callerOf(ctx).name, nodeHeader, a.nodeName(a.Broker.NodeID()))
}

// peers returns connections to the other nodes, by id.
func (a *api) peers() map[string]grpc.ClientConnInterface {
	if a.Peers == nil {
		return nil
	}
	return a.Peers()
}

// peer returns the connection to a node, by name or id; nil for this one, which the empty name stands for. Errors: NOT_FOUND,
// UNAVAILABLE.
func (a *api) peer(name string) (grpc.ClientConnInterface, error) {
	if name == "" {
		return nil, nil
	}
	n, err := a.Broker.FindNode(name)
	if err != nil {
		return nil, err
	}
	if n.Name == a.Broker.NodeID() {
		return nil, nil
	}
	conn := a.peers()[n.Name]
	if conn == nil {
		return nil, status.Errorf(codes.Unavailable, "node '%s' cannot be reached", a.nodeName(n.Name))
	}
	return conn, nil
}

// nodeName returns what people call a node.
func (a *api) nodeName(id string) string {
	if n := a.Broker.State().Node(id); n != nil && n.DisplayName != "" {
		return n.DisplayName
	}
	return id
}
