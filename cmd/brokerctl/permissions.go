package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) permissionsCommand() *cobra.Command {
	return a.noun("permissions", "permission", "What users may do in virtual hosts",
		a.permissionsList(), a.permissionsSet(), a.permissionsClear(), a.topicCommand())
}

func (a *app) topicCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "topic", Short: "Which routing keys users may use on topic exchanges", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.topicList(), a.topicSet(), a.topicClear())
	return cmd
}

var permissionColumns = output.Columns[*adminv1.Permission]{
	{Name: "user", Get: func(p *adminv1.Permission) any { return p.GetUser() }},
	{Name: "vhost", Get: func(p *adminv1.Permission) any { return p.GetVhost() }},
	{Name: "configure", Get: func(p *adminv1.Permission) any { return p.GetConfigure() }},
	{Name: "write", Get: func(p *adminv1.Permission) any { return p.GetWrite() }},
	{Name: "read", Get: func(p *adminv1.Permission) any { return p.GetRead() }},
}

var topicPermissionColumns = output.Columns[*adminv1.TopicPermission]{
	{Name: "user", Get: func(p *adminv1.TopicPermission) any { return p.GetUser() }},
	{Name: "vhost", Get: func(p *adminv1.TopicPermission) any { return p.GetVhost() }},
	{Name: "exchange", Get: func(p *adminv1.TopicPermission) any { return p.GetExchange() }},
	{Name: "write", Get: func(p *adminv1.TopicPermission) any { return p.GetWrite() }},
	{Name: "read", Get: func(p *adminv1.TopicPermission) any { return p.GetRead() }},
}

func (c *call) permissions() adminv1.PermissionServiceClient {
	return adminv1.NewPermissionServiceClient(c.conn)
}

// permissionPages lists permissions; request is changed.
func (c *call) permissionPages(request *adminv1.ListPermissionsRequest) fetcher[*adminv1.Permission] {
	return func(token string) (page[*adminv1.Permission], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.permissions().ListPermissions(c.ctx, request)
		return page[*adminv1.Permission]{items: r.GetPermissions(), next: r.GetNextPageToken()}, err
	}
}

// topicPermissionPages lists topic permissions; request is changed.
func (c *call) topicPermissionPages(request *adminv1.ListTopicPermissionsRequest) fetcher[*adminv1.TopicPermission] {
	return func(token string) (page[*adminv1.TopicPermission], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.permissions().ListTopicPermissions(c.ctx, request)
		return page[*adminv1.TopicPermission]{items: r.GetPermissions(), next: r.GetNextPageToken()}, err
	}
}

// userFlag adds the flag for the user whose login is not meant by --user.
func userFlag(fs *pflag.FlagSet) {
	fs.String("name", "", "name of the user (or as an argument)")
}

func (a *app) permissionsList() *cobra.Command {
	return a.verb(verb{
		use: "list [USER]", aliases: []string{"ls"}, short: "List permissions in all virtual hosts, or in one with --vhost",
		columns: permissionColumns.Names(),
		example: "brokerctl permissions list\nbrokerctl permissions list guest --vhost / --output json",
		args:    atMost(1, "one user"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			userFlag(fs)
			filterFlags(fs, "user")
		},
		run: func(c *call) error {
			user, err := c.optionalName()
			if err != nil {
				return err
			}
			return list(c, permissionColumns, c.permissionPages(&adminv1.ListPermissionsRequest{Vhost: c.chosenVHost(), User: user,
				NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}))
		},
	})
}

// anything is the permission that allows everything.
const anything = ".*"

func (a *app) permissionsSet() *cobra.Command {
	return a.verb(verb{
		use: "set USER [CONFIGURE WRITE READ]", short: "Set the permissions of a user in a virtual host",
		long: "set sets regular expressions on names: of what the user may declare and delete (configure), publish to and bind (write), and\n" +
			"consume and bind from (read). An empty one allows nothing.",
		example: "brokerctl permissions set app '^app\\.' '^(app\\.|events$)' '^app\\.'\n" +
			"brokerctl permissions set --name app --vhost / --configure '' --write '.*' --read '.*'",
		args: atMost(4, "a user and three expressions"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			userFlag(fs)
			fs.String("configure", anything, "what the user may declare and delete")
			fs.String("write", anything, "what the user may publish to and bind")
			fs.String("read", anything, "what the user may consume and bind from")
		},
		run: func(c *call) error {
			p := &adminv1.Permission{Vhost: c.vhost, Configure: c.text("configure"), Write: c.text("write"), Read: c.text("read")}
			args := c.args
			if p.User = c.text("name"); p.User == "" {
				if len(args) == 0 {
					return usagef("name the user: %s USER [CONFIGURE WRITE READ]", c.cmd.CommandPath())
				}
				p.User, args = args[0], args[1:]
			}
			switch len(args) {
			case 0:
			case 3:
				if c.changed("configure") || c.changed("write") || c.changed("read") {
					return usagef("the expressions are given as arguments and as flags; use one of these")
				}
				p.Configure, p.Write, p.Read = args[0], args[1], args[2]
			default:
				return usagef("give three expressions (CONFIGURE WRITE READ), not %d", len(args))
			}
			if err := c.setPermission(p); err != nil {
				return err
			}
			return c.done(permissionColumns.Object(p), "set the permissions of user %q in virtual host %q", p.User, p.Vhost)
		},
	})
}

