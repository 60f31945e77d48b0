package admin

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/brokerd/brokerd/amqp/server"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// number makes a key of a channel's number that sorts as the numbers do.
func number(n uint32) string { return fmt.Sprintf("%05d", n) }

// ListChannels implements adminv1.ChannelServiceServer.
func (a *api) ListChannels(ctx context.Context, r *adminv1.ListChannelsRequest) (*adminv1.ListChannelsResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	user, any := askFor(r.GetUser(), a.ownUser(ctx, monitoring))
	if !any {
		return &adminv1.ListChannelsResponse{}, nil
	}
	match := wanted(r.GetVhost(), user, "")
	key := func(c *adminv1.Channel) string { return keyOf(c.GetConnection(), number(c.GetNumber())) }
	var all []*adminv1.Channel
	for _, c := range a.AMQP.ChannelStatuses(func(c server.Connection) bool {
		title := text(c.Title())
		return match(c) && f.match(title) && (r.GetConnection() == "" || title == r.GetConnection())
	}) {
		all = append(all, a.channelOf(&c))
	}
	out := &adminv1.ListChannelsResponse{}
	out.Channels, out.NextPageToken, out.TotalSize = take(p, sorted(all, key))
	if r.GetLocalOnly() {
		return out, nil
	}
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.ListChannelsResponse, error) {
		return adminv1.NewChannelServiceClient(conn).ListChannels(ctx, &adminv1.ListChannelsRequest{
			PageSize: uint32(p.size), PageToken: r.GetPageToken(), Vhost: r.GetVhost(), User: user, Connection: r.GetConnection(),
			NamePrefix: r.GetNamePrefix(), NameRegex: r.GetNameRegex(), LocalOnly: true}, grpc.MaxCallRecvMsgSize(maxAnswer))
	})
	parts, more := [][]*adminv1.Channel{out.Channels}, out.NextPageToken != ""
	for _, one := range answers {
		parts = append(parts, one.GetChannels())
		more = more || one.GetNextPageToken() != ""
		out.TotalSize += one.GetTotalSize()
	}
	out.UnreachableNodes = unreachable
	out.Channels, out.NextPageToken = merge(p, key, parts, more)
	return out, nil
}

func (a *api) channelOf(c *server.ChannelStatus) *adminv1.Channel {
	return &adminv1.Channel{
		Connection: text(c.Title), Number: uint32(c.Number), Node: a.nodeName(a.Broker.NodeID()), Vhost: text(c.VHost), User: text(c.User),
		Consumers: uint32(c.Consumers), Prefetch: uint32(c.Prefetch), GlobalPrefetch: uint32(c.Global), MessagesUnacknowledged: c.Unacked,
		MessagesUnconfirmed: c.Unconfirmed, MessagesUncommitted: c.Uncommitted, Confirms: c.Confirms, Transactional: c.Transactional,
		Messages: countsOf(c.Counts),
	}
}
