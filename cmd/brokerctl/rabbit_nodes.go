package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
)

// Bounds of await_startup: what rabbitmqctl waits, and how often a node is asked.
const (
	awaitTimeout  = 5 * time.Minute
	awaitInterval = 200 * time.Millisecond
)

func (a *app) rabbitNodes() []*cobra.Command {
	health := func(local bool) func(*call, []string) error {
		return func(c *call, _ []string) error {
			r, err := c.diagnostics().CheckHealth(c.ctx, &adminv1.CheckHealthRequest{LocalOnly: local})
			if err != nil {
				return err
			}
			return unhealthy(r)
		}
	}
	commands := []*cobra.Command{
		a.change("cluster_status", "cluster status", "brokerctl cluster_status", "Cluster status ...", nil, func(c *call, _ []string) error {
			s, err := c.cluster().GetClusterStatus(c.ctx, &adminv1.GetClusterStatusRequest{})
			if err != nil {
				return err
			}
			c.forPeople()
			return c.show(clusterObject(s, c.format))
		}),
		a.change("join_cluster", "cluster join", "brokerctl join_cluster node1:7672", "Clustering with %s ...", []string{"ADDRESS"}, func(c *call, args []string) error {
			_, err := c.cluster().JoinCluster(c.long(), &adminv1.JoinClusterRequest{Address: args[0]})
			return err
		}),
		a.change("forget_cluster_node", "cluster remove", "brokerctl forget_cluster_node node3", "Removing node %s from the cluster ...", []string{"NODE"}, func(c *call, args []string) error {
			_, err := c.removeNode(args[0], c.bool("force"))
			return err
		}, func(fs *pflag.FlagSet) { fs.Bool("force", false, "although it leads durable queues, which are lost") }),
		a.change("ping", "answers if the node does", "brokerctl ping", "Will ping the node ...", nil, func(c *call, _ []string) error {
			if _, err := c.users().GetCurrentUser(c.ctx, &adminv1.GetCurrentUserRequest{}); err != nil {
				return err
			}
			return c.say("Ping succeeded")
		}),
		a.change("environment", "nodes environment", "brokerctl environment", "Application environment of the node ...", nil, func(c *call, _ []string) error {
			return list(c, settingColumns, func(string) (page[*adminv1.Setting], error) {
				r, err := c.nodes().GetEnvironment(c.ctx, &adminv1.GetEnvironmentRequest{})
				return page[*adminv1.Setting]{items: r.GetSettings()}, err
			})
		}),
	}
	for _, name := range []string{"node_health_check", "check_running", "check_local_alarms", "check_virtual_hosts"} {
		commands = append(commands, a.change(name, "health --local", "brokerctl "+name, "Checking the health of the node ...", nil, health(true)))
	}
	commands = append(commands, a.change("check_alarms", "health", "brokerctl check_alarms", "Checking the health of the cluster ...", nil, health(false)))
	for _, name := range []string{"await_startup", "wait", "await_online_nodes"} {
		commands = append(commands, a.awaitStartup(name))
	}
	return commands
}

// awaitStartup makes a command that waits until the node serves. The arguments of wait (a pid file) and await_online_nodes (a number)
// do not matter to a node that starts only once.
func (a *app) awaitStartup(name string) *cobra.Command {
	cmd := a.rabbit(rabbitVerb{use: name, short: "wait until the node serves clients", example: "brokerctl " + name + " --timeout 60", args: cobra.MaximumNArgs(1)})
	healthy := a.connected(func(c *call) error {
		r, err := c.diagnostics().CheckHealth(c.ctx, &adminv1.CheckHealthRequest{LocalOnly: true})
		if err != nil {
			return err
		}
		return unhealthy(r)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		timeout := time.Duration(a.timeout)
		if timeout == 0 {
			timeout = awaitTimeout
		}
		a.timeout = 0
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ticker := time.NewTicker(awaitInterval)
		defer ticker.Stop()
		for {
			err := healthy(cmd, args)
			if code := exitCode(err); code != ctl.ExitUnavailable && code != ctl.ExitTemporary {
				return err
			}
			select {
			case <-ctx.Done():
				return ctl.Problemf(ctl.ExitTemporary, "the node does not serve after %v: %w", timeout, err)
			case <-ticker.C:
			}
		}
	}
	return cmd
}
