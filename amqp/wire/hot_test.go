package wire

import (
	"bytes"
	"strings"
	"testing"
)

// The encoders of whole frames and the methods as structs must give the same bytes.
func TestHotEncoders(t *testing.T) {
	ex, rk := []byte("exchange"), []byte("routing.key")
	e, r := string(ex), string(rk)
	for _, c := range []struct {
		m   Method
		got []byte
	}{
		{&BasicPublish{Exchange: e, RoutingKey: r, Mandatory: true}, AppendPublish(nil, 7, ex, rk, true)},
		{&BasicPublish{Exchange: e, RoutingKey: r}, AppendPublish(nil, 7, e, r, false)},
		{&BasicDeliver{"tag", 1 << 50, true, e, r}, AppendDeliver(nil, 7, "tag", 1<<50, true, ex, rk)},
		{&BasicDeliver{"tag", 1, false, "", r}, AppendDeliver(nil, 7, "tag", 1, false, nil, rk)},
		{&BasicGetOk{5, true, e, r, 1 << 20}, AppendGetOk(nil, 7, 5, true, ex, rk, 1<<20)},
		{&BasicReturn{NoRoute, "NO_ROUTE", e, r}, AppendReturn(nil, 7, NoRoute, "NO_ROUTE", ex, rk)},
		{&BasicAck{9, true}, AppendAck(nil, 7, 9, true)},
		{&BasicAck{9, false}, AppendAck(nil, 7, 9, false)},
		{&BasicNack{9, true, false}, AppendNack(nil, 7, 9, true, false)},
		{&BasicNack{9, false, true}, AppendNack(nil, 7, 9, false, true)},
		{
			&BasicPublish{Exchange: strings.Repeat("e", 255), RoutingKey: strings.Repeat("r", 255)},
			AppendPublish(nil, 7, strings.Repeat("e", 300), strings.Repeat("r", 300), false),
		},
	} {
		if want := AppendMethod(nil, 7, c.m); !bytes.Equal(c.got, want) {
			t.Errorf("%+v:\n got %x\nwant %x", c.m, c.got, want)
		}
	}
}

func TestViewsPointIntoTheFrame(t *testing.T) {
	args := AppendPublish(nil, 1, "ex", "rk", true)[FrameHeaderLen+methodKeyLen:]
	p, err := ParsePublish(args[:len(args)-1])
	if err != nil || cap(p.Exchange) != 2 || cap(p.RoutingKey) != 2 {
		t.Fatalf("got %+v, error %v", p, err)
	}
	clear(args)
	if string(p.Exchange) != "\x00\x00" {
		t.Error("the exchange is a copy")
	}
}

var (
	benchPublish = AppendPublish(nil, 1, "amq.direct", "some.routing.key", false)
	benchDeliver = AppendDeliver(nil, 1, "ctag-1", 42, false, []byte("amq.direct"), []byte("some.routing.key"))
	benchAck     = AppendAck(nil, 1, 42, true)
	benchProps   = (&Properties{ContentType: "text/plain", DeliveryMode: 2, MessageID: "0123456789"}).Append(nil)
	benchHeaders = (&Properties{DeliveryMode: 2, Headers: Table{
		{"CC", ArrayValue(String("a"), String("b"))}, {"n", Int32(1)}, {"t", TableValue(Table{{"x", Bool(true)}})},
	}}).Append(nil)
	benchHeader = AppendContentHeader(nil, 1, ClassBasic, 1024, benchProps)
	benchBody   = make([]byte, 1024)
)

// args returns the arguments of a method frame.
func args(frame []byte) []byte { return frame[FrameHeaderLen+methodKeyLen : len(frame)-1] }

