package config

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load writes file (unless empty), sets the variables and parses the flags, then loads.
func load(t *testing.T, file string, environ map[string]string, flags ...string) (*Config, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "brokerd.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append([]string{"--config", path}, flags...)
	}
	for name, value := range environ {
		t.Setenv(name, value)
	}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(fs)
	if err := fs.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return Load(fs)
}

func TestDefaults(t *testing.T) {
	c := Default()
	want := &Config{
		DataDir: "./brokerd-data",
		Node:    Node{Name: hostName()},
		AMQP: AMQP{
			Listen: []string{"127.0.0.1:5672"}, Product: "RabbitMQ", Version: "4.1.0",
			ChannelMax: 2047, FrameMax: 131072, Heartbeat: time.Minute, HandshakeTimeout: 10 * time.Second,
			ConsumerTimeout: 30 * time.Minute,
			MaxConnections:  65535, MaxMessageSize: 16 * mib, OutboxBytes: mib, InflightBytes: 16 * mib,
			TCP: TCP{NoDelay: true, RcvBuf: 256 * kib, SndBuf: 256 * kib, KeepAlive: 30 * time.Second},
			TLS: TLS{ClientCerts: ClientCertsNone, UserFrom: "cn", MinVersion: "1.2"},
		},
		Admin: Admin{Listen: "127.0.0.1:8672"},
		HTTP:  HTTP{Listen: "127.0.0.1:15672"},
		Store: Store{Sync: SyncAlways, Interval: 100 * time.Millisecond, MinFree: 256 * mib},
		Queue: Queue{ResidentBytes: 32 * mib},
		Cluster: Cluster{
			Listen: "127.0.0.1:7672", LeaderLocator: ClientLocal, NodeTimeout: 5 * time.Second, CommitTimeout: 5 * time.Second,
		},
		Log:         Log{Level: slog.LevelInfo, Format: LogText},
		Shutdown:    Shutdown{Timeout: 10 * time.Second},
		DefaultUser: "guest", DefaultPass: "guest", DefaultVHost: "/", LoopbackUsers: []string{"guest"},
		memoryLimit: "60%",
	}
	total, err := TotalMemory()
	if err != nil {
		t.Fatal(err)
	}
	want.Memory.Limit = total / 100 * 60
	want.sources = c.sources
	if !reflect.DeepEqual(c, want) {
		t.Errorf("defaults\n got %+v\nwant %+v", c, want)
	}
	loaded, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(loaded, want) {
		t.Errorf("loaded without any source\n got %+v\nwant %+v", loaded, want)
	}
}

func TestPrecedence(t *testing.T) {
	const file = "log: {level: warn}\namqp: {listen: [\"file:1\"]}\n"
	variables := map[string]string{"BROKERD_LOG_LEVEL": "error", "BROKERD_AMQP_LISTEN": "env:1,env:2"}
	flags := []string{"--log-level", "debug", "--amqp-listen", "flag:1", "--amqp-listen=[::1]:2,flag:3"}
	tests := []struct {
		name    string
		file    string
		environ map[string]string
		flags   []string
		level   slog.Level
		listen  []string
		origin  Origin
	}{
		{"default", "", nil, nil, slog.LevelInfo, []string{"127.0.0.1:5672"}, FromDefault},
		{"file", file, nil, nil, slog.LevelWarn, []string{"file:1"}, FromFile},
		{"environment", file, variables, nil, slog.LevelError, []string{"env:1", "env:2"}, FromEnvironment},
		{"flag", file, variables, flags, slog.LevelDebug, []string{"flag:1", "[::1]:2", "flag:3"}, FromFlag},
		{"flag alone", "", nil, flags, slog.LevelDebug, []string{"flag:1", "[::1]:2", "flag:3"}, FromFlag},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := load(t, test.file, test.environ, test.flags...)
			if err != nil {
				t.Fatal(err)
			}
			if c.Log.Level != test.level || !reflect.DeepEqual(c.AMQP.Listen, test.listen) {
				t.Errorf("got %v %q, want %v %q", c.Log.Level, c.AMQP.Listen, test.level, test.listen)
			}
			for _, key := range []string{"log.level", "amqp.listen"} {
				if got := c.Source(key).Origin; got != test.origin {
					t.Errorf("source of %s: got %v, want %v", key, c.Source(key), Source{Origin: test.origin})
				}
			}
			if got := c.Source("log.format"); got != (Source{}) {
				t.Errorf("source of log.format: got %v, want default", got)
			}
		})
	}
}

func TestConfigFileFromEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.conf")
	if err := os.WriteFile(path, []byte("node: {name: one}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, "", map[string]string{"BROKERD_CONFIG": path})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Source("node.name").String(), "file "+path; c.Node.Name != "one" || got != want {
		t.Errorf("got node.name %q from %s, want one from %s", c.Node.Name, got, want)
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		file string
		get  func(*Config) any
		want any
	}{
		{"amqp: {frame_max: 4096}", func(c *Config) any { return c.AMQP.FrameMax }, uint32(4096)},
		{"amqp: {frame_max: 64KiB}", func(c *Config) any { return c.AMQP.FrameMax }, uint32(65536)},
		{"amqp: {max_message_size: 512 mib}", func(c *Config) any { return c.AMQP.MaxMessageSize }, int64(512 << 20)},
		{"amqp: {heartbeat: 0}", func(c *Config) any { return c.AMQP.Heartbeat }, time.Duration(0)},
		{"amqp: {heartbeat: 1m30s}", func(c *Config) any { return c.AMQP.Heartbeat }, 90 * time.Second},
		{"amqp: {listen: 'a:1, b:2'}", func(c *Config) any { return c.AMQP.Listen }, []string{"a:1", "b:2"}},
		{"amqp: {listen: [':5672', '[::]:0']}", func(c *Config) any { return c.AMQP.Listen }, []string{":5672", "[::]:0"}},
		{"amqp: {tcp: {nodelay: false, rcvbuf: 0}}", func(c *Config) any { return c.AMQP.TCP },
			TCP{SndBuf: 256 * kib, KeepAlive: 30 * time.Second}},
		{"amqp.tcp.nodelay: false", func(c *Config) any { return c.AMQP.TCP.NoDelay }, false},
		{"memory: {limit: 1GiB}", func(c *Config) any { return c.Memory.Limit }, int64(1 << 30)},
		{"store: {sync: interval, interval: 5ms}", func(c *Config) any { return c.Store },
			Store{Sync: SyncInterval, Interval: 5 * time.Millisecond, MinFree: 256 * mib}},
		{"amqp: {tls: {min_version: 1.3}}", func(c *Config) any { return c.AMQP.TLS.MinVersion }, "1.3"},
		{"amqp: {tls: {listen: ':5671', cert: a, key: b, ca: c, client_certs: require, user_from: dns}}", func(c *Config) any { return c.AMQP.TLS },
			TLS{Listen: []string{":5671"}, Cert: "a", Key: "b", CA: "c", ClientCerts: ClientCertsRequire, UserFrom: "dns", MinVersion: "1.2"}},
		{"amqp: {proxy_protocol: {trusted: '10.1.2.3/8, fd00::1'}}", func(c *Config) any { return c.AMQP.ProxyTrusted },
			[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::1/128")}},
		{"loopback_users: []", func(c *Config) any { return len(c.LoopbackUsers) }, 0},
		{"default_pass: \"007\"", func(c *Config) any { return c.DefaultPass }, "007"},
		{"amqp:\nlog:\n", func(c *Config) any { return c.Log.Format }, LogText},
		{"Log: {LEVEL: debug}", func(c *Config) any { return c.Log.Level }, slog.LevelDebug},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			c, err := load(t, test.file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.get(c); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, want %#v", got, test.want)
			}
		})
	}
	c, err := load(t, "", map[string]string{"BROKERD_LOOPBACK_USERS": ""})
	if err != nil || len(c.LoopbackUsers) != 0 {
		t.Errorf("empty BROKERD_LOOPBACK_USERS: got %v, %v; want an empty list", c, err)
	}
}

