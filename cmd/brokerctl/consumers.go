package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) consumersCommand() *cobra.Command {
	return a.noun("consumers", "consumer", "Consumers of queues", a.consumersList())
}

var consumerColumns = output.Columns[*adminv1.Consumer]{
	{Name: "queue", Get: func(x *adminv1.Consumer) any { return x.GetQueue() }},
	{Name: "vhost", Get: func(x *adminv1.Consumer) any { return x.GetVhost() }},
	{Name: "tag", Get: func(x *adminv1.Consumer) any { return x.GetTag() }},
	{Name: "connection", Get: func(x *adminv1.Consumer) any { return x.GetConnection() }},
	{Name: "channel", Get: func(x *adminv1.Consumer) any { return x.GetChannel() }},
	{Name: "ack_required", Get: func(x *adminv1.Consumer) any { return x.GetAckRequired() }},
	{Name: "prefetch", Get: func(x *adminv1.Consumer) any { return x.GetPrefetch() }},
	{Name: "messages_unacknowledged", Get: func(x *adminv1.Consumer) any { return x.GetMessagesUnacknowledged() }},
	{Name: "messages_delivered", Get: func(x *adminv1.Consumer) any { return x.GetMessagesDelivered() }},
	{Name: "user", Get: func(x *adminv1.Consumer) any { return x.GetUser() }, Extra: true},
	{Name: "exclusive", Get: func(x *adminv1.Consumer) any { return x.GetExclusive() }, Extra: true},
	{Name: "priority", Get: func(x *adminv1.Consumer) any { return x.GetPriority() }, Extra: true},
	{Name: "node", Get: func(x *adminv1.Consumer) any { return x.GetNode() }, Extra: true},
	{Name: "arguments", Get: func(x *adminv1.Consumer) any { return ctl.PlainTable(x.GetArguments()) }, Extra: true},
}

// consumerPages lists consumers; request is changed.
func (c *call) consumerPages(request *adminv1.ListConsumersRequest) fetcher[*adminv1.Consumer] {
	return func(token string) (page[*adminv1.Consumer], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := adminv1.NewConsumerServiceClient(c.conn).ListConsumers(c.ctx, request)
		return page[*adminv1.Consumer]{r.GetConsumers(), r.GetNextPageToken(), r.GetUnreachableNodes()}, err
	}
}

func (a *app) consumersList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List consumers",
		columns: consumerColumns.Names(),
		example: "brokerctl consumers list\nbrokerctl consumers list --queue orders --output json",
		flags: func(fs *pflag.FlagSet) {
			everyVHost(fs)
			filterFlags(fs, "queue")
			fs.String("queue", "", "only those of this queue")
			fs.String("connection", "", "only those of this connection")
		},
		run: func(c *call) error {
			vhost, err := c.listVHost()
			if err != nil {
				return err
			}
			return list(c, consumerColumns, c.consumerPages(&adminv1.ListConsumersRequest{Vhost: vhost, Queue: c.text("queue"),
				Connection: c.text("connection"), NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}))
		},
	})
}
