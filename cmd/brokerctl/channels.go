package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) channelsCommand() *cobra.Command {
	return a.noun("channels", "channel", "Channels of connections", a.channelsList())
}

var channelColumns = output.Columns[*adminv1.Channel]{
	{Name: "connection", Get: func(x *adminv1.Channel) any { return x.GetConnection() }},
	{Name: "number", Get: func(x *adminv1.Channel) any { return x.GetNumber() }},
	{Name: "vhost", Get: func(x *adminv1.Channel) any { return x.GetVhost() }},
	{Name: "user", Get: func(x *adminv1.Channel) any { return x.GetUser() }},
	{Name: "mode", Get: func(x *adminv1.Channel) any { return channelMode(x) }},
	{Name: "prefetch", Get: func(x *adminv1.Channel) any { return x.GetPrefetch() }},
	{Name: "consumers", Get: func(x *adminv1.Channel) any { return x.GetConsumers() }},
	{Name: "messages_unacknowledged", Get: func(x *adminv1.Channel) any { return x.GetMessagesUnacknowledged() }},
	{Name: "messages_unconfirmed", Get: func(x *adminv1.Channel) any { return x.GetMessagesUnconfirmed() }},
	{Name: "messages_uncommitted", Get: func(x *adminv1.Channel) any { return x.GetMessagesUncommitted() }, Extra: true},
	{Name: "global_prefetch", Get: func(x *adminv1.Channel) any { return x.GetGlobalPrefetch() }, Extra: true},
	{Name: "confirms", Get: func(x *adminv1.Channel) any { return x.GetConfirms() }, Extra: true},
	{Name: "transactional", Get: func(x *adminv1.Channel) any { return x.GetTransactional() }, Extra: true},
	{Name: "node", Get: func(x *adminv1.Channel) any { return x.GetNode() }, Extra: true},
	{Name: "messages", Get: func(x *adminv1.Channel) any { return countsObject(x.GetMessages()) }, Extra: true},
}

// channelMode is confirm, transaction or plain.
func channelMode(x *adminv1.Channel) string {
	switch {
	case x.GetConfirms():
		return "confirm"
	case x.GetTransactional():
		return "transaction"
	}
	return "plain"
}

// channelPages lists channels; request is changed.
func (c *call) channelPages(request *adminv1.ListChannelsRequest) fetcher[*adminv1.Channel] {
	return func(token string) (page[*adminv1.Channel], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := adminv1.NewChannelServiceClient(c.conn).ListChannels(c.ctx, request)
		return page[*adminv1.Channel]{r.GetChannels(), r.GetNextPageToken(), r.GetUnreachableNodes()}, err
	}
}

func (a *app) channelsList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List channels of all virtual hosts, or of one with --vhost",
		columns: channelColumns.Names(),
		example: "brokerctl channels list\nbrokerctl channels list --of-user guest --output json",
		flags: func(fs *pflag.FlagSet) {
			filterFlags(fs, "connection")
			fs.String("of-user", "", "only those of this user")
			fs.String("connection", "", "only those of this connection")
		},
		run: func(c *call) error {
			return list(c, channelColumns, c.channelPages(&adminv1.ListChannelsRequest{Vhost: c.chosenVHost(), User: c.text("of-user"),
				Connection: c.text("connection"), NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}))
		},
	})
}
