package main

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) queuesCommand() *cobra.Command {
	return a.noun("queues", "queue", "Queues and the messages in them",
		a.queuesList(), a.queuesShow(), a.queuesDeclare(), a.queuesDelete(), a.queuesPurge(), a.queuesMove(),
		a.queuesPeek(), a.queuesGet(), a.queuesPublish(), a.queuesRedrive())
}

var queueColumns = output.Columns[*adminv1.Queue]{
	{Name: "name", Get: func(q *adminv1.Queue) any { return q.GetName() }},
	{Name: "vhost", Get: func(q *adminv1.Queue) any { return q.GetVhost() }},
	{Name: "type", Get: func(q *adminv1.Queue) any { return queueType(q) }},
	{Name: "durable", Get: func(q *adminv1.Queue) any { return q.GetDurable() }},
	{Name: "auto_delete", Get: func(q *adminv1.Queue) any { return q.GetAutoDelete() }, Extra: true},
	{Name: "exclusive", Get: func(q *adminv1.Queue) any { return q.GetExclusive() }, Extra: true},
	{Name: "messages", Get: func(q *adminv1.Queue) any { return q.GetMessagesReady() + q.GetMessagesUnacknowledged() }},
	{Name: "messages_ready", Get: func(q *adminv1.Queue) any { return q.GetMessagesReady() }},
	{Name: "messages_unacknowledged", Get: func(q *adminv1.Queue) any { return q.GetMessagesUnacknowledged() }},
	{Name: "consumers", Get: func(q *adminv1.Queue) any { return q.GetConsumers() }},
	{Name: "state", Get: func(q *adminv1.Queue) any { return enum(q.GetState().String(), "QUEUE_STATE_") }},
	{Name: "leader", Get: func(q *adminv1.Queue) any { return q.GetLeader() }},
	{Name: "memory", Get: func(q *adminv1.Queue) any { return q.GetMemoryBytes() }, Extra: true},
	{Name: "policy", Get: func(q *adminv1.Queue) any { return q.GetPolicy() }, Extra: true},
	{Name: "operator_policy", Get: func(q *adminv1.Queue) any { return q.GetOperatorPolicy() }, Extra: true},
	{Name: "arguments", Get: func(q *adminv1.Queue) any { return ctl.PlainTable(q.GetArguments()) }, Extra: true},
	{Name: "idle_since", Get: func(q *adminv1.Queue) any { return moment(q.GetIdleSince()) }, Extra: true},
	{Name: "id", Get: func(q *adminv1.Queue) any { return q.GetId() }, Extra: true},
}

// queueType is the type that a queue without one has.
func queueType(q *adminv1.Queue) string {
	if t := q.GetType(); t != "" {
		return t
	}
	return "classic"
}

func (c *call) queues() adminv1.QueueServiceClient { return adminv1.NewQueueServiceClient(c.conn) }

// queuePages lists queues; request is changed.
func (c *call) queuePages(request *adminv1.ListQueuesRequest) fetcher[*adminv1.Queue] {
	return func(token string) (page[*adminv1.Queue], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.queues().ListQueues(c.ctx, request)
		return page[*adminv1.Queue]{r.GetQueues(), r.GetNextPageToken(), r.GetUnreachableNodes()}, err
	}
}

func (a *app) queuesList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List queues with their figures",
		columns: queueColumns.Names(),
		example: "brokerctl queues list\n" +
			"brokerctl queues list --all-vhosts --with-messages --columns vhost,name,messages\n" +
			"brokerctl queues list --regex '^orders' --output json",
		flags: func(fs *pflag.FlagSet) {
			everyVHost(fs)
			filterFlags(fs, "name")
			fs.String("node", "", "only those that this node leads (name or id)")
			fs.Bool("with-messages", false, "only those that hold messages")
		},
		run: func(c *call) error {
			vhost, err := c.listVHost()
			if err != nil {
				return err
			}
			return list(c, queueColumns, c.queuePages(&adminv1.ListQueuesRequest{Vhost: vhost, NamePrefix: c.text("prefix"),
				NameRegex: c.text("regex"), Node: c.text("node"), WithMessages: c.bool("with-messages")}))
		},
	})
}

func (a *app) queuesShow() *cobra.Command {
	return a.verb(verb{
		use: "show NAME", aliases: []string{"get-info", "describe"}, short: "Show a queue, its settings and where they come from",
		example: "brokerctl queues show orders\nbrokerctl queues show --name orders --output yaml",
		args:    atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "queue") },
		run: func(c *call) error {
			name, err := c.name("queue")
			if err != nil {
				return err
			}
			return c.repeat(func(w io.Writer) error {
				r, err := c.queues().GetQueue(c.ctx, &adminv1.GetQueueRequest{Vhost: c.vhost, Name: name})
				if err != nil {
					return err
				}
				o := queueColumns.Object(r.GetQueue())
				o = append(o, output.Member{Name: "bindings", Value: r.GetBindings()},
					output.Member{Name: "settings", Value: settingObjects(r.GetSettings())})
				return c.showIn(w, o)
			})
		},
	})
}

