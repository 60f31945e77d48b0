package deadletter

import (
	"errors"
	"reflect"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

func TestParse(t *testing.T) {
	expired := append(entry(sorted, 3, "expired", "q", 7, "x", "a", "b"), header("original-expiration", wire.String("100")))
	odd := wire.Table{header("queue", wire.String("q")), header("reason", wire.String("of my own")), header("time", wire.Int32(1)),
		header("exchange", wire.Void()), header("routing-keys", wire.ArrayValue(wire.Int32(1), wire.String("k")))}
	for _, c := range []struct {
		name    string
		headers wire.Table
		want    []Death
		err     error
	}{
		{name: "no headers"},
		{name: "no deaths", headers: wire.Table{header("mine", wire.Void())}},
		{name: "empty list", headers: wire.Table{header("x-death", wire.ArrayValue())}},
		{name: "all fields, and hardly any", headers: wire.Table{header("mine", wire.Void()), deaths(expired, odd)}, want: []Death{
			{Queue: "q", Reason: "expired", Exchange: "x", RoutingKeys: []string{"a", "b"}, Count: 3, Time: 7, OriginalExpiration: "100"},
			{Queue: "q", Reason: "of my own", RoutingKeys: []string{"k"}, Count: 1},
		}},
		{name: "no list", headers: wire.Table{header("x-death", wire.String("fake"))}, err: ErrMalformed},
		{name: "no death", headers: wire.Table{header("x-death", list("fake"))}, err: ErrMalformed},
		{name: "no reason", headers: wire.Table{deaths(odd[:1])}, err: ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(c.headers.Encode())
			if !errors.Is(err, c.err) || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, error %v, want %+v, error %v", got, err, c.want, c.err)
			}
		})
	}
	if _, err := Parse([]byte{5, 'x'}); err == nil {
		t.Error("no error for bytes that are no table")
	}
}

func TestReasons(t *testing.T) {
	for r, want := range map[Reason]string{
		Rejected: "rejected", Expired: "expired", MaxLen: "maxlen", DeliveryLimit: "delivery_limit", 0: "unknown",
	} {
		if got := r.String(); got != want {
			t.Errorf("reason %d is %q, want %q", r, got, want)
		}
	}
}
