package main

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) policiesCommand() *cobra.Command {
	return a.noun("policies", "policy", "Policies and operator policies",
		a.policiesList(), a.policiesShow(), a.policiesSet(), a.policiesDelete(), a.policiesEffective())
}

var policyColumns = output.Columns[*adminv1.Policy]{
	{Name: "name", Get: func(p *adminv1.Policy) any { return p.GetName() }},
	{Name: "vhost", Get: func(p *adminv1.Policy) any { return p.GetVhost() }},
	{Name: "operator", Get: func(p *adminv1.Policy) any { return p.GetOperator() }},
	{Name: "pattern", Get: func(p *adminv1.Policy) any { return p.GetPattern() }},
	{Name: "apply_to", Get: func(p *adminv1.Policy) any { return applyTo(p) }},
	{Name: "priority", Get: func(p *adminv1.Policy) any { return p.GetPriority() }},
	{Name: "definition", Get: func(p *adminv1.Policy) any { return json.RawMessage(p.GetDefinition()) }},
}

func applyTo(p *adminv1.Policy) string {
	if p.GetApplyTo() == "" {
		return "all"
	}
	return p.GetApplyTo()
}

func (c *call) policies() adminv1.PolicyServiceClient { return adminv1.NewPolicyServiceClient(c.conn) }

// policyPages lists policies; request is changed.
func (c *call) policyPages(request *adminv1.ListPoliciesRequest) fetcher[*adminv1.Policy] {
	return func(token string) (page[*adminv1.Policy], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.policies().ListPolicies(c.ctx, request)
		return page[*adminv1.Policy]{items: r.GetPolicies(), next: r.GetNextPageToken()}, err
	}
}

func operatorFlag(fs *pflag.FlagSet) {
	fs.Bool("operator", false, "an operator policy, which limits what others may set")
}

func (a *app) policiesList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List policies",
		columns: policyColumns.Names(),
		example: "brokerctl policies list\nbrokerctl policies list --operator --all-vhosts --output json",
		flags: func(fs *pflag.FlagSet) {
			everyVHost(fs)
			filterFlags(fs, "name")
			fs.Bool("operator", false, "only operator policies (=false for only others)")
		},
		run: func(c *call) error {
			vhost, err := c.listVHost()
			if err != nil {
				return err
			}
			r := &adminv1.ListPoliciesRequest{Vhost: vhost, NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}
			if c.changed("operator") {
				operator := c.bool("operator")
				r.Operator = &operator
			}
			return list(c, policyColumns, c.policyPages(r))
		},
	})
}

func (a *app) policiesShow() *cobra.Command {
	return a.verb(verb{
		use: "show NAME", short: "Show a policy",
		example: "brokerctl policies show limits",
		args:    atMost(1, "one name"), complete: completePolicies,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "policy")
			operatorFlag(fs)
		},
		run: func(c *call) error {
			name, err := c.name("policy")
			if err != nil {
				return err
			}
			r, err := c.policies().GetPolicy(c.ctx, &adminv1.GetPolicyRequest{Vhost: c.vhost, Name: name, Operator: c.bool("operator")})
			if err != nil {
				return err
			}
			return c.show(policyColumns.Object(r.GetPolicy()))
		},
	})
}

func (a *app) policiesSet() *cobra.Command {
	return a.verb(verb{
		use: "set NAME [PATTERN DEFINITION]", aliases: []string{"declare", "create"}, short: "Create or replace a policy",
		long: "set gives settings to the queues and exchanges whose names match a regular expression. The definition is a JSON object, or comes\n" +
			"from --set key=value flags. Of several policies that match, the one with the greatest priority counts.",
		example: "brokerctl policies set limits '^orders' '{\"max-length\": 100000}' --apply-to queues --priority 1\n" +
			"brokerctl policies set dead --pattern '^orders$' --set dead-letter-exchange=events --apply-to queues\n" +
			"brokerctl policies set cap '.*' '{\"max-length\": 1000000}' --operator --apply-to queues",
		args: atMost(3, "a name, a pattern and a definition"), complete: completePolicies,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "policy")
			operatorFlag(fs)
			fs.String("pattern", "", "regular expression on names")
			fs.String("definition", "", "the settings, a JSON object")
			fs.StringArray("set", nil, "a setting, k=v or k:=JSON, repeatable")
			fs.String("apply-to", "all", "all, queues, classic_queues, quorum_queues, streams or exchanges")
			fs.Int32("priority", 0, "the greatest of those that match counts")
		},
		run: func(c *call) error {
			p, err := c.policy()
			if err != nil {
				return err
			}
			created, err := c.putPolicy(p)
			if err != nil {
				return err
			}
			verb := "replaced"
			if created {
				verb = "created"
			}
			return c.done(append(policyColumns.Object(p), output.Member{Name: "created", Value: created}), "%s %s %q in virtual host %q",
				verb, policyNoun(p.Operator), p.Name, p.Vhost)
		},
	})
}

