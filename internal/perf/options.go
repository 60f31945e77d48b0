package perf

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Limits of the options.
const (
	maxProducers = 1 << 16 // a stamp has 16 bits for the producer
	maxConsumers = 1 << 20
	maxQueues    = 1 << 20
	maxSize      = 128 << 20 // what RabbitMQ takes by default
	maxWindow    = 1 << 20
)

// Options say what to run. The zero value is not valid; start from [DefaultOptions].
type Options struct {
	// URIs are the brokers; the connections are spread over them in turn, the control connection uses the first.
	URIs []string

	// Producers and Consumers are numbers of channels. Zero producers or zero consumers run the other side alone.
	Producers, Consumers int
	// Channels is how many producers, or consumers, share a connection.
	Channels int

	// Queues is the number of queues, 0 to publish to the exchange without any queue of this run. Producer i publishes to
	// the queues i, i+Producers, ... and consumer j consumes from the queues j, j+Consumers, ..., modulo Queues, so that
	// each queue is served on both sides.
	Queues int
	// QueuePattern is the name of the queues with %d for the number; a name without %d is the name of the only queue.
	QueuePattern string
	// Exchange is where to publish, empty for the default exchange.
	Exchange string
	// ExchangeType is direct, fanout, topic or headers. Queues are bound with their name as binding key and each message is
	// for one queue, unless RoutingKey is given or the exchange is a fanout: then each message is for all queues.
	ExchangeType string
	// RoutingKey is the routing key of all messages; for a headers exchange, the value of the header "key".
	RoutingKey string
	// BindingKey is what the queues are bound with if that is not RoutingKey itself, such as a topic pattern.
	BindingKey string
	// QueueArguments are the arguments of queue.declare.
	QueueArguments wire.Table
	// Predeclared uses an exchange, queues and bindings that exist, and declares and deletes nothing.
	Predeclared bool
	// Durable and AutoDelete are the flags of queues and exchange.
	Durable, AutoDelete bool

	// Size is the length of a body in bytes. From 8 bytes on it carries the time of sending, from 16 on the sequence number.
	Size int
	// Persistent publishes with delivery mode 2.
	Persistent bool
	// Mandatory asks for messages to be returned if no queue takes them.
	Mandatory bool
	// Confirm is the largest number of unconfirmed messages per producer, 0 for publishing without confirms.
	Confirm int
	// Rate is the number of messages per second and producer, 0 for as fast as possible.
	Rate float64

	// Prefetch is the prefetch count of each consumer, 0 for no limit.
	Prefetch int
	// AutoAck consumes without acknowledgements.
	AutoAck bool
	// MultiAck acknowledges every MultiAck messages at once, 1 each message by itself, and 0 all that were read together.
	MultiAck int
	// ConsumerDelay is how long a consumer works on each message.
	ConsumerDelay time.Duration

	// Count is the number of messages per producer, 0 for no limit. The run then ends when all have been received.
	Count int64
	// Duration is how long to publish (without producers: to consume) after Warmup, 0 for no limit.
	Duration time.Duration
	// Warmup runs the load before anything is counted.
	Warmup time.Duration
	// Drain goes on consuming until the queues are empty.
	Drain bool
	// DrainTimeout ends draining when nothing arrives for this long though something is missing.
	DrainTimeout time.Duration
	// Verify checks that every message arrives in every queue once and in order. It implies Drain.
	Verify bool

	// Purge empties the queues before the run; Keep leaves queues and exchange behind. What had existed before is never
	// deleted.
	Purge, Keep bool

	// ReportInterval is the length of an interval of the series and of the progress output.
	ReportInterval time.Duration
	// Progress receives a line per interval and notices; nil for none.
	Progress io.Writer
}

// DefaultOptions returns one producer and one consumer of one transient queue on the local broker, without end.
func DefaultOptions() Options {
	return Options{
		URIs:           []string{"amqp://guest:guest@127.0.0.1:5672/"},
		Producers:      1,
		Consumers:      1,
		Channels:       1,
		Queues:         1,
		QueuePattern:   "perf-%d",
		ExchangeType:   "direct",
		Size:           stampLen,
		DrainTimeout:   30 * time.Second,
		ReportInterval: time.Second,
	}
}

