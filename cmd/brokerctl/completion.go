package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
)

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes commands, flags and names in a shell",
		Long: "completion prints a script for a shell. Names of queues, exchanges, users and the like are completed by asking the node.\n" +
			"bash: put it into /etc/bash_completion.d, or source <(brokerctl completion bash). zsh: put it as _brokerctl into a directory\n" +
			"of $fpath. fish: put it into ~/.config/fish/completions/brokerctl.fish.",
		Example:               "  brokerctl completion bash\n  brokerctl completion fish",
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("name one shell: brokerctl completion bash, zsh, fish or powershell")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usagef("there is no completion for %q: use bash, zsh, fish or powershell", args[0])
		},
	}
}

// completer returns the names that may follow, which begin with prefix.
type completer func(c *call, prefix string) ([]string, error)

// Bounds of completion: whoever presses Tab does not want to wait or to scroll.
const (
	completionTimeout = 2 * time.Second
	completionItems   = 200
)

// completion makes what cobra calls of a completer. What goes wrong completes nothing.
func (a *app) completion(complete completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		a.timeout = duration(completionTimeout)
		var names []string
		_ = a.connected(func(c *call) error {
			var err error
			names, err = complete(c, prefix)
			return err
		})(cmd, nil)
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// firstArgument completes the first argument only.
func firstArgument(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, prefix)
	}
}

// completeContexts completes the names of contexts.
func (a *app) completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := ctl.LoadConfig(a.configFile())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return config.Names(), cobra.ShellCompDirectiveNoFileComp
}

func completeQueues(c *call, prefix string) ([]string, error) {
	r, err := adminv1.NewQueueServiceClient(c.conn).ListQueues(c.ctx, &adminv1.ListQueuesRequest{
		PageSize: completionItems, Vhost: c.vhost, NamePrefix: prefix})
	return namesOf(r.GetQueues()), err
}

func completeExchanges(c *call, prefix string) ([]string, error) {
	r, err := adminv1.NewExchangeServiceClient(c.conn).ListExchanges(c.ctx, &adminv1.ListExchangesRequest{
		PageSize: completionItems, Vhost: c.vhost, NamePrefix: prefix})
	return namesOf(r.GetExchanges()), err
}

func completeVHosts(c *call, prefix string) ([]string, error) {
	r, err := adminv1.NewVHostServiceClient(c.conn).ListVHosts(c.ctx, &adminv1.ListVHostsRequest{
		PageSize: completionItems, NamePrefix: prefix})
	return namesOf(r.GetVhosts()), err
}

func completeUsers(c *call, prefix string) ([]string, error) {
	r, err := adminv1.NewUserServiceClient(c.conn).ListUsers(c.ctx, &adminv1.ListUsersRequest{
		PageSize: completionItems, NamePrefix: prefix})
	return namesOf(r.GetUsers()), err
}

func completePolicies(c *call, prefix string) ([]string, error) {
	r, err := adminv1.NewPolicyServiceClient(c.conn).ListPolicies(c.ctx, &adminv1.ListPoliciesRequest{
		PageSize: completionItems, Vhost: c.vhost, NamePrefix: prefix})
	return namesOf(r.GetPolicies()), err
}

func completeConnections(c *call, prefix string) ([]string, error) {
	r, err := adminv1.NewConnectionServiceClient(c.conn).ListConnections(c.ctx, &adminv1.ListConnectionsRequest{
		PageSize: completionItems, NamePrefix: prefix})
	return namesOf(r.GetConnections()), err
}

func completeNodes(c *call, prefix string) ([]string, error) {
	r, err := adminv1.NewClusterServiceClient(c.conn).ListNodes(c.ctx, &adminv1.ListNodesRequest{
		PageSize: completionItems, NamePrefix: prefix})
	return namesOf(r.GetNodes()), err
}

// namesOf returns the names of what has one.
func namesOf[T interface{ GetName() string }](items []T) []string {
	var names []string
	for _, item := range items {
		if name := item.GetName(); name != "" && !strings.ContainsAny(name, "\n\t") {
			names = append(names, name)
		}
	}
	return names
}
