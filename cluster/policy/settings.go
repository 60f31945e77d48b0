package policy

import (
	"math"

	"github.com/brokerd/brokerd/amqp/wire"
)

// None stands for a number that nobody set.
const None = -1

// DefaultDeliveryLimit is that of quorum queues.
const DefaultDeliveryLimit = 20

// DefaultDeduplicationHeader is the header by which messages are compared unless another one is set.
const DefaultDeduplicationHeader = "x-deduplication-header"

// Overflow says what a full queue does.
type Overflow uint8

const (
	DropHead         Overflow = iota // make room at the head
	RejectPublish                    // nack the new message
	RejectPublishDLX                 // nack the new message, and dead-letter it
)

var overflowNames = [...]string{"drop-head", "reject-publish", "reject-publish-dlx"}

// String returns the word that arguments and policies use.
func (o Overflow) String() string { return overflowNames[o] }

// DeadLetterStrategy says how sure dead-lettering is.
type DeadLetterStrategy uint8

const (
	AtMostOnce  DeadLetterStrategy = iota // published without confirms
	AtLeastOnce                           // kept until all targets confirm
)

var strategyNames = [...]string{"at-most-once", "at-least-once"}

// String returns the word that arguments and policies use.
func (s DeadLetterStrategy) String() string { return strategyNames[s] }

// Settings are what a queue goes by. Times are in milliseconds. Numbers are [None] when nobody set them, 0 is a value.
type Settings struct {
	MessageTTL int64 // 0 expires what cannot be delivered at once
	Expires    int64 // of the queue, without use

	MaxLength      int64 // ready messages
	MaxLengthBytes int64 // bytes of their bodies
	Overflow       Overflow

	DeadLetterExchange   *string // nil for none; empty for the default exchange
	DeadLetterRoutingKey *string // nil for the keys of the message
	DeadLetterStrategy   DeadLetterStrategy

	DeliveryLimit   int64 // failed deliveries; quorum queues have [DefaultDeliveryLimit]
	ConsumerTimeout int64

	// DelayedRetryType is disabled, all, failed or returned, empty for not set.
	DelayedRetryType string
	DelayedRetryMin  int64
	DelayedRetryMax  int64
	MaxAge           string // of a stream, such as "7D", empty for not set

	MaxPriority          uint8 // 0 for no priorities
	SingleActiveConsumer bool
	Deduplication        Deduplication
}

// Deduplication says how a queue or an exchange refuses messages that it has had.
type Deduplication struct {
	Enabled   bool
	CacheSize int64  // messages to remember
	CacheTTL  int64  // milliseconds for which to remember them
	Header    string // that identifies a message
}

// Equal reports whether s and t are the same.
func (s Settings) Equal(t Settings) bool {
	same := equalText(s.DeadLetterExchange, t.DeadLetterExchange) && equalText(s.DeadLetterRoutingKey, t.DeadLetterRoutingKey)
	s.DeadLetterExchange, s.DeadLetterRoutingKey = nil, nil
	t.DeadLetterExchange, t.DeadLetterRoutingKey = nil, nil
	return same && s == t
}

