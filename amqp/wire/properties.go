package wire

import "encoding/binary"

// PropertyFlag is a bit of the property flags that stand before the properties.
type PropertyFlag uint16

// Flags of the basic class, in the order of the properties on the wire.
const (
	FlagContentType PropertyFlag = 1 << (15 - iota)
	FlagContentEncoding
	FlagHeaders
	FlagDeliveryMode
	FlagPriority
	FlagCorrelationID
	FlagReplyTo
	FlagExpiration
	FlagMessageID
	FlagTimestamp
	FlagType
	FlagUserID
	FlagAppID
	FlagClusterID

	// flagMore announces a second word of flags. No property of the basic class needs one; RabbitMQ ignores the bit, but
	// other clients would look for the word, so it must not be relayed.
	flagMore PropertyFlag = 1
)

// Properties are the properties of a message. A property is present when its flag is set or its field is not zero, so that
// a present but empty property can be told from an absent one.
type Properties struct {
	Flags           PropertyFlag
	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8 // 1 transient, 2 persistent
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string // milliseconds in decimal digits
	MessageID       string
	Timestamp       uint64 // Unix seconds
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}

// Has reports whether the property is present.
func (p *Properties) Has(f PropertyFlag) bool { return p.present()&f != 0 }

// Clear removes the property.
func (p *Properties) Clear(f PropertyFlag) {
	p.Flags &^= f
	if s := p.text(f); s != nil {
		*s = ""
	}
	switch f {
	case FlagHeaders:
		p.Headers = nil
	case FlagDeliveryMode:
		p.DeliveryMode = 0
	case FlagPriority:
		p.Priority = 0
	case FlagTimestamp:
		p.Timestamp = 0
	}
}

// text returns the field of a short string property, nil for the others.
func (p *Properties) text(f PropertyFlag) *string {
	switch f {
	case FlagContentType:
		return &p.ContentType
	case FlagContentEncoding:
		return &p.ContentEncoding
	case FlagCorrelationID:
		return &p.CorrelationID
	case FlagReplyTo:
		return &p.ReplyTo
	case FlagExpiration:
		return &p.Expiration
	case FlagMessageID:
		return &p.MessageID
	case FlagType:
		return &p.Type
	case FlagUserID:
		return &p.UserID
	case FlagAppID:
		return &p.AppID
	case FlagClusterID:
		return &p.ClusterID
	}
	return nil
}

func (p *Properties) present() PropertyFlag {
	flags := p.Flags
	for f := FlagContentType; f >= FlagClusterID; f >>= 1 {
		if s := p.text(f); s != nil && *s != "" {
			flags |= f
		}
	}
	if p.Headers != nil {
		flags |= FlagHeaders
	}
	if p.DeliveryMode != 0 {
		flags |= FlagDeliveryMode
	}
	if p.Priority != 0 {
		flags |= FlagPriority
	}
	if p.Timestamp != 0 {
		flags |= FlagTimestamp
	}
	return flags
}

// Append appends the property flags and the properties. Strings are cut to 255 bytes.
func (p *Properties) Append(b []byte) []byte {
	flags := p.present() &^ (FlagClusterID - 1) // nothing but known properties
	b = appendUint16(b, uint16(flags))
	for f := FlagContentType; f >= FlagClusterID; f >>= 1 {
		if flags&f == 0 {
			continue
		}
		switch f {
		case FlagHeaders:
			b = p.Headers.Append(b)
		case FlagDeliveryMode:
			b = append(b, p.DeliveryMode)
		case FlagPriority:
			b = append(b, p.Priority)
		case FlagTimestamp:
			b = appendUint64(b, p.Timestamp)
		default:
			b = appendShortstr(b, *p.text(f))
		}
	}
	return b
}

// ParseProperties decodes properties, which start with their flags. Everything is copied out of raw. The errors are those of
// [ScanProperties].
func ParseProperties(raw []byte) (Properties, error) {
	var v PropertyView
	if err := ScanProperties(raw, &v); err != nil {
		return Properties{}, err
	}
	return Properties{
		Flags:           v.Flags,
		ContentType:     string(v.ContentType),
		ContentEncoding: string(v.ContentEncoding),
		Headers:         decodeTable(v.Headers),
		DeliveryMode:    v.DeliveryMode,
		Priority:        v.Priority,
		CorrelationID:   string(v.CorrelationID),
		ReplyTo:         string(v.ReplyTo),
		Expiration:      string(v.Expiration),
		MessageID:       string(v.MessageID),
		Timestamp:       v.Timestamp,
		Type:            string(v.Type),
		UserID:          string(v.UserID),
		AppID:           string(v.AppID),
		ClusterID:       string(v.ClusterID),
	}, nil
}

