package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestReference keeps the second part of docs/brokerctl.md equal to the help, and sees to it that every command has some.
func TestReference(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "docs", "brokerctl.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "-run TestReference -update`.\n\n"
	head, _, found := strings.Cut(string(data), mark)
	if !found {
		t.Fatalf("%s has no line that ends with %q", file, mark)
	}
	var b strings.Builder
	b.WriteString(head + mark)
	root := rootCommand()
	for _, group := range root.Groups() {
		fmt.Fprintf(&b, "### %s\n\n", strings.TrimSuffix(group.Title, ":"))
		rows := 0
		each(root, func(cmd *cobra.Command) {
			top := cmd
			for top.HasParent() && top.Parent() != root {
				top = top.Parent()
			}
			if top.GroupID != group.ID || cmd.HasSubCommands() || cmd.Name() == "help" {
				return
			}
			if cmd.Short == "" || cmd.Example == "" {
				t.Errorf("%s has no description or no example", cmd.CommandPath())
			}
			if group.ID == groupRabbit {
				if rows++; rows == 1 {
					b.WriteString("| name | stands for |\n| --- | --- |\n")
				}
				fmt.Fprintf(&b, "| `%s` | %s |\n", cmd.Use, cmd.Short)
				return
			}
			reference(&b, cmd)
		})
		if rows > 0 {
			b.WriteString("\n")
		}
	}
	if got := strings.TrimRight(b.String(), "\n") + "\n"; got != string(data) {
		if !*update {
			t.Fatalf("%s is not what the help says; go test ./cmd/brokerctl -run TestReference -update", file)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// reference describes a command.
func reference(b *strings.Builder, cmd *cobra.Command) {
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	fmt.Fprintf(b, "#### %s\n\n%s\n\n", strings.TrimPrefix(cmd.UseLine(), "brokerctl "), long)
	var flags []string
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if cmd.PersistentFlags().Lookup(f.Name) == nil && f.Name != "help" && !f.Hidden {
			flags = append(flags, "`--"+f.Name+"`: "+f.Usage)
		}
	})
	for _, f := range flags {
		fmt.Fprintf(b, "- %s\n", f)
	}
	if len(flags) > 0 {
		b.WriteString("\n")
	}
	b.WriteString("```\n")
	for line := range strings.Lines(cmd.Example) {
		fmt.Fprintf(b, "%s\n", strings.TrimSpace(line))
	}
	b.WriteString("```\n\n")
}

func each(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, fn)
	}
}
