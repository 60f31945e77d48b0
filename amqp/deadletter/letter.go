package deadletter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Options are the circumstances of a death.
type Options struct {
	Queue  string // that the message leaves
	Reason Reason
	Now    int64 // Unix seconds
	// RoutingKey is the queue's dead-letter routing key, nil for none.
	RoutingKey *string
	// LastDeath adds the headers x-last-death-queue, -reason and -exchange, which RabbitMQ has since 3.13. Off by default,
	// because clients of 3.10 see a header table without them.
	LastDeath bool
}

// maxKey is the longest routing key in bytes.
const maxKey = 255

// Letter returns the properties of a message after its death, and the keys to route it with: the first is its new routing key,
// further ones come from its CC header. properties, exchange and routingKey are those of the message in the queue, as its record
// has them.
//
// The death is added to x-death, or counted there when one of the same queue and reason is in it, and comes first. A message
// without x-death also gets x-first-death-*. An x-death that is not a list of deaths is replaced, and x-first-death-* left alone
// (RabbitMQ issue 767). The property expiration is removed, so that the message does not expire again, and kept in x-death. The
// header BCC is removed, and CC too if opt.RoutingKey is set.
//
// A dead-letter routing key of more than 255 bytes is cut, and longer CC keys are passed over. out is new memory; keys point into
// properties and routingKey. The error is that of [wire.ScanProperties]; properties that were checked at publish never have one.
func Letter(properties, exchange, routingKey []byte, opt Options) (out []byte, keys [][]byte, err error) {
	l := letter{Options: opt, exchange: exchange, routingKey: routingKey}
	if err := wire.ScanProperties(properties, &l.view); err != nil {
		return nil, nil, fmt.Errorf("properties of a message leaving queue %q: %w", opt.Queue, err)
	}
	l.readHeaders()
	return l.append(make([]byte, 0, len(properties)+l.room()), properties), l.keys(), nil
}

// letter is the work of one call of Letter.
type letter struct {
	Options
	exchange, routingKey []byte
	view                 wire.PropertyView

	copies  []byte // content of the CC array
	hasPast bool   // the message has x-death, whatever it is
	past    []byte // content of x-death if that is a list of deaths
	known   bool   // past was well-formed, though perhaps empty
	before  int64  // deaths in past of the same queue and reason
	latest  rawDeath
	again   bool // latest is the most recent of those
}

// readHeaders finds the headers that matter.
func (l *letter) readHeaders() {
	hasCC := false
	for rest := l.view.Headers; len(rest) > 0; {
		var f field
		f, rest = splitField(rest)
		switch {
		case !hasCC && string(f.name) == headerCC:
			if hasCC = true; f.kind() == wire.KindArray {
				l.copies = f.content()
			}
		case !l.hasPast && string(f.name) == headerDeath:
			if l.hasPast = true; f.kind() == wire.KindArray {
				l.readDeaths(f.content())
			}
		}
	}
}

func (l *letter) readDeaths(array []byte) {
	r := deathReader{rest: array}
	for d := (rawDeath{}); r.next(&d); {
		if !l.same(&d) {
			continue
		}
		if !l.again {
			l.latest, l.again = d, true
		}
		if n := max(d.count, 0); l.before <= math.MaxInt64-1-n {
			l.before += n
		} else {
			l.before = math.MaxInt64 - 1
		}
	}
	if r.malformed {
		l.again, l.before = false, 0
		return
	}
	l.past, l.known = array, true
}

// same reports whether d is of the same queue and reason.
func (l *letter) same(d *rawDeath) bool {
	return string(d.queue) == l.Queue && string(d.reason) == l.Reason.String()
}

// keys returns the keys to route with.
func (l *letter) keys() [][]byte {
	if l.RoutingKey != nil {
		key := *l.RoutingKey
		return [][]byte{[]byte(key[:min(len(key), maxKey)])}
	}
	keys := append(make([][]byte, 0, 1+min(len(l.copies)/(lengthEnd+1), 16)), l.routingKey)
	for rest := l.copies; len(rest) > 0; {
		var v []byte
		if v, rest = splitValue(rest); wire.Kind(v[0]) == wire.KindString && len(v)-lengthEnd <= maxKey {
			keys = append(keys, v[lengthEnd:])
		}
	}
	return keys
}

// room returns at least how many bytes longer the properties become.
func (l *letter) room() int {
	const entry, first = 160, 100 // names and lengths in an entry of x-death, and in x-first-death-* with their reason
	n := entry + len(l.Queue) + len(l.exchange) + len(l.routingKey) + len(l.copies) + len(l.view.Expiration)
	if !l.hasPast {
		n += first + len(l.Queue) + len(l.exchange)
	}
	if l.LastDeath {
		n += first + len(l.Queue) + len(l.exchange)
	}
	return n
}

// append appends the new properties.
func (l *letter) append(b, properties []byte) []byte {
	v := &l.view
	shortstr := func(f wire.PropertyFlag, s []byte) int {
		if !v.Has(f) {
			return 0
		}
		return 1 + len(s)
	}
	headers := 2 + shortstr(wire.FlagContentType, v.ContentType) + shortstr(wire.FlagContentEncoding, v.ContentEncoding)
	behind := headers
	if v.Has(wire.FlagHeaders) {
		behind += 4 + len(v.Headers)
	}
	expiration := behind + shortstr(wire.FlagCorrelationID, v.CorrelationID) + shortstr(wire.FlagReplyTo, v.ReplyTo)
	for _, f := range [...]wire.PropertyFlag{wire.FlagDeliveryMode, wire.FlagPriority} {
		if v.Has(f) {
			expiration++
		}
	}

	b = binary.BigEndian.AppendUint16(b, uint16(v.Flags|wire.FlagHeaders)&^uint16(wire.FlagExpiration))
	b = append(b, properties[2:headers]...)
	b = append(b, 0, 0, 0, 0)
	start := len(b)
	b = closeAt(l.appendHeaders(b), start)
	b = append(b, properties[behind:expiration]...)
	return append(b, properties[expiration+shortstr(wire.FlagExpiration, v.Expiration):]...)
}

