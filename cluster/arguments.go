package cluster

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// queueTypes is a set of queue types.
type queueTypes uint8

const (
	classic queueTypes = 1 << iota
	quorum
	stream
)

// Arguments of queue.declare that are used beyond the table below.
const (
	argQueueType     = "x-queue-type"
	argDeadLetter    = "x-dead-letter-exchange"
	argDeadLetterKey = "x-dead-letter-routing-key"
	argNamePrefix    = "x-name-prefix"

	argConsumerTimeout = "x-consumer-timeout" // of basic.consume, too
)

// Values of x-queue-type.
const (
	typeClassic = "classic"
	typeQuorum  = "quorum"
	typeStream  = "stream"
)

// Bounds of arguments.
const (
	maxExpiry        = 315_360_000_000 // ms, ten years
	maxPriority      = 255
	maxStreamSegment = 3_000_000_000 // bytes
	minFilter        = 16            // bytes
	maxFilter        = 255           // bytes
)

// typeNames maps the values of x-queue-type, and gives the name that RabbitMQ's texts use for the type.
var typeNames = map[string]struct {
	set  queueTypes
	text string
}{
	typeClassic: {classic, "rabbit_classic_queue"},
	typeQuorum:  {quorum, "rabbit_quorum_queue"},
	typeStream:  {stream, "rabbit_stream_queue"},
}

// argument is an argument of queue.declare that the broker knows.
type argument struct {
	key   string
	check func(v wire.Value, all wire.Table) detail
	types queueTypes // that take it
	// inert arguments are stored, and compared on a redeclare, but they have no meaning here.
	inert bool
}

// detail says what is wrong with an argument, as the end of the reply text; empty for nothing.
type detail string

// queueArguments are the known arguments in the order in which RabbitMQ checks and compares them (SEMANTICS 5.12). Others
// are accepted, whatever their value.
var queueArguments = []argument{
	{"x-expires", checkExpires, classic | quorum, false},
	{"x-message-ttl", checkTTL, classic | quorum, false},
	{argDeadLetter, checkString, classic | quorum, false},
	{argDeadLetterKey, checkDeadLetterKey, classic | quorum, false},
	{"x-dead-letter-strategy", oneOf("invalid_dlx_strategy", "at-most-once", "at-least-once"), quorum, false},
	{"x-max-length", checkNotNegative, classic | quorum, false},
	{"x-max-length-bytes", checkNotNegative, classic | quorum | stream, false},
	{"x-max-in-memory-length", checkNotNegative, quorum, false},
	{"x-max-in-memory-bytes", checkNotNegative, quorum, false},
	{"x-max-priority", checkMaxPriority, classic, false},
	{"x-overflow", oneOf("invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx"), classic | quorum, false},
	{"x-queue-mode", checkMode, classic, true},
	{"x-queue-version", checkVersion, classic, true},
	{"x-single-active-consumer", checkBool, classic | quorum, false},
	{argQueueType, checkType, classic | quorum | stream, false},
	{"x-delivery-limit", checkDeliveryLimit, classic | quorum, false},
	{argConsumerTimeout, checkNotNegative, classic | quorum, false},
	{"x-consumer-disconnected-timeout", checkNotNegative, quorum, false},
	{"x-delayed-retry-type", oneOf("invalid_delayed_retry_type", "disabled", "all", "failed", "returned"), quorum, false},
	{"x-delayed-retry-min", checkPositive, quorum, false},
	{"x-delayed-retry-max", checkPositive, quorum, false},
	{"x-quorum-initial-group-size", checkPositive, quorum, false},
	{"x-quorum-target-group-size", checkPositive, quorum, false},
	{"x-member-placement-tag", checkNotEmpty, quorum, false},
	{"x-max-age", checkMaxAge, stream, false},
	{"x-stream-max-segment-size-bytes", checkSegmentSize, stream, false},
	{"x-stream-filter-size-bytes", checkFilterSize, stream, false},
	{"x-initial-cluster-size", checkPositive, stream, false},
	{"x-queue-leader-locator", checkLocator, classic | quorum | stream, false},
	{"x-queue-master-locator", checkLocator, classic, true},
	{"x-message-deduplication", checkBool, classic | quorum, false},
	{"x-cache-size", checkCacheSize, classic | quorum, false},
	{"x-cache-ttl", checkExpires, classic | quorum, false},
	{"x-deduplication-header", checkNotEmpty, classic | quorum, false},
}

