package main

import (
	"bufio"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

// rabbitCommands are the names of rabbitmqctl that people script.
func (a *app) rabbitCommands() []*cobra.Command {
	commands := a.rabbitLists()
	commands = append(commands, a.rabbitUsers()...)
	commands = append(commands, a.rabbitVHosts()...)
	commands = append(commands, a.rabbitPoliciesCommands()...)
	commands = append(commands, a.rabbitQueues()...)
	commands = append(commands, a.rabbitConnections()...)
	return append(commands, a.rabbitNodes()...)
}

// change makes a rabbitmqctl command that takes a fixed number of arguments, says what it does and does it.
func (a *app) change(name, short, example, heading string, names []string, run func(c *call, args []string) error, flags ...func(*pflag.FlagSet)) *cobra.Command {
	return a.rabbit(rabbitVerb{use: strings.TrimSpace(name + " " + strings.Join(names, " ")), short: short, example: example, args: cobra.ArbitraryArgs,
		flags: func(fs *pflag.FlagSet) {
			for _, f := range flags {
				f(fs)
			}
		},
		run: func(c *call) error {
			args, err := c.need(names...)
			if err != nil {
				return err
			}
			shown := []any{}
			for _, arg := range args {
				shown = append(shown, arg)
			}
			if err := c.say(heading, shown[:strings.Count(heading, "%")]...); err != nil {
				return err
			}
			return run(c, args)
		}})
}

// passwordArgument returns the password that follows the name, or the first line of standard input.
func (c *call) passwordArgument() (name, secret string, _ error) {
	switch len(c.args) {
	case 2:
		return c.args[0], c.args[1], nil
	case 1:
		if terminal(c.cmd.InOrStdin()) {
			secret, err := promptSecret(c.cmd, "Password: ")
			return c.args[0], secret, err
		}
		line, err := bufio.NewReaderSize(c.cmd.InOrStdin(), maxSecret).ReadString('\n')
		if line == "" && err != nil {
			return "", "", usagef("%s USER reads the password from standard input, but there is nothing", c.cmd.CommandPath())
		}
		return c.args[0], strings.TrimRight(line, "\r\n"), nil
	}
	return "", "", usagef("%s needs USER and a password, on standard input best", c.cmd.CommandPath())
}

func (a *app) rabbitUsers() []*cobra.Command {
	user := []string{"USER"}
	return []*cobra.Command{
		a.rabbit(rabbitVerb{use: "add_user USER [PASSWORD]", short: "users create", example: "echo secret | brokerctl add_user fred", args: cobra.ArbitraryArgs,
			run: func(c *call) error {
				name, secret, err := c.passwordArgument()
				if err != nil {
					return err
				}
				if err := c.say("Adding user \"%s\" ...", name); err != nil {
					return err
				}
				s, err := password(secret)
				if err != nil {
					return err
				}
				_, err = c.users().PutUser(c.ctx, &adminv1.PutUserRequest{Name: name, Secret: s, Mode: adminv1.PutMode_PUT_MODE_CREATE})
				if err != nil {
					return err
				}
				return c.say("Done. Don't forget to grant the user permissions to some virtual hosts! See 'brokerctl help set_permissions' to learn more.")
			}}),
		a.rabbit(rabbitVerb{use: "change_password USER [PASSWORD]", short: "users set-password", example: "echo secret | brokerctl change_password app", args: cobra.ArbitraryArgs,
			run: func(c *call) error {
				name, secret, err := c.passwordArgument()
				if err != nil {
					return err
				}
				if err := c.say("Changing password for user \"%s\" ...", name); err != nil {
					return err
				}
				s, err := password(secret)
				if err != nil {
					return err
				}
				_, err = c.users().SetPassword(c.ctx, &adminv1.SetPasswordRequest{Name: name, Secret: s})
				return err
			}}),
		a.rabbit(rabbitVerb{use: "authenticate_user USER [PASSWORD]", short: "users authenticate", example: "echo guest | brokerctl authenticate_user guest", args: cobra.ArbitraryArgs,
			run: func(c *call) error {
				name, secret, err := c.passwordArgument()
				if err != nil {
					return err
				}
				if err := c.say("Authenticating user \"%s\" ...", name); err != nil {
					return err
				}
				valid, err := c.checkPassword(name, secret)
				if err == nil && !valid {
					return ctl.Problemf(ctl.ExitPermission, "failed to authenticate user \"%s\"", name)
				}
				if err != nil {
					return err
				}
				return c.say("Success")
			}}),
		a.change("delete_user", "users delete", "brokerctl delete_user app", "Deleting user \"%s\" ...", user,
			func(c *call, args []string) error { return c.deleteUser(args[0]) }),
		a.rabbit(rabbitVerb{use: "set_user_tags USER [TAG...]", short: "users set-tags", example: "brokerctl set_user_tags app monitoring", args: cobra.ArbitraryArgs,
			run: func(c *call) error {
				if len(c.args) == 0 {
					return usagef("%s needs USER [TAG...]", c.cmd.CommandPath())
				}
				if err := c.say("Setting tags for user \"%s\" to [%s] ...", c.args[0], strings.Join(c.args[1:], ", ")); err != nil {
					return err
				}
				return c.setTags(c.args[0], c.args[1:])
			}}),
		a.change("set_permissions", "permissions set", "brokerctl set_permissions -p / app '^app' '.*' '.*'", "Setting permissions for user \"%s\" ...",
			[]string{"USER", "CONFIGURE", "WRITE", "READ"}, func(c *call, args []string) error {
				return c.setPermission(&adminv1.Permission{User: args[0], Vhost: c.vhost, Configure: args[1], Write: args[2], Read: args[3]})
			}),
		a.change("clear_permissions", "permissions clear", "brokerctl clear_permissions -p / app", "Clearing permissions for user \"%s\" ...", user,
			func(c *call, args []string) error { return c.clearPermission(args[0]) }),
		a.change("set_topic_permissions", "permissions topic set", "brokerctl set_topic_permissions app events '^app' '.*'",
			"Setting topic permissions for user \"%s\" on exchange \"%s\" ...", []string{"USER", "EXCHANGE", "WRITE", "READ"}, func(c *call, args []string) error {
				return c.setTopicPermission(&adminv1.TopicPermission{User: args[0], Vhost: c.vhost, Exchange: args[1], Write: args[2], Read: args[3]})
			}),
		a.rabbit(rabbitVerb{use: "clear_topic_permissions USER [EXCHANGE]", short: "permissions topic clear", example: "brokerctl clear_topic_permissions app", args: cobra.ArbitraryArgs,
			run: func(c *call) error {
				if n := len(c.args); n != 1 && n != 2 {
					return usagef("%s needs USER [EXCHANGE]", c.cmd.CommandPath())
				}
				if err := c.say("Clearing topic permissions for user \"%s\" in vhost \"%s\" ...", c.args[0], c.vhost); err != nil {
					return err
				}
				return c.clearTopicPermission(c.args[0], strings.Join(c.args[1:], ""))
			}}),
		a.change("set_user_limits", "limits set user", "brokerctl set_user_limits app '{\"max-channels\": 100}'", "Setting user limits for user \"%s\" ...",
			[]string{"USER", "DEFINITION"}, func(c *call, args []string) error {
				limits, err := rabbitLimits(args[1])
				if err != nil {
					return err
				}
				return c.setLimits(kindUser, args[0], limits)
			}),
		a.change("clear_user_limits", "limits clear user, or one limit", "brokerctl clear_user_limits app all", "Clearing limits for user \"%s\" ...",
			[]string{"USER", "LIMIT"}, func(c *call, args []string) error {
				if args[1] == "all" {
					return c.clearLimits(kindUser, args[0])
				}
				return c.setLimits(kindUser, args[0], map[string]int64{args[1]: -1})
			}),
	}
}

func (a *app) rabbitVHosts() []*cobra.Command {
	vhost := []string{"VHOST"}
	tracing := func(on bool) func(*call, []string) error {
		return func(c *call, _ []string) error {
			return c.updateVHost(c.vhost, func(v *adminv1.VHost) { v.Tracing = on })
		}
	}
	protection := func(on bool) func(*call, []string) error {
		return func(c *call, args []string) error {
			return c.updateVHost(args[0], func(v *adminv1.VHost) { v.Protected = on })
		}
	}
	return []*cobra.Command{
		a.change("add_vhost", "vhosts create", "brokerctl add_vhost staging --description tests", "Adding vhost \"%s\" ...", vhost, func(c *call, args []string) error {
			v := &adminv1.VHost{Name: args[0]}
			c.changeVHost(v)
			return c.putVHost(v, adminv1.PutMode_PUT_MODE_CREATE)
		}, func(fs *pflag.FlagSet) {
			fs.String("description", "", "what it is for")
			fs.StringSlice("tags", nil, "words to sort virtual hosts by (a,b,c)")
			fs.String("default-queue-type", "", "type of queues that are declared without one")
		}),
		a.change("delete_vhost", "vhosts delete", "brokerctl delete_vhost old", "Deleting vhost \"%s\" ...", vhost,
			func(c *call, args []string) error { return c.deleteVHost(args[0]) }),
		a.change("set_vhost_limits", "limits set vhost", "brokerctl set_vhost_limits -p / '{\"max-queues\": 10000}'", "Setting vhost limits ...",
			[]string{"DEFINITION"}, func(c *call, args []string) error {
				limits, err := rabbitLimits(args[0])
				if err != nil {
					return err
				}
				return c.setLimits(kindVHost, c.vhost, limits)
			}),
		a.change("clear_vhost_limits", "limits clear vhost", "brokerctl clear_vhost_limits -p /", "Clearing vhost limits ...", nil,
			func(c *call, _ []string) error { return c.clearLimits(kindVHost, c.vhost) }),
		a.change("trace_on", "vhosts set --tracing", "brokerctl trace_on -p /", "Starting tracing ...", nil, tracing(true)),
		a.change("trace_off", "vhosts set --tracing=false", "brokerctl trace_off -p /", "Stopping tracing ...", nil, tracing(false)),
		a.change("enable_vhost_deletion_protection", "vhosts set --protected", "brokerctl enable_vhost_deletion_protection old", "Protecting vhost \"%s\" ...", vhost, protection(true)),
		a.change("disable_vhost_deletion_protection", "vhosts set --protected=false", "brokerctl disable_vhost_deletion_protection old", "No longer protecting vhost \"%s\" ...", vhost, protection(false)),
	}
}

func (a *app) rabbitPoliciesCommands() []*cobra.Command {
	set := func(operator bool) func(*call, []string) error {
		return func(c *call, args []string) error {
			priority, _ := c.cmd.Flags().GetInt32("priority")
			_, err := c.putPolicy(&adminv1.Policy{Vhost: c.vhost, Name: args[0], Operator: operator, Pattern: args[1], Definition: args[2],
				ApplyTo: c.text("apply-to"), Priority: priority})
			return err
		}
	}
	flags := func(fs *pflag.FlagSet) {
		fs.Int32("priority", 0, "the greatest of those that match counts")
		fs.String("apply-to", "all", "all, queues, classic_queues, quorum_queues, streams or exchanges")
	}
	definition := []string{"NAME", "PATTERN", "DEFINITION"}
	parameter := func(args []string, vhost string) *adminv1.Parameter {
		return &adminv1.Parameter{Vhost: vhost, Component: args[0], Name: args[1]}
	}
	return []*cobra.Command{
		a.change("set_policy", "policies set", "brokerctl set_policy --apply-to queues limits '^orders' '{\"max-length\": 1000}'",
			"Setting policy \"%s\" for pattern \"%s\" to \"%s\" ...", definition, set(false), flags),
		a.change("clear_policy", "policies delete", "brokerctl clear_policy limits", "Clearing policy \"%s\" ...", []string{"NAME"},
			func(c *call, args []string) error { return c.deletePolicy(args[0], false) }),
		a.change("set_operator_policy", "policies set --operator", "brokerctl set_operator_policy --apply-to queues cap '.*' '{\"max-length\": 1000000}'",
			"Setting operator policy override \"%s\" for pattern \"%s\" to \"%s\" ...", definition, set(true), flags),
		a.change("clear_operator_policy", "policies delete --operator", "brokerctl clear_operator_policy cap", "Clearing operator policy \"%s\" ...", []string{"NAME"},
			func(c *call, args []string) error { return c.deletePolicy(args[0], true) }),
		a.change("set_parameter", "parameters set", "brokerctl set_parameter vhost-limits limits '{\"max-queues\": 5000}'", "Setting runtime parameter of component \"%s\": \"%s\" ...", []string{"COMPONENT", "NAME", "VALUE"},
			func(c *call, args []string) error {
				p := parameter(args, c.vhost)
				p.Value = args[2]
				_, err := c.putParameter(p)
				return err
			}),
		a.change("clear_parameter", "parameters delete", "brokerctl clear_parameter vhost-limits limits", "Clearing runtime parameter of component \"%s\": \"%s\" ...", []string{"COMPONENT", "NAME"},
			func(c *call, args []string) error { return c.deleteParameter(parameter(args, c.vhost)) }),
		a.change("set_global_parameter", "parameters set --global", "brokerctl set_global_parameter cluster_tags '{\"region\": \"eu\"}'",
			"Setting global runtime parameter \"%s\" to \"%s\" ...", []string{"NAME", "VALUE"}, func(c *call, args []string) error {
				_, err := c.putParameter(&adminv1.Parameter{Name: args[0], Value: args[1]})
				return err
			}),
		a.change("clear_global_parameter", "parameters delete --global", "brokerctl clear_global_parameter cluster_tags",
			"Clearing global runtime parameter \"%s\" ...", []string{"NAME"}, func(c *call, args []string) error {
				return c.deleteParameter(&adminv1.Parameter{Name: args[0]})
			}),
	}
}

func (a *app) rabbitQueues() []*cobra.Command {
	queue := []string{"QUEUE"}
	return []*cobra.Command{
		a.change("purge_queue", "queues purge", "brokerctl purge_queue orders", "Purging queue \"%s\" ...", queue, func(c *call, args []string) error {
			_, err := c.purgeQueue(args[0])
			return err
		}),
		a.change("delete_queue", "queues delete", "brokerctl delete_queue orders --if-empty", "Deleting queue \"%s\" ...", queue, func(c *call, args []string) error {
			messages, err := c.deleteQueue(args[0], c.bool("if-unused"), c.bool("if-empty"))
			if err != nil {
				return err
			}
			return c.say("Queue was successfully deleted with %d ready messages", messages)
		}, func(fs *pflag.FlagSet) {
			fs.BoolP("if-empty", "e", false, "only if it holds no ready messages")
			fs.BoolP("if-unused", "u", false, "only if it has no consumers")
		}),
		a.rabbit(rabbitVerb{use: "export_definitions [FILE]", short: "definitions export", args: atMost(1, "one file"), example: "brokerctl export_definitions definitions.json",
			run: func(c *call) error {
				data, err := c.exportDefinitions("")
				if err != nil {
					return err
				}
				if len(c.args) == 0 || c.args[0] == "-" {
					_, err := c.out.Write(data)
					return writeProblem(err)
				}
				if err := c.say("Exporting definitions in JSON to a file at \"%s\" ...", c.args[0]); err != nil {
					return err
				}
				return ctl.WriteFile(c.args[0], data)
			}}),
		a.rabbit(rabbitVerb{use: "import_definitions [FILE]", short: "definitions import", args: atMost(1, "one file"), example: "brokerctl import_definitions definitions.json",
			run: func(c *call) error {
				file := "-"
				if len(c.args) > 0 {
					file = c.args[0]
				}
				data, err := c.readFile(file, maxDefinitions)
				if err != nil {
					return err
				}
				if err := c.say("Importing definitions in JSON from %s ...", shownPath(file)); err != nil {
					return err
				}
				if _, err := c.importDefinitions(shownPath(file), data); err != nil {
					return err
				}
				return c.say("Successfully imported the definitions")
			}}),
	}
}

func (a *app) rabbitConnections() []*cobra.Command {
	closeMany := func(c *call, r *adminv1.CloseConnectionsRequest) error {
		closed, err := c.closeConnections(r)
		if err != nil {
			return err
		}
		return c.say("Closed %d connections", closed)
	}
	return []*cobra.Command{
		a.change("close_connection", "connections close", "brokerctl close_connection CONNECTION maintenance", "Closing connection %s, reason: %s...",
			[]string{"CONNECTION", "REASON"}, func(c *call, args []string) error { return c.closeConnection(args[0], args[1]) }),
		a.change("close_all_connections", "connections close --vhost or --all", "brokerctl close_all_connections --global maintenance", "Closing all connections, reason: %s...",
			[]string{"REASON"}, func(c *call, args []string) error {
				if c.bool("global") {
					return closeMany(c, &adminv1.CloseConnectionsRequest{All: true, Reason: args[0]})
				}
				return closeMany(c, &adminv1.CloseConnectionsRequest{Vhost: c.vhost, Reason: args[0]})
			}, func(fs *pflag.FlagSet) { fs.Bool("global", false, "those of all virtual hosts") }),
		a.change("close_all_user_connections", "connections close --of-user", "brokerctl close_all_user_connections app maintenance",
			"Closing connections of user \"%s\", reason: %s...", []string{"USER", "REASON"}, func(c *call, args []string) error {
				return closeMany(c, &adminv1.CloseConnectionsRequest{User: args[0], Reason: args[1]})
			}),
	}
}

// forPeople prints a table where rabbitmqctl has a form of its own.
func (c *call) forPeople() {
	if c.format == output.TSV {
		c.format = output.Table
	}
}
