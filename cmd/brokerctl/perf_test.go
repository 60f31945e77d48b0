package main

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

func execute(args ...string) (string, error) {
	cmd := rootCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"prf"}, `no command "prf"`},
		{[]string{"perf", "more"}, `takes no arguments, but got "more"`},
		{[]string{"perf", "--no-such"}, "unknown flag"},
		{[]string{"perf", "-x", "0", "-y", "0"}, "a producer or a consumer"},
		{[]string{"perf", "-z", "soon"}, "neither a number of seconds nor a duration"},
		{[]string{"perf", "--output", "yaml"}, "neither text nor json"},
		{[]string{"perf", "--queue-arg", "x"}, "not name=value"},
	} {
		_, err := execute(c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != exitUsage {
			t.Errorf("%q: %v with exit code %d, want %q with 64", c.args, err, exitCode(err), c.want)
		}
	}
}

func TestNoBroker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = execute("perf", "--uri", "amqp://"+address)
	var refused *net.OpError
	if !errors.As(err, &refused) || exitCode(err) != exitFailure || !strings.Contains(err.Error(), address) {
		t.Errorf("%v with exit code %d, want a network error that names %s with 1", err, exitCode(err), address)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"--help"}, {"perf", "--help"}, {"--version"}, {"completion", "bash"}} {
		if out, err := execute(args...); err != nil || !strings.Contains(out, "brokerctl") {
			t.Errorf("%q: %v, %s", args, err, out)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{"30": 30 * time.Second, "0.5": 500 * time.Millisecond, "1m30s": 90 * time.Second} {
		var d duration
		if err := d.Set(in); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v, want %v", in, time.Duration(d), err, want)
		}
	}
}

func TestArgument(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]wire.Value{"7": wire.Int64(7), "true": wire.Bool(true), "false": wire.Bool(false), "lazy": wire.String("lazy")} {
		if got := argument(in); !got.Equal(want) {
			t.Errorf("%s: %+v, want %+v", in, got, want)
		}
	}
}
