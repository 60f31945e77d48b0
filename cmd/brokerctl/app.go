package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"golang.org/x/term"
	"google.golang.org/grpc"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

// app is one run of brokerctl: the flags that most commands have. It belongs to one goroutine.
type app struct {
	config, context           string
	address, dataDir          string
	user, passwordFile        string
	tls, skipVerify           bool
	insecurePlaintext         bool
	ca, cert, key, serverName string
	vhost                     string
	output                    string
	columns                   []string
	noHeaders                 bool
	watch, timeout            duration
	yes                       bool
}

// defaultTimeout bounds a request; long work has no bound unless --timeout gives one.
const defaultTimeout = 30 * time.Second

// globalFlags adds the flags that are the same everywhere.
func (a *app) globalFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVarP(&a.vhost, "vhost", "p", "/", "virtual host")
	fs.StringVarP(&a.output, "output", "o", string(output.Table), "how to print: table, json, yaml or csv")
	fs.StringSliceVar(&a.columns, "columns", nil, "columns of a list, in this order (a,b,c)")
	fs.BoolVar(&a.noHeaders, "no-headers", false, "no line with the names of the columns")
	fs.Var(&a.watch, "watch", "show it again and again, every 2 seconds or --watch=INTERVAL")
	fs.Lookup("watch").NoOptDefVal = "2s"
	fs.Var(&a.timeout, "timeout", "time for a request (30s; none for long work)")
	for _, name := range []string{"watch", "timeout"} {
		fs.Lookup(name).DefValue = "" // or the help would show it as a default of 0s
	}
	fs.BoolVarP(&a.yes, "yes", "y", false, "do not ask before something is destroyed")

	fs.StringVar(&a.address, "address", "", "admin listener to use, host:port; with several (a,b,c) the first that answers")
	fs.StringVar(&a.dataDir, "data-dir", "", "data directory of the node on this machine, whose socket is used ("+ctl.DefaultDataDir+")")
	fs.StringVar(&a.user, "user", "", "user to log in as; the password comes from BROKERCTL_PASSWORD, --password-file or a prompt")
	fs.StringVar(&a.passwordFile, "password-file", "", "file with the password")
	fs.BoolVar(&a.tls, "tls", false, "use TLS; any other --tls flag implies it")
	fs.StringVar(&a.ca, "tls-ca", "", "file with the authorities to trust, PEM (those of the system)")
	fs.StringVar(&a.cert, "tls-cert", "", "file with a client certificate, PEM")
	fs.StringVar(&a.key, "tls-key", "", "file with its key, PEM")
	fs.StringVar(&a.serverName, "tls-server-name", "", "name that the node's certificate must have (the host of the address)")
	fs.BoolVar(&a.skipVerify, "insecure-skip-verify", false, "take any certificate (for tests only)")
	fs.BoolVar(&a.insecurePlaintext, "insecure-plaintext", false, "send the password without TLS to another machine")
	fs.StringVar(&a.context, "context", "", "context of the configuration file to use (the current one)")
	fs.StringVar(&a.config, "config", "", "configuration file ("+shownConfigFile+")")
}

// persistentFlags gives a command and those below it the flags that are the same everywhere, with what completes their values.
func (a *app) persistentFlags(cmd *cobra.Command) {
	a.globalFlags(cmd.PersistentFlags())
	var formats []cobra.Completion
	for _, f := range output.Formats {
		formats = append(formats, string(f))
	}
	for flag, complete := range map[string]cobra.CompletionFunc{
		"output":  cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp),
		"vhost":   a.completion(completeVHosts),
		"context": a.completeContexts,
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // the flag is added above
		}
	}
}

// shownConfigFile is where the help says that the configuration file is; it does not depend on who asks.
const shownConfigFile = "~/.config/brokerctl/config.yaml"

// connectionSettings are the flags that environment variables (BROKERCTL_USER and so on) and contexts can stand for.
var connectionSettings = []string{"user", "password-file", "vhost", "tls", "tls-ca", "tls-cert", "tls-key", "tls-server-name",
	"insecure-skip-verify", "insecure-plaintext"}

// configFile returns the name of the configuration file.
func (a *app) configFile() string {
	if a.config != "" {
		return a.config
	}
	if file := os.Getenv("BROKERCTL_CONFIG"); file != "" {
		return file
	}
	return ctl.DefaultConfigFile()
}

