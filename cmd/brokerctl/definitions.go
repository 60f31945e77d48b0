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

func (a *app) definitionsCommand() *cobra.Command {
	return a.noun("definitions", "definition", "Export and import what is defined, in RabbitMQ's JSON",
		a.definitionsExport(), a.definitionsImport(), a.definitionsDiff(), a.definitionsApply())
}

// maxDefinitions bounds the size of a file of definitions in bytes: a node takes requests of 64 MiB.
const maxDefinitions = 64<<20 - 64<<10

func (c *call) definitions() adminv1.DefinitionServiceClient {
	return adminv1.NewDefinitionServiceClient(c.conn)
}

var stepColumns = output.Columns[*adminv1.DefinitionStep]{
	{Name: "action", Get: func(s *adminv1.DefinitionStep) any { return enum(s.GetAction().String(), "DEFINITION_ACTION_") }},
	{Name: "kind", Get: func(s *adminv1.DefinitionStep) any { return s.GetKind() }},
	{Name: "vhost", Get: func(s *adminv1.DefinitionStep) any { return s.GetVhost() }},
	{Name: "name", Get: func(s *adminv1.DefinitionStep) any { return s.GetName() }},
	{Name: "text", Get: func(s *adminv1.DefinitionStep) any { return s.GetText() }},
}

func (a *app) definitionsExport() *cobra.Command {
	return a.verb(verb{
		use: "export [FILE]", short: "Write what is defined as RabbitMQ's JSON",
		long: "export writes users, virtual hosts, permissions, policies, queues, exchanges, bindings and so on to a file (mode 0600, as it\n" +
			"holds hashes of passwords) or to standard output, and of one virtual host only if --vhost is given.",
		example: "brokerctl definitions export --file definitions.json\nbrokerctl definitions export --vhost /",
		args:    atMost(1, "one file"),
		flags:   fileFlag,
		run: func(c *call) error {
			file, err := c.file()
			if err != nil {
				return err
			}
			data, err := c.exportDefinitions(c.chosenVHost())
			if err != nil {
				return err
			}
			if file == "" || file == "-" {
				_, err := c.out.Write(data)
				return writeProblem(err)
			}
			if err := ctl.WriteFile(file, data); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "file", Value: file}, {Name: "bytes", Value: len(data)}}, "wrote %d bytes to %s", len(data), file)
		},
	})
}

// exportDefinitions returns the JSON with a line end.
func (c *call) exportDefinitions(vhost string) ([]byte, error) {
	r, err := c.definitions().ExportDefinitions(c.long(), &adminv1.ExportDefinitionsRequest{Vhost: vhost})
	if err != nil {
		return nil, err
	}
	data := r.GetDefinitions()
	if len(data) == 0 || data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return data, nil
}

func fileFlag(fs *pflag.FlagSet) {
	fs.String("file", "", "the file (or as an argument), - for standard input or output")
}

// file returns the file that is given as --file or as the argument.
func (c *call) file() (string, error) {
	file := c.text("file")
	if len(c.args) > 0 {
		if file != "" && file != c.args[0] {
			return "", usagef("the file is given twice: %q and --file %q", c.args[0], file)
		}
		file = c.args[0]
	}
	return file, nil
}

// definitionsFile reads the file of definitions.
func (c *call) definitionsFile() (name string, data []byte, _ error) {
	name, err := c.file()
	if err != nil {
		return "", nil, err
	}
	if name == "" {
		return "", nil, usagef("name the file: %s FILE (- for standard input)", c.cmd.CommandPath())
	}
	data, err = c.readFile(name, maxDefinitions)
	return shownPath(name), data, err
}

// showPlan prints the differences: the steps, and in other formats than csv the sums and warnings.
func (c *call) showPlan(plan *adminv1.DefinitionPlan, done bool) error {
	if c.format == output.JSON || c.format == output.YAML {
		var steps []output.Object
		for _, s := range plan.GetSteps() {
			steps = append(steps, stepColumns.Object(s))
		}
		return c.show(output.Object{
			{Name: "creates", Value: plan.GetCreates()},
			{Name: "updates", Value: plan.GetUpdates()},
			{Name: "deletes", Value: plan.GetDeletes()},
			{Name: "conflicts", Value: plan.GetConflicts()},
			{Name: "unchanged", Value: plan.GetUnchanged()},
			{Name: "warnings", Value: plan.GetWarnings()},
			{Name: "steps", Value: steps},
		})
	}
	for _, w := range plan.GetWarnings() {
		c.warn("%s", w)
	}
	selected, err := stepColumns.Select(c.columns, c.format)
	if err != nil {
		return &usageError{err}
	}
	if len(plan.GetSteps()) > 0 || c.format == output.CSV {
		l := output.NewList(c.out, c.format, selected.Names(), !c.noHeaders)
		for _, s := range plan.GetSteps() {
			if err := l.Row(selected.Values(s)); err != nil {
				return writeProblem(err)
			}
		}
		if err := l.Close(); err != nil {
			return writeProblem(err)
		}
	}
	if c.format == output.CSV {
		return nil
	}
	_, err = fmt.Fprintln(c.out, planText(plan, done))
	return writeProblem(err)
}

