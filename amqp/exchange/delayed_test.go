package exchange

import (
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

func TestDelay(t *testing.T) {
	for _, c := range []struct {
		value wire.Value
		want  int64
	}{
		{wire.Int32(5), 5},
		{wire.Int64(1<<32 - 1), 1<<32 - 1},
		{wire.Int64(1 << 32), 0},
		{wire.Int32(-5), 0},
		{wire.Int32(0), 0},
		{wire.Value{Kind: wire.KindUint8, Int: 200}, 200},
		{wire.String("700"), 700},
		{wire.String("7x"), 0},
		{wire.String("99999999999999999999"), 0},
		{wire.Double(5), 0},
		{wire.Bool(true), 0},
	} {
		headers := wire.Table{{Name: "other", Value: wire.Int32(9)}, {Name: DelayHeader, Value: c.value}}
		if got := Delay(headers.Encode()); got != c.want {
			t.Errorf("%v: got %d, want %d", c.value, got, c.want)
		}
	}
	if got := Delay(nil); got != 0 {
		t.Errorf("no headers: got %d", got)
	}
}

func TestTypeOf(t *testing.T) {
	of := func(v wire.Value) []byte { return wire.Table{{Name: DelayedTypeArgument, Value: v}}.Encode() }
	for _, c := range []struct {
		name      string
		arguments []byte
		want      *Type
	}{
		{Topic, nil, Lookup(Topic)},
		{Delayed, of(wire.String(Topic)), Lookup(Topic)},
		{Delayed, of(wire.String(Delayed)), nil},
		{Delayed, of(wire.Int32(1)), nil},
		{Delayed, nil, nil},
		{"none", nil, nil},
	} {
		if got := TypeOf(c.name, c.arguments); got != c.want {
			t.Errorf("%s %q: got %v", c.name, c.arguments, got)
		}
	}
}
