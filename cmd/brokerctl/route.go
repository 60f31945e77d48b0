package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) routeCommand() *cobra.Command {
	return a.noun("route", "", "The way that messages take", a.routeExplain())
}

func (a *app) routeExplain() *cobra.Command {
	return a.verb(verb{
		use: "explain EXCHANGE KEY", short: "Tell where a message would go, and why",
		long: "explain prints each exchange on the way with each binding that was considered, whether it matches and why, alternate exchanges,\n" +
			"and the queues. Nothing is published. An empty exchange ('') is the default one.",
		example: "brokerctl route explain events order.created\n" +
			"brokerctl route explain amq.headers '' --header kind=order --output json",
		args: atMost(2, "an exchange and a routing key"), complete: completeExchanges,
		flags: func(fs *pflag.FlagSet) { fs.StringArray("header", nil, "header k=v or k:=JSON, repeatable") },
		run: func(c *call) error {
			if len(c.args) != 2 {
				return usagef("name the exchange and the routing key: %s EXCHANGE KEY ('' for the default exchange or no key)", c.cmd.CommandPath())
			}
			headers, err := c.headers()
			if err != nil {
				return err
			}
			r, err := adminv1.NewMessageServiceClient(c.conn).ExplainRoute(c.ctx, &adminv1.ExplainRouteRequest{Vhost: c.vhost,
				Exchange: c.args[0], RoutingKey: c.args[1], Headers: headers})
			if err != nil {
				return err
			}
			if c.format == output.Table {
				_, err := c.out.Write([]byte(routeText(r)))
				return writeProblem(err)
			}
			return c.show(routeObject(r))
		},
	})
}

func routeObject(r *adminv1.ExplainRouteResponse) output.Object {
	var steps []output.Object
	for _, s := range r.GetSteps() {
		var bindings []output.Object
		for _, b := range s.GetBindings() {
			bindings = append(bindings, output.Object{
				{Name: "destination", Value: b.GetDestination()},
				{Name: "destination_type", Value: routeDestination(b)},
				{Name: "routing_key", Value: b.GetRoutingKey()},
				{Name: "arguments", Value: ctl.PlainTable(b.GetArguments())},
				{Name: "matched", Value: b.GetMatched()},
				{Name: "reason", Value: b.GetReason()},
			})
		}
		steps = append(steps, output.Object{
			{Name: "exchange", Value: s.GetExchange()},
			{Name: "type", Value: s.GetType()},
			{Name: "depth", Value: s.GetDepth()},
			{Name: "binding_count", Value: s.GetBindingCount()},
			{Name: "bindings", Value: bindings},
			{Name: "alternate_exchange", Value: s.GetAlternateExchange()},
			{Name: "alternate_origin", Value: s.GetAlternateOrigin()},
			{Name: "alternate_used", Value: s.GetAlternateUsed()},
			{Name: "note", Value: s.GetNote()},
		})
	}
	return output.Object{{Name: "queues", Value: r.GetQueues()}, {Name: "unroutable", Value: r.GetUnroutable()}, {Name: "steps", Value: steps}}
}

func routeDestination(b *adminv1.RouteBinding) string {
	if b.GetToExchange() {
		return "exchange"
	}
	return "queue"
}

// exchangeText names an exchange for people.
func exchangeText(name string) string {
	if name == "" {
		return "the default exchange"
	}
	return fmt.Sprintf("exchange %q", name)
}

// routeText draws the way as an indented list.
func routeText(r *adminv1.ExplainRouteResponse) string {
	var b strings.Builder
	for _, s := range r.GetSteps() {
		pad := strings.Repeat("  ", int(min(s.GetDepth(), 20)))
		fmt.Fprintf(&b, "%s%s (%s)\n", pad, exchangeText(s.GetExchange()), output.Clean(s.GetType()))
		for _, x := range s.GetBindings() {
			mark := "-"
			if x.GetMatched() {
				mark = ">"
			}
			arguments := ""
			if len(x.GetArguments()) > 0 {
				arguments = " " + output.Text(ctl.PlainTable(x.GetArguments()))
			}
			fmt.Fprintf(&b, "%s  %s %s %q key %q%s: %s\n", pad, mark, routeDestination(x), x.GetDestination(), x.GetRoutingKey(), arguments,
				output.Clean(x.GetReason()))
		}
		if left := s.GetBindingCount() - uint64(len(s.GetBindings())); s.GetBindingCount() > uint64(len(s.GetBindings())) {
			fmt.Fprintf(&b, "%s  and %d more bindings\n", pad, left)
		}
		if s.GetAlternateExchange() != "" {
			used := "not used"
			if s.GetAlternateUsed() {
				used = "used, as nothing matched"
			}
			fmt.Fprintf(&b, "%s  alternate %s (from %s): %s\n", pad, exchangeText(s.GetAlternateExchange()), output.Clean(s.GetAlternateOrigin()), used)
		}
		if s.GetNote() != "" {
			fmt.Fprintf(&b, "%s  %s\n", pad, output.Clean(s.GetNote()))
		}
	}
	if r.GetUnroutable() {
		b.WriteString("no queue gets it\n")
		return b.String()
	}
	for _, q := range r.GetQueues() {
		fmt.Fprintf(&b, "=> queue %q\n", q)
	}
	return b.String()
}
