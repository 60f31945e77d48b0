package deadletter

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"pgregory.net/rapid"
)

const now = 1_700_000_000

// message is what a queue holds of a message, as far as dead-lettering cares.
type message struct {
	exchange, key string
	properties    wire.Properties
}

// queueOf is a queue with a dead-letter exchange.
type queueOf struct {
	name     string
	exchange string  // the dead-letter exchange
	key      *string // the dead-letter routing key
}

func header(name string, v wire.Value) wire.Field { return wire.Field{Name: name, Value: v} }

func ptr[T any](v T) *T { return &v }

// die lets m die in q and returns it as it arrives in the next queue.
func die(t testing.TB, m message, q queueOf, reason Reason, at int64) message {
	t.Helper()
	out, keys, err := Letter(m.properties.Append(nil), []byte(m.exchange), []byte(m.key),
		Options{Queue: q.name, Reason: reason, Now: at, RoutingKey: q.key})
	if err != nil {
		t.Fatalf("letter from %s: %v", q.name, err)
	}
	p, err := wire.ParseProperties(out)
	if err != nil {
		t.Fatalf("properties of a letter from %s: %v", q.name, err)
	}
	return message{exchange: q.exchange, key: string(keys[0]), properties: p}
}

// entry is an x-death entry with the fields in the order of their letters: c(ount), r(eason), q(ueue), t(ime), e(xchange), k(eys).
func entry(order string, count int64, reason, queue string, at uint64, exchange string, keys ...string) wire.Table {
	list := wire.ArrayValue()
	for _, k := range keys {
		list.Array = append(list.Array, wire.String(k))
	}
	var t wire.Table
	for _, c := range order {
		switch c {
		case 'c':
			t = append(t, header("count", wire.Int64(count)))
		case 'r':
			t = append(t, header("reason", wire.String(reason)))
		case 'q':
			t = append(t, header("queue", wire.String(queue)))
		case 't':
			t = append(t, header("time", wire.Timestamp(at)))
		case 'e':
			t = append(t, header("exchange", wire.String(exchange)))
		case 'k':
			t = append(t, header("routing-keys", list))
		}
	}
	return t
}

const (
	fresh  = "crqtek" // order of the first entry of a message
	sorted = "ceqrkt"
)

func deaths(entries ...wire.Table) wire.Field {
	v := wire.ArrayValue()
	for _, e := range entries {
		v.Array = append(v.Array, wire.TableValue(e))
	}
	return header("x-death", v)
}

func first(exchange, queue, reason string) []wire.Field {
	return []wire.Field{
		{Name: "x-first-death-exchange", Value: wire.String(exchange)},
		{Name: "x-first-death-queue", Value: wire.String(queue)},
		{Name: "x-first-death-reason", Value: wire.String(reason)},
	}
}

func table(parts ...any) wire.Table {
	var t wire.Table
	for _, p := range parts {
		switch p := p.(type) {
		case wire.Field:
			t = append(t, p)
		case []wire.Field:
			t = append(t, p...)
		}
	}
	return t
}

func list(s ...string) wire.Value {
	v := wire.ArrayValue()
	for _, k := range s {
		v.Array = append(v.Array, wire.String(k))
	}
	return v
}