// Headers that Letter sets, in the order in which they are added: RabbitMQ sorts by name. deathAt is the place of x-death.
const (
	deathAt = iota
	firstExchangeAt
	firstQueueAt
	firstReasonAt
	lastExchangeAt
	lastQueueAt
	lastReasonAt
	headerCount
)

var headerNames = [headerCount]string{
	headerDeath, "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
	"x-last-death-exchange", "x-last-death-queue", "x-last-death-reason",
}

// sets reports whether this death sets the header.
func (l *letter) sets(at int) bool {
	switch {
	case at == deathAt:
		return true
	case at <= firstReasonAt:
		return !l.hasPast
	}
	return l.LastDeath
}

// appendHeader appends a header that this death sets.
func (l *letter) appendHeader(b []byte, at int) []byte {
	name := headerNames[at]
	switch at {
	case deathAt:
		return l.appendDeaths(appendName(b, name))
	case firstExchangeAt, lastExchangeAt:
		return appendText(b, name, l.exchange)
	case firstQueueAt, lastQueueAt:
		return appendText(b, name, l.Queue)
	}
	return appendText(b, name, l.Reason.String())
}

// appendHeaders appends the content of the new header table. A header that is there already keeps its place.
func (l *letter) appendHeaders(b []byte) []byte {
	var done [headerCount]bool
	for rest := l.view.Headers; len(rest) > 0; {
		var f field
		f, rest = splitField(rest)
		at := slices.Index(headerNames[:], string(f.name))
		switch {
		case at >= 0 && l.sets(at):
			if !done[at] {
				b, done[at] = l.appendHeader(b, at), true
			}
		case string(f.name) == headerBCC, string(f.name) == headerCC && l.RoutingKey != nil:
		default:
			b = append(b, f.all...)
		}
	}
	for at := range done {
		if !done[at] && l.sets(at) {
			b = l.appendHeader(b, at)
		}
	}
	return b
}

// appendDeaths appends the value of x-death.
func (l *letter) appendDeaths(b []byte) []byte {
	b = open(b, wire.KindArray)
	start := len(b)
	if l.again {
		b = l.appendAgain(b)
	} else {
		b = l.appendEntry(b)
	}
	r := deathReader{rest: l.past}
	for d := (rawDeath{}); r.next(&d); {
		if !l.same(&d) {
			b = append(b, d.all...)
		}
	}
	return closeAt(b, start)
}

// appendEntry appends a new entry. RabbitMQ sorts the fields only when there is a list already.
func (l *letter) appendEntry(b []byte) []byte {
	b = open(b, wire.KindTable)
	start := len(b)
	b = appendLong(b, fieldCount, wire.KindInt64, 1)
	if l.known {
		b = appendText(b, fieldExchange, l.exchange)
		b = l.appendExpiration(b)
		b = appendText(b, fieldQueue, l.Queue)
		b = appendText(b, fieldReason, l.Reason.String())
		b = l.appendKeys(b)
		b = appendLong(b, fieldTime, wire.KindTimestamp, uint64(l.Now))
		return closeAt(b, start)
	}
	b = appendText(b, fieldReason, l.Reason.String())
	b = appendText(b, fieldQueue, l.Queue)
	b = appendLong(b, fieldTime, wire.KindTimestamp, uint64(l.Now))
	b = appendText(b, fieldExchange, l.exchange)
	b = l.appendKeys(b)
	b = l.appendExpiration(b)
	return closeAt(b, start)
}

func (l *letter) appendExpiration(b []byte) []byte {
	if !l.view.Has(wire.FlagExpiration) {
		return b
	}
	return appendText(b, fieldExpiration, l.view.Expiration)
}

// appendKeys appends the keys that the message was published with.
func (l *letter) appendKeys(b []byte) []byte {
	b = open(appendName(b, fieldKeys), wire.KindArray)
	start := len(b)
	b = appendString(b, l.routingKey)
	for rest := l.copies; len(rest) > 0; {
		var v []byte
		if v, rest = splitValue(rest); wire.Kind(v[0]) == wire.KindString {
			b = append(b, v...)
		}
	}
	return closeAt(b, start)
}

var countName = []byte(fieldCount)

// appendAgain appends the latest entry of the same queue and reason, its fields sorted, its count raised.
func (l *letter) appendAgain(b []byte) []byte {
	var some [8]field
	fields, counted := some[:0], false
	for rest := l.latest.fields; len(rest) > 0; {
		var f field
		f, rest = splitField(rest)
		fields = append(fields, f)
		counted = counted || string(f.name) == fieldCount
	}
	if !counted {
		fields = append(fields, field{name: countName})
	}
	slices.SortStableFunc(fields, func(x, y field) int { return bytes.Compare(x.name, y.name) })

	b = open(b, wire.KindTable)
	start := len(b)
	counted = false
	for i := range fields {
		switch f := &fields[i]; {
		case string(f.name) != fieldCount:
			b = append(b, f.all...)
		case !counted:
			b, counted = appendLong(b, fieldCount, wire.KindInt64, uint64(l.before+1)), true
		}
	}
	return closeAt(b, start)
}
