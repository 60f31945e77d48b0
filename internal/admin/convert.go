package admin

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brokerd/brokerd/amqp/wire"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// text returns s for a field of type string, which must be UTF-8.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, string(utf8.RuneError))
}

func texts(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}

// timeOf returns a time of Unix milliseconds, nil for 0.
func timeOf(ms int64) *timestamppb.Timestamp {
	if ms == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMilli(ms))
}

// fieldsOf shows a table; of fields with the same name the last one counts.
func fieldsOf(t wire.Table) map[string]*adminv1.Value {
	if len(t) == 0 {
		return nil
	}
	m := make(map[string]*adminv1.Value, len(t))
	for _, f := range t {
		m[text(f.Name)] = valueOf(f.Value)
	}
	return m
}

// argumentsOf shows stored arguments. Those in the state were checked before they got there.
func argumentsOf(stored []byte) map[string]*adminv1.Value {
	if len(stored) == 0 {
		return nil
	}
	t, err := wire.ParseTable(stored)
	if err != nil {
		return nil
	}
	return fieldsOf(t)
}

func valueOf(v wire.Value) *adminv1.Value {
	switch {
	case v.IsInteger():
		return &adminv1.Value{Kind: &adminv1.Value_IntValue{IntValue: v.Int}}
	}
	switch v.Kind {
	case wire.KindBool:
		return &adminv1.Value{Kind: &adminv1.Value_BoolValue{BoolValue: v.Int != 0}}
	case wire.KindFloat, wire.KindDouble:
		return &adminv1.Value{Kind: &adminv1.Value_DoubleValue{DoubleValue: v.Float}}
	case wire.KindString:
		if !utf8.ValidString(v.Str) {
			return &adminv1.Value{Kind: &adminv1.Value_BytesValue{BytesValue: []byte(v.Str)}}
		}
		return &adminv1.Value{Kind: &adminv1.Value_StringValue{StringValue: v.Str}}
	case wire.KindBinary:
		return &adminv1.Value{Kind: &adminv1.Value_BytesValue{BytesValue: []byte(v.Str)}}
	case wire.KindTimestamp:
		return &adminv1.Value{Kind: &adminv1.Value_TimestampValue{TimestampValue: v.Int}}
	case wire.KindDecimal:
		scaled := new(big.Rat).SetFrac(big.NewInt(v.Int), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Scale)), nil))
		return &adminv1.Value{Kind: &adminv1.Value_DecimalValue{DecimalValue: scaled.FloatString(int(v.Scale))}}
	case wire.KindTable:
		return &adminv1.Value{Kind: &adminv1.Value_TableValue{TableValue: &adminv1.Table{Fields: fieldsOf(v.Table)}}}
	case wire.KindArray:
		array := &adminv1.Array{}
		for _, e := range v.Array {
			array.Values = append(array.Values, valueOf(e))
		}
		return &adminv1.Value{Kind: &adminv1.Value_ArrayValue{ArrayValue: array}}
	}
	return &adminv1.Value{}
}

func stringValue(s string) wire.Value { return wire.String(s) }

// tableOf reads a table of a request, sorted by name. The error names the field.
func tableOf(field string, m map[string]*adminv1.Value) (wire.Table, error) {
	return tableAt(field, m, 1)
}

