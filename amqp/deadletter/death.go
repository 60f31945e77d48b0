package deadletter

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Reason says why a message leaves a queue.
type Reason uint8

const (
	Rejected      Reason = iota + 1 // basic.reject or basic.nack without requeue
	Expired                         // its time to live is over
	MaxLen                          // the queue is full
	DeliveryLimit                   // returned too often
)

// String returns the reason as headers carry it, such as "rejected".
func (r Reason) String() string {
	switch r {
	case Rejected:
		return "rejected"
	case Expired:
		return "expired"
	case MaxLen:
		return "maxlen"
	case DeliveryLimit:
		return "delivery_limit"
	}
	return "unknown"
}

// Death is one entry of the x-death header: what happened to a message in one queue for one reason.
type Death struct {
	Queue  string
	Reason string // that of a [Reason], unless a client made it up
	// Exchange and RoutingKeys are what the message was published with before its first death of this kind; CC included, BCC not.
	Exchange    string
	RoutingKeys []string
	Count       int64  // deaths of this kind
	Time        uint64 // of the first of them, Unix seconds
	// OriginalExpiration is the expiration property that was taken off the message, empty for none.
	OriginalExpiration string
}

// ErrMalformed says that a header x-death is not a list of deaths. Only clients can make such headers.
var ErrMalformed = errors.New("malformed x-death header")

// Header fields.
const (
	headerDeath = "x-death"
	headerCC    = "CC"
	headerBCC   = "BCC"

	fieldCount      = "count"
	fieldReason     = "reason"
	fieldQueue      = "queue"
	fieldTime       = "time"
	fieldExchange   = "exchange"
	fieldKeys       = "routing-keys"
	fieldExpiration = "original-expiration"
)

// Parse returns the deaths in the header x-death, most recent first, nil when there is none. headers is the content of the header
// table, as in [wire.PropertyView]; the result is a copy. Fields of a wrong type count as absent, except those that make an entry
// malformed: queue and reason must be longstr, count an integer. The error wraps [ErrMalformed], or is that of [wire.WalkTable]
// when headers is no table.
func Parse(headers []byte) ([]Death, error) {
	v, found, err := find(headers, headerDeath)
	if err != nil || !found {
		return nil, err
	}
	if v.Kind != wire.KindArray {
		return nil, fmt.Errorf("%w: a %s instead of an array", ErrMalformed, v.Kind)
	}
	var out []Death
	r := deathReader{rest: v.Data}
	for d := (rawDeath{}); r.next(&d); {
		out = append(out, d.decode())
	}
	if r.malformed {
		return nil, fmt.Errorf("%w: entry %d is not a death", ErrMalformed, len(out)+1)
	}
	return out, nil
}

// rawDeath is an entry of x-death in place.
type rawDeath struct {
	all           []byte // the whole value, with its kind and length
	fields        []byte // content of the table
	queue, reason []byte
	count         int64 // 1 when the entry has none
}

func (d *rawDeath) decode() Death {
	out := Death{Queue: string(d.queue), Reason: string(d.reason), Count: d.count}
	for rest := d.fields; len(rest) > 0; {
		var f field
		f, rest = splitField(rest)
		switch {
		case string(f.name) == fieldTime && f.kind() == wire.KindTimestamp:
			out.Time = binary.BigEndian.Uint64(f.value[1:])
		case string(f.name) == fieldExchange && f.kind() == wire.KindString:
			out.Exchange = string(f.content())
		case string(f.name) == fieldExpiration && f.kind() == wire.KindString:
			out.OriginalExpiration = string(f.content())
		case string(f.name) == fieldKeys && f.kind() == wire.KindArray:
			for keys := f.content(); len(keys) > 0; {
				var k []byte
				if k, keys = splitValue(keys); wire.Kind(k[0]) == wire.KindString {
					out.RoutingKeys = append(out.RoutingKeys, string(k[lengthEnd:]))
				}
			}
		}
	}
	return out
}

// deathReader walks the content of an x-death array that is well-formed as a table value.
type deathReader struct {
	rest      []byte
	malformed bool // next found something that is no death
}

// next reads one entry. It returns false at the end and when the entry is malformed.
func (r *deathReader) next(d *rawDeath) bool {
	if len(r.rest) == 0 {
		return false
	}
	*d = rawDeath{count: 1}
	d.all, r.rest = splitValue(r.rest)
	if wire.Kind(d.all[0]) != wire.KindTable {
		r.malformed = true
		return false
	}
	d.fields = d.all[lengthEnd:]
	hasQueue, hasReason, hasCount := false, false, false
	for rest := d.fields; len(rest) > 0; {
		var f field
		f, rest = splitField(rest)
		ok := true
		switch {
		case !hasQueue && string(f.name) == fieldQueue:
			hasQueue = true
			d.queue, ok = f.text()
		case !hasReason && string(f.name) == fieldReason:
			hasReason = true
			d.reason, ok = f.text()
		case !hasCount && string(f.name) == fieldCount:
			hasCount = true
			d.count, ok = wire.RawValue{Kind: f.kind(), Data: f.value[1:]}.Int()
		}
		if !ok {
			r.malformed = true
			return false
		}
	}
	r.malformed = !hasQueue || !hasReason
	return !r.malformed
}