func (c *call) setPermission(p *adminv1.Permission) error {
	_, err := c.permissions().SetPermission(c.ctx, &adminv1.SetPermissionRequest{Permission: p})
	return err
}

func (a *app) permissionsClear() *cobra.Command {
	return a.verb(verb{
		use: "clear USER", short: "Take the permissions of a user in a virtual host away",
		example: "brokerctl permissions clear app --vhost /",
		args:    atMost(1, "one user"), complete: completeUsers,
		flags: userFlag,
		run: func(c *call) error {
			user, err := c.name("user")
			if err != nil {
				return err
			}
			if err := c.clearPermission(user); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "user", Value: user}, {Name: "vhost", Value: c.vhost}},
				"user %q has no permissions in virtual host %q now", user, c.vhost)
		},
	})
}

func (c *call) clearPermission(user string) error {
	_, err := c.permissions().ClearPermission(c.ctx, &adminv1.ClearPermissionRequest{User: user, Vhost: c.vhost})
	return err
}

func (a *app) topicList() *cobra.Command {
	return a.verb(verb{
		use: "list [USER]", aliases: []string{"ls"}, short: "List topic permissions in all virtual hosts, or in one with --vhost",
		columns: topicPermissionColumns.Names(),
		example: "brokerctl permissions topic list",
		args:    atMost(1, "one user"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			userFlag(fs)
			filterFlags(fs, "user")
		},
		run: func(c *call) error {
			user, err := c.optionalName()
			if err != nil {
				return err
			}
			return list(c, topicPermissionColumns, c.topicPermissionPages(&adminv1.ListTopicPermissionsRequest{Vhost: c.chosenVHost(),
				User: user, NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}))
		},
	})
}

func (a *app) topicSet() *cobra.Command {
	return a.verb(verb{
		use: "set USER --exchange EXCHANGE", short: "Restrict the routing keys of a user on a topic exchange",
		long: "set sets regular expressions on the routing keys that a user may publish with (write) and bind with (read). {username} and\n" +
			"{vhost} in them stand for the names.",
		example: "brokerctl permissions topic set app --exchange events --write '^{username}\\.' --read '.*'",
		args:    atMost(1, "one user"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			userFlag(fs)
			fs.String("exchange", "", "the topic exchange")
			fs.String("write", anything, "routing keys that the user may publish with")
			fs.String("read", anything, "routing keys that the user may bind with")
		},
		run: func(c *call) error {
			user, err := c.name("user")
			if err != nil {
				return err
			}
			p := &adminv1.TopicPermission{User: user, Vhost: c.vhost, Exchange: c.text("exchange"), Write: c.text("write"), Read: c.text("read")}
			if p.Exchange == "" {
				return usagef("name the topic exchange: --exchange EXCHANGE")
			}
			if err := c.setTopicPermission(p); err != nil {
				return err
			}
			return c.done(topicPermissionColumns.Object(p), "set the topic permissions of user %q on exchange %q in virtual host %q",
				p.User, p.Exchange, p.Vhost)
		},
	})
}

func (c *call) setTopicPermission(p *adminv1.TopicPermission) error {
	_, err := c.permissions().SetTopicPermission(c.ctx, &adminv1.SetTopicPermissionRequest{Permission: p})
	return err
}

func (a *app) topicClear() *cobra.Command {
	return a.verb(verb{
		use: "clear USER", short: "Take topic permissions of a user in a virtual host away",
		example: "brokerctl permissions topic clear app --exchange events\nbrokerctl permissions topic clear app",
		args:    atMost(1, "one user"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			userFlag(fs)
			fs.String("exchange", "", "only on this exchange (on all)")
		},
		run: func(c *call) error {
			user, err := c.name("user")
			if err != nil {
				return err
			}
			if err := c.clearTopicPermission(user, c.text("exchange")); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "user", Value: user}, {Name: "vhost", Value: c.vhost}, {Name: "exchange", Value: c.text("exchange")}},
				"took the topic permissions of user %q in virtual host %q away", user, c.vhost)
		},
	})
}

func (c *call) clearTopicPermission(user, exchange string) error {
	_, err := c.permissions().ClearTopicPermission(c.ctx, &adminv1.ClearTopicPermissionRequest{User: user, Vhost: c.vhost, Exchange: exchange})
	return err
}
