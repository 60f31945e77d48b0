package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) clusterCommand() *cobra.Command {
	return a.noun("cluster", "", "The nodes that make the cluster",
		a.clusterStatus(), a.clusterJoin(), a.clusterLeave(), a.clusterRemove(), a.clusterRebalance(), a.clusterTransferLeader())
}

func (c *call) cluster() adminv1.ClusterServiceClient {
	return adminv1.NewClusterServiceClient(c.conn)
}

func countObject(o *adminv1.ObjectCounts) output.Object {
	return output.Object{
		{Name: "vhosts", Value: o.GetVhosts()},
		{Name: "users", Value: o.GetUsers()},
		{Name: "exchanges", Value: o.GetExchanges()},
		{Name: "queues", Value: o.GetQueues()},
		{Name: "bindings", Value: o.GetBindings()},
		{Name: "connections", Value: o.GetConnections()},
		{Name: "channels", Value: o.GetChannels()},
		{Name: "consumers", Value: o.GetConsumers()},
	}
}

func alarmObjects(alarms []*adminv1.Alarm) []output.Object {
	var list []output.Object
	for _, a := range alarms {
		list = append(list, output.Object{{Name: "node", Value: a.GetNode()}, {Name: "resource", Value: a.GetResource()},
			{Name: "text", Value: a.GetText()}})
	}
	return list
}

func (a *app) clusterStatus() *cobra.Command {
	return a.verb(verb{
		use: "status", short: "Show the nodes of the cluster, its objects and alarms",
		example: "brokerctl cluster status\nbrokerctl cluster status --output json",
		run: func(c *call) error {
			return c.repeat(func(w io.Writer) error {
				s, err := c.cluster().GetClusterStatus(c.ctx, &adminv1.GetClusterStatusRequest{})
				if err != nil {
					return err
				}
				c.warnUnreachable(s.GetUnreachableNodes())
				return c.showIn(w, clusterObject(s, c.format))
			})
		},
	})
}

// clusterObject shows the state of the cluster; a table leaves out the less interesting columns of the nodes.
func clusterObject(s *adminv1.GetClusterStatusResponse, format output.Format) output.Object {
	columns := nodeColumns
	if format == output.Table {
		columns, _ = nodeColumns.Select(nil, format) // without names nothing can be wrong
	}
	leader := s.GetLeader()
	var nodes []output.Object
	for _, n := range s.GetNodes() {
		nodes = append(nodes, columns.Object(n))
		if n.GetId() == leader {
			leader = n.GetName()
		}
	}
	return output.Object{
		{Name: "cluster_name", Value: s.GetClusterName()},
		{Name: "cluster_id", Value: s.GetClusterId()},
		{Name: "leader", Value: leader},
		{Name: "metadata_index", Value: s.GetMetadataIndex()},
		{Name: "objects", Value: countObject(s.GetObjects())},
		{Name: "nodes", Value: nodes},
		{Name: "alarms", Value: alarmObjects(s.GetAlarms())},
	}
}

func (a *app) clusterJoin() *cobra.Command {
	return a.verb(verb{
		use: "join ADDRESS", short: "Make the node that is asked a member of another cluster",
		long:    "join makes the node that is asked a member of the cluster of another node, whose cluster address is given. The node must be empty.",
		example: "brokerctl cluster join node1:7672 --yes",
		args:    atMost(1, "one address"),
		run: func(c *call) error {
			if len(c.args) == 0 {
				return usagef("name the cluster address (host:port) of a member: %s ADDRESS", c.cmd.CommandPath())
			}
			r, err := c.cluster().JoinCluster(c.long(), &adminv1.JoinClusterRequest{Address: c.args[0]})
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "members", Value: r.GetMembers()}}, "joined; the cluster has %d members now", len(r.GetMembers()))
		},
	})
}

func (a *app) clusterLeave() *cobra.Command {
	return a.verb(verb{
		use: "leave", short: "Take the node that is asked out of its cluster in order",
		long:    "leave moves the queues of the node that is asked to other nodes and takes it out of the cluster.",
		example: "brokerctl cluster leave --yes",
		flags: func(fs *pflag.FlagSet) {
			fs.Bool("force", false, "even if queues that no other node can take are lost")
		},
		run: func(c *call) error {
			if err := c.confirm("Take the node at %s out of its cluster", c.target); err != nil {
				return err
			}
			r, err := c.cluster().LeaveCluster(c.long(), &adminv1.LeaveClusterRequest{Force: c.bool("force")})
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "queues_moved", Value: r.GetQueuesMoved()}}, "left the cluster; %d queues moved to other nodes", r.GetQueuesMoved())
		},
	})
}

