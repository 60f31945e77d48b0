// Command brokerctl is the client for those who operate a broker: a thin layer over the admin API (proto/admin/v1), with a file for
// each noun. Its command perf measures any AMQP 0-9-1 broker, and the names of rabbitmqctl that people script work, too.
//
// Exit codes are those of sysexits.h (see internal/ctl); 1 stands for what is not there, for differences and for failed checks.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/brokerd/brokerd/internal/ctl"
)

// Exit codes that commands without a connection use.
const (
	exitFailure = ctl.ExitFailure
	exitUsage   = ctl.ExitUsage
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := rootCommand()
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	root.SetArgs(joinWatch(args))
	err := root.ExecuteContext(ctx)
	if err != nil && !(ctx.Err() != nil && ctl.ExitCode(err) == ctl.ExitInterrupted) {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(errs, "brokerctl: %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	return exitCode(err)
}

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func exitCode(err error) int {
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return ctl.ExitCode(err)
}

// Groups of commands in the help.
const (
	groupBroker  = "broker"
	groupCluster = "cluster"
	groupLook    = "look"
	groupTools   = "tools"
	groupRabbit  = "rabbit"
)

func rootCommand() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "brokerctl",
		Short: "Operate and measure a broker",
		Long: "brokerctl operates brokerd nodes over their admin API. Without --address it uses the socket of the node on this machine, in the\n" +
			"data directory (--data-dir, BROKERCTL_DATA_DIR, " + ctl.DefaultDataDir + ").",
		Example: "  brokerctl status\n" +
			"  brokerctl --output json queues list\n" +
			"  brokerctl help",
		Version:       versionText(),
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: groupBroker, Title: "What the broker holds:"},
		&cobra.Group{ID: groupCluster, Title: "Nodes and the cluster:"},
		&cobra.Group{ID: groupLook, Title: "Look at what happens:"},
		&cobra.Group{ID: groupTools, Title: "Tools:"},
		&cobra.Group{ID: groupRabbit, Title: "Names of rabbitmqctl, for scripts:"},
	)
	// They are flags of the root only so that they may stand before the command; each command has its own to read them.
	a.globalFlags(root.Flags())
	a.rabbitFlags(root.Flags())
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupBroker, a.queuesCommand(), a.exchangesCommand(), a.bindingsCommand(), a.vhostsCommand(), a.usersCommand(),
		a.permissionsCommand(), a.policiesCommand(), a.parametersCommand(), a.limitsCommand(), a.definitionsCommand())
	add(groupCluster, a.clusterCommand(), a.nodesCommand(), a.statusCommand(), a.healthCommand(), a.doctorCommand())
	add(groupLook, a.connectionsCommand(), a.channelsCommand(), a.consumersCommand(), a.topCommand(), a.eventsCommand(),
		a.logsCommand(), a.traceCommand(), a.routeCommand())
	add(groupTools, perfCommand(), certsCommand(), a.configCommand(), completionCommand())
	add(groupRabbit, a.rabbitCommands()...)
	root.SetHelpCommandGroupID(groupTools)
	return root
}

// noArguments refuses what is left on the command line; for a command with commands that is a misspelt one.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasAvailableSubCommands() {
		return usagef("%s has no command %q%s (see %s --help)", cmd.CommandPath(), args[0], suggestion(cmd, args[0]), cmd.CommandPath())
	}
	return usagef("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
}

// suggestion names the command that was probably meant.
func suggestion(cmd *cobra.Command, arg string) string {
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if s := cmd.SuggestionsFor(arg); len(s) > 0 {
		return fmt.Sprintf("; did you mean %s?", s[0])
	}
	return ""
}

// atMost returns a check for up to n arguments; names say what they are.
func atMost(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("%s takes %s, but got %q as well", cmd.CommandPath(), names, args[n])
		}
		return nil
	}
}