// policy reads the flags and arguments of policies set.
func (c *call) policy() (*adminv1.Policy, error) {
	priority, _ := c.cmd.Flags().GetInt32("priority")
	p := &adminv1.Policy{Vhost: c.vhost, Name: c.text("name"), Operator: c.bool("operator"), Pattern: c.text("pattern"),
		Definition: c.text("definition"), ApplyTo: c.text("apply-to"), Priority: priority}
	args := c.args
	for _, field := range []struct {
		flag  string
		value *string
	}{{"name", &p.Name}, {"pattern", &p.Pattern}, {"definition", &p.Definition}} {
		if !c.changed(field.flag) && len(args) > 0 {
			*field.value, args = args[0], args[1:]
		}
	}
	switch {
	case len(args) > 0:
		return nil, usagef("%q is left over: the rest is given as flags already", args[0])
	case p.Name == "":
		return nil, usagef("name the policy: %s NAME [PATTERN DEFINITION]", c.cmd.CommandPath())
	case p.Pattern == "":
		return nil, usagef("give the regular expression of the policy: --pattern; '.*' matches every name")
	}
	if settings := c.list("set"); len(settings) > 0 {
		if p.Definition != "" {
			return nil, usagef("the definition is given as JSON and with --set; use one of these")
		}
		m, err := ctl.ParseArguments(settings)
		if err != nil {
			return nil, usagef("--set: %w", err)
		}
		definition, err := json.Marshal(ctl.PlainTable(m))
		if err != nil {
			return nil, err
		}
		p.Definition = string(definition)
	}
	if strings.TrimSpace(p.Definition) == "" {
		return nil, usagef("say what the policy sets: --set key=value, or a JSON object")
	}
	return p, nil
}

func policyNoun(operator bool) string {
	if operator {
		return "operator policy"
	}
	return "policy"
}

func (c *call) putPolicy(p *adminv1.Policy) (created bool, _ error) {
	r, err := c.policies().PutPolicy(c.ctx, &adminv1.PutPolicyRequest{Policy: p})
	return r.GetCreated(), err
}

func (a *app) policiesDelete() *cobra.Command {
	return a.verb(verb{
		use: "delete NAME", aliases: []string{"rm", "clear"}, short: "Delete a policy",
		example: "brokerctl policies delete limits --yes",
		args:    atMost(1, "one name"), complete: completePolicies,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "policy")
			operatorFlag(fs)
		},
		run: func(c *call) error {
			name, err := c.name("policy")
			if err != nil {
				return err
			}
			operator := c.bool("operator")
			if err := c.confirm("Delete %s %q in virtual host %q", policyNoun(operator), name, c.vhost); err != nil {
				return err
			}
			if err := c.deletePolicy(name, operator); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "vhost", Value: c.vhost}, {Name: "operator", Value: operator}},
				"deleted %s %q in virtual host %q", policyNoun(operator), name, c.vhost)
		},
	})
}

func (c *call) deletePolicy(name string, operator bool) error {
	_, err := c.policies().DeletePolicy(c.ctx, &adminv1.DeletePolicyRequest{Vhost: c.vhost, Name: name, Operator: operator})
	return err
}

func (a *app) policiesEffective() *cobra.Command {
	return a.verb(verb{
		use: "effective NAME", short: "Show what arguments and policies make of a queue or exchange",
		example: "brokerctl policies effective orders\nbrokerctl policies effective events --exchange",
		args:    atMost(1, "one name"), complete: completeQueues,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "queue or exchange")
			fs.Bool("exchange", false, "the name is that of an exchange")
		},
		run: func(c *call) error {
			name, err := c.name("queue or exchange")
			if err != nil {
				return err
			}
			r := &adminv1.GetEffectiveSettingsRequest{Vhost: c.vhost, Target: &adminv1.GetEffectiveSettingsRequest_Queue{Queue: name}}
			if c.bool("exchange") {
				r.Target = &adminv1.GetEffectiveSettingsRequest_Exchange{Exchange: name}
			}
			s, err := c.policies().GetEffectiveSettings(c.ctx, r)
			if err != nil {
				return err
			}
			return c.show(output.Object{{Name: "name", Value: name}, {Name: "policy", Value: s.GetPolicy()},
				{Name: "operator_policy", Value: s.GetOperatorPolicy()}, {Name: "settings", Value: settingObjects(s.GetSettings())}})
		},
	})
}