// TestSingleDeath has the traces of RabbitMQ 3.10 with one death: from queue zs, by the default exchange to zdl.
func TestSingleDeath(t *testing.T) {
	mine := header("mine", wire.Int32(1))
	cc := header("CC", list("other"))
	plain := func(reason string) wire.Table {
		return table(deaths(entry(fresh, 1, reason, "zs", now, "", "zs")), first("", "zs", reason))
	}
	for _, c := range []struct {
		name    string
		in      wire.Properties
		reason  Reason
		noKey   bool
		want    wire.Properties
		further []string
	}{
		{
			name: "expired by x-message-ttl", reason: Expired,
			in: wire.Properties{Headers: table(mine), MessageID: "m"},
			want: wire.Properties{MessageID: "m", Headers: table(mine, deaths(entry(fresh, 1, "expired", "zs", now, "", "zs")),
				first("", "zs", "expired"))},
		},
		{
			name: "expired by its expiration", reason: Expired,
			in: wire.Properties{Expiration: "100", ContentType: "a", ContentEncoding: "b", DeliveryMode: 2, Priority: 3,
				CorrelationID: "c", ReplyTo: "d", MessageID: "e", Timestamp: 5, Type: "f", UserID: "g", AppID: "h", ClusterID: "i"},
			want: wire.Properties{ContentType: "a", ContentEncoding: "b", DeliveryMode: 2, Priority: 3,
				CorrelationID: "c", ReplyTo: "d", MessageID: "e", Timestamp: 5, Type: "f", UserID: "g", AppID: "h", ClusterID: "i",
				Headers: table(deaths(append(entry(fresh, 1, "expired", "zs", now, "", "zs"),
					header("original-expiration", wire.String("100")))), first("", "zs", "expired"))},
		},
		{name: "rejected", reason: Rejected, want: wire.Properties{Headers: plain("rejected")}},
		{name: "maxlen", reason: MaxLen, want: wire.Properties{Headers: plain("maxlen")}},
		{name: "delivery limit", reason: DeliveryLimit, want: wire.Properties{Headers: plain("delivery_limit")}},
		{
			name: "CC and BCC with a dead-letter key", reason: Expired,
			in: wire.Properties{Headers: table(cc, header("BCC", list("hid")))},
			want: wire.Properties{Headers: table(deaths(entry(fresh, 1, "expired", "zs", now, "", "zs", "other")),
				first("", "zs", "expired"))},
		},
		{
			name: "CC without a dead-letter key", reason: Expired, noKey: true,
			in: wire.Properties{Headers: table(cc, header("BCC", list("hid")))},
			want: wire.Properties{Headers: table(cc, deaths(entry(fresh, 1, "expired", "zs", now, "", "zs", "other")),
				first("", "zs", "expired"))},
			further: []string{"other"},
		},
		{
			name: "CC with things that are no keys", reason: Expired, noKey: true,
			in: wire.Properties{Headers: table(header("CC", wire.ArrayValue(wire.Int32(1), wire.String("a"),
				wire.TableValue(nil), wire.String("b"))))},
			want: wire.Properties{Headers: table(header("CC", wire.ArrayValue(wire.Int32(1), wire.String("a"),
				wire.TableValue(nil), wire.String("b"))), deaths(entry(fresh, 1, "expired", "zs", now, "", "zs", "a", "b")),
				first("", "zs", "expired"))},
			further: []string{"a", "b"},
		},
		{
			name: "CC that is no array", reason: Expired, noKey: true,
			in:   wire.Properties{Headers: table(header("CC", wire.String("other")))},
			want: wire.Properties{Headers: append(table(header("CC", wire.String("other"))), plain("expired")...)},
		},
		{
			name: "publisher-made x-death", reason: Expired,
			in:   wire.Properties{Headers: table(header("x-death", wire.String("fake")))},
			want: wire.Properties{Headers: table(deaths(entry(fresh, 1, "expired", "zs", now, "", "zs")))},
		},
		{
			name: "publisher-made x-death that is empty", reason: Expired,
			in:   wire.Properties{Headers: table(header("x-death", wire.ArrayValue()))},
			want: wire.Properties{Headers: table(deaths(entry(sorted, 1, "expired", "zs", now, "", "zs")))},
		},
		{
			name: "publisher-made x-first-death without x-death", reason: Expired,
			in: wire.Properties{Headers: table(header("x-first-death-queue", wire.Int32(7)), mine)},
			want: wire.Properties{Headers: table(header("x-first-death-queue", wire.String("zs")), mine,
				deaths(entry(fresh, 1, "expired", "zs", now, "", "zs")), first("", "zs", "expired")[0], first("", "zs", "expired")[2])},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := Options{Queue: "zs", Reason: c.reason, Now: now, RoutingKey: ptr("zdl")}
			wantKeys := []string{"zdl"}
			if c.noKey {
				opt.RoutingKey, wantKeys = nil, []string{"zs"}
			}
			out, keys, err := Letter(c.in.Append(nil), nil, []byte("zs"), opt)
			if want := c.want.Append(nil); err != nil || !bytes.Equal(out, want) {
				t.Errorf("got  %q, error %v\nwant %q", out, err, want)
			}
			if got, want := fmt.Sprintf("%q", keys), fmt.Sprintf("%q", append(wantKeys, c.further...)); got != want {
				t.Errorf("keys %s, want %s", got, want)
			}
		})
	}
}

