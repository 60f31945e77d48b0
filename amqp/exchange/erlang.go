package exchange

import (
	"strconv"
	"strings"

	"github.com/brokerd/brokerd/amqp/wire"
)

// erlangTerm prints a value the way RabbitMQ's texts show it.
func erlangTerm(v wire.Value) string {
	switch v.Kind {
	case wire.KindString, wire.KindBinary:
		return wire.ErlangBytes([]byte(v.Str))
	case wire.KindBool:
		return strconv.FormatBool(v.Int != 0)
	case wire.KindVoid:
		return "undefined"
	case wire.KindFloat, wire.KindDouble:
		s := strconv.FormatFloat(v.Float, 'g', -1, 64)
		if mantissa, exp, ok := strings.Cut(s, "e"); ok {
			if !strings.Contains(mantissa, ".") {
				mantissa += ".0"
			}
			return mantissa + "e" + strings.TrimPrefix(exp, "+")
		}
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	case wire.KindDecimal:
		return "{" + strconv.Itoa(int(v.Scale)) + "," + strconv.FormatInt(v.Int, 10) + "}"
	case wire.KindTimestamp:
		return strconv.FormatUint(uint64(v.Int), 10)
	case wire.KindArray:
		items := make([]string, len(v.Array))
		for i, e := range v.Array {
			items[i] = "{" + e.Kind.String() + "," + erlangTerm(e) + "}"
		}
		return "[" + strings.Join(items, ",") + "]"
	case wire.KindTable:
		items := make([]string, len(v.Table))
		for i, f := range v.Table {
			items[i] = "{" + wire.ErlangBytes([]byte(f.Name)) + "," + f.Value.Kind.String() + "," + erlangTerm(f.Value) + "}"
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	return strconv.FormatInt(v.Int, 10)
}