// Validate returns an error that names every option that is out of its bounds or does not go with another one.
func (o *Options) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(o.URIs) > 0, "at least one URI is needed")
	for _, u := range o.URIs {
		_, err := parseURI(u)
		check(err == nil, "%v", err)
	}
	check(o.Producers >= 0 && o.Producers <= maxProducers, "producers must be 0 to %d", maxProducers)
	check(o.Consumers >= 0 && o.Consumers <= maxConsumers, "consumers must be 0 to %d", maxConsumers)
	check(o.Producers > 0 || o.Consumers > 0, "there must be a producer or a consumer")
	check(o.Channels >= 1 && o.Channels <= 65535, "channels must be 1 to 65535")
	check(o.Queues >= 0 && o.Queues <= maxQueues, "queues must be 0 to %d", maxQueues)
	check(o.Queues > 0 || o.Consumers == 0, "consumers need a queue")
	check(o.Queues <= 1 || strings.Contains(o.QueuePattern, "%d"), "the pattern of several queues needs %%d for the number")
	check(strings.Count(o.QueuePattern, "%") == strings.Count(o.QueuePattern, "%d") && strings.Count(o.QueuePattern, "%") <= 1,
		"the queue pattern may hold %%d once and no other %%")
	check(o.QueuePattern != "", "the queue pattern must not be empty")
	switch o.ExchangeType {
	case "direct", "fanout", "topic", "headers":
	default:
		check(false, "exchange type %q is none of direct, fanout, topic, headers", o.ExchangeType)
	}
	check(o.Exchange != "" || o.RoutingKey == "" || o.Queues == 0,
		"a routing key for the default exchange is the name of a queue: give it as the queue pattern, or give 0 queues")
	check(o.Exchange != "" || o.ExchangeType == "direct", "an exchange type needs an exchange")
	check(o.Exchange != "" || o.BindingKey == "", "a binding key needs an exchange")
	check(o.BindingKey == "" || o.RoutingKey != "", "a binding key needs a routing key")
	check(len(o.Exchange) <= 255 && len(o.RoutingKey) <= 255 && len(o.BindingKey) <= 255 && len(o.QueuePattern) <= 245,
		"names are at most 255 bytes long")
	check(o.Size >= 0 && o.Size <= maxSize, "size must be 0 to %d bytes", maxSize)
	check(o.Confirm >= 0 && o.Confirm <= maxWindow, "the confirm window must be 0 to %d", maxWindow)
	check(o.Rate >= 0 && o.Rate <= 1e9, "rate must be 0 to 1e9 messages per second")
	check(o.Prefetch >= 0 && o.Prefetch <= 65535, "prefetch must be 0 to 65535")
	check(o.MultiAck >= 0, "multi-ack must not be negative")
	check(o.Prefetch == 0 || o.MultiAck <= o.Prefetch, "multi-ack above prefetch would never acknowledge")
	check(o.ConsumerDelay >= 0, "the consumer delay must not be negative")
	check(o.ConsumerDelay == 0 || o.Channels == 1, "a consumer delay needs a connection per consumer (1 channel)")
	check(o.Count >= 0 && o.Count < 1<<sequenceBits, "count must be 0 to %d", int64(1)<<sequenceBits-1)
	check(o.Count == 0 || o.Producers > 0, "a count is for producers")
	check(o.Duration >= 0 && o.Warmup >= 0, "durations must not be negative")
	check(o.ReportInterval >= 10*time.Millisecond, "the report interval must be at least 10ms")
	check(o.DrainTimeout > 0, "the drain timeout must be positive")
	check(!o.Verify || o.Size >= stampLen, "verification needs messages of at least %d bytes", stampLen)
	check(!o.Verify || o.Consumers > 0, "verification needs consumers")
	check(!o.Verify || o.Producers > 0 || !o.Predeclared || o.Drain || o.Duration > 0, "verification needs an end: drain or duration")
	return errors.Join(errs...)
}