// exchangeArguments are the arguments of exchange.declare that say how an exchange drops repetitions; they are those of queues.
var exchangeArguments = queueArguments[len(queueArguments)-4:]

// checkQueueArguments checks the arguments of a queue that does not exist yet.
func checkQueueArguments(r resource, args wire.Table) error {
	if len(args) == 0 {
		return nil
	}
	// The type goes first: it decides what else is allowed.
	kind := typeNames[typeClassic]
	if v, ok := args.Get(argQueueType); ok {
		if d := checkType(v, args); d != "" {
			return errInvalidArgument(argQueueType, r, d)
		}
		kind = typeNames[v.Str]
	}
	for i := range queueArguments {
		a := &queueArguments[i]
		if v, ok := args.Get(a.key); ok {
			if d := a.check(v, args); d != "" {
				return errInvalidArgument(a.key, r, d)
			}
		}
	}
	for i := range queueArguments {
		if a := &queueArguments[i]; a.types&kind.set == 0 {
			if _, ok := args.Get(a.key); ok {
				return errPrecondition("invalid arg '%s' for %s of queue type %s", a.key, r, kind.text)
			}
		}
	}
	return nil
}

// checkQueueType refuses what a queue type cannot be, and the types that this version does not have. s.Arguments are
// valid.
func checkQueueType(r resource, s *QueueSpec) error {
	v, ok := s.Arguments.Get(argQueueType)
	if !ok || v.Str == typeClassic {
		return nil
	}
	for _, p := range []struct {
		wrong bool
		name  string
	}{
		{s.AutoDelete, "auto-delete"},
		{s.Exclusive, "exclusive-owner"},
		{!s.Durable, "non-durable"},
	} {
		if p.wrong {
			return errPrecondition("invalid property '%s' for %s", p.name, r)
		}
	}
	return errPrecondition("queue type '%s' of %s is not available in this version", v.Str, r)
}

// inertArguments returns the arguments in args that have no meaning here.
func inertArguments(args wire.Table) (keys []string) {
	for i := range queueArguments {
		if a := &queueArguments[i]; a.inert {
			if _, ok := args.Get(a.key); ok {
				keys = append(keys, a.key)
			}
		}
	}
	return keys
}

// ConsumeArguments are what the arguments of basic.consume ask for.
type ConsumeArguments struct {
	Priority int32 // those beyond 32 bits are cut to the nearest that fits
	Timeout  int64 // for acknowledgements, in milliseconds; 0 for no limit, queue.None if nothing is asked for
}

// CheckConsumeArguments checks the arguments of basic.consume from a classic queue. Errors are 406.
func CheckConsumeArguments(queueName, vhost string, args wire.Table) (c ConsumeArguments, err error) {
	c.Timeout = queue.None
	r := resource{kindQueue, cleanName(queueName), vhost}
	if v, ok := args.Get("x-priority"); ok {
		if d := checkInteger(v, args); d != "" {
			return c, errInvalidArgument("x-priority", r, d)
		}
		c.Priority = int32(max(math.MinInt32, min(v.Int, math.MaxInt32)))
	}
	if v, ok := args.Get(argConsumerTimeout); ok {
		if d := checkNotNegative(v, args); d != "" {
			return c, errInvalidArgument(argConsumerTimeout, r, d)
		}
		c.Timeout = v.Int
	}
	if v, ok := args.Get("x-cancel-on-ha-failover"); ok {
		if d := checkBool(v, args); d != "" {
			return c, errInvalidArgument("x-cancel-on-ha-failover", r, d)
		}
	}
	for _, key := range []string{"x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"} {
		if _, ok := args.Get(key); ok {
			return c, errPrecondition("invalid arg '%s' for %s of queue type %s", key, r, typeNames[typeClassic].text)
		}
	}
	return c, nil
}

func errInvalidArgument(key string, r resource, d detail) error {
	return errPrecondition("invalid arg '%s' for %s: %s", key, r, string(d))
}

// The checks of single values. Their details are Erlang terms, because RabbitMQ prints them as such.

func unacceptable(v wire.Value) detail { return detail("{unacceptable_type," + v.Kind.String() + "}") }

func wrongValue(what string, v wire.Value) detail {
	return detail(fmt.Sprintf("{%s,%d}", what, v.Int))
}

func checkInteger(v wire.Value, _ wire.Table) detail {
	if !v.IsInteger() {
		return detail(`"expected integer, got ` + v.Kind.String() + `"`)
	}
	return ""
}

