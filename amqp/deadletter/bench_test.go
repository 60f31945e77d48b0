package deadletter

import (
	"encoding/binary"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

func TestAllocations(t *testing.T) {
	exchange, key := []byte("exchange"), []byte("key")
	for name, c := range benchmarks() {
		want := 2.0 // the properties and the keys
		if c.opt.RoutingKey != nil {
			want = 3
		}
		got := testing.AllocsPerRun(100, func() { _, _, _ = Letter(c.raw, exchange, key, c.opt) })
		if got > want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
		if got := testing.AllocsPerRun(100, func() { Cycle(c.raw, "queue", Expired) }); got != 0 {
			t.Errorf("%s: %v allocations in Cycle, want none", name, got)
		}
	}
}

type benchmark struct {
	raw []byte
	opt Options
}

func benchmarks() map[string]benchmark {
	plain := wire.Properties{DeliveryMode: 2, Headers: wire.Table{{Name: "mine", Value: wire.Int32(1)}}}
	past := wire.Properties{DeliveryMode: 2, Expiration: "1000", Headers: table(
		deaths(entry(sorted, 4, "expired", "queue", now, "exchange", "key"), entry(fresh, 5, "rejected", "work", now, "", "work")),
		first("", "work", "rejected"))}
	key := "dead"
	return map[string]benchmark{
		"bare":  {binary.BigEndian.AppendUint16(nil, 0), Options{Queue: "queue", Reason: Expired, Now: now}},
		"first": {plain.Append(nil), Options{Queue: "queue", Reason: Expired, Now: now, RoutingKey: &key}},
		"again": {past.Append(nil), Options{Queue: "queue", Reason: Expired, Now: now, RoutingKey: &key}},
	}
}

func BenchmarkLetter(b *testing.B) {
	exchange, key := []byte("exchange"), []byte("key")
	for name, c := range benchmarks() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = Letter(c.raw, exchange, key, c.opt)
			}
		})
	}
}

func BenchmarkCycle(b *testing.B) {
	raw := benchmarks()["again"].raw
	b.ReportAllocs()
	for b.Loop() {
		Cycle(raw, "work", Expired)
	}
}
