package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

var findingColumns = output.Columns[*adminv1.Finding]{
	{Name: "severity", Get: func(f *adminv1.Finding) any { return enum(f.GetSeverity().String(), "SEVERITY_") }},
	{Name: "check", Get: func(f *adminv1.Finding) any { return f.GetCheck() }},
	{Name: "finding", Get: func(f *adminv1.Finding) any { return f.GetFinding() }},
	{Name: "evidence", Get: func(f *adminv1.Finding) any { return f.GetEvidence() }},
	{Name: "remedy", Get: func(f *adminv1.Finding) any { return f.GetRemedy() }},
	{Name: "node", Get: func(f *adminv1.Finding) any { return f.GetNode() }, Extra: true},
	{Name: "vhost", Get: func(f *adminv1.Finding) any { return f.GetVhost() }, Extra: true},
	{Name: "object", Get: func(f *adminv1.Finding) any { return f.GetObject() }, Extra: true},
}

func (a *app) doctorCommand() *cobra.Command {
	return a.single(verb{
		use: "doctor [CHECK...]", short: "Look for trouble in the cluster and in how it is used",
		columns: findingColumns.Names(),
		long: "doctor prints what it finds, the figures that show it and what to do. The exit code is 1 if something critical is among it,\n" +
			"and 75 if a node did not answer.",
		example: "brokerctl doctor\nbrokerctl doctor --severity warning --output json",
		args:    cobra.ArbitraryArgs,
		flags: func(fs *pflag.FlagSet) {
			fs.String("severity", "info", "only what is at least this bad: info, warning or critical")
		},
		run: runDoctor,
	})
}

func runDoctor(c *call) error {
	r := &adminv1.DiagnoseRequest{Checks: c.args}
	switch s := c.text("severity"); s {
	case "info":
		r.MinSeverity = adminv1.Severity_SEVERITY_INFO
	case "warning":
		r.MinSeverity = adminv1.Severity_SEVERITY_WARNING
	case "critical":
		r.MinSeverity = adminv1.Severity_SEVERITY_CRITICAL
	default:
		return usagef("--severity %q is none of info, warning and critical", s)
	}
	var bad error
	err := c.repeat(func(w io.Writer) error {
		found, err := c.diagnostics().Diagnose(c.ctx, r)
		if err != nil {
			return err
		}
		bad = nil
		for _, f := range found.GetFindings() {
			if f.GetSeverity() == adminv1.Severity_SEVERITY_CRITICAL {
				bad = ctl.Problemf(exitFailure, "there is something critical")
			}
		}
		if nodes := found.GetUnreachableNodes(); len(nodes) > 0 {
			bad = ctl.Problemf(ctl.ExitTemporary, "not everything was checked: no answer from %s", strings.Join(nodes, ", "))
		}
		return c.printFindings(w, found)
	})
	if err == nil {
		err = bad
	}
	return err
}

func (c *call) printFindings(w io.Writer, found *adminv1.DiagnoseResponse) error {
	if c.format != output.Table || len(c.columns) > 0 {
		selected, err := findingColumns.Select(c.columns, c.format)
		if err != nil {
			return &usageError{err}
		}
		l := output.NewList(w, c.format, selected.Names(), !c.noHeaders)
		for _, f := range found.GetFindings() {
			if err := l.Row(selected.Values(f)); err != nil {
				return writeProblem(err)
			}
		}
		return writeProblem(l.Close())
	}
	var b strings.Builder
	for _, f := range found.GetFindings() {
		fmt.Fprintf(&b, "%-8s  %s: %s\n", strings.ToUpper(enum(f.GetSeverity().String(), "SEVERITY_")), f.GetCheck(), output.Clean(f.GetFinding()))
		if f.GetEvidence() != "" {
			fmt.Fprintf(&b, "          evidence: %s\n", output.Clean(f.GetEvidence()))
		}
		if f.GetRemedy() != "" {
			fmt.Fprintf(&b, "          remedy:   %s\n", output.Clean(f.GetRemedy()))
		}
	}
	fmt.Fprintf(&b, "%d checks, findings: %d\n", len(found.GetChecks()), found.GetTotalSize())
	_, err := io.WriteString(w, b.String())
	return writeProblem(err)
}
