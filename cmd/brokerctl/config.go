package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) configCommand() *cobra.Command {
	return a.noun("config", "", "Contexts: named places to connect to, in the configuration file",
		a.configList(), a.configShow(), a.configUse(), a.configSet(), a.configDelete())
}

// local makes a command of config, which needs no node.
func (a *app) local(v verb) *cobra.Command {
	cmd := a.verb(v)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.checkFlags(); err != nil {
			return err
		}
		return v.run(&call{app: a, cmd: cmd, ctx: cmd.Context(), args: args, out: cmd.OutOrStdout(), format: output.Format(a.output)})
	}
	cmd.ValidArgsFunction = firstArgument(a.completeContexts)
	return cmd
}

// namedContext is a context with its name.
type namedContext struct {
	name    string
	current bool
	ctl.Context
}

var contextColumns = output.Columns[namedContext]{
	{Name: "name", Get: func(x namedContext) any { return x.name }},
	{Name: "current", Get: func(x namedContext) any { return x.current }},
	{Name: "address", Get: func(x namedContext) any { return x.Address }},
	{Name: "data_dir", Get: func(x namedContext) any { return x.DataDir }},
	{Name: "user", Get: func(x namedContext) any { return x.User }},
	{Name: "password", Get: func(x namedContext) any { return hidden(x.Password) }, Extra: true},
	{Name: "password_file", Get: func(x namedContext) any { return x.PasswordFile }, Extra: true},
	{Name: "vhost", Get: func(x namedContext) any { return x.VHost }},
	{Name: "tls", Get: func(x namedContext) any { return x.TLS || x.TLSCA != "" || x.TLSCert != "" }},
	{Name: "tls_ca", Get: func(x namedContext) any { return x.TLSCA }, Extra: true},
	{Name: "tls_cert", Get: func(x namedContext) any { return x.TLSCert }, Extra: true},
	{Name: "tls_key", Get: func(x namedContext) any { return x.TLSKey }, Extra: true},
	{Name: "tls_server_name", Get: func(x namedContext) any { return x.TLSServerName }, Extra: true},
	{Name: "insecure_skip_verify", Get: func(x namedContext) any { return x.InsecureSkip }, Extra: true},
	{Name: "insecure_plaintext", Get: func(x namedContext) any { return x.InsecurePlaintext }, Extra: true},
}

// hidden shows that there is a secret.
func hidden(secret string) string {
	if secret == "" {
		return ""
	}
	return "********"
}

func (a *app) configList() *cobra.Command {
	return a.local(verb{
		use: "list", aliases: []string{"ls"}, short: "List the contexts",
		columns: contextColumns.Names(),
		example: "brokerctl config list\nbrokerctl config list --output json",
		run: func(c *call) error {
			config, err := ctl.LoadConfig(c.configFile())
			if err != nil {
				return err
			}
			return list(c, contextColumns, func(string) (page[namedContext], error) {
				var p page[namedContext]
				for _, name := range config.Names() {
					p.items = append(p.items, namedContext{name, name == config.Current, config.Contexts[name]})
				}
				return p, nil
			})
		},
	})
}

func (a *app) configShow() *cobra.Command {
	return a.local(verb{
		use: "show [NAME]", short: "Show a context (the current one), without its password",
		example: "brokerctl config show prod",
		args:    atMost(1, "one name"),
		flags:   func(fs *pflag.FlagSet) { nameFlag(fs, "context") },
		run: func(c *call) error {
			config, err := ctl.LoadConfig(c.configFile())
			if err != nil {
				return err
			}
			name, err := c.optionalName()
			if err != nil {
				return err
			}
			if name == "" {
				name = config.Current
			}
			if name == "" {
				return ctl.Problemf(exitFailure, "there is no current context; brokerctl config list shows those there are")
			}
			x, err := config.Context(name)
			if err != nil {
				return err
			}
			return c.show(contextColumns.Object(namedContext{name, name == config.Current, x}))
		},
	})
}

func (a *app) configUse() *cobra.Command {
	return a.local(verb{
		use: "use NAME", short: "Make a context the current one",
		long:    "use makes a context the one that commands without --context, --address and --data-dir connect to; '' stands for none.",
		example: "brokerctl config use prod",
		args:    atMost(1, "one name"),
		run: func(c *call) error {
			if len(c.args) == 0 {
				return usagef("name the context: %s NAME ('' for none)", c.cmd.CommandPath())
			}
			config, err := ctl.LoadConfig(c.configFile())
			if err != nil {
				return err
			}
			if _, err := config.Context(c.args[0]); err != nil {
				return err
			}
			config.Current = c.args[0]
			if err := config.Save(c.configFile()); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "current", Value: config.Current}}, "the current context is %q now", config.Current)
		},
	})
}