func TestNoAllocations(t *testing.T) {
	out := make([]byte, 0, 8192)
	ex, rk := []byte("amq.direct"), []byte("some.routing.key")
	var view PropertyView
	var fields int
	table := Table{{"a", Int32(1)}, {"b", TableValue(Table{{"c", String("d")}})}}.Encode()
	visit := func([]byte, RawValue) bool { fields++; return true }
	for _, c := range []struct {
		name string
		f    func() error
	}{
		{"frame", func() error { _, _, err := ParseFrame(benchPublish, 4096); return err }},
		{"publish", func() error { _, err := ParsePublish(args(benchPublish)); return err }},
		{"deliver", func() error { _, err := ParseDeliver(args(benchDeliver)); return err }},
		{"ack", func() error { _, _, err := ParseAck(args(benchAck)); return err }},
		{"nack", func() error { _, _, _, err := ParseNack(args(benchAck)); return err }},
		{"reject", func() error { _, _, err := ParseReject(args(benchAck)); return err }},
		{"header", func() error {
			_, _, _, _, err := ParseContentHeader(benchHeader[FrameHeaderLen : len(benchHeader)-1])
			return err
		}},
		{"scan", func() error { return ScanProperties(benchProps, &view) }},
		{"scan headers", func() error { return ScanProperties(benchHeaders, &view) }},
		{"walk", func() error { return WalkTable(table, visit) }},
		{"scan malformed", func() error {
			if ScanProperties(benchProps[:5], &view) == nil {
				t.Error("no error")
			}
			return nil
		}},
		{"append publish", func() error { out = AppendPublish(out[:0], 1, ex, rk, true); return nil }},
		{"append deliver", func() error { out = AppendDeliver(out[:0], 1, "ctag", 1, true, ex, rk); return nil }},
		{"append get-ok", func() error { out = AppendGetOk(out[:0], 1, 1, true, ex, rk, 1); return nil }},
		{"append return", func() error { out = AppendReturn(out[:0], 1, NoRoute, "NO_ROUTE", ex, rk); return nil }},
		{"append ack", func() error { out = AppendAck(out[:0], 1, 1, true); return nil }},
		{"append nack", func() error { out = AppendNack(out[:0], 1, 1, true, true); return nil }},
		{"append header", func() error { out = AppendContentHeader(out[:0], 1, 60, 1, benchProps); return nil }},
		{"append body", func() error { out = AppendBody(out[:0], 1, benchBody, 4096); return nil }},
		{"append heartbeat", func() error { out = AppendHeartbeat(out[:0]); return nil }},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := c.f(); err != nil {
				t.Error(c.name, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, n)
		}
	}
	if fields == 0 {
		t.Error("no field was visited")
	}
}

func BenchmarkParsePublish(b *testing.B) {
	a := args(benchPublish)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParsePublish(a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseDeliver(b *testing.B) {
	a := args(benchDeliver)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseDeliver(a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseFrame(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseFrame(benchPublish, 131072); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanProperties(b *testing.B) {
	for _, c := range []struct {
		name string
		raw  []byte
	}{{"plain", benchProps}, {"headers", benchHeaders}} {
		b.Run(c.name, func(b *testing.B) {
			var v PropertyView
			b.ReportAllocs()
			for b.Loop() {
				if err := ScanProperties(c.raw, &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendDelivery(b *testing.B) {
	out := make([]byte, 0, 8192)
	ex, rk := []byte("amq.direct"), []byte("some.routing.key")
	b.ReportAllocs()
	b.SetBytes(int64(len(benchBody)))
	for b.Loop() {
		out = AppendDeliver(out[:0], 1, "ctag-1", 42, false, ex, rk)
		out = AppendContentHeader(out, 1, ClassBasic, uint64(len(benchBody)), benchProps)
		out = AppendBody(out, 1, benchBody, 131072)
	}
}

func BenchmarkParseMethod(b *testing.B) {
	payload := methodPayload(KeyQueueDeclare, string((&QueueDeclare{Queue: "queue", Durable: true}).AppendArgs(nil)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseMethod(payload); err != nil {
			b.Fatal(err)
		}
	}
}