// TestRepeatedDeath is the trace where a message is rejected in zA and zB in turn.
func TestRepeatedDeath(t *testing.T) {
	a, b := queueOf{"zA", "", ptr("zB")}, queueOf{"zB", "", ptr("zA")}
	m := message{key: "zA"}
	// The time is that of the first death of each kind.
	for i, step := range []struct {
		in   queueOf
		want []wire.Table
	}{
		{a, []wire.Table{entry(fresh, 1, "rejected", "zA", 100, "", "zA")}},
		{b, []wire.Table{entry(sorted, 1, "rejected", "zB", 101, "", "zB"), entry(fresh, 1, "rejected", "zA", 100, "", "zA")}},
		{a, []wire.Table{entry(sorted, 2, "rejected", "zA", 100, "", "zA"), entry(sorted, 1, "rejected", "zB", 101, "", "zB")}},
		{b, []wire.Table{entry(sorted, 2, "rejected", "zB", 101, "", "zB"), entry(sorted, 2, "rejected", "zA", 100, "", "zA")}},
	} {
		m = die(t, m, step.in, Rejected, int64(100+i))
		want := table(deaths(step.want...), first("", "zA", "rejected"))
		if got := m.properties.Headers; !reflect.DeepEqual(got, want) {
			t.Fatalf("death %d: got\n%v\nwant\n%v", i+1, got, want)
		}
	}
}

// TestClientMadeDeath dies with lists of deaths that Letter would not make.
func TestClientMadeDeath(t *testing.T) {
	base := entry("rq", 0, "expired", "q", 0, "")
	with := func(name string, v wire.Value) wire.Table {
		return append(base[:len(base):len(base)], header(name, v))
	}
	other := with("count", wire.Int64(5)).Set("queue", wire.String("other"))
	fieldCount := func(n int64) wire.Table {
		return wire.Table{{Name: "count", Value: wire.Int64(n)}, {Name: "queue", Value: wire.String("q")}, {Name: "reason", Value: wire.String("expired")}}
	}
	reset := entry(fresh, 1, "expired", "q", now, "x", "k")
	for _, c := range []struct {
		name string
		in   wire.Value
		want []wire.Table
	}{
		{"no count means one", wire.ArrayValue(wire.TableValue(base)), []wire.Table{fieldCount(2)}},
		{"count of another width", wire.ArrayValue(wire.TableValue(with("count", wire.Int32(3)))), []wire.Table{fieldCount(4)}},
		{"negative count", wire.ArrayValue(wire.TableValue(with("count", wire.Int64(math.MinInt64)))), []wire.Table{fieldCount(1)}},
		{"largest count", wire.ArrayValue(wire.TableValue(with("count", wire.Int64(math.MaxInt64)))),
			[]wire.Table{fieldCount(math.MaxInt64)}},
		{"unknown fields stay", wire.ArrayValue(wire.TableValue(with("mine", wire.Void()))), []wire.Table{
			{{Name: "count", Value: wire.Int64(2)}, {Name: "mine", Value: wire.Void()}, {Name: "queue", Value: wire.String("q")}, {Name: "reason", Value: wire.String("expired")}}}},
		{"two entries become one", wire.ArrayValue(wire.TableValue(with("count", wire.Int64(2))), wire.TableValue(other),
			wire.TableValue(with("count", wire.Int64(3)))), []wire.Table{fieldCount(6), other}},
		{"others are kept as they are", wire.ArrayValue(wire.TableValue(other)),
			[]wire.Table{entry(sorted, 1, "expired", "q", now, "x", "k"), other}},
		{"count is no integer", wire.ArrayValue(wire.TableValue(with("count", wire.String("1")))), []wire.Table{reset}},
		{"queue is no string", wire.ArrayValue(wire.TableValue(wire.Table{base[0], header("queue", wire.Int32(1))})),
			[]wire.Table{reset}},
		{"no queue", wire.ArrayValue(wire.TableValue(base[:1])), []wire.Table{reset}},
		{"no reason", wire.ArrayValue(wire.TableValue(base[1:])), []wire.Table{reset}},
		{"entry is no table", wire.ArrayValue(wire.TableValue(other), wire.Int32(1)), []wire.Table{reset}},
		{"a table", wire.TableValue(base), []wire.Table{reset}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wire.Properties{Headers: table(header("x-death", c.in))}
			out, _, err := Letter(p.Append(nil), []byte("x"), []byte("k"), Options{Queue: "q", Reason: Expired, Now: now})
			want := wire.Properties{Headers: table(deaths(c.want...))}
			if err != nil || !bytes.Equal(out, want.Append(nil)) {
				t.Errorf("got  %q, error %v\nwant %q", out, err, want.Append(nil))
			}
		})
	}
}