func (a *app) configSet() *cobra.Command {
	return a.local(verb{
		use: "set NAME", short: "Make or change a context with the flags that are given",
		long: "set writes the flags --address, --data-dir, --user, --password-file, --vhost and --tls... into a context. With --store-password the\n" +
			"password is asked for (or read from BROKERCTL_PASSWORD) and stored, too; the file can be read by its owner only. The first context\n" +
			"becomes the current one.",
		example: "brokerctl config set prod --address broker1:8672,broker2:8672 --user admin --tls-ca ca.pem\n" +
			"brokerctl config set local --data-dir /var/lib/brokerd",
		args: atMost(1, "one name"),
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "context")
			fs.Bool("store-password", false, "store the password in the file")
		},
		run: func(c *call) error {
			name, err := c.name("context")
			if err != nil {
				return err
			}
			if err := ctl.CheckContextName(name); err != nil {
				return err
			}
			config, err := ctl.LoadConfig(c.configFile())
			if err != nil {
				return err
			}
			x := config.Contexts[name]
			if err := c.changeContext(&x); err != nil {
				return err
			}
			if len(config.Contexts) == 0 {
				config.Current = name
			}
			config.Contexts[name] = x
			if err := config.Save(c.configFile()); err != nil {
				return err
			}
			return c.done(contextColumns.Object(namedContext{name, name == config.Current, x}), "wrote context %q", name)
		},
	})
}

// changeContext puts the flags that are given into x.
func (c *call) changeContext(x *ctl.Context) error {
	if c.changed("address") && c.changed("data-dir") {
		return usagef("--address and --data-dir are both given; use one")
	}
	for name, field := range map[string]*string{
		"address": &x.Address, "data-dir": &x.DataDir, "user": &x.User, "password-file": &x.PasswordFile, "vhost": &x.VHost,
		"tls-ca": &x.TLSCA, "tls-cert": &x.TLSCert, "tls-key": &x.TLSKey, "tls-server-name": &x.TLSServerName,
	} {
		if c.changed(name) {
			*field = c.text(name)
		}
	}
	for name, field := range map[string]*bool{
		"tls": &x.TLS, "insecure-skip-verify": &x.InsecureSkip, "insecure-plaintext": &x.InsecurePlaintext,
	} {
		if c.changed(name) {
			*field = c.bool(name)
		}
	}
	switch {
	case c.changed("address"):
		x.DataDir = ""
	case c.changed("data-dir"):
		x.Address = ""
	}
	if x.Address != "" {
		t := ctl.Target{Addresses: splitList(x.Address), Cert: x.TLSCert, Key: x.TLSKey}
		if err := t.Validate(); err != nil {
			return err
		}
	}
	if !c.bool("store-password") {
		return nil
	}
	if x.User == "" {
		return usagef("--store-password needs a --user whose password it is")
	}
	var err error
	if p, ok := os.LookupEnv("BROKERCTL_PASSWORD"); ok {
		x.Password = p
	} else if x.Password, err = promptSecret(c.cmd, fmt.Sprintf("Password of %s: ", x.User)); err != nil {
		return err
	}
	x.PasswordFile = ""
	return nil
}

func (a *app) configDelete() *cobra.Command {
	return a.local(verb{
		use: "delete NAME", aliases: []string{"rm"}, short: "Delete a context",
		example: "brokerctl config delete local --yes",
		args:    atMost(1, "one name"),
		flags:   func(fs *pflag.FlagSet) { nameFlag(fs, "context") },
		run: func(c *call) error {
			name, err := c.name("context")
			if err != nil {
				return err
			}
			config, err := ctl.LoadConfig(c.configFile())
			if err != nil {
				return err
			}
			if _, ok := config.Contexts[name]; !ok {
				return ctl.Problemf(exitFailure, "there is no context %q", name)
			}
			if err := c.confirm("Delete context %q", name); err != nil {
				return err
			}
			delete(config.Contexts, name)
			if config.Current == name {
				config.Current = ""
			}
			if err := config.Save(c.configFile()); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}}, "deleted context %q", name)
		},
	})
}
