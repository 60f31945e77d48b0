package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) nodesCommand() *cobra.Command {
	return a.noun("nodes", "node", "Single nodes: figures, configuration, maintenance",
		a.nodesList(), a.nodesShow(), a.nodesDrain(), a.nodesResume(), a.nodesEnvironment())
}

var nodeColumns = output.Columns[*adminv1.Node]{
	{Name: "name", Get: func(n *adminv1.Node) any { return n.GetName() }},
	{Name: "state", Get: func(n *adminv1.Node) any { return enum(n.GetState().String(), "NODE_STATE_") }},
	{Name: "leader", Get: func(n *adminv1.Node) any { return n.GetLeader() }},
	{Name: "voter", Get: func(n *adminv1.Node) any { return n.GetVoter() }, Extra: true},
	{Name: "asked", Get: func(n *adminv1.Node) any { return n.GetAsked() }, Extra: true},
	{Name: "queues", Get: func(n *adminv1.Node) any { return n.GetQueues() }},
	{Name: "release", Get: func(n *adminv1.Node) any { return n.GetRelease() }},
	{Name: "runs", Get: func(n *adminv1.Node) any { return n.GetRuns() }, Extra: true},
	{Name: "address", Get: func(n *adminv1.Node) any { return n.GetAddress() }},
	{Name: "amqp_addresses", Get: func(n *adminv1.Node) any { return n.GetAmqpAddresses() }},
	{Name: "admin_address", Get: func(n *adminv1.Node) any { return n.GetAdminAddress() }, Extra: true},
	{Name: "http_address", Get: func(n *adminv1.Node) any { return n.GetHttpAddress() }, Extra: true},
	{Name: "id", Get: func(n *adminv1.Node) any { return n.GetId() }, Extra: true},
}

func (c *call) nodes() adminv1.NodeServiceClient { return adminv1.NewNodeServiceClient(c.conn) }

func (a *app) nodesList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List the nodes that the cluster knows",
		columns: nodeColumns.Names(),
		example: "brokerctl nodes list\nbrokerctl nodes list --columns name,state,id",
		flags:   func(fs *pflag.FlagSet) { filterFlags(fs, "name") },
		run: func(c *call) error {
			r := &adminv1.ListNodesRequest{PageSize: pageSize, NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}
			return list(c, nodeColumns, func(token string) (page[*adminv1.Node], error) {
				r.PageToken = token
				answer, err := c.cluster().ListNodes(c.ctx, r)
				return page[*adminv1.Node]{items: answer.GetNodes(), next: answer.GetNextPageToken()}, err
			})
		},
	})
}

// nodeStatusObject shows what a node uses and does.
func nodeStatusObject(s *adminv1.GetNodeStatusResponse) output.Object {
	u := s.GetUsage()
	var listeners []output.Object
	for _, l := range s.GetListeners() {
		listeners = append(listeners, output.Object{{Name: "protocol", Value: l.GetProtocol()}, {Name: "address", Value: l.GetAddress()}})
	}
	return append(nodeColumns.Object(s.GetNode()), output.Object{
		{Name: "started", Value: moment(s.GetStarted())},
		{Name: "uptime_seconds", Value: int64(s.GetUptime().AsDuration().Seconds())},
		{Name: "platform", Value: s.GetPlatform()},
		{Name: "pid", Value: s.GetPid()},
		{Name: "data_dir", Value: s.GetDataDir()},
		{Name: "messages_ready", Value: s.GetMessagesReady()},
		{Name: "messages_unacknowledged", Value: s.GetMessagesUnacknowledged()},
		{Name: "memory_used", Value: u.GetMemoryUsedBytes()},
		{Name: "memory_limit", Value: u.GetMemoryLimitBytes()},
		{Name: "message_memory", Value: u.GetMessageMemoryBytes()},
		{Name: "disk_free", Value: u.GetDiskFreeBytes()},
		{Name: "disk_min_free", Value: u.GetDiskMinFreeBytes()},
		{Name: "store", Value: u.GetStoreBytes()},
		{Name: "fds_used", Value: u.GetFdsUsed()},
		{Name: "fds_limit", Value: u.GetFdsLimit()},
		{Name: "goroutines", Value: u.GetGoroutines()},
		{Name: "processors", Value: u.GetProcessors()},
		{Name: "objects", Value: countObject(s.GetObjects())},
		{Name: "messages", Value: countsObject(s.GetMessages())},
		{Name: "listeners", Value: listeners},
		{Name: "alarms", Value: alarmObjects(s.GetAlarms())},
	}...)
}

