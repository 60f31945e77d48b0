package ctl

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// Config is the configuration file of brokerctl: named contexts, each a place to connect to.
type Config struct {
	// Current is the context that is used if none is named, empty for none.
	Current string `yaml:"current,omitempty" mapstructure:"current"`
	// Contexts by name.
	Contexts map[string]Context `yaml:"contexts,omitempty" mapstructure:"contexts"`
}

// Context is where to connect to and as whom. What is empty is not set.
type Context struct {
	// Address is host:port, or several with commas.
	Address string `yaml:"address,omitempty" mapstructure:"address"`
	// DataDir is the data directory of a node on this machine, instead of Address.
	DataDir string `yaml:"data-dir,omitempty" mapstructure:"data-dir"`
	// User, and the password or a file with it.
	User         string `yaml:"user,omitempty" mapstructure:"user"`
	Password     string `yaml:"password,omitempty" mapstructure:"password"`
	PasswordFile string `yaml:"password-file,omitempty" mapstructure:"password-file"`
	// VHost is used where a command names none.
	VHost string `yaml:"vhost,omitempty" mapstructure:"vhost"`
	// TLS and the rest are as in Target.
	TLS               bool   `yaml:"tls,omitempty" mapstructure:"tls"`
	TLSCA             string `yaml:"tls-ca,omitempty" mapstructure:"tls-ca"`
	TLSCert           string `yaml:"tls-cert,omitempty" mapstructure:"tls-cert"`
	TLSKey            string `yaml:"tls-key,omitempty" mapstructure:"tls-key"`
	TLSServerName     string `yaml:"tls-server-name,omitempty" mapstructure:"tls-server-name"`
	InsecureSkip      bool   `yaml:"insecure-skip-verify,omitempty" mapstructure:"insecure-skip-verify"`
	InsecurePlaintext bool   `yaml:"insecure-plaintext,omitempty" mapstructure:"insecure-plaintext"`
}

// contextName is what a context may be called: viper knows keys in lower case only.
var contextName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// CheckContextName says why a context cannot have a name, nil if it can.
func CheckContextName(name string) error {
	if !contextName.MatchString(name) {
		return Problemf(ExitUsage, "a context cannot be called %q: use 1 to 63 lower-case letters, digits and . _ -", name)
	}
	return nil
}

// maxConfig bounds the size of the configuration file in bytes.
const maxConfig = 1 << 20

// DefaultConfigFile returns where the configuration file is if nothing else is said.
func DefaultConfigFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "brokerctl", "config.yaml")
}

// LoadConfig reads the configuration file; one that is not there, or an empty name, is empty. A file with a password must be
// readable for its owner only. Errors carry exit codes.
func LoadConfig(file string) (*Config, error) {
	c := &Config{Contexts: map[string]Context{}}
	if file == "" {
		return c, nil
	}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return nil, &Problem{ExitNoInput, err}
	case len(data) > maxConfig:
		return nil, Problemf(ExitConfig, "%s has %d bytes, at most %d are allowed", file, len(data), maxConfig)
	}
	v := viper.NewWithOptions(viper.KeyDelimiter("::"))
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return nil, Problemf(ExitConfig, "%s: %s", file, oneLine(err.Error()))
	}
	if err := v.UnmarshalExact(c); err != nil {
		return nil, Problemf(ExitConfig, "%s: %s", file, oneLine(err.Error()))
	}
	return c, c.check(file)
}

func (c *Config) check(file string) error {
	for name, x := range c.Contexts {
		if err := CheckContextName(name); err != nil {
			return Problemf(ExitConfig, "%s: %w", file, err)
		}
		if x.Address != "" && x.DataDir != "" {
			return Problemf(ExitConfig, "%s: context %q has both address and data-dir; keep one", file, name)
		}
		if x.Password != "" {
			if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
				return Problemf(ExitConfig, "%s holds a password and others may read it: chmod 600 %s", file, file)
			}
		}
	}
	if c.Current != "" {
		if _, ok := c.Contexts[c.Current]; !ok {
			return Problemf(ExitConfig, "%s: the current context %q is not in it; choose one with brokerctl config use", file, c.Current)
		}
	}
	return nil
}

// Context returns a context by name; an empty name stands for the current one, or an empty one if there is none.
func (c *Config) Context(name string) (Context, error) {
	if name == "" {
		name = c.Current
	}
	if name == "" {
		return Context{}, nil
	}
	x, ok := c.Contexts[name]
	if !ok {
		return Context{}, Problemf(ExitConfig, "there is no context %q; brokerctl config list shows those there are", name)
	}
	return x, nil
}

// Settings returns what is set in a context, by the names of the flags.
func (x Context) Settings() map[string]any {
	m := map[string]any{}
	for name, value := range map[string]string{
		"address": x.Address, "data-dir": x.DataDir, "user": x.User, "password": x.Password, "password-file": x.PasswordFile,
		"vhost": x.VHost, "tls-ca": x.TLSCA, "tls-cert": x.TLSCert, "tls-key": x.TLSKey, "tls-server-name": x.TLSServerName,
	} {
		if value != "" {
			m[name] = value
		}
	}
	for name, value := range map[string]bool{
		"tls": x.TLS, "insecure-skip-verify": x.InsecureSkip, "insecure-plaintext": x.InsecurePlaintext,
	} {
		if value {
			m[name] = true
		}
	}
	return m
}

// Names returns the names of the contexts in order.
func (c *Config) Names() []string {
	names := make([]string, 0, len(c.Contexts))
	for name := range c.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Save writes the configuration file, readable for its owner only, so that a crash leaves the old or the new one. Errors carry exit
// codes.
func (c *Config) Save(file string) error {
	if file == "" {
		return Problemf(ExitConfig, "the home directory is not known: name a file with --config")
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return &Problem{ExitInternal, err}
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &Problem{ExitCannotCreate, err}
	}
	return WriteFile(file, data)
}

// WriteFile writes a file with mode 0600 next to its place, syncs it and moves it there. Errors carry exit codes.
func WriteFile(file string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return &Problem{ExitCannotCreate, fmt.Errorf("cannot write %s: %w", file, err)}
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return &Problem{ExitIO, fmt.Errorf("cannot write %s: %w", file, err)}
	}
	return nil
}
