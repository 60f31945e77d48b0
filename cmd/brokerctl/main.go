// Command brokerctl is the client for those who operate a broker. Its command perf measures any AMQP 0-9-1 broker.
//
// Exit codes: 64 for a wrong command line, 1 for everything that failed, a verification that found something included.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailure = 1
	exitUsage   = 64
)

// version is set by the linker in release builds (-X main.version=1.2.3); otherwise the build information is used.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func main() {
	if err := rootCommand().Execute(); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(os.Stderr, "brokerctl: %s\n", strings.TrimSuffix(line, "\n"))
		}
		os.Exit(exitCode(err))
	}
}

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "brokerctl",
		Short:         "Operate and measure a broker",
		Version:       versionText(),
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(perfCommand(), certsCommand())
	return root
}

// noArguments refuses what is left on the command line; for the root command that is a misspelt command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasAvailableSubCommands() {
		return &usageError{fmt.Errorf("%s has no command %q (see %s --help)", cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
	return &usageError{fmt.Errorf("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])}
}