func (a *app) nodesShow() *cobra.Command {
	return a.verb(verb{
		use: "show [NODE]", short: "Show what a node uses and does (the one that is asked)",
		example: "brokerctl nodes show\nbrokerctl nodes show --output json",
		args:    atMost(1, "one node"), complete: completeNodes,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "node") },
		run: func(c *call) error {
			name, err := c.optionalName()
			if err != nil {
				return err
			}
			return c.repeat(func(w io.Writer) error {
				s, err := c.nodes().GetNodeStatus(c.ctx, &adminv1.GetNodeStatusRequest{Node: name})
				if err != nil {
					return err
				}
				return c.showIn(w, nodeStatusObject(s))
			})
		},
	})
}

// nodeText names a node in a sentence.
func (c *call) nodeText(name string) string {
	if name == "" {
		return "the node at " + c.target.String()
	}
	return fmt.Sprintf("node %q", name)
}

func (a *app) nodesDrain() *cobra.Command {
	return a.verb(verb{
		use: "drain [NODE]", short: "Put a node into maintenance",
		long: "drain makes a node (the one that is asked) take no new clients and queues, moves its queues to other nodes and sends its\n" +
			"clients away. nodes resume, or a restart, ends the maintenance.",
		example: "brokerctl nodes drain node1 --yes",
		args:    atMost(1, "one node"), complete: completeNodes,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "node")
			fs.Bool("keep-queues", false, "leave the queues where they are")
		},
		run: func(c *call) error {
			name, err := c.optionalName()
			if err != nil {
				return err
			}
			if err := c.confirm("Put %s into maintenance and send its clients away", c.nodeText(name)); err != nil {
				return err
			}
			ctx, cancel := c.bounds()
			defer cancel()
			stream, err := c.nodes().DrainNode(ctx, &adminv1.DrainNodeRequest{Node: name, KeepQueues: c.bool("keep-queues")})
			if err != nil {
				return err
			}
			bar := c.progress("drain")
			defer bar.clear()
			steps := output.NewList(c.out, c.format, []string{"step"}, false)
			for {
				step, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					bar.clear()
					return writeProblem(steps.Close())
				}
				if err != nil {
					return errors.Join(err, steps.Flush())
				}
				bar.clear()
				if err := steps.Row([]any{step.GetStep()}); err != nil {
					return writeProblem(err)
				}
				if err := steps.Flush(); err != nil {
					return writeProblem(err)
				}
				bar.at(step.GetDone(), step.GetTotal())
			}
		},
	})
}

func (a *app) nodesResume() *cobra.Command {
	return a.verb(verb{
		use: "resume [NODE]", short: "End the maintenance of a node",
		example: "brokerctl nodes resume node1",
		args:    atMost(1, "one node"), complete: completeNodes,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "node") },
		run: func(c *call) error {
			name, err := c.optionalName()
			if err != nil {
				return err
			}
			if _, err := c.nodes().ResumeNode(c.ctx, &adminv1.ResumeNodeRequest{Node: name}); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "node", Value: name}}, "%s takes clients and queues again", c.nodeText(name))
		},
	})
}

var settingColumns = output.Columns[*adminv1.Setting]{
	{Name: "key", Get: func(s *adminv1.Setting) any { return s.GetKey() }},
	{Name: "value", Get: func(s *adminv1.Setting) any { return s.GetValue() }},
	{Name: "default", Get: func(s *adminv1.Setting) any { return s.GetDefaultValue() }},
	{Name: "help", Get: func(s *adminv1.Setting) any { return s.GetHelp() }, Extra: true},
}

func (a *app) nodesEnvironment() *cobra.Command {
	return a.verb(verb{
		use: "environment [NODE]", aliases: []string{"env"}, short: "Show the configuration that a node runs with, without secrets",
		columns: settingColumns.Names(),
		example: "brokerctl nodes environment --columns key,value",
		args:    atMost(1, "one node"), complete: completeNodes,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "node") },
		run: func(c *call) error {
			name, err := c.optionalName()
			if err != nil {
				return err
			}
			return list(c, settingColumns, func(string) (page[*adminv1.Setting], error) {
				r, err := c.nodes().GetEnvironment(c.ctx, &adminv1.GetEnvironmentRequest{Node: name})
				return page[*adminv1.Setting]{items: r.GetSettings()}, err
			})
		},
	})
}
