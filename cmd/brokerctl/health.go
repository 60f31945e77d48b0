package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

var healthColumns = output.Columns[*adminv1.HealthCheck]{
	{Name: "name", Get: func(h *adminv1.HealthCheck) any { return h.GetName() }},
	{Name: "node", Get: func(h *adminv1.HealthCheck) any { return h.GetNode() }},
	{Name: "ok", Get: func(h *adminv1.HealthCheck) any { return h.GetOk() }},
	{Name: "reason", Get: func(h *adminv1.HealthCheck) any { return h.GetReason() }},
}

func (c *call) diagnostics() adminv1.DiagnosticServiceClient {
	return adminv1.NewDiagnosticServiceClient(c.conn)
}

func (a *app) healthCommand() *cobra.Command {
	return a.single(verb{
		use: "health", short: "Say whether the cluster can serve",
		columns: healthColumns.Names(),
		long:    "health checks all nodes, or with --local the one that is asked. The exit code is 69 if a check fails or a node does not answer.",
		example: "brokerctl health\nbrokerctl health --local --output json",
		flags:   func(fs *pflag.FlagSet) { fs.Bool("local", false, "only the node that is asked") },
		run: func(c *call) error {
			var bad error
			err := c.repeat(func(w io.Writer) error {
				r, err := c.diagnostics().CheckHealth(c.ctx, &adminv1.CheckHealthRequest{LocalOnly: c.bool("local")})
				if err != nil {
					return err
				}
				bad = unhealthy(r)
				if c.format == output.JSON || c.format == output.YAML {
					var checks []output.Object
					for _, h := range r.GetChecks() {
						checks = append(checks, healthColumns.Object(h))
					}
					return c.showIn(w, output.Object{{Name: "ok", Value: bad == nil}, {Name: "checks", Value: checks},
						{Name: "unreachable_nodes", Value: r.GetUnreachableNodes()}})
				}
				selected, err := healthColumns.Select(c.columns, c.format)
				if err != nil {
					return &usageError{err}
				}
				l := output.NewList(w, c.format, selected.Names(), !c.noHeaders)
				for _, h := range r.GetChecks() {
					if err := l.Row(selected.Values(h)); err != nil {
						return writeProblem(err)
					}
				}
				return writeProblem(l.Close())
			})
			return errors.Join(err, bad)
		},
	})
}

// unhealthy says what is wrong, nil for nothing.
func unhealthy(r *adminv1.CheckHealthResponse) error {
	var wrong []string
	for _, h := range r.GetChecks() {
		if !h.GetOk() {
			wrong = append(wrong, fmt.Sprintf("%s on %s: %s", h.GetName(), h.GetNode(), h.GetReason()))
		}
	}
	if nodes := r.GetUnreachableNodes(); len(nodes) > 0 {
		wrong = append(wrong, "no answer from "+strings.Join(nodes, ", "))
	}
	if len(wrong) == 0 && r.GetOk() {
		return nil
	}
	if len(wrong) == 0 {
		wrong = []string{"the node says so"}
	}
	return ctl.Problemf(ctl.ExitUnavailable, "not healthy: %s", output.Clean(strings.Join(wrong, "; ")))
}

func (a *app) statusCommand() *cobra.Command {
	return a.single(verb{
		use: "status [NODE]", short: "Show what a node uses and does (the one that is asked)",
		example: "brokerctl status\nbrokerctl status --output yaml",
		args:    atMost(1, "one node"), complete: completeNodes,
		run: func(c *call) error {
			name := ""
			if len(c.args) > 0 {
				name = c.args[0]
			}
			return c.repeat(func(w io.Writer) error {
				s, err := c.nodes().GetNodeStatus(c.ctx, &adminv1.GetNodeStatusRequest{Node: name})
				if err != nil {
					return err
				}
				if c.format != output.Table || len(c.columns) > 0 {
					return c.showIn(w, nodeStatusObject(s))
				}
				return c.showIn(w, statusObject(s))
			})
		},
	})
}

// statusObject is the short status for people.
func statusObject(s *adminv1.GetNodeStatusResponse) output.Object {
	n, u, m := s.GetNode(), s.GetUsage(), s.GetMessages()
	objects := s.GetObjects()
	o := output.Object{
		{Name: "node", Value: fmt.Sprintf("%s (%s)", n.GetName(), enum(n.GetState().String(), "NODE_STATE_"))},
		{Name: "release", Value: n.GetRelease()},
		{Name: "platform", Value: s.GetPlatform()},
		{Name: "uptime", Value: upTime(s.GetUptime().AsDuration())},
		{Name: "pid", Value: s.GetPid()},
		{Name: "data directory", Value: s.GetDataDir()},
		{Name: "memory", Value: fmt.Sprintf("%s of %s, %s of it messages", size(u.GetMemoryUsedBytes()), size(u.GetMemoryLimitBytes()), size(u.GetMessageMemoryBytes()))},
		{Name: "disk", Value: fmt.Sprintf("%s free, at least %s needed; the store has %s", size(u.GetDiskFreeBytes()), size(u.GetDiskMinFreeBytes()), size(u.GetStoreBytes()))},
		{Name: "file descriptors", Value: fmt.Sprintf("%d of %d", u.GetFdsUsed(), u.GetFdsLimit())},
		{Name: "objects", Value: fmt.Sprintf("%d queues, %d connections, %d channels, %d consumers", objects.GetQueues(), objects.GetConnections(), objects.GetChannels(), objects.GetConsumers())},
		{Name: "messages", Value: fmt.Sprintf("%d ready, %d unacknowledged", s.GetMessagesReady(), s.GetMessagesUnacknowledged())},
		{Name: "since the start", Value: fmt.Sprintf("%d published, %d delivered, %d acknowledged, %d unroutable", m.GetPublished(), m.GetDelivered()+m.GetGot(), m.GetAcknowledged(), m.GetReturned()+m.GetDropped())},
	}
	var listeners []output.Object
	for _, l := range s.GetListeners() {
		listeners = append(listeners, output.Object{{Name: "protocol", Value: l.GetProtocol()}, {Name: "address", Value: l.GetAddress()}})
	}
	return append(o, output.Member{Name: "listeners", Value: listeners}, output.Member{Name: "alarms", Value: alarmObjects(s.GetAlarms())})
}
