package exchange

import (
	"strconv"

	"github.com/brokerd/brokerd/amqp/wire"
)

// An x-delayed-message exchange (SEMANTICS 3.16) routes like the type in its argument x-delayed-type, and its bindings are those
// of that type. Messages with a header x-delay are kept back first; this package only says for how long.

// DelayedTypeArgument names the type that an x-delayed-message exchange routes like.
const DelayedTypeArgument = "x-delayed-type"

// DelayHeader is the header that says for how many milliseconds a message is kept back.
const DelayHeader = "x-delay"

// maxDelay is the longest delay in milliseconds. RabbitMQ's plugin routes a message with a longer one at once.
const maxDelay = 1<<32 - 1

func init() { // Lookup refers to types
	types[Delayed] = &Type{Name: Delayed, table: newDelayed, ReadsArguments: true, Repeats: true, checkExchange: checkDelayedType}
}

// TypeOf returns the type whose rules hold for the bindings of an exchange, nil if there is none: that with the given name, or
// the one that an x-delayed-message exchange with these arguments routes like.
func TypeOf(name string, arguments []byte) *Type {
	if name == Delayed {
		return innerType(arguments)
	}
	return Lookup(name)
}

// innerType returns the type that an x-delayed-message exchange routes like, nil if the arguments name none.
func innerType(arguments []byte) (inner *Type) {
	_ = wire.WalkTable(arguments, func(name []byte, v wire.RawValue) bool {
		if string(name) != DelayedTypeArgument {
			return true
		}
		if v.Kind == wire.KindString && string(v.Data) != Delayed {
			inner = Lookup(string(v.Data))
		}
		return false
	})
	return inner
}

func newDelayed(arguments []byte) Table {
	if inner := innerType(arguments); inner != nil {
		return inner.New(arguments)
	}
	return direct{}
}

func checkDelayedType(arguments wire.Table) error {
	inner := innerType(arguments.Encode())
	if inner == nil {
		return wire.Errorf(wire.PreconditionFailed, "Invalid argument, '%s' must be an existing exchange type", DelayedTypeArgument)
	}
	return inner.CheckExchange(arguments)
}

// Delay returns for how many milliseconds an x-delayed-message exchange keeps a message with these headers (the content of a field
// table) back, 0 for one that it routes at once: without the header x-delay, or with one that is no integer, not positive, or above
// 2^32-1. Decimal digits in a string count as an integer.
func Delay(headers []byte) (ms int64) {
	_ = wire.WalkTable(headers, func(name []byte, v wire.RawValue) bool {
		if string(name) != DelayHeader {
			return true
		}
		n, ok := v.Int()
		if !ok && v.Kind == wire.KindString {
			n, _ = strconv.ParseInt(string(v.Data), 10, 64)
		}
		if n > 0 && n <= maxDelay {
			ms = n
		}
		return false
	})
	return ms
}