// FILE in a wanted text stands for the path of the file.
func TestRefused(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		environ map[string]string
		flags   []string
		want    []string
	}{
		{name: "unknown key in file", file: "log: {levle: info}",
			want: []string{"log.levle (file FILE): not a configuration key, did you mean log.level?"}},
		{name: "unknown key without section", file: "listen: x",
			want: []string{"listen (file FILE): not a configuration key, did you mean amqp.listen?"}},
		{name: "unknown key like nothing", file: "zookeeper: x",
			want: []string{"zookeeper (file FILE): not a configuration key"}},
		{name: "value instead of section", file: "log: debug",
			want: []string{"log (file FILE): a section, not a key (it has level, format)"}},
		{name: "section instead of value", file: "data_dir: {x: 1}", want: []string{
			"data_dir.x (file FILE): not a configuration key (data_dir has nothing below it)",
			"data_dir (file FILE): a section, not a value; allowed: text of 1 to 4096 bytes"}},
		{name: "no TLS files", file: "amqp: {tls: {listen: [':5671'], client_certs: request}}", want: []string{
			"amqp.tls.cert: no file given, but amqp.tls.listen needs one",
			"amqp.tls.key: no file given, but amqp.tls.listen needs one",
			"amqp.tls.ca: no file given, but amqp.tls.client_certs: request needs one"}},
		{name: "no network", file: "amqp: {proxy_protocol: {trusted: [proxy.example]}}", want: []string{
			`amqp.proxy_protocol.trusted = "proxy.example" (file FILE): "proxy.example" is not a network; allowed: an empty list, or networks such as 10.0.0.0/8, 192.0.2.7 or fd00::/8`}},
		{name: "no value", file: "data_dir:", want: []string{"data_dir (file FILE): no value"}},
		{name: "unknown variable", environ: map[string]string{"BROKERD_AMQP_LISTENS": "x"},
			want: []string{"BROKERD_AMQP_LISTENS: not a configuration key, did you mean BROKERD_AMQP_LISTEN?"}},
		{name: "bad choice", file: "store: {sync: alwasy}",
			want: []string{`store.sync = "alwasy" (file FILE): unknown, did you mean always?; allowed: always, interval, os`}},
		{name: "bad level in flag", flags: []string{"--log-level", "loud"},
			want: []string{`log.level = "loud" (flag --log-level): unknown; allowed: debug, info, warn, error`}},
		{name: "bad level in variable", environ: map[string]string{"BROKERD_LOG_LEVEL": "INFO"},
			want: []string{`log.level = "INFO" (environment BROKERD_LOG_LEVEL): unknown, did you mean info?; allowed: debug, info, warn, error`}},
		{name: "empty variable", environ: map[string]string{"BROKERD_LOG_FORMAT": ""},
			want: []string{`log.format (environment BROKERD_LOG_FORMAT): unknown; allowed: text, json`}},
		{name: "size", file: "amqp: {frame_max: 64KB}", want: []string{
			`amqp.frame_max = "64KB" (file FILE): not a size (write bytes, or a whole number with KiB, MiB, GiB or TiB); allowed: 4KiB to 16MiB`}},
		{name: "size too small", file: "amqp: {frame_max: 4095}",
			want: []string{`amqp.frame_max = "4095" (file FILE): out of range; allowed: 4KiB to 16MiB`}},
		{name: "size above hard cap", file: "amqp: {max_message_size: 513MiB}",
			want: []string{`amqp.max_message_size = "513MiB" (file FILE): out of range; allowed: 1 to 512MiB`}},
		{name: "size overflow", file: "store: {min_free: 99999999TiB}",
			want: []string{`store.min_free = "99999999TiB" (file FILE): out of range; allowed: 1MiB to 1024TiB, or 0 for no disk alarm`}},
		{name: "negative size", file: "store: {min_free: -1}",
			want: []string{`store.min_free = "-1" (file FILE): out of range; allowed: 1MiB to 1024TiB, or 0 for no disk alarm`}},
		{name: "number", file: "amqp: {channel_max: many}",
			want: []string{`amqp.channel_max = "many" (file FILE): not a whole number; allowed: 1 to 65535`}},
		{name: "number out of range", file: "amqp: {channel_max: 65536}",
			want: []string{`amqp.channel_max = "65536" (file FILE): out of range; allowed: 1 to 65535`}},
		{name: "duration without unit", file: "shutdown: {timeout: 10}",
			want: []string{`shutdown.timeout = "10" (file FILE): no unit (write 10s for seconds); allowed: 100ms to 10m`}},
		{name: "duration", file: "shutdown: {timeout: soon}",
			want: []string{`shutdown.timeout = "soon" (file FILE): not a duration (write 500ms, 10s, 1m30s); allowed: 100ms to 10m`}},
		{name: "duration between steps", file: "amqp: {heartbeat: 1500ms}",
			want: []string{`amqp.heartbeat = "1500ms" (file FILE): out of range; allowed: 1s to 18h12m15s in steps of 1s, or 0 for off`}},
		{name: "bool", file: "amqp: {tcp: {nodelay: 'yes'}}",
			want: []string{`amqp.tcp.nodelay = "yes" (file FILE): not true or false; allowed: true or false`}},
		{name: "address without port", file: "amqp: {listen: [localhost]}", want: []string{
			`amqp.listen = "localhost" (file FILE): "localhost" is not host:port (missing port in address); allowed: one or more host:port, such as 127.0.0.1:5672, [::1]:5672 or :5672`}},
		{name: "address with a named port", file: "amqp: {listen: ['a:amqp']}", want: []string{
			`amqp.listen = "a:amqp" (file FILE): "a:amqp" has no valid port; allowed: one or more host:port, such as 127.0.0.1:5672, [::1]:5672 or :5672`}},
		{name: "bare IPv6 address", file: "amqp: {listen: ['::1:5672']}", want: []string{
			`amqp.listen = "::1:5672" (file FILE): "::1:5672" is not host:port (too many colons in address); allowed: one or more host:port, such as 127.0.0.1:5672, [::1]:5672 or :5672`}},
		{name: "address twice", file: "amqp: {listen: ['a:1', 'a:1']}", want: []string{
			`amqp.listen = "a:1,a:1" (file FILE): "a:1" is there twice; allowed: one or more host:port, such as 127.0.0.1:5672, [::1]:5672 or :5672`}},
		{name: "no address", file: "amqp: {listen: []}", want: []string{
			`amqp.listen (file FILE): empty; allowed: one or more host:port, such as 127.0.0.1:5672, [::1]:5672 or :5672`}},
		{name: "list for a scalar", file: "log: {level: [info, warn]}", want: []string{
			`log.level = "info,warn" (file FILE): a list is not accepted here; allowed: debug, info, warn, error`}},
		{name: "secret is not shown", file: "default_pass: 1234",
			want: []string{`default_pass (file FILE): not text in YAML, put it in quotes; allowed: text of 1 to 255 bytes`}},
		{name: "node name", flags: []string{"--node-name", "a b"},
			want: []string{`node.name = "a b" (flag --node-name): not a name; allowed: 1 to 255 letters, digits and . _ @ -`}},
		{name: "memory percent", flags: []string{"--memory-limit", "101%"},
			want: []string{`memory.limit = "101%" (flag --memory-limit): out of range; allowed: 1% to 100%, or a size of at least 64MiB`}},
		{name: "memory fraction", flags: []string{"--memory-limit", "0.5%"},
			want: []string{`memory.limit = "0.5%" (flag --memory-limit): not a whole number of percent; allowed: 1% to 100%, or a size of at least 64MiB`}},
		{name: "memory too small", flags: []string{"--memory-limit", "63MiB"},
			want: []string{`memory.limit = "63MiB" (flag --memory-limit): out of range; allowed: 1% to 100%, or a size of at least 64MiB`}},
		{name: "every problem", file: "x: 1\nlog: {format: xml}", environ: map[string]string{"BROKERD_X": "1"}, want: []string{
			"x (file FILE): not a configuration key",
			"BROKERD_X: not a configuration key",
			`log.format = "xml" (file FILE): unknown; allowed: text, json`}},
		{name: "no YAML", file: "a: [", want: []string{
			"configuration file FILE: yaml: line 1: did not find expected node content"}},
		{name: "key twice", file: "data_dir: a\ndata_dir: b", want: []string{
			`configuration file FILE: yaml: unmarshal errors: line 2: mapping key "data_dir" already defined at line 1`}},
		{name: "no such file", flags: []string{"--config", "/nonexistent/brokerd.yaml"}, want: []string{
			"configuration file /nonexistent/brokerd.yaml: no such file or directory"}},
		{name: "empty file name", environ: map[string]string{"BROKERD_CONFIG": ""}, want: []string{
			"configuration environment BROKERD_CONFIG: empty, name a file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, test.file, test.environ, test.flags...)
			var problems Errors
			if !errors.As(err, &problems) {
				t.Fatalf("got error %v, want an Errors", err)
			}
			var got []string
			for _, p := range problems {
				line := p.Error()
				if p.Source.Origin == FromFile && test.file != "" {
					line = strings.ReplaceAll(line, p.Source.Name, "FILE")
				}
				got = append(got, line)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(test.want, "\n     "))
			}
		})
	}
}