// PropertyView are the properties of a message in place. The slices point into the scanned bytes; those of absent properties
// are nil and numbers zero.
type PropertyView struct {
	Flags           PropertyFlag
	DeliveryMode    uint8
	Priority        uint8
	Timestamp       uint64 // Unix seconds
	ContentType     []byte
	ContentEncoding []byte
	Headers         []byte // content of the table, without its length; checked
	CorrelationID   []byte
	ReplyTo         []byte
	Expiration      []byte
	MessageID       []byte
	Type            []byte
	UserID          []byte
	AppID           []byte
	ClusterID       []byte
}

// Has reports whether the property is present.
func (v *PropertyView) Has(f PropertyFlag) bool { return v.Flags&f != 0 }

// errProperties has RabbitMQ's whole text for properties that it cannot decode, and no method.
var errProperties = &Error{Code: InternalError, Text: InternalError.String()}

// ScanProperties finds the properties in raw, which starts with their flags, and stores them in v. All of raw is checked:
// properties that are cut off or followed by further bytes, a second word of flags, or malformed headers are an INTERNAL_ERROR,
// headers nested too deep a SYNTAX_ERROR; v is unspecified then. Nothing is allocated.
func ScanProperties(raw []byte, v *PropertyView) error {
	*v = PropertyView{}
	if len(raw) < 2 {
		return errProperties
	}
	flags := PropertyFlag(binary.BigEndian.Uint16(raw))
	if flags&flagMore != 0 {
		return errProperties
	}
	v.Flags = flags
	s := propertyScanner{rest: raw[2:]}
	if flags&FlagContentType != 0 {
		v.ContentType = s.shortstr()
	}
	if flags&FlagContentEncoding != 0 {
		v.ContentEncoding = s.shortstr()
	}
	if flags&FlagHeaders != 0 {
		v.Headers = s.long()
	}
	if flags&FlagDeliveryMode != 0 {
		v.DeliveryMode = s.octet()
	}
	if flags&FlagPriority != 0 {
		v.Priority = s.octet()
	}
	// Most messages have none of the following, so the two groups are asked for at once.
	if flags&(FlagCorrelationID|FlagReplyTo|FlagExpiration|FlagMessageID|FlagTimestamp) != 0 {
		if flags&FlagCorrelationID != 0 {
			v.CorrelationID = s.shortstr()
		}
		if flags&FlagReplyTo != 0 {
			v.ReplyTo = s.shortstr()
		}
		if flags&FlagExpiration != 0 {
			v.Expiration = s.shortstr()
		}
		if flags&FlagMessageID != 0 {
			v.MessageID = s.shortstr()
		}
		if flags&FlagTimestamp != 0 {
			if p := s.take(8); p != nil {
				v.Timestamp = binary.BigEndian.Uint64(p)
			}
		}
	}
	if flags&(FlagType|FlagUserID|FlagAppID|FlagClusterID) != 0 {
		if flags&FlagType != 0 {
			v.Type = s.shortstr()
		}
		if flags&FlagUserID != 0 {
			v.UserID = s.shortstr()
		}
		if flags&FlagAppID != 0 {
			v.AppID = s.shortstr()
		}
		if flags&FlagClusterID != 0 {
			v.ClusterID = s.shortstr()
		}
	}
	if s.short || len(s.rest) != 0 {
		return errProperties
	}
	if len(v.Headers) != 0 {
		if err := checkFields(v.Headers, 1); err == errTableDepth {
			return err
		} else if err != nil {
			return errProperties
		}
	}
	return nil
}

// propertyScanner takes properties off rest; short means that they are cut off.
type propertyScanner struct {
	rest  []byte
	short bool
}

func (s *propertyScanner) take(n int) []byte {
	if n > len(s.rest) {
		s.short, s.rest = true, nil
		return nil
	}
	p := s.rest[:n:n]
	s.rest = s.rest[n:]
	return p
}

func (s *propertyScanner) octet() byte {
	if p := s.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (s *propertyScanner) shortstr() []byte { return s.take(int(s.octet())) }

func (s *propertyScanner) long() []byte {
	p := s.take(4)
	if p == nil {
		return nil
	}
	n := binary.BigEndian.Uint32(p)
	if uint64(n) > uint64(len(s.rest)) {
		s.short, s.rest = true, nil
		return nil
	}
	return s.take(int(n))
}
