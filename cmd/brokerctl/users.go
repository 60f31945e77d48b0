package main

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

func (a *app) usersCommand() *cobra.Command {
	return a.noun("users", "user", "Users, their passwords and tags",
		a.usersList(), a.usersShow(), a.usersCreate(), a.usersSetPassword(), a.usersSetTags(), a.usersDelete(), a.usersAuthenticate(),
		a.usersWhoami())
}

var userColumns = output.Columns[*adminv1.User]{
	{Name: "name", Get: func(u *adminv1.User) any { return u.GetName() }},
	{Name: "tags", Get: func(u *adminv1.User) any { return u.GetTags() }},
	{Name: "has_password", Get: func(u *adminv1.User) any { return u.GetHasPassword() }},
	{Name: "hash_algorithm", Get: func(u *adminv1.User) any { return u.GetHashAlgorithm() }, Extra: true},
}

func (c *call) users() adminv1.UserServiceClient { return adminv1.NewUserServiceClient(c.conn) }

// userPages lists users; request is changed.
func (c *call) userPages(request *adminv1.ListUsersRequest) fetcher[*adminv1.User] {
	return func(token string) (page[*adminv1.User], error) {
		request.PageSize, request.PageToken = pageSize, token
		r, err := c.users().ListUsers(c.ctx, request)
		return page[*adminv1.User]{items: r.GetUsers(), next: r.GetNextPageToken()}, err
	}
}

func (a *app) usersList() *cobra.Command {
	return a.verb(verb{
		use: "list", aliases: []string{"ls"}, short: "List users",
		columns: userColumns.Names(),
		example: "brokerctl users list\nbrokerctl users list --prefix app --output json",
		flags:   func(fs *pflag.FlagSet) { filterFlags(fs, "name") },
		run: func(c *call) error {
			return list(c, userColumns, c.userPages(&adminv1.ListUsersRequest{NamePrefix: c.text("prefix"), NameRegex: c.text("regex")}))
		},
	})
}

func (a *app) usersShow() *cobra.Command {
	return a.verb(verb{
		use: "show NAME", short: "Show a user",
		example: "brokerctl users show guest",
		args:    atMost(1, "one name"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "user") },
		run: func(c *call) error {
			name, err := c.name("user")
			if err != nil {
				return err
			}
			r, err := c.users().GetUser(c.ctx, &adminv1.GetUserRequest{Name: name})
			if err != nil {
				return err
			}
			return c.show(userColumns.Object(r.GetUser()))
		},
	})
}

func (a *app) usersWhoami() *cobra.Command {
	return a.verb(verb{
		use: "whoami", short: "Show as whom the node knows you",
		example: "brokerctl users whoami",
		run: func(c *call) error {
			r, err := c.users().GetCurrentUser(c.ctx, &adminv1.GetCurrentUserRequest{})
			if err != nil {
				return err
			}
			return c.show(output.Object{{Name: "name", Value: r.GetUser().GetName()}, {Name: "tags", Value: r.GetUser().GetTags()},
				{Name: "local", Value: r.GetLocal()}})
		},
	})
}

// secretFlags add what secret reads.
func secretFlags(fs *pflag.FlagSet) {
	fs.String("new-password-file", "", "file with the password of the user, - for standard input")
	fs.String("password", "", "the password; others see it in the list of processes, so better use the file, BROKERCTL_NEW_PASSWORD or the prompt")
	fs.String("password-hash", "", "hash as RabbitMQ exports it, base64")
	fs.String("hash-algorithm", "", "what made the hash: rabbit_password_hashing_sha256 (default), rabbit_password_hashing_sha512 or brokerd_argon2id")
	fs.Bool("no-password", false, "the user cannot log in with a password")
}