func equalText(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// Origins says where settings come from, by the name of the policy key or, for what only arguments set, of the argument. What is
// missing has its default.
type Origins map[string]Origin

// QueueSettings returns the settings of a queue from the arguments of its declaration and what policies make of it; the zero
// Effective is a classic queue without policies. Arguments must have been checked at the declaration: one with a wrong type or
// value is passed over.
//
// The smallest of all values counts for expires, message-ttl, max-length, max-length-bytes, delivery-limit (where negative is no
// limit), consumer-timeout and delayed-retry-min and -max. The argument wins for dead-letter-*, the policy for
// delayed-retry-type, max-age and the max-length-bytes of a stream. An operator policy's overflow wins over the argument, and
// that over a policy's. (SEMANTICS 14.4)
func QueueSettings(args wire.Table, e Effective) (Settings, Origins) {
	r := resolver{args: args, effective: &e, on: e.on, origins: make(Origins)}
	if r.on == 0 {
		r.on = classic
	}
	s := Settings{
		MessageTTL:      r.number("message-ttl"),
		Expires:         r.number("expires"),
		MaxLength:       r.number("max-length"),
		MaxLengthBytes:  r.number("max-length-bytes"),
		DeliveryLimit:   r.number("delivery-limit"),
		ConsumerTimeout: r.number("consumer-timeout"),
		DelayedRetryMin: r.number("delayed-retry-min"),
		DelayedRetryMax: r.number("delayed-retry-max"),

		Overflow:             Overflow(r.word("overflow", overflowNames[:])),
		DeadLetterExchange:   r.text("dead-letter-exchange"),
		DeadLetterRoutingKey: r.text("dead-letter-routing-key"),
		DeadLetterStrategy:   DeadLetterStrategy(r.word("dead-letter-strategy", strategyNames[:])),

		SingleActiveConsumer: r.flag("x-single-active-consumer"),
		Deduplication:        r.deduplication(),
	}
	if t := r.text("delayed-retry-type"); t != nil {
		s.DelayedRetryType = *t
	}
	if t := r.text("max-age"); t != nil {
		s.MaxAge = *t
	}
	if _, set := r.origins["delivery-limit"]; !set && r.on == quorum {
		s.DeliveryLimit = DefaultDeliveryLimit
	}
	if n := r.argument("x-max-priority", maxPriority); n != None {
		s.MaxPriority = uint8(n)
	}
	return s, r.origins
}

// deduplication returns what only arguments set.
func (r *resolver) deduplication() Deduplication {
	d := Deduplication{
		Enabled:   r.flag("x-message-deduplication"),
		CacheSize: r.argument("x-cache-size", math.MaxInt64),
		CacheTTL:  r.argument("x-cache-ttl", math.MaxInt64),
		Header:    DefaultDeduplicationHeader,
	}
	if v, ok := r.args.Get("x-deduplication-header"); ok && v.Kind == wire.KindString && v.Str != "" {
		d.Header = v.Str
		r.origins["x-deduplication-header"] = Origin{Source: Argument}
	}
	return d
}

const maxPriority = 255

// ExchangeConfig is what an exchange goes by.
type ExchangeConfig struct {
	AlternateExchange *string // nil for none
	Deduplication     Deduplication
}

// ExchangeSettings returns the settings of an exchange from the arguments of its declaration, which win, and what policies make of
// it.
func ExchangeSettings(args wire.Table, e Effective) (ExchangeConfig, Origins) {
	r := resolver{args: args, effective: &e, on: exchange, origins: make(Origins)}
	return ExchangeConfig{AlternateExchange: r.text("alternate-exchange"), Deduplication: r.deduplication()}, r.origins
}

// resolver finds the values of settings and notes where they come from.
type resolver struct {
	args      wire.Table
	effective *Effective
	on        target
	origins   Origins
}

// resolve returns the value that counts for a key.
func (r *resolver) resolve(name string) (v value, ok bool) {
	k := &keys[keyOf(name)]
	arg, hasArg := k.fromArgument(r.args, r.on)
	set, hasSet := r.effective.Get(name)
	if !hasArg && !hasSet {
		return v, false
	}
	v, from := value{set.Number, set.Text}, set.Origin
	if hasArg && (!hasSet || k.argumentWins(r.on, arg, v, from.Source)) {
		v, from = arg, Origin{Source: Argument}
	}
	r.origins[name] = from
	return v, true
}

// argumentWins reports whether an argument wins over the value that policies give.
func (k *key) argumentWins(on target, arg, set value, source Source) bool {
	switch k.rule {
	case minimum, limit:
		if on == stream && k.name == "max-length-bytes" {
			return false // the retention of a stream is the policy's
		}
		return !k.rule.less(set, arg)
	case policyFirst:
		return false
	case operatorFirst:
		return source != OperatorPolicy
	}
	return true
}

// fromArgument returns the value of the argument that stands for the key, if the thing has such a key.
func (k *key) fromArgument(args wire.Table, on target) (v value, ok bool) {
	if k.argument == "" {
		return v, false
	}
	a, ok := args.Get(k.argument)
	switch {
	case !ok:
		return v, false
	case k.domain.text:
		v.text, ok = a.Str, a.Kind == wire.KindString
	default:
		v.number, ok = a.Int, a.IsInteger()
	}
	return v, ok && k.domain.check(v) && k.whyNot(on, v) == ""
}

func (r *resolver) number(name string) int64 {
	if v, ok := r.resolve(name); ok {
		return v.number
	}
	return None
}

func (r *resolver) text(name string) *string {
	if v, ok := r.resolve(name); ok {
		return &v.text
	}
	return nil
}

// word returns the place of the value in words, 0 for none.
func (r *resolver) word(name string, words []string) int {
	v, ok := r.resolve(name)
	if !ok {
		return 0
	}
	for i, w := range words {
		if v.text == w {
			return i
		}
	}
	return 0
}

// flag returns a setting that only arguments have.
func (r *resolver) flag(argument string) bool {
	v, ok := r.args.Get(argument)
	if !ok || v.Kind != wire.KindBool {
		return false
	}
	r.origins[argument] = Origin{Source: Argument}
	return v.Int != 0
}

// argument returns a number of 0 to limit that only arguments have.
func (r *resolver) argument(argument string, limit int64) int64 {
	v, ok := r.args.Get(argument)
	if !ok || !v.IsInteger() || v.Int < 0 || v.Int > limit {
		return None
	}
	r.origins[argument] = Origin{Source: Argument}
	return v.Int
}
