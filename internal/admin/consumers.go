package admin

import (
	"context"

	"google.golang.org/grpc"

	"github.com/brokerd/brokerd/amqp/server"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// ListConsumers implements adminv1.ConsumerServiceServer.
func (a *api) ListConsumers(ctx context.Context, r *adminv1.ListConsumersRequest) (*adminv1.ListConsumersResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	key := func(c *adminv1.Consumer) string {
		return keyOf(c.GetVhost(), c.GetQueue(), c.GetConnection(), number(c.GetChannel()), c.GetTag())
	}
	sees := a.visible(a.callerOf(ctx), monitoring)
	var all []*adminv1.Consumer
	for _, c := range a.AMQP.ConsumerStatuses(func(c server.Connection) bool {
		return (r.GetVhost() == "" || c.VHost == r.GetVhost()) && (r.GetConnection() == "" || text(c.Title()) == r.GetConnection()) && sees(c.VHost)
	}) {
		if (r.GetQueue() == "" || c.Queue == r.GetQueue()) && f.match(c.Queue) {
			all = append(all, a.consumerOf(&c))
		}
	}
	out := &adminv1.ListConsumersResponse{}
	out.Consumers, out.NextPageToken, out.TotalSize = take(p, sorted(all, key))
	if r.GetLocalOnly() {
		return out, nil
	}
	vhosts := a.vhostsFor(ctx, r.GetVhost())
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.ListConsumersResponse, error) {
		sum := &adminv1.ListConsumersResponse{}
		for _, vhost := range vhosts {
			one, err := adminv1.NewConsumerServiceClient(conn).ListConsumers(ctx, &adminv1.ListConsumersRequest{
				PageSize: uint32(p.size), PageToken: r.GetPageToken(), Vhost: vhost, Queue: r.GetQueue(), Connection: r.GetConnection(),
				NamePrefix: r.GetNamePrefix(), NameRegex: r.GetNameRegex(), LocalOnly: true}, grpc.MaxCallRecvMsgSize(maxAnswer))
			if err != nil {
				return nil, err
			}
			sum.Consumers = append(sum.Consumers, one.GetConsumers()...)
			sum.TotalSize += one.GetTotalSize()
			if one.GetNextPageToken() != "" {
				sum.NextPageToken = one.GetNextPageToken()
			}
		}
		return sum, nil
	})
	parts, more := [][]*adminv1.Consumer{out.Consumers}, out.NextPageToken != ""
	for _, one := range answers {
		parts = append(parts, one.GetConsumers())
		more = more || one.GetNextPageToken() != ""
		out.TotalSize += one.GetTotalSize()
	}
	out.UnreachableNodes = unreachable
	out.Consumers, out.NextPageToken = merge(p, key, parts, more)
	return out, nil
}

func (a *api) consumerOf(c *server.ConsumerStatus) *adminv1.Consumer {
	return &adminv1.Consumer{
		Tag: text(c.Tag), Queue: text(c.Queue), Vhost: text(c.VHost), Connection: text(c.Title), Channel: uint32(c.Channel),
		Node: a.nodeName(a.Broker.NodeID()), User: text(c.User), AckRequired: !c.NoAck, Exclusive: c.Exclusive, Prefetch: uint32(c.Prefetch),
		Priority: c.Priority, MessagesUnacknowledged: c.Unacked, MessagesDelivered: c.Delivered, Arguments: fieldsOf(c.Arguments),
	}
}
