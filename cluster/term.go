package cluster

import (
	"math"
	"strconv"
	"strings"

	"github.com/brokerd/brokerd/amqp/wire"
)

// RabbitMQ prints argument values in reply texts as Erlang terms, and applications match on those texts. These functions
// print what its "~p" would print.

// term prints the value of v without its kind.
func term(v wire.Value) string {
	switch v.Kind {
	case wire.KindBool:
		return strconv.FormatBool(v.Int != 0)
	case wire.KindFloat, wire.KindDouble:
		return floatTerm(v.Float)
	case wire.KindDecimal:
		return "{" + strconv.Itoa(int(v.Scale)) + "," + strconv.FormatInt(v.Int, 10) + "}"
	case wire.KindTimestamp:
		return strconv.FormatUint(uint64(v.Int), 10)
	case wire.KindString, wire.KindBinary:
		return wire.ErlangBytes([]byte(v.Str))
	case wire.KindArray:
		items := make([]string, len(v.Array))
		for i, e := range v.Array {
			items[i] = "{" + e.Kind.String() + "," + term(e) + "}"
		}
		return "[" + strings.Join(items, ",") + "]"
	case wire.KindTable:
		items := make([]string, len(v.Table))
		for i, f := range v.Table {
			items[i] = "{" + wire.ErlangBytes([]byte(f.Name)) + "," + f.Value.Kind.String() + "," + term(f.Value) + "}"
		}
		return "[" + strings.Join(items, ",") + "]"
	case wire.KindVoid:
		return "undefined"
	}
	return strconv.FormatInt(v.Int, 10)
}

// plainTerm prints v as term does, but strings as they are.
func plainTerm(v wire.Value) string {
	if v.Kind == wire.KindString || v.Kind == wire.KindBinary {
		return v.Str
	}
	return term(v)
}

// floatTerm prints the shortest digits that give f back, always with a fraction, in scientific form where that is shorter.
func floatTerm(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'g', -1, 64) // Erlang has no such numbers
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	exp, _ := strconv.Atoi(exponent)
	if scientific := mantissa + "e" + strconv.Itoa(exp); len(scientific) < len(plain) {
		return scientific
	}
	return plain
}
