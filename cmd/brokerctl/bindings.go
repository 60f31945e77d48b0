package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) bindingsCommand() *cobra.Command {
	return a.noun("bindings", "binding", "Bindings from exchanges to queues and exchanges",
		a.bindingsList(), a.bindingsDeclare(), a.bindingsDelete())
}

var bindingColumns = output.Columns[*adminv1.Binding]{
	{Name: "source", Get: func(b *adminv1.Binding) any { return b.GetSource() }},
	{Name: "vhost", Get: func(b *adminv1.Binding) any { return b.GetVhost() }},
	{Name: "destination", Get: func(b *adminv1.Binding) any { return b.GetDestination() }},
	{Name: "destination_type", Get: func(b *adminv1.Binding) any { return destinationType(b) }},
	{Name: "routing_key", Get: func(b *adminv1.Binding) any { return b.GetRoutingKey() }},
	{Name: "arguments", Get: func(b *adminv1.Binding) any { return ctl.PlainTable(b.GetArguments()) }},
}

func destinationType(b *adminv1.Binding) string {
	if b.GetDestinationType() == adminv1.DestinationType_DESTINATION_TYPE_EXCHANGE {
		return "exchange"
	}
	return "queue"
}

func (c *call) bindings() adminv1.BindingServiceClient {
	return adminv1.NewBindingServiceClient(c.conn)
}

// bindingPages lists bindings; request is changed.
func (c *call) bindingPages(request *adminv1.ListBindingsRequest) fetcher[*adminv1.Binding] {
	return func(token string) (page[*adminv1.Binding], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.bindings().ListBindings(c.ctx, request)
		return page[*adminv1.Binding]{items: r.GetBindings(), next: r.GetNextPageToken()}, err
	}
}

func (a *app) bindingsList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List bindings",
		columns: bindingColumns.Names(),
		example: "brokerctl bindings list\nbrokerctl bindings list --source events --output json",
		flags: func(fs *pflag.FlagSet) {
			everyVHost(fs)
			filterFlags(fs, "destination")
			fs.String("source", "", "only those from this exchange")
			fs.String("destination", "", "only those to this queue or exchange")
			fs.String("destination-type", "", "only those to a queue or to an exchange")
		},
		run: func(c *call) error {
			vhost, err := c.listVHost()
			if err != nil {
				return err
			}
			r := &adminv1.ListBindingsRequest{Vhost: vhost, Destination: c.text("destination"), NamePrefix: c.text("prefix"),
				NameRegex: c.text("regex")}
			if c.changed("source") {
				source := c.text("source")
				r.Source = &source
			}
			if r.DestinationType, err = readDestinationType(c.text("destination-type")); err != nil {
				return err
			}
			return list(c, bindingColumns, c.bindingPages(r))
		},
	})
}

func readDestinationType(s string) (adminv1.DestinationType, error) {
	switch s {
	case "":
		return adminv1.DestinationType_DESTINATION_TYPE_UNSPECIFIED, nil
	case "queue":
		return adminv1.DestinationType_DESTINATION_TYPE_QUEUE, nil
	case "exchange":
		return adminv1.DestinationType_DESTINATION_TYPE_EXCHANGE, nil
	}
	return 0, usagef("--destination-type %q is neither queue nor exchange", s)
}

func bindingFlags(fs *pflag.FlagSet) {
	fs.String("source", "", "exchange that the binding starts at")
	fs.String("destination", "", "queue or exchange that it leads to")
	fs.String("destination-type", "queue", "what the destination is: queue or exchange")
	fs.String("routing-key", "", "binding key")
	argumentFlag(fs)
}

func (c *call) binding() (*adminv1.Binding, error) {
	b := &adminv1.Binding{Vhost: c.vhost, Source: c.text("source"), Destination: c.text("destination"), RoutingKey: c.text("routing-key")}
	for _, flag := range []string{"source", "destination"} {
		if c.text(flag) == "" {
			return nil, usagef("say what the binding leads from and to: --source EXCHANGE --destination NAME (--%s is missing)", flag)
		}
	}
	var err error
	if b.DestinationType, err = readDestinationType(c.text("destination-type")); err != nil {
		return nil, err
	}
	b.Arguments, err = c.arguments()
	return b, err
}

func (a *app) bindingsDeclare() *cobra.Command {
	return a.verb(verb{
		use: "declare --source EXCHANGE --destination NAME", aliases: []string{"create"}, short: "Make a binding if it is not there",
		example: "brokerctl bindings declare --source events --destination orders --routing-key 'order.*'\n" +
			"brokerctl bindings declare --source amq.headers --destination events --destination-type exchange --argument x-match=any --argument kind=order",
		flags: bindingFlags,
		run: func(c *call) error {
			b, err := c.binding()
			if err != nil {
				return err
			}
			r, err := c.bindings().DeclareBinding(c.ctx, &adminv1.DeclareBindingRequest{Binding: b})
			if err != nil {
				return err
			}
			o := append(bindingColumns.Object(b), output.Member{Name: "created", Value: r.GetCreated()})
			if r.GetCreated() {
				return c.done(o, "bound %s %q to exchange %q in virtual host %q", destinationType(b), b.Destination, b.Source, c.vhost)
			}
			return c.done(o, "%s %q is bound to exchange %q like that already", destinationType(b), b.Destination, b.Source)
		},
	})
}

func (a *app) bindingsDelete() *cobra.Command {
	return a.verb(verb{
		use: "delete --source EXCHANGE --destination NAME", aliases: []string{"rm"}, short: "Delete a binding",
		long:    "delete deletes the binding with exactly this routing key and these arguments. The exit code is 1 if there is none.",
		example: "brokerctl bindings delete --source events --destination orders --routing-key 'order.#' --yes",
		flags:   bindingFlags,
		run: func(c *call) error {
			b, err := c.binding()
			if err != nil {
				return err
			}
			if err := c.confirm("Delete the binding from %q to %s %q in virtual host %q", b.Source, destinationType(b), b.Destination, c.vhost); err != nil {
				return err
			}
			r, err := c.bindings().DeleteBinding(c.ctx, &adminv1.DeleteBindingRequest{Binding: b})
			if err != nil {
				return err
			}
			if !r.GetDeleted() {
				return ctl.Problemf(exitFailure, "there is no such binding: brokerctl bindings list --source %s shows keys and arguments", b.Source)
			}
			return c.done(bindingColumns.Object(b), "deleted the binding from %q to %s %q in virtual host %q", b.Source, destinationType(b),
				b.Destination, c.vhost)
		},
	})
}