// secret finds the password of the user to create or change; nil for none.
func (c *call) secret(user string) (*adminv1.Secret, error) {
	given := 0
	for _, flag := range []string{"new-password-file", "password", "password-hash", "no-password"} {
		if c.changed(flag) {
			given++
		}
	}
	if given > 1 {
		return nil, usagef("use one of --new-password-file, --password, --password-hash and --no-password")
	}
	if c.changed("hash-algorithm") && !c.changed("password-hash") {
		return nil, usagef("--hash-algorithm goes with --password-hash")
	}
	switch {
	case c.bool("no-password"):
		return nil, nil
	case c.changed("password-hash"):
		return &adminv1.Secret{Secret: &adminv1.Secret_PasswordHash{PasswordHash: c.text("password-hash")},
			HashAlgorithm: c.text("hash-algorithm")}, nil
	case c.changed("password"):
		return password(c.text("password"))
	case c.changed("new-password-file"):
		p, err := readSecretFile(c.cmd, c.text("new-password-file"))
		if err != nil {
			return nil, err
		}
		return password(p)
	}
	if p, ok := os.LookupEnv("BROKERCTL_NEW_PASSWORD"); ok {
		return password(p)
	}
	return c.askSecret(user)
}

func password(p string) (*adminv1.Secret, error) {
	if p == "" {
		return nil, usagef("the password is empty; --no-password is for users who cannot log in with one")
	}
	return &adminv1.Secret{Secret: &adminv1.Secret_Password{Password: p}}, nil
}

func (c *call) askSecret(user string) (*adminv1.Secret, error) {
	if !terminal(c.cmd.InOrStdin()) {
		return nil, usagef("there is no password for %q: use --new-password-file, BROKERCTL_NEW_PASSWORD or --no-password", user)
	}
	first, err := promptSecret(c.cmd, "New password of "+user+": ")
	if err != nil {
		return nil, err
	}
	again, err := promptSecret(c.cmd, "The same again: ")
	if err != nil {
		return nil, err
	}
	if first != again {
		return nil, ctl.Problemf(ctl.ExitData, "the two passwords are different, nothing was done")
	}
	return password(first)
}

func (a *app) usersCreate() *cobra.Command {
	return a.verb(verb{
		use: "create NAME", aliases: []string{"add"}, short: "Create a user",
		long: "create creates a user. Without permissions in a virtual host (brokerctl permissions set) the user can log in, but not do\n" +
			"anything there.",
		example: "echo secret | brokerctl users create app --new-password-file -\n" +
			"brokerctl users create watcher --tags monitoring --no-password",
		args: atMost(1, "one name"),
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "user")
			fs.StringSlice("tags", nil, "administrator, monitoring, policymaker, management (a,b,c)")
			secretFlags(fs)
		},
		run: func(c *call) error {
			name, err := c.name("user")
			if err != nil {
				return err
			}
			secret, err := c.secret(name)
			if err != nil {
				return err
			}
			tags, _ := c.cmd.Flags().GetStringSlice("tags")
			_, err = c.users().PutUser(c.ctx, &adminv1.PutUserRequest{Name: name, Tags: tags, Secret: secret, Mode: adminv1.PutMode_PUT_MODE_CREATE})
			if err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "created", Value: true}}, "created user %q", name)
		},
	})
}

func (a *app) usersSetPassword() *cobra.Command {
	return a.verb(verb{
		use: "set-password NAME", aliases: []string{"passwd"}, short: "Change the password of a user",
		example: "echo geheim | brokerctl users set-password app --new-password-file -",
		args:    atMost(1, "one name"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "user")
			secretFlags(fs)
		},
		run: func(c *call) error {
			name, err := c.name("user")
			if err != nil {
				return err
			}
			secret, err := c.secret(name)
			if err != nil {
				return err
			}
			if _, err := c.users().SetPassword(c.ctx, &adminv1.SetPasswordRequest{Name: name, Secret: secret}); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}}, "changed the password of user %q", name)
		},
	})
}

