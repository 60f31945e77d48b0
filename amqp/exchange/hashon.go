package exchange

import "github.com/brokerd/brokerd/amqp/wire"

// Arguments of x-consistent-hash exchanges. The names with "x-" are LavinMQ's.
const (
	hashHeaderArgument   = "hash-header"
	hashPropertyArgument = "hash-property"
	xHashOnArgument      = "x-hash-on" // the same as hash-header
	xAlgorithmArgument   = "x-algorithm"
)

// hashOn says what of a message is hashed. The zero value is the routing key, without those of CC and BCC.
type hashOn struct {
	source hashSource
	header string // of sourceHeader
}

type hashSource uint8

const (
	sourceKey hashSource = iota
	sourceHeader
	sourceCorrelationID
	sourceMessageID
	sourceTimestamp
)

// hashProperties are the values of hash-property.
var hashProperties = map[string]hashSource{
	"correlation_id": sourceCorrelationID,
	"message_id":     sourceMessageID,
	"timestamp":      sourceTimestamp,
}

// hash returns the hash of m. All messages that lack what is asked for have the same.
func (on hashOn) hash(m *Message) uint64 {
	switch on.source {
	case sourceHeader:
		return hashHeader(m.Headers, on.header)
	case sourceCorrelationID:
		return scramble(hashBytes(hashStart, m.CorrelationID))
	case sourceMessageID:
		return scramble(hashBytes(hashStart, m.MessageID))
	case sourceTimestamp:
		return hashNumber(m.Timestamp)
	}
	return scramble(hashBytes(hashStart, m.Key))
}

// readHashOn reads the arguments of an exchange. What checkHashOn refuses is as if it were not there.
func readHashOn(arguments []byte) (on hashOn) {
	_ = wire.WalkTable(arguments, func(name []byte, v wire.RawValue) bool {
		if v.Kind != wire.KindString {
			return true
		}
		switch string(name) {
		case hashHeaderArgument, xHashOnArgument:
			on = hashOn{sourceHeader, string(v.Data)}
		case hashPropertyArgument:
			if source, ok := hashProperties[string(v.Data)]; ok {
				on = hashOn{source: source}
			}
		}
		return on.source == sourceKey
	})
	return on
}

// checkHashOn checks the arguments of an exchange. RabbitMQ fails with an internal error where one is no string.
func checkHashOn(arguments wire.Table) error {
	var source string // the argument that says what is hashed
	for _, name := range []string{hashHeaderArgument, xHashOnArgument, hashPropertyArgument, xAlgorithmArgument} {
		v, ok := arguments.Get(name)
		if !ok {
			continue
		}
		if v.Kind != wire.KindString {
			return wire.Errorf(wire.PreconditionFailed, "invalid type '%s' for arg '%s'", v.Kind, name)
		}
		if name == xAlgorithmArgument {
			// Both keep messages where they are as far as possible, which is all that a client can tell, so both are ours.
			if v.Str != "ring" && v.Str != "jump" {
				return wire.Errorf(wire.PreconditionFailed, "Unsupported algorithm: %s", v.Str)
			}
			continue
		}
		if source != "" {
			return wire.Errorf(wire.PreconditionFailed, "%s and %s are mutually exclusive", source, name)
		}
		source = name
		if _, ok := hashProperties[v.Str]; name == hashPropertyArgument && !ok {
			return wire.Errorf(wire.PreconditionFailed, "Unsupported property: %s", v.Str)
		}
	}
	return nil
}
