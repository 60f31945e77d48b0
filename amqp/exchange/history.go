package exchange

import (
	"strconv"

	"github.com/brokerd/brokerd/amqp/wire"
)

// An x-recent-history exchange (SEMANTICS 3.17) routes like fanout, and keeps the latest messages for queues that are bound later;
// this package only says how many, and which.

// HistoryLengthArgument says how many messages an x-recent-history exchange keeps.
const HistoryLengthArgument = "x-recent-history-length"

// NoHistoryHeader, if it is true, keeps a message out of the history.
const NoHistoryHeader = "x-recent-history-no-store"

const (
	defaultHistoryLength = 20
	// maxHistoryLength bounds what a binding has to bring into a queue.
	maxHistoryLength = 100_000
)

// HistoryLength returns how many messages an x-recent-history exchange with these arguments (the content of a field table) keeps, 1
// to 100,000.
func HistoryLength(arguments []byte) int {
	length := int64(defaultHistoryLength)
	_ = wire.WalkTable(arguments, func(name []byte, v wire.RawValue) bool {
		if string(name) != HistoryLengthArgument {
			return true
		}
		if n, ok := v.Int(); ok && n > 0 && n <= maxHistoryLength {
			length = n
		}
		return false
	})
	return int(length)
}

// InHistory reports whether an x-recent-history exchange keeps a message with these headers (the content of a field table).
func InHistory(headers []byte) bool {
	keep := true
	_ = wire.WalkTable(headers, func(name []byte, v wire.RawValue) bool {
		if string(name) != NoHistoryHeader {
			return true
		}
		keep = v.Kind != wire.KindBool || v.Value().Int == 0
		return false
	})
	return keep
}

// checkHistoryLength refuses what RabbitMQ's plugin refuses, with its text, and lengths that would be a backlog, not a history.
func checkHistoryLength(arguments wire.Table) error {
	v, ok := arguments.Get(HistoryLengthArgument)
	switch {
	case !ok:
		return nil
	case !v.IsInteger():
		got := v.Kind.String()
		if v.Kind == wire.KindString {
			got = "<<" + strconv.Quote(v.Str) + ">>"
		}
		return wire.Errorf(wire.PreconditionFailed, "Invalid argument %s, '%s' must be a positive integer", got, HistoryLengthArgument)
	case v.Int <= 0:
		return wire.Errorf(wire.PreconditionFailed, "Invalid argument %d, '%s' must be a positive integer", v.Int, HistoryLengthArgument)
	case v.Int > maxHistoryLength:
		return wire.Errorf(wire.PreconditionFailed, "Invalid argument %d, '%s' must not be above %d", v.Int, HistoryLengthArgument,
			maxHistoryLength)
	}
	return nil
}