func (a *app) queuesDeclare() *cobra.Command {
	return a.verb(verb{
		use: "declare NAME", aliases: []string{"create"}, short: "Make a queue, or check that the one there is has the same properties",
		example: "brokerctl queues declare orders --durable\n" +
			"brokerctl queues declare jobs --durable --argument x-max-length=100000 --argument x-overflow=reject-publish\n" +
			"brokerctl queues declare --name priorities --type classic --argument x-max-priority:=5",
		args: atMost(1, "one name"),
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue")
			fs.String("type", "", "type of the queue, such as classic (the virtual host's default)")
			fs.Bool("durable", false, "it survives a restart")
			fs.Bool("auto-delete", false, "it goes with its last consumer")
			fs.String("leader", "", "node that shall lead it, name or id (the cluster chooses)")
			argumentFlag(fs)
		},
		run: func(c *call) error {
			name, err := c.name("queue")
			if err != nil {
				return err
			}
			arguments, err := c.arguments()
			if err != nil {
				return err
			}
			r, err := c.queues().DeclareQueue(c.ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: c.vhost, Name: name,
				Type: c.text("type"), Durable: c.bool("durable"), AutoDelete: c.bool("auto-delete"), Leader: c.text("leader"),
				Arguments: arguments}})
			if err != nil {
				return err
			}
			return c.declared("queue", name, r.GetCreated())
		},
	})
}

// declared says whether something in the virtual host is new.
func (c *call) declared(noun, name string, created bool) error {
	o := output.Object{{Name: "name", Value: name}, {Name: "vhost", Value: c.vhost}, {Name: "created", Value: created}}
	if created {
		return c.done(o, "declared %s %q in virtual host %q", noun, name, c.vhost)
	}
	return c.done(o, "%s %q is there already in virtual host %q", noun, name, c.vhost)
}

// argumentFlag adds --argument.
func argumentFlag(fs *pflag.FlagSet) {
	fs.StringArray("argument", nil, "argument k=v, repeatable; numbers and booleans are such, k:=JSON says exactly what it is")
}

func (c *call) arguments() (map[string]*adminv1.Value, error) {
	m, err := ctl.ParseArguments(c.list("argument"))
	if err != nil {
		return nil, usagef("--argument: %w", err)
	}
	return m, nil
}

func (a *app) queuesDelete() *cobra.Command {
	return a.verb(verb{
		use: "delete NAME", aliases: []string{"rm"}, short: "Delete a queue with its messages",
		example: "brokerctl queues delete orders --if-empty --yes\nbrokerctl queues delete --name orders --yes",
		args:    atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue")
			fs.Bool("if-unused", false, "only if it has no consumers")
			fs.Bool("if-empty", false, "only if it holds no ready messages")
		},
		run: func(c *call) error {
			name, err := c.name("queue")
			if err != nil {
				return err
			}
			if err := c.confirm("Delete queue %q in virtual host %q with its messages", name, c.vhost); err != nil {
				return err
			}
			messages, err := c.deleteQueue(name, c.bool("if-unused"), c.bool("if-empty"))
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "vhost", Value: c.vhost}, {Name: "messages", Value: messages}},
				"deleted queue %q in virtual host %q with %d messages", name, c.vhost, messages)
		},
	})
}

func (c *call) deleteQueue(name string, ifUnused, ifEmpty bool) (messages uint64, _ error) {
	r, err := c.queues().DeleteQueue(c.ctx, &adminv1.DeleteQueueRequest{Vhost: c.vhost, Name: name, IfUnused: ifUnused, IfEmpty: ifEmpty})
	return r.GetMessages(), err
}

func (a *app) queuesPurge() *cobra.Command {
	return a.verb(verb{
		use: "purge NAME", short: "Remove all ready messages of a queue",
		example: "brokerctl queues purge orders --yes",
		args:    atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "queue") },
		run: func(c *call) error {
			name, err := c.name("queue")
			if err != nil {
				return err
			}
			if err := c.confirm("Remove all ready messages of queue %q in virtual host %q", name, c.vhost); err != nil {
				return err
			}
			messages, err := c.purgeQueue(name)
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "vhost", Value: c.vhost}, {Name: "messages", Value: messages}},
				"removed %d messages of queue %q in virtual host %q", messages, name, c.vhost)
		},
	})
}

func (c *call) purgeQueue(name string) (messages uint64, _ error) {
	r, err := c.queues().PurgeQueue(c.ctx, &adminv1.PurgeQueueRequest{Vhost: c.vhost, Name: name})
	return r.GetMessages(), err
}

func (a *app) queuesMove() *cobra.Command {
	return a.verb(verb{
		use: "move NAME --to NODE", short: "Make another node the leader of a queue",
		long: "move hands a queue with its messages and consumers to another node. Clients keep using it meanwhile. It takes as long as the\n" +
			"messages need to travel.",
		example: "brokerctl queues move orders --to node2",
		args:    atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue")
			fs.String("to", "", "node that shall lead it, name or id")
		},
		run: func(c *call) error {
			name, err := c.name("queue")
			if err != nil {
				return err
			}
			to := c.text("to")
			if to == "" {
				return usagef("name the node that shall lead the queue: --to NODE")
			}
			if _, err := c.queues().MoveQueue(c.long(), &adminv1.MoveQueueRequest{Vhost: c.vhost, Name: name, Node: to}); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "vhost", Value: c.vhost}, {Name: "leader", Value: to}},
				"queue %q in virtual host %q is led by %s now", name, c.vhost, to)
		},
	})
}