// settings merges flags, environment and the context, in this order of precedence.
func (a *app) settings(cmd *cobra.Command) (*viper.Viper, ctl.Context, error) {
	config, err := ctl.LoadConfig(a.configFile())
	if err != nil {
		return nil, ctl.Context{}, err
	}
	name := a.context
	if name == "" {
		name = os.Getenv("BROKERCTL_CONTEXT")
	}
	x, err := config.Context(name)
	if err != nil {
		return nil, x, err
	}
	v := viper.New()
	v.SetEnvPrefix("BROKERCTL")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
	for _, name := range connectionSettings {
		if f := cmd.Flags().Lookup(name); f != nil {
			if err := v.BindPFlag(name, f); err != nil {
				return nil, x, err
			}
		}
	}
	return v, x, v.MergeConfigMap(x.Settings())
}

// target finds out where to connect to.
func (a *app) target(cmd *cobra.Command) (ctl.Target, error) {
	v, x, err := a.settings(cmd)
	if err != nil {
		return ctl.Target{}, err
	}
	a.vhost = v.GetString("vhost")
	t := ctl.Target{
		User: v.GetString("user"), CA: v.GetString("tls-ca"), Cert: v.GetString("tls-cert"), Key: v.GetString("tls-key"),
		ServerName: v.GetString("tls-server-name"), SkipVerify: v.GetBool("insecure-skip-verify"),
		Plaintext: v.GetBool("insecure-plaintext"),
	}
	t.TLS = v.GetBool("tls") || t.CA != "" || t.Cert != "" || t.ServerName != "" || t.SkipVerify
	if a.address != "" && a.dataDir != "" {
		return t, usagef("--address and --data-dir are both given; use one")
	}
	// An address or directory that is said more closely wins over the other one that is said elsewhere.
	for _, place := range []ctl.Context{
		{Address: a.address, DataDir: a.dataDir},
		{Address: os.Getenv("BROKERCTL_ADDRESS"), DataDir: os.Getenv("BROKERCTL_DATA_DIR")},
		{Address: x.Address, DataDir: x.DataDir},
		{DataDir: ctl.DefaultDataDir},
	} {
		if place.Address != "" {
			t.Addresses = splitList(place.Address)
			break
		}
		if place.DataDir != "" {
			t.DataDir = place.DataDir
			return t, nil // the socket needs no user
		}
	}
	if err := t.Validate(); err != nil {
		return t, err
	}
	if t.User != "" {
		t.Password, err = a.password(cmd, v, t.User)
	}
	return t, err
}

