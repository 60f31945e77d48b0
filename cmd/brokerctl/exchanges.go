package main

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) exchangesCommand() *cobra.Command {
	return a.noun("exchanges", "exchange", "Exchanges",
		a.exchangesList(), a.exchangesShow(), a.exchangesDeclare(), a.exchangesDelete())
}

var exchangeColumns = output.Columns[*adminv1.Exchange]{
	{Name: "name", Get: func(x *adminv1.Exchange) any { return x.GetName() }},
	{Name: "vhost", Get: func(x *adminv1.Exchange) any { return x.GetVhost() }},
	{Name: "type", Get: func(x *adminv1.Exchange) any { return x.GetType() }},
	{Name: "durable", Get: func(x *adminv1.Exchange) any { return x.GetDurable() }},
	{Name: "auto_delete", Get: func(x *adminv1.Exchange) any { return x.GetAutoDelete() }},
	{Name: "internal", Get: func(x *adminv1.Exchange) any { return x.GetInternal() }, Extra: true},
	{Name: "bindings", Get: func(x *adminv1.Exchange) any { return x.GetBindings() }},
	{Name: "policy", Get: func(x *adminv1.Exchange) any { return x.GetPolicy() }},
	{Name: "arguments", Get: func(x *adminv1.Exchange) any { return ctl.PlainTable(x.GetArguments()) }, Extra: true},
}

func (c *call) exchanges() adminv1.ExchangeServiceClient {
	return adminv1.NewExchangeServiceClient(c.conn)
}

// exchangePages lists exchanges; request is changed.
func (c *call) exchangePages(request *adminv1.ListExchangesRequest) fetcher[*adminv1.Exchange] {
	return func(token string) (page[*adminv1.Exchange], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.exchanges().ListExchanges(c.ctx, request)
		return page[*adminv1.Exchange]{items: r.GetExchanges(), next: r.GetNextPageToken()}, err
	}
}

func (a *app) exchangesList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List exchanges",
		columns: exchangeColumns.Names(),
		example: "brokerctl exchanges list\nbrokerctl exchanges list --type topic --output csv",
		flags: func(fs *pflag.FlagSet) {
			everyVHost(fs)
			filterFlags(fs, "name")
			fs.String("type", "", "only those of this type")
		},
		run: func(c *call) error {
			vhost, err := c.listVHost()
			if err != nil {
				return err
			}
			return list(c, exchangeColumns, c.exchangePages(&adminv1.ListExchangesRequest{Vhost: vhost, NamePrefix: c.text("prefix"),
				NameRegex: c.text("regex"), Type: c.text("type")}))
		},
	})
}

func (a *app) exchangesShow() *cobra.Command {
	return a.verb(verb{
		use: "show NAME", aliases: []string{"describe"}, short: "Show an exchange, its settings and where they come from",
		example: "brokerctl exchanges show events",
		args:    atMost(1, "one name"), complete: completeExchanges,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "exchange") },
		run: func(c *call) error {
			name, err := c.name("exchange")
			if err != nil {
				return err
			}
			return c.repeat(func(w io.Writer) error {
				r, err := c.exchanges().GetExchange(c.ctx, &adminv1.GetExchangeRequest{Vhost: c.vhost, Name: name})
				if err != nil {
					return err
				}
				return c.showIn(w, append(exchangeColumns.Object(r.GetExchange()),
					output.Member{Name: "settings", Value: settingObjects(r.GetSettings())}))
			})
		},
	})
}

func (a *app) exchangesDeclare() *cobra.Command {
	return a.verb(verb{
		use: "declare NAME", aliases: []string{"create"}, short: "Make an exchange, or check that the one there is has the same properties",
		example: "brokerctl exchanges declare events --type topic --durable\n" +
			"brokerctl exchanges declare --name audit --type fanout --durable --argument alternate-exchange=events",
		args: atMost(1, "one name"),
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "exchange")
			fs.String("type", "direct", "direct, fanout, topic, headers, or another that the node knows")
			fs.Bool("durable", false, "it survives a restart")
			fs.Bool("auto-delete", false, "it goes with its last binding")
			fs.Bool("internal", false, "clients may not publish to it")
			argumentFlag(fs)
		},
		run: func(c *call) error {
			name, err := c.name("exchange")
			if err != nil {
				return err
			}
			arguments, err := c.arguments()
			if err != nil {
				return err
			}
			r, err := c.exchanges().DeclareExchange(c.ctx, &adminv1.DeclareExchangeRequest{Exchange: &adminv1.Exchange{Vhost: c.vhost,
				Name: name, Type: c.text("type"), Durable: c.bool("durable"), AutoDelete: c.bool("auto-delete"),
				Internal: c.bool("internal"), Arguments: arguments}})
			if err != nil {
				return err
			}
			return c.declared("exchange", name, r.GetCreated())
		},
	})
}

func (a *app) exchangesDelete() *cobra.Command {
	return a.verb(verb{
		use: "delete NAME", aliases: []string{"rm"}, short: "Delete an exchange with its bindings",
		example: "brokerctl exchanges delete audit --if-unused --yes",
		args:    atMost(1, "one name"), complete: completeExchanges,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "exchange")
			fs.Bool("if-unused", false, "only if nothing is bound to it")
		},
		run: func(c *call) error {
			name, err := c.name("exchange")
			if err != nil {
				return err
			}
			if err := c.confirm("Delete exchange %q in virtual host %q with its bindings", name, c.vhost); err != nil {
				return err
			}
			_, err = c.exchanges().DeleteExchange(c.ctx, &adminv1.DeleteExchangeRequest{Vhost: c.vhost, Name: name, IfUnused: c.bool("if-unused")})
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "vhost", Value: c.vhost}},
				"deleted exchange %q in virtual host %q", name, c.vhost)
		},
	})
}