func TestLastDeath(t *testing.T) {
	p := wire.Properties{}
	for _, q := range []string{"a", "b"} {
		out, _, err := Letter(p.Append(nil), []byte("x"+q), nil, Options{Queue: q, Reason: MaxLen, LastDeath: true})
		if err != nil {
			t.Fatal(err)
		}
		if p, err = wire.ParseProperties(out); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"x-first-death-queue": "a", "x-first-death-exchange": "xa", "x-first-death-reason": "maxlen",
			"x-last-death-queue": q, "x-last-death-exchange": "x" + q, "x-last-death-reason": "maxlen",
		} {
			if v, _ := p.Headers.Get(name); v.Str != want {
				t.Errorf("death in %s: %s is %q, want %q", q, name, v.Str, want)
			}
		}
		if len(p.Headers) != 7 {
			t.Errorf("%d headers, want 7: %v", len(p.Headers), p.Headers)
		}
	}
}

func TestLongKeys(t *testing.T) {
	long := strings.Repeat("k", 300)
	p := wire.Properties{Headers: table(header("CC", list(long, long[:255])))}
	_, keys, err := Letter(p.Append(nil), nil, []byte("r"), Options{})
	if err != nil || len(keys) != 2 || len(keys[1]) != 255 {
		t.Errorf("keys %q, error %v, want r and one of 255 bytes", keys, err)
	}
	_, keys, err = Letter(p.Append(nil), nil, []byte("r"), Options{RoutingKey: &long})
	if err != nil || len(keys) != 1 || len(keys[0]) != 255 {
		t.Errorf("keys %q, error %v, want one of 255 bytes", keys, err)
	}
}

func TestMalformedProperties(t *testing.T) {
	for _, raw := range [][]byte{nil, {0}, {0x20, 0}, {0x20, 0, 0, 0, 0, 1}, {0, 0, 0}} {
		if out, keys, err := Letter(raw, nil, nil, Options{}); err == nil || out != nil || keys != nil {
			t.Errorf("%x: got %x, %q, error %v, want an error", raw, out, keys, err)
		}
	}
}

