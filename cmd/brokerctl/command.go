package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verb is a command of a noun.
type verb struct {
	use, short, long, example string
	aliases                   []string
	args                      cobra.PositionalArgs // nil for none
	flags                     func(*pflag.FlagSet)
	run                       func(*call) error
	complete                  completer
	columns                   []string // of a list, for the help
}

// verb makes a command that needs a node.
func (a *app) verb(v verb) *cobra.Command {
	cmd := &cobra.Command{Use: v.use, Short: v.short, Long: v.describe(), Example: indent(v.example), Aliases: v.aliases, Args: v.args,
		RunE: a.connected(v.run)}
	if cmd.Args == nil {
		cmd.Args = noArguments
	}
	cmd.Flags().SortFlags = false
	if v.flags != nil {
		v.flags(cmd.Flags())
	}
	if v.complete != nil {
		cmd.ValidArgsFunction = firstArgument(a.completion(v.complete))
	} else {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	return cmd
}

// describe is the long help: what the command does, and the columns of its list.
func (v verb) describe() string {
	if len(v.columns) == 0 {
		return v.long
	}
	long := v.long
	if long == "" {
		long = v.short + "."
	}
	return long + "\n\nColumns: " + wrap(strings.Join(v.columns, ", "), 120)
}

// wrap breaks a text at spaces into lines of at most width characters.
func wrap(s string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(s) {
		if i > 0 {
			if column += 1 + len(word); column > width {
				b.WriteByte('\n')
				column = len(word)
			} else {
				b.WriteByte(' ')
			}
		} else {
			column = len("Columns: ") + len(word)
		}
		b.WriteString(word)
	}
	return b.String()
}

// noun makes a command that has others.
func (a *app) noun(name, singular, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	if singular != "" {
		cmd.Aliases = []string{singular}
	}
	a.persistentFlags(cmd)
	cmd.AddCommand(verbs...)
	return cmd
}

// single makes a verb a command of its own.
func (a *app) single(v verb) *cobra.Command {
	cmd := a.verb(v)
	a.persistentFlags(cmd)
	return cmd
}

// indent moves the lines of an example as cobra's help has them.
func indent(s string) string {
	if s == "" {
		return ""
	}
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ")
}

// joinWatch makes --watch=5s of --watch 5s: its value is optional, which pflag knows with = only.
func joinWatch(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(joined, args[i:]...)
		}
		if args[i] == "--watch" && i+1 < len(args) && new(duration).Set(args[i+1]) == nil {
			joined = append(joined, "--watch="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}