func checkNotNegative(v wire.Value, all wire.Table) detail {
	if d := checkInteger(v, all); d != "" {
		return d
	}
	if v.Int < 0 {
		return wrongValue("value_negative", v)
	}
	return ""
}

func checkPositive(v wire.Value, all wire.Table) detail {
	if d := checkNotNegative(v, all); d != "" {
		return d
	}
	if v.Int == 0 {
		return wrongValue("value_zero", v)
	}
	return ""
}

func checkTTL(v wire.Value, all wire.Table) detail {
	if d := checkNotNegative(v, all); d != "" {
		return d
	}
	if v.Int > maxExpiry {
		return wrongValue("value_too_large", v)
	}
	return ""
}

func checkExpires(v wire.Value, all wire.Table) detail {
	if d := checkPositive(v, all); d != "" {
		return d
	}
	return checkTTL(v, all)
}

// atMost checks a number of 0 to limit.
func atMost(limit int64, v wire.Value, all wire.Table) detail {
	if d := checkNotNegative(v, all); d != "" {
		return d
	}
	if v.Int > limit {
		return wrongValue("max_value_exceeded", v)
	}
	return ""
}

func checkMaxPriority(v wire.Value, all wire.Table) detail { return atMost(maxPriority, v, all) }

func checkCacheSize(v wire.Value, all wire.Table) detail {
	if d := checkPositive(v, all); d != "" {
		return d
	}
	return atMost(dedup.MaxSize, v, all)
}

func checkSegmentSize(v wire.Value, all wire.Table) detail { return atMost(maxStreamSegment, v, all) }

func checkFilterSize(v wire.Value, all wire.Table) detail {
	if d := checkNotNegative(v, all); d != "" {
		return d
	}
	if v.Int < minFilter || v.Int > maxFilter {
		return wrongValue("filter_size_out_of_range", v)
	}
	return ""
}

func checkDeliveryLimit(v wire.Value, all wire.Table) detail {
	if v.IsInteger() && v.Int == -1 { // no limit
		return ""
	}
	return checkNotNegative(v, all)
}

func checkVersion(v wire.Value, all wire.Table) detail {
	if d := checkInteger(v, all); d != "" {
		return d
	}
	if v.Int != 1 && v.Int != 2 {
		return detail(fmt.Sprintf(`"unsupported queue version '%d'"`, v.Int))
	}
	return ""
}

func checkBool(v wire.Value, _ wire.Table) detail {
	if v.Kind != wire.KindBool {
		return unacceptable(v)
	}
	return ""
}

func checkString(v wire.Value, _ wire.Table) detail {
	if v.Kind != wire.KindString {
		return unacceptable(v)
	}
	return ""
}

func checkNotEmpty(v wire.Value, all wire.Table) detail {
	if d := checkString(v, all); d != "" {
		return d
	}
	if v.Str == "" {
		return "empty_value"
	}
	return ""
}

func checkDeadLetterKey(v wire.Value, all wire.Table) detail {
	if d := checkString(v, all); d != "" {
		return d
	}
	if _, ok := all.Get(argDeadLetter); !ok {
		return "routing_key_but_no_dlx_defined"
	}
	return ""
}

// oneOf makes a check for one of some strings; otherwise is the detail for another one.
func oneOf(otherwise detail, values ...string) func(wire.Value, wire.Table) detail {
	return func(v wire.Value, all wire.Table) detail {
		if d := checkString(v, all); d != "" {
			return d
		}
		for _, s := range values {
			if v.Str == s {
				return ""
			}
		}
		return otherwise
	}
}

var checkLocator = oneOf("invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders", "min-masters")

// unsupported makes a check for one of some strings, with a text that names the one that came.
func unsupported(what string, values ...string) func(wire.Value, wire.Table) detail {
	in := oneOf("unsupported", values...)
	return func(v wire.Value, all wire.Table) detail {
		d := in(v, all)
		if d == "unsupported" {
			return detail(`"unsupported ` + what + ` '` + strings.ReplaceAll(v.Str, `"`, `\"`) + `'"`)
		}
		return d
	}
}

var (
	checkMode = unsupported("queue mode", "default", "lazy")
	checkType = unsupported("queue type", typeClassic, typeQuorum, typeStream)
)

var maxAge = regexp.MustCompile(`^0*[1-9][0-9]*[YMDhms]$`)

func checkMaxAge(v wire.Value, all wire.Table) detail {
	if d := checkString(v, all); d != "" {
		return d
	}
	if !maxAge.MatchString(v.Str) {
		return "invalid_max_age"
	}
	return ""
}