func TestServiceVariables(t *testing.T) {
	fromKubernetes := []string{
		"BROKERD_SERVICE_HOST=10.0.0.1", "BROKERD_SERVICE_PORT=5672", "BROKERD_SERVICE_PORT_AMQP=5672",
		"BROKERD_PORT=tcp://10.0.0.1:5672", "BROKERD_PORT_5672_TCP_ADDR=10.0.0.1",
		"BROKERD_HEADLESS_SERVICE_HOST=10.0.0.2", "BROKERD_HEADLESS_PORT_5672_TCP=tcp://10.0.0.2:5672",
	}
	if got := unknownVariables(fromKubernetes); len(got) != 0 {
		t.Errorf("service variables refused: %v", got)
	}
	if got := unknownVariables([]string{"BROKERD_PORT=1", "BROKERD_AMQP_PORT=1", "PATH=/"}); len(got) != 2 {
		t.Errorf("without a service: got %v, want both refused", got)
	}
}

func TestResolveMemory(t *testing.T) {
	total := func(n int64) func() (int64, error) { return func() (int64, error) { return n, nil } }
	tests := []struct {
		written string
		total   int64
		want    int64
	}{
		{"60%", 1000 * mib, 600 * mib},
		{"100%", 10 * gib, 10 * gib / 100 * 100},
		{"1%", gib, minMemory},
		{"2GiB", gib, 2 * gib},
	}
	for _, test := range tests {
		if got, err := resolveMemory(test.written, total(test.total)); err != nil || got != test.want {
			t.Errorf("%s of %d: got %d, %v; want %d", test.written, test.total, got, err, test.want)
		}
	}
	if _, err := resolveMemory("60%", func() (int64, error) { return 0, errors.New("no idea") }); err == nil {
		t.Error("a percentage of an unknown total was accepted")
	}
}

