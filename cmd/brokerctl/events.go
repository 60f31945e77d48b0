package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

var eventColumns = output.Columns[*adminv1.WatchEventsResponse]{
	{Name: "time", Get: func(e *adminv1.WatchEventsResponse) any { return moment(e.GetTime()) }},
	{Name: "node", Get: func(e *adminv1.WatchEventsResponse) any { return e.GetNode() }},
	{Name: "event", Get: func(e *adminv1.WatchEventsResponse) any { return e.GetName() }},
	{Name: "details", Get: func(e *adminv1.WatchEventsResponse) any { return ctl.PlainTable(e.GetDetails()) }},
}

func (c *call) watches() adminv1.WatchServiceClient { return adminv1.NewWatchServiceClient(c.conn) }

func (a *app) eventsCommand() *cobra.Command {
	return a.single(verb{
		use: "events [PATTERN...]", short: "Watch what happens: queues declared, connections closed and so on",
		columns: eventColumns.Names(),
		long: "events prints what happens on all nodes, in all virtual hosts or in that of --vhost. Patterns are as of a topic exchange:\n" +
			"queue.* or #.deleted.",
		example: "brokerctl events --for 100ms\nbrokerctl events 'queue.*' 'user.#' --for 100ms --output json",
		args:    cobra.ArbitraryArgs, flags: watchFlags,
		run: func(c *call) error {
			return follow(c, eventColumns, func(ctx context.Context) (func() (*adminv1.WatchEventsResponse, error), error) {
				stream, err := c.watches().WatchEvents(ctx, &adminv1.WatchEventsRequest{Patterns: c.args, Vhost: c.chosenVHost()})
				if err != nil {
					return nil, err
				}
				return stream.Recv, nil
			})
		},
	})
}

var logColumns = output.Columns[*adminv1.WatchLogsResponse]{
	{Name: "time", Get: func(l *adminv1.WatchLogsResponse) any { return moment(l.GetTime()) }},
	{Name: "node", Get: func(l *adminv1.WatchLogsResponse) any { return l.GetNode() }},
	{Name: "level", Get: func(l *adminv1.WatchLogsResponse) any { return l.GetLevel() }},
	{Name: "message", Get: func(l *adminv1.WatchLogsResponse) any { return l.GetMessage() }},
	{Name: "attributes", Get: func(l *adminv1.WatchLogsResponse) any {
		o := output.Object{}
		for _, a := range l.GetAttributes() {
			o = append(o, output.Member{Name: a.GetKey(), Value: a.GetValue()})
		}
		return o
	}},
}

func (a *app) logsCommand() *cobra.Command {
	return a.single(verb{
		use: "logs", short: "Show the last lines of the logs, and follow them",
		columns: logColumns.Names(),
		example: "brokerctl logs --tail 20\nbrokerctl logs --level warn --follow --for 100ms",
		flags: func(fs *pflag.FlagSet) {
			fs.Uint64("tail", 50, "lines of the past, at most 1000")
			fs.String("level", "info", "least level: debug, info, warn or error")
			fs.BoolP("follow", "f", false, "go on with new lines")
			fs.Bool("local", false, "only of the node that is asked")
			watchFlags(fs)
		},
		run: func(c *call) error {
			tail, err := c.bounded("tail", 1000)
			if err != nil {
				return err
			}
			return follow(c, logColumns, func(ctx context.Context) (func() (*adminv1.WatchLogsResponse, error), error) {
				stream, err := c.watches().WatchLogs(ctx, &adminv1.WatchLogsRequest{Level: c.text("level"), Tail: tail,
					NoFollow: !c.bool("follow"), LocalOnly: c.bool("local")})
				if err != nil {
					return nil, err
				}
				return stream.Recv, nil
			})
		},
	})
}
