package server

import (
	"bytes"
	"strconv"

	"github.com/brokerd/brokerd/amqp/wire"
)

// propsMemo is what is known about the last properties.
type propsMemo struct {
	raw       []byte // copy; as received
	full      []byte // with the name of the channel's reply consumer
	out       []byte // as stored: full without BCC
	view      wire.PropertyView
	failure   *wire.Error // raised when the message is complete
	keys      [][]byte    // further routing keys (CC, BCC)
	deadline  int64       // milliseconds from now, -1: none
	persist   bool
	unchanged bool // the same as those of the message before
}

// header takes the content header. properties is only used during the call.
func (p *publisher) header(bodySize uint64, properties []byte) error {
	p.bodySize = bodySize
	p.bodyGot = nil
	m := &p.props
	if m.raw != nil && bytes.Equal(properties, m.raw) {
		m.unchanged = true
		return nil
	}
	m.unchanged = false
	m.raw = append(m.raw[:0], properties...)
	if err := wire.ScanProperties(m.raw, &m.view); err != nil {
		m.raw = nil
		return err
	}
	p.learnProperties()
	return nil
}

// forgetProperties makes the next properties be looked at anew: the channel's reply consumer has changed.
func (p *publisher) forgetProperties() { p.props.raw = nil }

// learnProperties fills the memo from its view. What is wrong is raised by finish, in its turn.
func (p *publisher) learnProperties() {
	m := &p.props
	m.failure, m.keys, m.full, m.out, m.deadline = nil, nil, m.raw, m.raw, -1
	m.persist = m.view.DeliveryMode == 2
	if m.view.Has(wire.FlagReplyTo) && string(m.view.ReplyTo) == replyQueue {
		r := p.ch.del.reply
		if r == nil {
			m.failure = wire.Errorf(wire.PreconditionFailed, "fast reply consumer does not exist")
			return
		}
		m.full = withReplyTo(m.raw, &m.view, r.name)
		m.out = m.full
	}
	if m.view.Has(wire.FlagExpiration) {
		if m.deadline, m.failure = parseExpiration(m.view.Expiration); m.failure != nil {
			return
		}
	}
	if m.view.Has(wire.FlagDeliveryMode) && m.view.DeliveryMode != 1 && m.view.DeliveryMode != 2 {
		m.failure = wire.Errorf(wire.PreconditionFailed, "invalid message: {delivery_mode_unknown,%d}", m.view.DeliveryMode)
		return
	}
	if m.view.Has(wire.FlagHeaders) {
		m.keys, m.out, m.failure = carbonCopies(m.full, &m.view)
	}
}

// parseExpiration reads the expiration property: milliseconds as decimal text (SEMANTICS 6.1), with RabbitMQ's error texts.
func parseExpiration(text []byte) (int64, *wire.Error) {
	invalid := func(why string) (int64, *wire.Error) {
		return 0, wire.Errorf(wire.PreconditionFailed, "invalid expiration '%s': %s", text, why)
	}
	digits := text
	if len(digits) > 0 && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	if n == 0 {
		return invalid("no_integer")
	}
	if n < len(digits) {
		return invalid("{leftover_string,\"" + string(digits[n:]) + "\"}")
	}
	value := string(bytes.TrimLeft(digits, "0"))
	v, err := strconv.ParseInt("0"+value, 10, 64)
	switch {
	case text[0] == '-' && value != "":
		return invalid("{value_negative,-" + value + "}")
	case err != nil || v > maxExpiration:
		return invalid("{value_too_large," + value + "}")
	}
	return v, nil
}

// maxExpiration is ten years in milliseconds.
const maxExpiration = 315_360_000_000

// carbonCopies reads the headers CC and BCC (SEMANTICS 9.4). out is the properties without BCC.
func carbonCopies(raw []byte, view *wire.PropertyView) (keys [][]byte, out []byte, failure *wire.Error) {
	bcc, any := false, false
	_ = wire.WalkTable(view.Headers, func(name []byte, v wire.RawValue) bool {
		n := string(name)
		if n != "CC" && n != "BCC" {
			return true
		}
		any = true
		if v.Kind != wire.KindArray {
			failure = wire.Errorf(wire.PreconditionFailed, "invalid message: {unacceptable_type_in_header,\"%s\",%s}", n, v.Kind)
			return false
		}
		for _, item := range v.Value().Array {
			if item.Kind == wire.KindString && len(item.Str) <= 255 {
				keys = append(keys, []byte(item.Str))
			}
		}
		bcc = bcc || n == "BCC"
		return true
	})
	if !any || failure != nil || !bcc {
		return keys, raw, failure
	}
	props, err := wire.ParseProperties(raw)
	if err != nil {
		return nil, raw, wire.Errorf(wire.InternalError, "%v", err)
	}
	kept := props.Headers[:0]
	for _, f := range props.Headers {
		if f.Name != "BCC" {
			kept = append(kept, f)
		}
	}
	props.Headers = kept
	return keys, props.Append(nil), nil
}
