package conformance

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/brokerd/brokerd/amqp/wire"
)

// methodText renders a method as a script expects it: its name, and what is not zero of its fields.
func methodText(m wire.Method) string {
	switch m := m.(type) {
	case *wire.ConnectionClose:
		return closeText("connection.close", m.ReplyCode, m.ReplyText, m.ClassID, m.MethodID)
	case *wire.ChannelClose:
		return closeText("channel.close", m.ReplyCode, m.ReplyText, m.ClassID, m.MethodID)
	}
	return strings.TrimSpace(m.Key().String() + " " + fieldsText(reflect.ValueOf(m).Elem()))
}

func closeText(name string, code wire.ReplyCode, text string, class, method uint16) string {
	return fmt.Sprintf("%s %d %s (%d,%d)", name, code, text, class, method)
}

func propertiesText(p *wire.Properties) string { return fieldsText(reflect.ValueOf(p).Elem()) }

func fieldsText(v reflect.Value) string {
	var parts []string
	for i := range v.NumField() {
		f, name := v.Field(i), kebab(v.Type().Field(i).Name)
		if f.IsZero() || name == "flags" {
			continue
		}
		switch x := f.Interface().(type) {
		case wire.Table:
			parts = append(parts, name+"="+tableText(x))
		case bool:
			parts = append(parts, name)
		case []byte:
			parts = append(parts, name+"="+string(x))
		case wire.ReplyCode:
			parts = append(parts, fmt.Sprintf("%s=%d", name, uint16(x)))
		default:
			parts = append(parts, fmt.Sprintf("%s=%v", name, x))
		}
	}
	return strings.Join(parts, " ")
}

func tableText(t wire.Table) string {
	var parts []string
	for _, f := range t {
		parts = append(parts, f.Name+":"+valueText(f.Value))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// valueText renders a value so that its type shows: l and I are 64 and 32 bit integers, as on the wire.
func valueText(v wire.Value) string {
	switch {
	case v.Kind == wire.KindString:
		return strconv.Quote(v.Str)
	case v.Kind == wire.KindTable:
		return tableText(v.Table)
	case v.Kind == wire.KindArray:
		var parts []string
		for _, x := range v.Array {
			parts = append(parts, valueText(x))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case v.Kind == wire.KindTimestamp:
		return "time"
	case v.Kind == wire.KindBool:
		return strconv.FormatBool(v.Int != 0)
	case v.Kind == wire.KindVoid:
		return "void"
	case v.IsInteger():
		return fmt.Sprintf("%d%c", v.Int, v.Kind)
	}
	return fmt.Sprintf("%v%c", v.Float, v.Kind)
}

// kebab turns a field's name into that of the protocol: ConsumerTag is consumer-tag.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 && (unicode.IsLower(rune(name[i-1])) || i+1 < len(name) && unicode.IsLower(rune(name[i+1]))) {
				b.WriteByte('-')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// match compares with a pattern in which … stands for anything; matched is what the last one stands for.
func match(pattern, got string) (matched string, ok bool) {
	parts := strings.Split(pattern, "…")
	if len(parts) == 1 {
		return "", pattern == got
	}
	if !strings.HasPrefix(got, parts[0]) {
		return "", false
	}
	got = got[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(got, p)
		if i < 0 {
			return "", false
		}
		got = got[i+len(p):]
	}
	return strings.CutSuffix(got, parts[len(parts)-1])
}