// TestModel lets messages die at random and compares with a list of deaths kept aside.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"a", "b", "c", strings.Repeat("long", 60)})
		own := wire.Table{{Name: "z", Value: wire.Double(1.5)}, {Name: "a", Value: wire.TableValue(wire.Table{{Name: "b", Value: wire.Void()}})}}
		p := wire.Properties{Headers: own, Priority: 3}
		var want []Death
		exchange, key := "start", "k0"
		for i := range rapid.IntRange(1, 12).Draw(t, "deaths") {
			queue := name.Draw(t, "queue")
			reason := Reason(rapid.IntRange(int(Rejected), int(DeliveryLimit)).Draw(t, "reason"))
			p.Expiration = rapid.SampledFrom([]string{"", "100"}).Draw(t, "expiration")
			opt := Options{Queue: queue, Reason: reason, Now: int64(i)}
			if rapid.Bool().Draw(t, "has key") {
				opt.RoutingKey = ptr(name.Draw(t, "key"))
			}

			death := Death{Queue: queue, Reason: reason.String(), Exchange: exchange, RoutingKeys: []string{key}, Count: 1,
				Time: uint64(i), OriginalExpiration: p.Expiration}
			next := []Death{death}
			for _, d := range want {
				if d.Queue == queue && d.Reason == reason.String() {
					d.Count++
					next[0] = d
				} else {
					next = append(next, d)
				}
			}
			want = next

			out, keys, err := Letter(p.Append(nil), []byte(exchange), []byte(key), opt)
			if err != nil {
				t.Fatal(err)
			}
			if opt.RoutingKey != nil {
				key = *opt.RoutingKey
			}
			exchange = "x"
			if len(keys) != 1 || string(keys[0]) != key {
				t.Fatalf("keys %q, want %q", keys, key)
			}
			if p, err = wire.ParseProperties(out); err != nil {
				t.Fatal(err)
			}
			got, err := Parse(p.Headers.Encode())
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v, error %v\nwant %+v", got, err, want)
			}
			if p.Has(wire.FlagExpiration) || p.Priority != 3 || !p.Headers[:2].Equal(own) || len(p.Headers) != 6 {
				t.Fatalf("other properties changed: %+v", p)
			}
			for _, q := range []string{"a", "b", "c"} {
				if got, want := Cycle(out, q, reason), inCycle(want, q); got != want {
					t.Fatalf("cycle to %s is %v, want %v: %+v", q, got, want, next)
				}
			}
		}
	})
}

func FuzzLetter(f *testing.F) {
	for _, headers := range []wire.Table{
		nil,
		{{Name: "x-death", Value: wire.String("fake")}},
		table(deaths(entry(fresh, 1, "expired", "q", 7, "x", "a", "b")), first("x", "q", "expired")),
		{{Name: "CC", Value: list("a")}, {Name: "BCC", Value: list("b")}, {Name: "x-death", Value: wire.ArrayValue(wire.Int32(1))}},
	} {
		f.Add((&wire.Properties{Headers: headers, Expiration: "5", ContentType: "t"}).Append(nil), "q", "k", true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, queue, key string, hasKey bool) {
		opt := Options{Queue: queue, Reason: Expired, Now: now}
		if hasKey {
			opt.RoutingKey = &key
		}
		var v wire.PropertyView
		wellFormed := wire.ScanProperties(raw, &v) == nil
		before := bytes.Clone(raw)
		out, keys, err := Letter(raw, []byte("x"), []byte("k"), opt)
		if !bytes.Equal(raw, before) {
			t.Fatal("the input was changed")
		}
		if (err == nil) != wellFormed {
			t.Fatalf("error %v for properties that are well-formed: %v", err, wellFormed)
		}
		_ = Cycle(raw, queue, Expired)
		if err != nil {
			return
		}
		if len(keys) == 0 {
			t.Fatal("no key")
		}
		var w wire.PropertyView
		if err := wire.ScanProperties(out, &w); err != nil {
			t.Fatalf("malformed result: %v", err)
		}
		if want := v.Flags&^wire.FlagExpiration | wire.FlagHeaders; w.Flags != want {
			t.Fatalf("flags %04x, want %04x", w.Flags, want)
		}
		past, err := Parse(w.Headers)
		if err != nil || len(past) == 0 || past[0].Queue != queue || past[0].Reason != "expired" || past[0].Count < 1 {
			t.Fatalf("deaths %+v, error %v", past, err)
		}
		if !Cycle(out, queue, Expired) {
			t.Fatal("no cycle to the queue that the message leaves")
		}
		w.Headers, w.Flags = nil, 0
		v.Headers, v.Flags, v.Expiration = nil, 0, nil
		if !reflect.DeepEqual(v, w) {
			t.Fatalf("other properties changed: %+v, want %+v", w, v)
		}
	})
}
