package wire

import (
	"strconv"
	"strings"
)

// ErlangBytes prints b as Erlang's ~p does: <<"abc">> when every byte is printable in Latin-1, <<1,2>> otherwise. Reply texts
// of RabbitMQ hold bytes in this form. Unlike Erlang it never breaks lines.
func ErlangBytes(b []byte) string {
	if len(b) == 0 {
		return "<<>>"
	}
	var s strings.Builder
	s.WriteString(`<<"`)
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			s.WriteByte('\\')
			s.WriteByte(c)
		case c >= 0x20 && c <= 0x7e, c >= 0xa0:
			s.WriteRune(rune(c))
		case strings.IndexByte(erlangEscaped, c) >= 0:
			s.WriteByte('\\')
			s.WriteByte(erlangEscapes[strings.IndexByte(erlangEscaped, c)])
		default:
			return string(appendOctets(nil, b))
		}
	}
	s.WriteString(`">>`)
	return s.String()
}

// Control characters that Erlang counts as printable, and the letters that stand for them behind a backslash.
const (
	erlangEscaped = "\b\t\n\v\f\r\x1b"
	erlangEscapes = "btnvfre"
)

// appendOctets prints p as Erlang's ~w does: <<97,98>>, whether printable or not.
func appendOctets(b, p []byte) []byte {
	b = append(b, "<<"...)
	for i, c := range p {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(c), 10)
	}
	return append(b, ">>"...)
}
