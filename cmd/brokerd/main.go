// Command brokerd runs a node of the broker. It reads the configuration, sets up the log and the signals, and hands over to
// internal/node.
//
// Exit codes follow sysexits: 64 for a wrong command line, 78 for a wrong configuration or wrong definitions, 73 for a data directory that cannot
// be used, 74 for other input or output errors (an address in use, a failing disk), 1 for everything else.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/datadir"
	"github.com/brokerd/brokerd/internal/definitions"
)

// Exit codes.
const (
	exitFailure   = 1
	exitUsage     = 64
	exitCreate    = 73
	exitIO        = 74
	exitBadConfig = 78
)

func main() {
	if err := rootCommand().Execute(); err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(os.Stderr, "brokerd: %s\n", strings.TrimSuffix(line, "\n"))
		}
		os.Exit(exitCode(err))
	}
}

// usageError is a wrong command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func exitCode(err error) int {
	var usage *usageError
	var wrong config.Errors
	var defined definitions.Errors
	var dir *datadir.Error
	var path *fs.PathError
	var network *net.OpError
	var system syscall.Errno
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &wrong):
		for _, e := range wrong {
			if e.Source.Origin != config.FromFlag {
				return exitBadConfig
			}
		}
		return exitUsage
	case errors.As(err, &defined):
		return exitBadConfig
	case errors.As(err, &dir):
		return exitCreate
	case errors.As(err, &path), errors.As(err, &network), errors.As(err, &system):
		return exitIO
	}
	return exitFailure
}
