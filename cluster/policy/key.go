package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// target is a set of things that policies apply to.
type target uint8

const (
	classic target = 1 << iota
	quorum
	stream
	exchange

	queues = classic | quorum | stream
	all    = queues | exchange
)

// Queue types, as in x-queue-type.
const (
	typeClassic = "classic"
	typeQuorum  = "quorum"
	typeStream  = "stream"
)

// targetOf returns the target for a queue type. A queue without a type is classic.
func targetOf(queueType string) target {
	switch queueType {
	case typeQuorum:
		return quorum
	case typeStream:
		return stream
	}
	return classic
}

// applyTo are the values of a policy's apply-to.
var applyTo = map[string]target{
	"":               all,
	"all":            all,
	"queues":         queues,
	"exchanges":      exchange,
	"classic_queues": classic,
	"quorum_queues":  quorum,
	"streams":        stream,
}

const applyToNames = "all, queues, exchanges, classic_queues, quorum_queues or streams"

// rule says which value wins when a key has several.
type rule uint8

const (
	minimum       rule = iota // the smallest of operator policy, policy and argument
	limit                     // as minimum, but a negative number is no limit and loses
	argumentFirst             // argument, then policy
	policyFirst               // policy, then argument
	operatorFirst             // operator policy, then argument, then policy
)

// value is the value of a key: text if the key has text, else number.
type value struct {
	number int64
	text   string
}

// domain says what values a key can have.
type domain struct {
	text  bool
	check func(v value) bool
	want  string // what is allowed, in words
}

// key is something that a policy can set.
type key struct {
	name     string
	argument string // of the declaration that sets the same, empty for none
	targets  target
	operator bool // operator policies may have it
	rule     rule
	domain   domain
}

// Limits of values, the same as for arguments of queue.declare.
const (
	maxExpiry        = 315_360_000_000 // ms, ten years
	maxStreamSegment = 3_000_000_000   // bytes
	minFilter        = 16              // bytes
	maxFilter        = 255             // bytes
	maxName          = 255             // bytes of an exchange name or routing key
)

var (
	milliseconds = integer(0, maxExpiry, "milliseconds")
	amount       = integer(0, noBound, "")
	positive     = integer(1, noBound, "")
	name         = domain{true, func(v value) bool { return len(v.text) <= maxName && utf8.ValidString(v.text) },
		fmt.Sprintf("a string of at most %d bytes", maxName)}
	upstream = domain{true, func(v value) bool { return v.text != "" }, "a string that is not empty"}
)

