package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// configFlag and its variable name the configuration file.
const (
	configFlag = "config"
	configEnv  = envPrefix + "CONFIG"
)

// AddFlags defines --config and the flags of the keys that have one.
func AddFlags(fs *pflag.FlagSet) {
	fs.String(configFlag, "", "configuration file (YAML)")
	for i := range keys {
		k := &keys[i]
		if k.Flag == "" {
			continue
		}
		// The flag's own default stays empty: a flag that was not given must not count as set.
		help := fmt.Sprintf("%s (%s; default %s)", summary(k.Help), k.Name, k.Default)
		if k.typ == "list" {
			fs.StringSlice(k.Flag, nil, help)
		} else {
			fs.String(k.Flag, "", help)
		}
	}
}

// summary returns the first sentence without its full stop.
func summary(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.ReplaceAll(strings.TrimSuffix(first, "."), "`", "'")
}

// Default returns the configuration without a file, environment or flags.
func Default() *Config {
	c, err := build(newViper(), func(*Key) Source { return Source{} })
	if err != nil {
		panic(err) // the table of keys contradicts itself, or the machine's memory is not known
	}
	return c
}

// Load reads the configuration: flags of fs (see AddFlags; nil for none) before the environment, the file and the defaults.
// The file is the one named by --config or BROKERD_CONFIG; without either none is read. The error is an Errors with every
// problem found.
func Load(fs *pflag.FlagSet) (*Config, error) {
	v := newViper()
	problems := readFile(v, fs)
	problems = append(problems, unknownVariables(os.Environ())...)
	for i := range keys {
		k := &keys[i]
		if err := v.BindEnv(k.Name, k.Env()); err != nil {
			return nil, err // only without arguments
		}
		if fs == nil || k.Flag == "" {
			continue
		}
		if flag := fs.Lookup(k.Flag); flag != nil {
			if err := v.BindPFlag(k.Name, flag); err != nil {
				return nil, err // only for a nil flag
			}
		}
	}
	c, err := build(v, func(k *Key) Source { return sourceOf(v, fs, k) })
	var wrong Errors
	if errors.As(err, &wrong) {
		problems = append(problems, wrong...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

func newViper() *viper.Viper {
	v := viper.New()
	v.SetConfigType("yaml")
	// A variable that is set but empty is a mistake for most keys, and means the empty list for some.
	v.AllowEmptyEnv(true)
	return v
}

// configFile returns the path of the file and whether one was asked for.
func configFile(fs *pflag.FlagSet) (path string, from Source, ok bool) {
	if fs != nil {
		if f := fs.Lookup(configFlag); f != nil && f.Changed {
			return f.Value.String(), Source{FromFlag, "--" + configFlag}, true
		}
	}
	if path, ok = os.LookupEnv(configEnv); ok {
		return path, Source{FromEnvironment, configEnv}, true
	}
	return "", Source{}, false
}

// readFile reads the file into v, which must be empty so far, and returns the problems that it has as a whole.
func readFile(v *viper.Viper, fs *pflag.FlagSet) Errors {
	path, from, ok := configFile(fs)
	if !ok {
		return nil
	}
	if path == "" {
		return Errors{{Source: from, Text: "empty, name a file"}}
	}
	source := Source{FromFile, path}
	v.SetConfigFile(path)
	if err := v.ReadInConfig(); err != nil {
		return Errors{{Source: source, Text: fileProblem(err)}}
	}
	var problems Errors
	names := v.AllKeys()
	slices.Sort(names)
	for _, name := range names {
		switch {
		case findKey(name) != nil:
			if v.Get(name) == nil {
				problems = append(problems, &Error{Source: source, Key: name, Text: "no value"})
			}
		case v.Get(name) == nil && len(section(name)) > 0: // a section with nothing in it
		default:
			problems = append(problems, unknownKey(name, source))
		}
	}
	return problems
}

// fileProblem returns err in one line, without the path, which the caller shows.
func fileProblem(err error) string {
	var parse viper.ConfigParseError
	var path *os.PathError
	switch {
	case errors.As(err, &parse) && parse.Unwrap() != nil:
		err = parse.Unwrap()
	case errors.As(err, &path):
		err = path.Err
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// unknownVariables checks the names of all BROKERD_* variables.
func unknownVariables(environ []string) Errors {
	var names []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var problems Errors
	for _, name := range names {
		known := name == configEnv || slices.ContainsFunc(keys, func(k Key) bool { return k.Env() == name })
		if !known && !serviceVariable(name, names) {
			problems = append(problems, unknownKey(name, Source{FromEnvironment, name}))
		}
	}
	return problems
}

// serviceVariable tells whether name is one of the variables that Kubernetes sets in every container for a service whose name
// begins with brokerd, such as BROKERD_SERVICE_HOST and BROKERD_PORT_5672_TCP. The user cannot avoid them.
func serviceVariable(name string, all []string) bool {
	for _, other := range all {
		service, ok := strings.CutSuffix(other, "_SERVICE_HOST")
		if !ok {
			continue
		}
		rest, ok := strings.CutPrefix(name, service)
		if ok && (rest == "_SERVICE_HOST" || rest == "_PORT" || strings.HasPrefix(rest, "_PORT_") ||
			rest == "_SERVICE_PORT" || strings.HasPrefix(rest, "_SERVICE_PORT_")) {
			return true
		}
	}
	return false
}

func sourceOf(v *viper.Viper, fs *pflag.FlagSet, k *Key) Source {
	if fs != nil && k.Flag != "" {
		if f := fs.Lookup(k.Flag); f != nil && f.Changed {
			return Source{FromFlag, "--" + k.Flag}
		}
	}
	if _, ok := os.LookupEnv(k.Env()); ok {
		return Source{FromEnvironment, k.Env()}
	}
	if v.InConfig(k.Name) {
		return Source{FromFile, v.ConfigFileUsed()}
	}
	return Source{}
}

// build makes a Config of what v holds and the defaults. The error is an Errors.
func build(v *viper.Viper, source func(*Key) Source) (*Config, error) {
	c := &Config{sources: make(map[string]Source, len(keys))}
	var problems Errors
	for i := range keys {
		k := &keys[i]
		v.SetDefault(k.Name, k.defaultValue())
		raw := v.Get(k.Name)
		if raw == nil { // the file has a value where this key's section should be, which is reported already
			raw = k.defaultValue()
		}
		c.sources[k.Name] = source(k)
		written, err := valueOf(raw)
		if err == nil {
			err = k.parse(c, written)
		}
		if err == nil {
			continue
		}
		problem := &Error{Source: c.sources[k.Name], Key: k.Name, Text: fmt.Sprintf("%s; allowed: %s", err, k.allowed)}
		if !k.Secret {
			problem.Value = written.String()
		}
		problems = append(problems, problem)
	}
	if len(problems) == 0 {
		problems = checkTLS(c)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// checkTLS finds files that are missing for TLS.
func checkTLS(c *Config) Errors {
	var problems Errors
	missing := func(key, path, because string) {
		if path == "" {
			problems = append(problems, &Error{Source: c.sources[key], Key: key, Text: "no file given, but " + because})
		}
	}
	t := &c.AMQP.TLS
	if len(t.Listen) > 0 {
		missing("amqp.tls.cert", t.Cert, "amqp.tls.listen needs one")
		missing("amqp.tls.key", t.Key, "amqp.tls.listen needs one")
		if t.ClientCerts != ClientCertsNone {
			missing("amqp.tls.ca", t.CA, "amqp.tls.client_certs: "+string(t.ClientCerts)+" needs one")
		}
	}
	a := &c.Admin
	switch {
	case a.Cert != "" && a.Key == "":
		missing("admin.tls.key", a.Key, "admin.tls.cert needs one")
	case a.Cert == "" && a.Key != "":
		missing("admin.tls.cert", a.Cert, "admin.tls.key needs one")
	case a.Cert == "" && a.ClientCA != "":
		missing("admin.tls.cert", a.Cert, "admin.tls.client_ca needs TLS")
	}
	return problems
}

// valueOf takes a value as viper found it: text of a flag, variable or default, or anything that YAML knows.
func valueOf(raw any) (value, error) {
	switch raw := raw.(type) {
	case string:
		return scalar(raw), nil
	case []string:
		return value{items: raw, list: true, quoted: true}, nil
	case bool, int, int64, uint64, float64:
		return value{items: []string{fmt.Sprint(raw)}}, nil
	case []any:
		v := value{list: true, quoted: true}
		for _, item := range raw {
			inner, err := valueOf(item)
			if err != nil || inner.list {
				return value{}, fmt.Errorf("%v inside the list is not accepted here", item)
			}
			v.items = append(v.items, inner.items[0])
			v.quoted = v.quoted && inner.quoted
		}
		return v, nil
	case map[string]any:
		return value{}, errors.New("a section, not a value")
	default:
		return value{items: []string{fmt.Sprint(raw)}}, nil // a date
	}
}
