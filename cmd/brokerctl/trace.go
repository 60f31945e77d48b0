package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

var traceColumns = output.Columns[*adminv1.TraceMessagesResponse]{
	{Name: "time", Get: func(t *adminv1.TraceMessagesResponse) any { return moment(t.GetTime()) }},
	{Name: "node", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetNode() }},
	{Name: "step", Get: func(t *adminv1.TraceMessagesResponse) any { return enum(t.GetStep().String(), "TRACE_STEP_") }},
	{Name: "vhost", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetVhost() }, Extra: true},
	{Name: "exchange", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetExchange() }},
	{Name: "routing_key", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetRoutingKey() }},
	{Name: "queue", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetQueue() }},
	{Name: "queues", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetQueues() }},
	{Name: "message_id", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetMessageId() }},
	{Name: "correlation_id", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetCorrelationId() }, Extra: true},
	{Name: "connection", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetConnection() }, Extra: true},
	{Name: "channel", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetChannel() }, Extra: true},
	{Name: "user", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetUser() }, Extra: true},
	{Name: "body_size", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetBodySize() }},
	{Name: "redelivered", Get: func(t *adminv1.TraceMessagesResponse) any { return t.GetRedelivered() }, Extra: true},
	{Name: "headers", Get: func(t *adminv1.TraceMessagesResponse) any { return ctl.PlainTable(t.GetHeaders()) }, Extra: true},
}

func (a *app) traceCommand() *cobra.Command {
	return a.single(verb{
		use: "trace", short: "Follow messages live: publish, route, enqueue, commit, deliver, ack, dead-letter",
		columns: traceColumns.Names(),
		long: "trace follows the messages that pass the filter on all nodes, in all virtual hosts or in that of --vhost. It sees what happens\n" +
			"while it runs. A reader that is too slow is cut off: filter more closely then.",
		example: "brokerctl trace --exchange events --key '^order\\.' --for 100ms\n" +
			"brokerctl trace --message-id 42 --for 100ms --output json",
		flags: func(fs *pflag.FlagSet) {
			messageFilterFlags(fs, false)
			fs.String("exchange", "", "only messages published to this exchange (--exchange '' for the default one)")
			fs.String("queue", "", "only messages of this queue")
			watchFlags(fs)
		},
		run: func(c *call) error {
			filter, err := c.messageFilter()
			if err != nil {
				return err
			}
			r := &adminv1.TraceMessagesRequest{Vhost: c.chosenVHost(), Filter: filter, Queue: c.text("queue")}
			if c.changed("exchange") {
				exchange := c.text("exchange")
				r.Exchange = &exchange
			}
			return follow(c, traceColumns, func(ctx context.Context) (func() (*adminv1.TraceMessagesResponse, error), error) {
				stream, err := adminv1.NewMessageServiceClient(c.conn).TraceMessages(ctx, r)
				if err != nil {
					return nil, err
				}
				return stream.Recv, nil
			})
		},
	})
}