func (a *app) usersSetTags() *cobra.Command {
	return a.verb(verb{
		use: "set-tags NAME [TAG...]", short: "Replace the tags of a user",
		example: "brokerctl users set-tags app monitoring policymaker\nbrokerctl users set-tags app",
		args:    cobra.ArbitraryArgs, complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "user")
			fs.StringSlice("tags", nil, "the tags (or as arguments)")
		},
		run: func(c *call) error {
			tags, _ := c.cmd.Flags().GetStringSlice("tags")
			name := c.text("name")
			if name == "" {
				if len(c.args) == 0 {
					return usagef("name the user: %s NAME [TAG...]", c.cmd.CommandPath())
				}
				name, c.args = c.args[0], c.args[1:]
			}
			for _, arg := range c.args {
				tags = append(tags, splitList(arg)...)
			}
			if err := c.setTags(name, tags); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}, {Name: "tags", Value: tags}}, "user %q has the tags [%s] now", name,
				strings.Join(tags, ", "))
		},
	})
}

func (c *call) setTags(name string, tags []string) error {
	_, err := c.users().SetUserTags(c.ctx, &adminv1.SetUserTagsRequest{Name: name, Tags: tags})
	return err
}

func (a *app) usersDelete() *cobra.Command {
	return a.verb(verb{
		use: "delete NAME", aliases: []string{"rm"}, short: "Delete a user, and close the user's connections",
		example: "brokerctl users delete app --yes",
		args:    atMost(1, "one name"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) { nameFlag(fs, "user") },
		run: func(c *call) error {
			name, err := c.name("user")
			if err != nil {
				return err
			}
			if err := c.confirm("Delete user %q with all permissions", name); err != nil {
				return err
			}
			if err := c.deleteUser(name); err != nil {
				return err
			}
			return c.done(output.Object{{Name: "name", Value: name}}, "deleted user %q", name)
		},
	})
}

func (c *call) deleteUser(name string) error {
	_, err := c.users().DeleteUser(c.ctx, &adminv1.DeleteUserRequest{Name: name})
	return err
}

func (a *app) usersAuthenticate() *cobra.Command {
	return a.verb(verb{
		use: "authenticate NAME", short: "Check the password of a user",
		long:    "authenticate says whether a password is that of a user; the exit code is 77 if not.",
		example: "echo guest | brokerctl users authenticate guest --new-password-file -",
		args:    atMost(1, "one name"), complete: completeUsers,
		flags: func(fs *pflag.FlagSet) {
			nameFlag(fs, "user")
			fs.String("new-password-file", "", "file with the password to check, - for standard input")
			fs.String("password", "", "the password to check; others see it in the list of processes")
		},
		run: func(c *call) error {
			name, err := c.name("user")
			if err != nil {
				return err
			}
			var secret string
			switch {
			case c.changed("password"):
				secret = c.text("password")
			case c.changed("new-password-file"):
				secret, err = readSecretFile(c.cmd, c.text("new-password-file"))
			case terminal(c.cmd.InOrStdin()):
				secret, err = promptSecret(c.cmd, "Password of "+name+": ")
			default:
				err = usagef("there is no password to check: use --new-password-file")
			}
			if err != nil {
				return err
			}
			valid, err := c.checkPassword(name, secret)
			if err != nil {
				return err
			}
			o := output.Object{{Name: "name", Value: name}, {Name: "valid", Value: valid}}
			if valid {
				return c.done(o, "the password is that of user %q", name)
			}
			err = ctl.Problemf(ctl.ExitPermission, "there is no user %q with this password", name)
			if c.format != output.Table {
				err = errors.Join(c.done(o, ""), err)
			}
			return err
		},
	})
}

func (c *call) checkPassword(name, password string) (bool, error) {
	r, err := c.users().CheckPassword(c.ctx, &adminv1.CheckPasswordRequest{Name: name, Password: password})
	return r.GetValid(), err
}