func TestWriteYAMLLoadsAgain(t *testing.T) {
	c, err := load(t, "amqp: {listen: ['[::1]:1', 'a:2'], product: 'true', version: '4.10'}\nmemory: {limit: 512MiB}\nnode: {name: '1e3'}\ndefault_pass: hidden\ncluster: {secret: hidden}\n",
		map[string]string{"BROKERD_DEFAULT_USER": "null"}, "--store-sync", "os", "--data-dir", "a: b # c")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.WriteYAML(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hidden") {
		t.Errorf("the password is shown:\n%s", out.String())
	}
	for _, line := range []string{
		"  sync: os # flag --store-sync\n", "default_user: \"null\" # environment BROKERD_DEFAULT_USER\n", "  level: info # default\n",
		"# default_pass: not shown (file ",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in\n%s", line, out.String())
		}
	}
	if err := os.Unsetenv("BROKERD_DEFAULT_USER"); err != nil {
		t.Fatal(err)
	}
	again, err := load(t, out.String(), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	want := []Change{{Key: "cluster.secret"}, {Key: "default_pass"}}
	if got := Diff(c, again); !reflect.DeepEqual(got, want) {
		t.Errorf("after printing and loading: differences %+v, want %+v", got, want)
	}
}

func TestDiff(t *testing.T) {
	before, after := Default(), Default()
	if got := Diff(before, after); len(got) != 0 {
		t.Fatalf("equal configurations differ: %+v", got)
	}
	after.Log.Level, after.Store.Sync = slog.LevelDebug, SyncOS
	want := []Change{{Key: "store.sync", Old: "always", New: "os"}, {Key: "log.level", Old: "info", New: "debug", Live: true}}
	if got := Diff(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"log.level", "amqp.listen", "store.sync", "os"}
	for s, want := range map[string]string{
		"log.lvel": "log.level", "loglevel": "log.level", "log-level": "log.level", "sync": "store.sync", "LOG.LEVEL": "log.level",
		"amqp.lsiten": "amqp.listen", "xy": "", "memory": "", "": "",
	} {
		if got := Nearest(s, candidates); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}
