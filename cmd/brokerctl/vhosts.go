package main

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) vhostsCommand() *cobra.Command {
	return a.noun("vhosts", "vhost", "Virtual hosts",
		a.vhostsList(), a.vhostsShow(), a.vhostsCreate(), a.vhostsSet(), a.vhostsDelete())
}

var vhostColumns = output.Columns[*adminv1.VHost]{
	{Name: "name", Get: func(v *adminv1.VHost) any { return v.GetName() }},
	{Name: "description", Get: func(v *adminv1.VHost) any { return v.GetDescription() }},
	{Name: "tags", Get: func(v *adminv1.VHost) any { return v.GetTags() }, Extra: true},
	{Name: "default_queue_type", Get: func(v *adminv1.VHost) any { return v.GetDefaultQueueType() }, Extra: true},
	{Name: "tracing", Get: func(v *adminv1.VHost) any { return v.GetTracing() }},
	{Name: "protected", Get: func(v *adminv1.VHost) any { return v.GetProtected() }},
	{Name: "queues", Get: func(v *adminv1.VHost) any { return v.GetQueues() }},
	{Name: "messages", Get: func(v *adminv1.VHost) any { return v.GetMessagesReady() + v.GetMessagesUnacknowledged() }},
	{Name: "messages_ready", Get: func(v *adminv1.VHost) any { return v.GetMessagesReady() }, Extra: true},
	{Name: "messages_unacknowledged", Get: func(v *adminv1.VHost) any { return v.GetMessagesUnacknowledged() }, Extra: true},
	{Name: "connections", Get: func(v *adminv1.VHost) any { return v.GetConnections() }},
}

func (c *call) vhosts() adminv1.VHostServiceClient { return adminv1.NewVHostServiceClient(c.conn) }

// vhostPages lists virtual hosts; request is changed.
func (c *call) vhostPages(request *adminv1.ListVHostsRequest) fetcher[*adminv1.VHost] {
	return func(token string) (page[*adminv1.VHost], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.vhosts().ListVHosts(c.ctx, request)
		return page[*adminv1.VHost]{r.GetVhosts(), r.GetNextPageToken(), r.GetUnreachableNodes()}, err
	}
}

func (a *app) vhostsList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List virtual hosts",
		columns: vhostColumns.Names(),
		example: "brokerctl vhosts list\nbrokerctl vhosts list --columns name,queues,messages",
		flags:   func(fs *pflag.FlagSet) { filterFlags(fs, "name") },
		run: func(c *call) error {
			return list(c, vhostColumns, c.vhostPages(&adminv1.ListVHostsRequest{NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}))
		},
	})
}

func (a *app) vhostsShow() *cobra.Command {
	return a.verb(verb{
		use: "show NAME", aliases: []string{"describe"}, short: "Show a virtual host",
		example: "brokerctl vhosts show /\nbrokerctl vhosts show --name / --output json",
		args:    atMost(1, "one name"), complete: completeVHosts,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "virtual host") },
		run: func(c *call) error {
			name, err := c.name("virtual host")
			if err != nil {
				return err
			}
			return c.repeat(func(w io.Writer) error {
				r, err := c.vhosts().GetVHost(c.ctx, &adminv1.GetVHostRequest{Name: name})
				if err != nil {
					return err
				}
				c.warnUnreachable(r.GetUnreachableNodes())
				return c.showIn(w, vhostColumns.Object(r.GetVhost()))
			})
		},
	})
}

func vhostFlags(fs *pflag.FlagSet) {
	nameFlag(fs, "virtual host")
	fs.String("description", "", "what it is for")
	fs.StringSlice("tags", nil, "words to sort virtual hosts by (a,b,c)")
	fs.String("default-queue-type", "", "type of queues that are declared without one")
	fs.Bool("tracing", false, "copy messages to amq.rabbitmq.trace")
	fs.Bool("protected", false, "protect it from deletion")
}

// changeVHost puts the flags that are given into v.
func (c *call) changeVHost(v *adminv1.VHost) {
	if c.changed("description") {
		v.Description = c.text("description")
	}
	if c.changed("tags") {
		v.Tags, _ = c.cmd.Flags().GetStringSlice("tags")
	}
	if c.changed("default-queue-type") {
		v.DefaultQueueType = c.text("default-queue-type")
	}
	if c.changed("tracing") {
		v.Tracing = c.bool("tracing")
	}
	if c.changed("protected") {
		v.Protected = c.bool("protected")
	}
}

func (a *app) vhostsCreate() *cobra.Command {
	return a.verb(verb{
		use: "create NAME", aliases: []string{"add", "declare"}, short: "Create a virtual host",
		long:    "create creates a virtual host. A user who creates one gets all permissions in it.",
		example: "brokerctl vhosts create staging --description 'for tests' --tags test,small",
		args:    atMost(1, "one name"),
		flags:   vhostFlags,
		run: func(c *call) error {
			name, err := c.name("virtual host")
			if err != nil {
				return err
			}
			v := &adminv1.VHost{Name: name}
			c.changeVHost(v)
			if err := c.putVHost(v, adminv1.PutMode_PUT_MODE_CREATE); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "created", Value: true}}, "created virtual host %q", name)
		},
	})
}

func (c *call) putVHost(v *adminv1.VHost, mode adminv1.PutMode) error {
	_, err := c.vhosts().PutVHost(c.ctx, &adminv1.PutVHostRequest{Vhost: v, Mode: mode})
	return err
}

func (a *app) vhostsSet() *cobra.Command {
	return a.verb(verb{
		use: "set NAME", aliases: []string{"update"}, short: "Change properties of a virtual host",
		example: "brokerctl vhosts set / --description 'the first one'\nbrokerctl vhosts set / --tracing=false --protected=false",
		args:    atMost(1, "one name"), complete: completeVHosts,
		flags: vhostFlags,
		run: func(c *call) error {
			name, err := c.name("virtual host")
			if err != nil {
				return err
			}
			if err := c.updateVHost(name, c.changeVHost); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}}, "changed virtual host %q", name)
		},
	})
}

// updateVHost changes a virtual host that is there.
func (c *call) updateVHost(name string, change func(*adminv1.VHost)) error {
	r, err := c.vhosts().GetVHost(c.ctx, &adminv1.GetVHostRequest{Name: name})
	if err != nil {
		return err
	}
	old := r.GetVhost()
	v := &adminv1.VHost{Name: old.GetName(), Description: old.GetDescription(), Tags: old.GetTags(),
		DefaultQueueType: old.GetDefaultQueueType(), Tracing: old.GetTracing(), Protected: old.GetProtected()}
	change(v)
	return c.putVHost(v, adminv1.PutMode_PUT_MODE_UPDATE)
}

func (a *app) vhostsDelete() *cobra.Command {
	return a.verb(verb{
		use: "delete NAME", aliases: []string{"rm"}, short: "Delete a virtual host with everything in it",
		long:    "delete deletes a virtual host with its queues, messages and permissions, and closes its connections.",
		example: "brokerctl vhosts delete old --yes",
		args:    atMost(1, "one name"), complete: completeVHosts,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "virtual host") },
		run: func(c *call) error {
			name, err := c.name("virtual host")
			if err != nil {
				return err
			}
			if err := c.confirm("Delete virtual host %q with all its queues and messages", name); err != nil {
				return err
			}
			if err := c.deleteVHost(name); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}}, "deleted virtual host %q", name)
		},
	})
}

func (c *call) deleteVHost(name string) error {
	_, err := c.vhosts().DeleteVHost(c.long(), &adminv1.DeleteVHostRequest{Name: name})
	return err
}