func splitList(s string) []string {
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// password finds the password to log in with.
func (a *app) password(cmd *cobra.Command, v *viper.Viper, user string) (string, error) {
	if a.passwordFile == "" {
		if p, ok := os.LookupEnv("BROKERCTL_PASSWORD"); ok {
			return p, nil
		}
	}
	if file := v.GetString("password-file"); file != "" {
		return readSecretFile(cmd, file)
	}
	if v.IsSet("password") {
		return v.GetString("password"), nil
	}
	if !terminal(cmd.InOrStdin()) {
		return "", usagef("there is no password for %q: set BROKERCTL_PASSWORD or name a file with --password-file", user)
	}
	return promptSecret(cmd, fmt.Sprintf("Password of %s: ", user))
}

// maxSecret bounds a password in bytes.
const maxSecret = 4096

// readSecretFile reads a password from a file, - for standard input; one line end at its end does not count.
func readSecretFile(cmd *cobra.Command, file string) (string, error) {
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", ctl.FileProblem(err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err != nil {
		return "", ctl.FileProblem(err)
	}
	if len(data) > maxSecret {
		return "", ctl.Problemf(ctl.ExitData, "%s holds more than %d bytes, which is too long for a password", file, maxSecret)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// promptSecret asks on the terminal.
func promptSecret(cmd *cobra.Command, prompt string) (string, error) {
	f, ok := cmd.InOrStdin().(*os.File)
	if !ok {
		return "", usagef("a password cannot be asked for without a terminal")
	}
	fmt.Fprint(cmd.ErrOrStderr(), prompt)
	secret, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return "", &ctl.Problem{Code: ctl.ExitIO, Err: err}
	}
	return string(secret), nil
}

// terminal says whether a reader or writer is a terminal.
func terminal(rw any) bool {
	f, ok := rw.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// call is one command with its connection.
type call struct {
	*app
	cmd    *cobra.Command
	ctx    context.Context
	args   []string
	target ctl.Target
	conn   grpc.ClientConnInterface
	out    io.Writer
	format output.Format
}

// connected makes what cobra runs of a function that needs a node.
func (a *app) connected(fn func(*call) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c := &call{app: a, cmd: cmd, ctx: cmd.Context(), args: args, out: cmd.OutOrStdout(), format: output.Format(a.output)}
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		if err := a.checkFlags(); err != nil {
			return err
		}
		var err error
		if c.target, err = a.target(cmd); err != nil {
			return err
		}
		conn, err := c.target.Dial()
		if err != nil {
			return err
		}
		c.conn = timedConn{conn, time.Duration(a.timeout)}
		err = fn(c)
		if closed := conn.Close(); err == nil {
			err = closed
		}
		return ctl.Explain(err, c.target)
	}
}

func (a *app) checkFlags() error {
	for _, f := range output.Formats {
		if a.output == string(f) {
			return nil
		}
	}
	return usagef("output %q is none of table, json, yaml and csv", a.output)
}

// timedConn bounds the time of requests.
type timedConn struct {
	grpc.ClientConnInterface
	timeout time.Duration // 0 for the default, and none for long work
}

// longWork marks the context of requests that take as long as they need.
type longWork struct{}

func (c *call) long() context.Context { return context.WithValue(c.ctx, longWork{}, true) }

// Invoke implements grpc.ClientConnInterface.
func (t timedConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	timeout := t.timeout
	if timeout == 0 {
		if ctx.Value(longWork{}) != nil {
			return t.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
		}
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return t.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

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

// nameFlag adds --name, which stands for the first argument.
func nameFlag(fs *pflag.FlagSet, noun string) {
	fs.String("name", "", "name of the "+noun+" (or as an argument)")
}

// name returns the name that is given as --name or as the argument.
func (c *call) name(noun string) (string, error) {
	name, err := c.optionalName()
	if err == nil && name == "" {
		return "", usagef("name the %s: %s NAME", noun, c.cmd.CommandPath())
	}
	return name, err
}

func (c *call) optionalName() (string, error) {
	flag := ""
	if f := c.cmd.Flags().Lookup("name"); f != nil {
		flag = f.Value.String()
	}
	switch {
	case len(c.args) > 0 && flag != "" && flag != c.args[0]:
		return "", usagef("the name is given twice: %q and --name %q", c.args[0], flag)
	case len(c.args) > 0:
		return c.args[0], nil
	}
	return flag, nil
}

// text returns the value of a flag of this command.
func (c *call) text(flag string) string {
	s, _ := c.cmd.Flags().GetString(flag)
	return s
}

func (c *call) bool(flag string) bool {
	b, _ := c.cmd.Flags().GetBool(flag)
	return b
}

func (c *call) list(flag string) []string {
	l, _ := c.cmd.Flags().GetStringArray(flag)
	return l
}

func (c *call) number(flag string) uint64 {
	n, _ := c.cmd.Flags().GetUint64(flag)
	return n
}

func (c *call) changed(flag string) bool { return c.cmd.Flags().Changed(flag) }

// everyVHost adds the flag of lists that shows all virtual hosts.
func everyVHost(fs *pflag.FlagSet) { fs.Bool("all-vhosts", false, "of all virtual hosts") }

// listVHost returns the virtual host to list, empty for all.
func (c *call) listVHost() (string, error) {
	if !c.bool("all-vhosts") {
		return c.vhost, nil
	}
	if c.changed("vhost") {
		return "", usagef("--vhost and --all-vhosts are both given; use one")
	}
	return "", nil
}

// chosenVHost returns the virtual host to list for what is shown of all virtual hosts by itself.
func (c *call) chosenVHost() string {
	if c.changed("vhost") {
		return c.vhost
	}
	return ""
}

// done says what was done: a sentence for people, an object for programs.
func (c *call) done(o output.Object, format string, args ...any) error {
	if c.format == output.Table {
		_, err := fmt.Fprintln(c.out, output.Clean(fmt.Sprintf(format, args...)))
		return writeProblem(err)
	}
	return writeProblem(output.Item(c.out, c.format, o))
}

// warn tells people something beside the output.
func (c *call) warn(format string, args ...any) {
	fmt.Fprintf(c.cmd.ErrOrStderr(), "brokerctl: %s\n", output.Clean(fmt.Sprintf(format, args...)))
}

func writeProblem(err error) error {
	if err == nil {
		return nil
	}
	var p *ctl.Problem
	if errors.As(err, &p) {
		return err
	}
	return &ctl.Problem{Code: ctl.ExitIO, Err: fmt.Errorf("cannot write: %w", err)}
}

// commandLine is how the command was called, for headings.
func (c *call) commandLine() string {
	return strings.TrimSpace(c.cmd.CommandPath() + " " + strings.Join(c.args, " "))
}

// shownPath makes a path readable in messages.
func shownPath(path string) string {
	if path == "-" {
		return "standard input"
	}
	return filepath.Clean(path)
}

// bounds returns the context of a stream of long work: it ends with --timeout if that is given.
func (c *call) bounds() (context.Context, context.CancelFunc) {
	if c.timeout > 0 {
		return context.WithTimeout(c.ctx, time.Duration(c.timeout))
	}
	return context.WithCancel(c.ctx)
}