func (a *app) clusterRemove() *cobra.Command {
	return a.verb(verb{
		use: "remove NODE", aliases: []string{"forget"}, short: "Take another node out of the cluster that will not come back",
		example: "brokerctl cluster remove node3 --yes",
		args:    atMost(1, "one node"), complete: completeNodes,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "node")
			fs.Bool("force", false, "although it leads durable queues; they and their messages are lost")
		},
		run: func(c *call) error {
			name, err := c.name("node")
			if err != nil {
				return err
			}
			if err := c.confirm("Remove node %q from the cluster for good", name); err != nil {
				return err
			}
			lost, err := c.removeNode(name, c.bool("force"))
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "node", Value: name}, {Name: "queues_lost", Value: lost}}, "removed node %q; %d queues went with it", name, lost)
		},
	})
}

func (c *call) removeNode(name string, force bool) (lost uint64, _ error) {
	r, err := c.cluster().RemoveNode(c.long(), &adminv1.RemoveNodeRequest{Node: name, Force: force})
	return r.GetQueuesLost(), err
}

var moveColumns = output.Columns[*adminv1.RebalanceQueuesResponse]{
	{Name: "queue", Get: func(m *adminv1.RebalanceQueuesResponse) any { return m.GetQueue() }},
	{Name: "vhost", Get: func(m *adminv1.RebalanceQueuesResponse) any { return m.GetVhost() }},
	{Name: "from", Get: func(m *adminv1.RebalanceQueuesResponse) any { return m.GetFrom() }},
	{Name: "to", Get: func(m *adminv1.RebalanceQueuesResponse) any { return m.GetTo() }},
	{Name: "error", Get: func(m *adminv1.RebalanceQueuesResponse) any { return m.GetError() }},
}

func (a *app) clusterRebalance() *cobra.Command {
	return a.verb(verb{
		use: "rebalance", short: "Spread the leaders of the queues over the nodes",
		columns: moveColumns.Names(),
		long: "rebalance moves queues one at a time, the shortest first, until all nodes lead about as many. It prints a line for each. Only\n" +
			"the queues of --vhost move if that is given. The exit code is 75 if a queue could not be moved.",
		example: "brokerctl cluster rebalance --dry-run\nbrokerctl cluster rebalance --regex '^orders' --vhost /",
		flags: func(fs *pflag.FlagSet) {
			fs.String("regex", "", "only queues whose name matches this regular expression (RE2)")
			fs.Bool("dry-run", false, "only tell what would be done")
		},
		run: func(c *call) error {
			selected, err := moveColumns.Select(c.columns, c.format)
			if err != nil {
				return &usageError{err}
			}
			ctx, cancel := c.bounds()
			defer cancel()
			stream, err := c.cluster().RebalanceQueues(ctx, &adminv1.RebalanceQueuesRequest{Vhost: c.chosenVHost(),
				NameRegex: c.text("regex"), DryRun: c.bool("dry-run")})
			if err != nil {
				return err
			}
			l := output.NewList(c.out, c.format, selected.Names(), !c.noHeaders)
			bar := c.progress("rebalance")
			defer bar.clear()
			failed := 0
			for {
				move, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return errors.Join(err, l.Flush())
				}
				if move.GetError() != "" {
					failed++
				}
				bar.clear()
				if err := l.Row(selected.Values(move)); err != nil {
					return writeProblem(err)
				}
				bar.at(move.GetDone(), move.GetTotal())
			}
			bar.clear()
			if err := l.Close(); err != nil {
				return writeProblem(err)
			}
			if failed > 0 {
				return ctl.Problemf(ctl.ExitTemporary, "%d queues could not be moved; they stay where they are", failed)
			}
			return nil
		},
	})
}

func (a *app) clusterTransferLeader() *cobra.Command {
	return a.verb(verb{
		use: "transfer-leader [NODE]", short: "Hand the leadership of the metadata to another node",
		example: "brokerctl cluster transfer-leader node2",
		args:    atMost(1, "one node"), complete: completeNodes,
		flags: func(fs *pflag.FlagSet) { fs.String("name", "", "name or id of the new leader (the cluster chooses)") },
		run: func(c *call) error {
			name, err := c.optionalName()
			if err != nil {
				return err
			}
			r, err := c.cluster().TransferLeader(c.ctx, &adminv1.TransferLeaderRequest{Node: name})
			if err != nil {
				return err
			}
			o := output.Object{{Name: "leader", Value: r.GetLeader()}}
			if r.GetLeader() == "" {
				return c.done(o, "the leader has stepped down; another is being elected")
			}
			return c.done(o, "%s leads the metadata now", r.GetLeader())
		},
	})
}
