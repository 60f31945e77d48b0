package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brokerd/brokerd/internal/config"
)

func configCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "config",
		Short: "Check or print the configuration",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return &usageError{fmt.Sprintf("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, " or "))}
		},
	}
	group.AddCommand(
		&cobra.Command{
			Use:   "check",
			Short: "Check the configuration as brokerd would start with it",
			Args:  noArguments,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if _, err := config.Load(cmd.Flags()); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "configuration is valid")
				return err
			},
		},
		&cobra.Command{
			Use:   "print",
			Short: "Print the effective configuration as YAML, with the source of each value",
			Args:  noArguments,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := config.Load(cmd.Flags())
				if err != nil {
					return err
				}
				return cfg.WriteYAML(cmd.OutOrStdout())
			},
		},
	)
	return group
}