// keys are all keys by name (SEMANTICS 14.3 to 14.5). Operator policies may have those marked true.
//
// delivery-limit applies to classic queues, too, but they have none unless it is set.
// queue-mode, queue-version and max-in-memory-* have no effect.
var keys = []key{
	{"alternate-exchange", "alternate-exchange", exchange, false, argumentFirst, name},
	{"consumer-disconnected-timeout", "x-consumer-disconnected-timeout", quorum, false, minimum, amount},
	{"consumer-timeout", "x-consumer-timeout", classic | quorum, false, minimum, amount},
	{"dead-letter-exchange", "x-dead-letter-exchange", classic | quorum, false, argumentFirst, name},
	{"dead-letter-routing-key", "x-dead-letter-routing-key", classic | quorum, false, argumentFirst, name},
	{"dead-letter-strategy", "x-dead-letter-strategy", quorum, false, argumentFirst, oneOf(strategyNames[:]...)},
	{"delayed-retry-max", "x-delayed-retry-max", quorum, false, minimum, positive},
	{"delayed-retry-min", "x-delayed-retry-min", quorum, false, minimum, positive},
	{"delayed-retry-type", "x-delayed-retry-type", quorum, false, policyFirst, oneOf("disabled", "all", "failed", "returned")},
	{"delivery-limit", "x-delivery-limit", classic | quorum, true, limit, integer(None, noBound, "where -1 is no limit")},
	{"expires", "x-expires", classic | quorum, true, minimum, integer(1, maxExpiry, "milliseconds")},
	{"federation-upstream", "", classic | quorum | exchange, false, policyFirst, upstream},
	{"federation-upstream-pattern", "", classic | quorum | exchange, false, policyFirst, domain{true, isPattern, "a regular expression of RE2"}},
	{"federation-upstream-set", "", classic | quorum | exchange, false, policyFirst, upstream},
	{"initial-cluster-size", "x-initial-cluster-size", stream, false, argumentFirst, positive},
	{"max-age", "x-max-age", stream, false, policyFirst, domain{true, isAge, "a number above 0 and a unit of Y, M, D, h, m or s"}},
	{"max-in-memory-bytes", "x-max-in-memory-bytes", quorum, true, minimum, amount},
	{"max-in-memory-length", "x-max-in-memory-length", quorum, true, minimum, amount},
	{"max-length", "x-max-length", classic | quorum, true, minimum, amount},
	{"max-length-bytes", "x-max-length-bytes", queues, true, minimum, amount},
	{"message-ttl", "x-message-ttl", classic | quorum, true, minimum, milliseconds},
	{"overflow", "x-overflow", classic | quorum, true, operatorFirst, oneOf(overflowNames[:]...)},
	{"queue-leader-locator", "x-queue-leader-locator", queues, false, argumentFirst,
		oneOf("client-local", "balanced", "random", "least-leaders", "min-masters")},
	{"queue-mode", "x-queue-mode", classic, false, argumentFirst, oneOf("default", "lazy")},
	{"queue-version", "x-queue-version", classic, true, operatorFirst, integer(1, 2, "")},
	{"stream-filter-size-bytes", "x-stream-filter-size-bytes", stream, false, policyFirst, integer(minFilter, maxFilter, "bytes")},
	{"stream-max-segment-size-bytes", "x-stream-max-segment-size-bytes", stream, false, policyFirst,
		integer(0, maxStreamSegment, "bytes")},
	{"target-group-size", "x-quorum-target-group-size", quorum, true, minimum, positive},
}

// keyCount is an upper bound for len(keys), so that a table by key needs no allocation.
const keyCount = 32

// keyOf returns the index of a key in keys, -1 for an unknown one.
func keyOf(name string) int {
	i, ok := slices.BinarySearchFunc(keys, name, func(k key, name string) int { return strings.Compare(k.name, name) })
	if !ok {
		return -1
	}
	return i
}

// less reports whether v wins over w under the rules minimum and limit.
func (r rule) less(v, w value) bool {
	if r == limit && (v.number < 0 || w.number < 0) {
		return w.number < 0 && v.number >= 0
	}
	return v.number < w.number
}

// whyNot says why a thing of kind on cannot have the key with value v; it returns "" if it can.
func (k *key) whyNot(on target, v value) string {
	switch {
	case k.targets&on == 0:
		return doNotHave[on]
	case on == quorum && k.name == "overflow" && v.text == RejectPublishDLX.String():
		return "quorum queues do not have reject-publish-dlx"
	}
	return ""
}

var doNotHave = map[target]string{
	classic:  "classic queues do not have this key",
	quorum:   "quorum queues do not have this key",
	stream:   "streams do not have this key",
	exchange: "exchanges do not have this key",
}

// noBound as the upper bound of a number means none.
const noBound = -1

// integer makes the domain of the integers from low to high.
func integer(low, high int64, remark string) domain {
	want := fmt.Sprintf("an integer from %d to %d", low, high)
	if high == noBound {
		want = fmt.Sprintf("an integer of %d or more", low)
	}
	if remark != "" {
		want += ", " + remark
	}
	return domain{false, func(v value) bool { return v.number >= low && (high == noBound || v.number <= high) }, want}
}

// oneOf makes the domain of some words.
func oneOf(words ...string) domain {
	last := len(words) - 1
	return domain{true, func(v value) bool { return slices.Contains(words, v.text) },
		strings.Join(words[:last], ", ") + " or " + words[last]}
}

func isPattern(v value) bool {
	_, err := regexp.Compile(v.text)
	return err == nil
}

var age = regexp.MustCompile(`^0*[1-9][0-9]*[YMDhms]$`)

func isAge(v value) bool { return age.MatchString(v.text) }

// KeyOfArgument returns the key that sets the same as an argument of a declaration, and the argument itself if there is none.
func KeyOfArgument(argument string) string {
	for i := range keys {
		if keys[i].argument == argument {
			return keys[i].name
		}
	}
	return argument
}
