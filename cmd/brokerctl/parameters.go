package main

import (
	"encoding/json"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) parametersCommand() *cobra.Command {
	return a.noun("parameters", "parameter", "Runtime parameters",
		a.parametersList(), a.parametersShow(), a.parametersSet(), a.parametersDelete())
}

var parameterColumns = output.Columns[*adminv1.Parameter]{
	{Name: "component", Get: func(p *adminv1.Parameter) any { return p.GetComponent() }},
	{Name: "name", Get: func(p *adminv1.Parameter) any { return p.GetName() }},
	{Name: "vhost", Get: func(p *adminv1.Parameter) any { return p.GetVhost() }},
	{Name: "value", Get: func(p *adminv1.Parameter) any { return json.RawMessage(p.GetValue()) }},
}

func (c *call) parameters() adminv1.ParameterServiceClient {
	return adminv1.NewParameterServiceClient(c.conn)
}

// parameterPages lists parameters; request is changed.
func (c *call) parameterPages(request *adminv1.ListParametersRequest) fetcher[*adminv1.Parameter] {
	return func(token string) (page[*adminv1.Parameter], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.parameters().ListParameters(c.ctx, request)
		return page[*adminv1.Parameter]{items: r.GetParameters(), next: r.GetNextPageToken()}, err
	}
}

func (a *app) parametersList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List parameters",
		columns: parameterColumns.Names(),
		example: "brokerctl parameters list\nbrokerctl parameters list --global",
		flags: func(fs *pflag.FlagSet) {
			everyVHost(fs)
			filterFlags(fs, "name")
			fs.String("component", "", "only those of this component")
			fs.Bool("global", false, "only those that are in no virtual host")
		},
		run: func(c *call) error {
			vhost, err := c.listVHost()
			if err != nil {
				return err
			}
			r := &adminv1.ListParametersRequest{Vhost: vhost, Component: c.text("component"), NamePrefix: c.text("prefix"),
				NameRegex: c.text("regex"), Global: c.bool("global")}
			if r.Global {
				r.Vhost = ""
			}
			return list(c, parameterColumns, c.parameterPages(r))
		},
	})
}

// parameterKey reads COMPONENT NAME, or NAME with --global, and returns the arguments that follow.
func (c *call) parameterKey() (p *adminv1.Parameter, rest []string, _ error) {
	p = &adminv1.Parameter{Vhost: c.vhost}
	if c.bool("global") {
		if len(c.args) < 1 {
			return nil, nil, usagef("name the parameter: %s --global NAME", c.cmd.CommandPath())
		}
		return &adminv1.Parameter{Name: c.args[0]}, c.args[1:], nil
	}
	if len(c.args) < 2 {
		return nil, nil, usagef("name the parameter: %s COMPONENT NAME (or --global NAME)", c.cmd.CommandPath())
	}
	p.Component, p.Name = c.args[0], c.args[1]
	return p, c.args[2:], nil
}

func globalFlag(fs *pflag.FlagSet) {
	fs.Bool("global", false, "a parameter that is in no virtual host and has no component")
}

func (a *app) parametersShow() *cobra.Command {
	return a.verb(verb{
		use: "show COMPONENT NAME", short: "Show a parameter",
		example: "brokerctl parameters show --global cluster_tags",
		args:    atMost(2, "a component and a name"), flags: globalFlag,
		run: func(c *call) error {
			p, _, err := c.parameterKey()
			if err != nil {
				return err
			}
			r, err := c.parameters().GetParameter(c.ctx, &adminv1.GetParameterRequest{Vhost: p.Vhost, Component: p.Component, Name: p.Name})
			if err != nil {
				return err
			}
			return c.show(parameterColumns.Object(r.GetParameter()))
		},
	})
}

func (a *app) parametersSet() *cobra.Command {
	return a.verb(verb{
		use: "set COMPONENT NAME VALUE", short: "Create or replace a parameter",
		example: "brokerctl parameters set --global cluster_tags '{\"region\": \"eu\"}'",
		args:    atMost(3, "a component, a name and a value"), flags: globalFlag,
		run: func(c *call) error {
			p, rest, err := c.parameterKey()
			if err != nil {
				return err
			}
			if len(rest) != 1 {
				return usagef("give the value of the parameter as JSON behind its name")
			}
			p.Value = rest[0]
			created, err := c.putParameter(p)
			if err != nil {
				return err
			}
			return c.done(append(parameterColumns.Object(p), output.Member{Name: "created", Value: created}), "set parameter %q", p.Name)
		},
	})
}

func (c *call) putParameter(p *adminv1.Parameter) (created bool, _ error) {
	r, err := c.parameters().PutParameter(c.ctx, &adminv1.PutParameterRequest{Parameter: p})
	return r.GetCreated(), err
}

func (a *app) parametersDelete() *cobra.Command {
	return a.verb(verb{
		use: "delete COMPONENT NAME", aliases: []string{"rm", "clear"}, short: "Delete a parameter",
		example: "brokerctl parameters delete --global cluster_tags --yes",
		args:    atMost(2, "a component and a name"), flags: globalFlag,
		run: func(c *call) error {
			p, _, err := c.parameterKey()
			if err != nil {
				return err
			}
			if err := c.confirm("Delete parameter %q", p.Name); err != nil {
				return err
			}
			if err := c.deleteParameter(p); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "component", Value: p.Component}, {Name: "name", Value: p.Name}, {Name: "vhost", Value: p.Vhost}},
				"deleted parameter %q", p.Name)
		},
	})
}

func (c *call) deleteParameter(p *adminv1.Parameter) error {
	_, err := c.parameters().DeleteParameter(c.ctx, &adminv1.DeleteParameterRequest{Vhost: p.Vhost, Component: p.Component, Name: p.Name})
	return err
}
