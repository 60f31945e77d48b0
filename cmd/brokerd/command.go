package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/brokerd/brokerd/internal/config"
)

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "brokerd",
		Short: "An AMQP 0-9-1 message broker",
		Long: "brokerd runs a node of the broker in the foreground and logs to standard error.\n" +
			"Every setting can come from a YAML file (--config), from the environment (BROKERD_LOG_LEVEL for log.level)\n" +
			"or from a flag; flags win over the environment, and the environment over the file.\n" +
			"SIGTERM and SIGINT shut the node down in order, a second one at once. SIGHUP reads the configuration again.",
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(func() (*config.Config, error) { return config.Load(cmd.Flags()) })
		},
	}
	config.AddFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(configCommand(), devCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}

// noArguments refuses everything that is left on the command line; for a command with subcommands that is a misspelt one.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasAvailableSubCommands() {
		return &usageError{fmt.Sprintf("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])}
	}
	var commands []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			commands = append(commands, c.Name())
		}
	}
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
	if near := config.Nearest(args[0], commands); near != "" {
		text += fmt.Sprintf(", did you mean %s?", near)
	} else {
		text += fmt.Sprintf(" (it has %s)", strings.Join(commands, ", "))
	}
	return &usageError{text}
}

func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var flags []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
		if near := config.Nearest(unknown.GetSpecifiedName(), flags); near != "" {
			text += fmt.Sprintf(", did you mean --%s?", near)
		} else {
			text += " (see brokerd --help)"
		}
	}
	return &usageError{text}
}