func tableAt(field string, m map[string]*adminv1.Value, depth int) (wire.Table, error) {
	if len(m) == 0 {
		return nil, nil
	}
	if depth > wire.MaxDepth {
		return nil, violation(field, "want at most %d tables in each other", wire.MaxDepth)
	}
	names := make([]string, 0, len(m))
	for name := range m {
		if name == "" || len(name) > maxShort {
			return nil, violation(field, "got a name of %d bytes, want 1 to %d", len(name), maxShort)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	t := make(wire.Table, 0, len(names))
	for _, name := range names {
		v, err := readValue(field+"."+name, m[name], depth)
		if err != nil {
			return nil, err
		}
		t = append(t, wire.Field{Name: name, Value: v})
	}
	return t, nil
}

// maxShort is the length of a short string of AMQP in bytes.
const maxShort = 255

func readValue(field string, v *adminv1.Value, depth int) (wire.Value, error) {
	switch k := v.GetKind().(type) {
	case nil:
		return wire.Value{Kind: wire.KindVoid}, nil
	case *adminv1.Value_BoolValue:
		return wire.Bool(k.BoolValue), nil
	case *adminv1.Value_IntValue:
		if k.IntValue >= math.MinInt32 && k.IntValue <= math.MaxInt32 {
			return wire.Int32(int32(k.IntValue)), nil
		}
		return wire.Int64(k.IntValue), nil
	case *adminv1.Value_DoubleValue:
		return wire.Double(k.DoubleValue), nil
	case *adminv1.Value_StringValue:
		return wire.String(k.StringValue), nil
	case *adminv1.Value_BytesValue:
		return wire.Binary(k.BytesValue), nil
	case *adminv1.Value_TimestampValue:
		return wire.Timestamp(uint64(k.TimestampValue)), nil
	case *adminv1.Value_DecimalValue:
		return readDecimal(field, k.DecimalValue)
	case *adminv1.Value_TableValue:
		t, err := tableAt(field, k.TableValue.GetFields(), depth+1)
		return wire.TableValue(t), err
	case *adminv1.Value_ArrayValue:
		if depth >= wire.MaxDepth {
			return wire.Value{}, violation(field, "want at most %d arrays and tables in each other", wire.MaxDepth)
		}
		values := make([]wire.Value, 0, len(k.ArrayValue.GetValues()))
		for i, e := range k.ArrayValue.GetValues() {
			one, err := readValue(fmt.Sprintf("%s[%d]", field, i), e, depth+1)
			if err != nil {
				return wire.Value{}, err
			}
			values = append(values, one)
		}
		return wire.ArrayValue(values...), nil
	}
	return wire.Value{}, violation(field, "unknown kind of value")
}

func readDecimal(field, s string) (wire.Value, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	digits, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok || len(fraction) > 255 || digits.Sign() < 0 || digits.BitLen() > 32 {
		return wire.Value{}, violation(field, "got %q, want a decimal number of at most 32 bits without its point", s)
	}
	return wire.Value{Kind: wire.KindDecimal, Scale: uint8(len(fraction)), Int: digits.Int64()}, nil
}

// propertiesOf shows the properties of a message.
func propertiesOf(raw []byte) *adminv1.Properties {
	p, err := wire.ParseProperties(raw)
	if err != nil {
		return &adminv1.Properties{} // cannot be: they were checked when the message came in
	}
	out := &adminv1.Properties{Headers: fieldsOf(p.Headers)}
	for _, f := range []struct {
		flag wire.PropertyFlag
		from string
		to   **string
	}{
		{wire.FlagContentType, p.ContentType, &out.ContentType},
		{wire.FlagContentEncoding, p.ContentEncoding, &out.ContentEncoding},
		{wire.FlagCorrelationID, p.CorrelationID, &out.CorrelationId},
		{wire.FlagReplyTo, p.ReplyTo, &out.ReplyTo},
		{wire.FlagExpiration, p.Expiration, &out.Expiration},
		{wire.FlagMessageID, p.MessageID, &out.MessageId},
		{wire.FlagType, p.Type, &out.Type},
		{wire.FlagUserID, p.UserID, &out.UserId},
		{wire.FlagAppID, p.AppID, &out.AppId},
	} {
		if p.Has(f.flag) {
			s := text(f.from)
			*f.to = &s
		}
	}
	if p.Has(wire.FlagDeliveryMode) {
		n := uint32(p.DeliveryMode)
		out.DeliveryMode = &n
	}
	if p.Has(wire.FlagPriority) {
		n := uint32(p.Priority)
		out.Priority = &n
	}
	if p.Has(wire.FlagTimestamp) {
		out.Timestamp = &timestamppb.Timestamp{Seconds: int64(p.Timestamp)}
	}
	return out
}

// readProperties reads the properties of a message to be published.
func readProperties(p *adminv1.Properties) (out wire.Properties, err error) {
	if p == nil {
		return out, nil
	}
	if out.Headers, err = tableOf("properties.headers", p.GetHeaders()); err != nil {
		return out, err
	}
	for _, f := range []struct {
		name string
		flag wire.PropertyFlag
		from *string
		to   *string
	}{
		{"content_type", wire.FlagContentType, p.ContentType, &out.ContentType},
		{"content_encoding", wire.FlagContentEncoding, p.ContentEncoding, &out.ContentEncoding},
		{"correlation_id", wire.FlagCorrelationID, p.CorrelationId, &out.CorrelationID},
		{"reply_to", wire.FlagReplyTo, p.ReplyTo, &out.ReplyTo},
		{"expiration", wire.FlagExpiration, p.Expiration, &out.Expiration},
		{"message_id", wire.FlagMessageID, p.MessageId, &out.MessageID},
		{"type", wire.FlagType, p.Type, &out.Type},
		{"user_id", wire.FlagUserID, p.UserId, &out.UserID},
		{"app_id", wire.FlagAppID, p.AppId, &out.AppID},
	} {
		if f.from == nil {
			continue
		}
		if len(*f.from) > maxShort {
			return out, violation("properties."+f.name, "got %d bytes, want at most %d", len(*f.from), maxShort)
		}
		*f.to = *f.from
		out.Flags |= f.flag
	}
	if p.DeliveryMode != nil {
		if *p.DeliveryMode != 1 && *p.DeliveryMode != 2 {
			return out, violation("properties.delivery_mode", "got %d, want 1 (transient) or 2 (persistent)", *p.DeliveryMode)
		}
		out.DeliveryMode = uint8(*p.DeliveryMode)
	}
	if p.Priority != nil {
		if *p.Priority > math.MaxUint8 {
			return out, violation("properties.priority", "got %d, want at most %d", *p.Priority, math.MaxUint8)
		}
		out.Priority = uint8(*p.Priority)
		out.Flags |= wire.FlagPriority
	}
	if p.Timestamp != nil {
		out.Timestamp = uint64(max(p.Timestamp.GetSeconds(), 0))
		out.Flags |= wire.FlagTimestamp
	}
	return out, nil
}
