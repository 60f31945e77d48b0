package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

// rabbitFlags adds the flags of rabbitmqctl that the others do not have.
func (a *app) rabbitFlags(fs *pflag.FlagSet) {
	fs.StringP("node", "n", "", "accepted and ignored: --address or --data-dir say which node")
	fs.BoolP("quiet", "q", false, "print no messages beside the result")
	fs.BoolP("silent", "s", false, "print neither messages nor names of columns")
	fs.Bool("no-table-headers", false, "print no names of columns")
	fs.String("formatter", "", "table (tab-separated), json, csv or pretty_table")
	fs.VarP(&a.timeout, "seconds", "t", "as --timeout")
	for _, name := range []string{"node", "quiet", "silent", "no-table-headers", "formatter", "seconds"} {
		fs.Lookup(name).Hidden = true
	}
}

// rabbitVerb is a command under a name of rabbitmqctl. It asks no questions, as scripts expect.
type rabbitVerb struct {
	use, short, example string
	args                cobra.PositionalArgs
	flags               func(*pflag.FlagSet)
	run                 func(*call) error
}

func (a *app) rabbit(v rabbitVerb) *cobra.Command {
	cmd := a.single(verb{use: v.use, short: v.short, example: v.example, args: v.args, flags: func(fs *pflag.FlagSet) {
		a.rabbitFlags(fs)
		for _, name := range []string{"quiet", "silent", "no-table-headers", "formatter"} {
			fs.Lookup(name).Hidden = false
		}
		fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
			return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
		})
		if v.flags != nil {
			v.flags(fs)
		}
	}, run: func(c *call) error {
		c.yes = true
		if err := c.rabbitFormat(); err != nil {
			return err
		}
		return v.run(c)
	}})
	return cmd
}

// rabbitFormat chooses the format: --formatter, or --output, or tab-separated.
func (c *call) rabbitFormat() error {
	switch f := c.text("formatter"); f {
	case "":
		if !c.changed("output") {
			c.format = output.TSV
		}
	case "table", "tsv":
		c.format = output.TSV
	case "pretty_table":
		c.format = output.Table
	case "json", "csv":
		c.format = output.Format(f)
	default:
		return usagef("--formatter %q is none of table, pretty_table, json and csv", f)
	}
	if c.bool("silent") || c.bool("no-table-headers") {
		c.noHeaders = true
	}
	return nil
}

// say prints what rabbitmqctl says before it works, such as "Listing users ...".
func (c *call) say(format string, args ...any) error {
	if c.bool("quiet") || c.bool("silent") || c.format != output.TSV {
		return nil
	}
	_, err := fmt.Fprintln(c.out, output.Clean(fmt.Sprintf(format, args...)))
	return writeProblem(err)
}

// need returns the arguments of a rabbitmqctl command, whose number is fixed.
func (c *call) need(names ...string) ([]string, error) {
	if len(c.args) != len(names) {
		return nil, usagef("%s needs %s, but got %d arguments", c.cmd.CommandPath(), strings.Join(names, " "), len(c.args))
	}
	return c.args, nil
}

// rabbitList prints a list with the columns that are named as arguments, or the defaults.
func rabbitList[T any](c *call, columns output.Columns[T], defaults []string, fetch fetcher[T], heading string, args ...any) error {
	if err := c.say(heading, args...); err != nil {
		return err
	}
	names := defaults
	if len(c.args) > 0 {
		names = nil
		for _, arg := range c.args {
			names = append(names, strings.FieldsFunc(arg, func(r rune) bool { return r == ',' || r == ' ' })...)
		}
	}
	if len(c.columns) == 0 {
		c.columns = names
	}
	return list(c, columns, fetch)
}