// planText sums the plan up.
func planText(plan *adminv1.DefinitionPlan, done bool) string {
	verbs := []string{"to create", "to change", "to delete"}
	if done {
		verbs = []string{"created", "changed", "deleted"}
	}
	var parts []string
	for i, n := range []uint64{plan.GetCreates(), plan.GetUpdates(), plan.GetDeletes()} {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, verbs[i]))
		}
	}
	if n := plan.GetConflicts(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d in conflict", n))
	}
	return strings.Join(append(parts, fmt.Sprintf("%d unchanged", plan.GetUnchanged())), ", ")
}

func (a *app) definitionsImport() *cobra.Command {
	return a.verb(verb{
		use: "import FILE", short: "Add what a file defines",
		long: "import adds what a file defines. Queues and exchanges that are there stay as they are; users, permissions, policies and\n" +
			"parameters are replaced, which needs a confirmation if any is different. A file with a mistake changes nothing.",
		example: "brokerctl definitions import definitions.json --yes\nbrokerctl definitions import --file definitions.json --yes --output json",
		args:    atMost(1, "one file"),
		flags:   fileFlag,
		run: func(c *call) error {
			name, data, err := c.definitionsFile()
			if err != nil {
				return err
			}
			if !c.yes {
				plan, err := c.diffDefinitions(name, data, false)
				if err != nil {
					return err
				}
				if n := plan.GetUpdates(); n > 0 {
					if err := c.confirm("Importing %s replaces %d objects that are there (definitions diff shows them). Import it", name, n); err != nil {
						return err
					}
				}
			}
			plan, err := c.importDefinitions(name, data)
			if err != nil {
				return err
			}
			return c.showPlan(plan, true)
		},
	})
}

func (c *call) importDefinitions(name string, data []byte) (*adminv1.DefinitionPlan, error) {
	wait := c.working("importing " + name)
	defer wait()
	r, err := c.definitions().ImportDefinitions(c.long(), &adminv1.ImportDefinitionsRequest{Definitions: data, File: name})
	return r.GetPlan(), err
}

func (c *call) diffDefinitions(name string, data []byte, prune bool) (*adminv1.DefinitionPlan, error) {
	r, err := c.definitions().DiffDefinitions(c.long(), &adminv1.DiffDefinitionsRequest{Definitions: data, File: name, Prune: prune})
	return r.GetPlan(), err
}

func (a *app) definitionsDiff() *cobra.Command {
	return a.verb(verb{
		use: "diff FILE", short: "Tell what would have to change to match a file",
		columns: stepColumns.Names(),
		long:    "diff compares the cluster with a file. The exit code is 1 if there is a difference.",
		example: "brokerctl definitions diff definitions.json\nbrokerctl definitions diff --file definitions.json --prune --output json",
		args:    atMost(1, "one file"),
		flags: func(fs *pflag.FlagSet) {
			fileFlag(fs)
			fs.Bool("prune", false, "what is not in the file counts as a difference")
		},
		run: func(c *call) error {
			name, data, err := c.definitionsFile()
			if err != nil {
				return err
			}
			plan, err := c.diffDefinitions(name, data, c.bool("prune"))
			if err != nil {
				return err
			}
			if err := c.showPlan(plan, false); err != nil {
				return err
			}
			if n := plan.GetCreates() + plan.GetUpdates() + plan.GetDeletes() + plan.GetConflicts(); n > 0 {
				return ctl.Problemf(exitFailure, "the cluster and %s differ in %d objects", name, n)
			}
			return nil
		},
	})
}

func (a *app) definitionsApply() *cobra.Command {
	return a.verb(verb{
		use: "apply FILE", short: "Make the cluster match a file",
		long: "apply creates and changes what is different and with --prune deletes what is not in the file, queues with their messages\n" +
			"included. It prints the plan; --dry-run does nothing else. Replacing and deleting needs a confirmation. The exit code is 65 if\n" +
			"something is in conflict: it has other properties and cannot be changed.",
		example: "brokerctl definitions apply definitions.json --prune --dry-run\nbrokerctl definitions apply --file definitions.json --yes",
		args:    atMost(1, "one file"),
		flags: func(fs *pflag.FlagSet) {
			fileFlag(fs)
			fs.Bool("prune", false, "delete what is not in the file")
			fs.Bool("dry-run", false, "only print the plan")
		},
		run: func(c *call) error {
			name, data, err := c.definitionsFile()
			if err != nil {
				return err
			}
			prune, dry := c.bool("prune"), c.bool("dry-run")
			if !c.yes && !dry {
				plan, err := c.diffDefinitions(name, data, prune)
				if err != nil {
					return err
				}
				if plan.GetUpdates()+plan.GetDeletes() > 0 {
					if err := c.confirm("Applying %s changes %d and deletes %d objects (--dry-run shows them). Apply it", name,
						plan.GetUpdates(), plan.GetDeletes()); err != nil {
						return err
					}
				}
			}
			stop := c.working("applying " + name)
			r, err := c.definitions().ApplyDefinitions(c.long(), &adminv1.ApplyDefinitionsRequest{Definitions: data, File: name,
				Prune: prune, DryRun: dry})
			stop()
			if err != nil {
				return err
			}
			if err := c.showPlan(r.GetPlan(), !dry); err != nil {
				return err
			}
			if n := r.GetPlan().GetConflicts(); n > 0 {
				return ctl.Problemf(ctl.ExitData, "%d objects are in conflict with %s: delete them first if they shall be as it says", n, name)
			}
			return nil
		},
	})
}
