package routing

import (
	"fmt"
	"testing"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// benchVHost has an exchange of each type with n bindings, each to a queue of its own.
func benchVHost(b *testing.B, n int, typ string) (f *fixture, keys [][]byte) {
	f = newFixture(b)
	f.exchange("x", typ)
	for i := range n {
		name := fmt.Sprint("queue-", i)
		f.queue(name)
		key := fmt.Sprintf("region%d.device%d.temperature", i%17, i)
		keys = append(keys, []byte(key))
		switch {
		case typ == exchange.Topic && i%4 == 1:
			key = fmt.Sprintf("*.device%d.*", i)
		case typ == exchange.Topic && i%4 == 2:
			key = fmt.Sprintf("region%d.device%d.#", i%17, i)
		}
		f.bind("x", key, name, wire.Field{Name: "device", Value: wire.Int64(int64(i))})
	}
	return f, keys
}

func BenchmarkRoute(b *testing.B) {
	headers := wire.Table{{Name: "device", Value: wire.Int64(5)}, {Name: "colour", Value: wire.String("red")}}.Encode()
	run := func(name string, v *VHost, x *Exchange, keys [][]byte, hot int) {
		b.Run(name, func(b *testing.B) {
			buf := make([]*Queue, 0, 16)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				buf = v.Route(buf[:0], x, keys[i*7919%hot], nil, headers)
			}
		})
	}
	for _, n := range []int{10, 100_000} {
		f, keys := benchVHost(b, n, exchange.Direct)
		v := f.commit()
		names := make([][]byte, n)
		for i := range names {
			names[i] = fmt.Append(nil, "queue-", i)
		}
		run(fmt.Sprint("default/", n), v, v.Exchange(""), names, n)
		run(fmt.Sprint("direct/", n), v, v.Exchange("x"), keys, n)
		f, keys = benchVHost(b, n, exchange.Topic)
		v = f.commit()
		run(fmt.Sprint("topic/", n), v, v.Exchange("x"), keys, n)
		if n > 100 {
			run(fmt.Sprint("default/", n, "/100-keys"), v, v.Exchange(""), names, 100)
			uncached := *v.Exchange("x")
			uncached.cache = nil
			run(fmt.Sprint("topic/", n, "/uncached"), v, &uncached, keys, n)
			run(fmt.Sprint("topic/", n, "/100-keys/uncached"), v, &uncached, keys, 100)
			run(fmt.Sprint("topic/", n, "/100-keys"), v, v.Exchange("x"), keys, 100)
		}
	}
	f, keys := benchVHost(b, 100, exchange.Headers)
	v := f.commit()
	run("headers/100", v, v.Exchange("x"), keys, 100)
	f, keys = benchVHost(b, 1000, exchange.Fanout)
	v = f.commit()
	run("fanout/1000", v, v.Exchange("x"), keys, 100)
	for _, typ := range []string{exchange.ConsistentHash, exchange.ModulusHash, exchange.Random} {
		f, keys = benchVHost(b, 16, typ)
		v = f.commit()
		run(typ+"/16", v, v.Exchange("x"), keys, 16)
	}
}

// BenchmarkBinding measures one more binding, its removal and the two commits.
func BenchmarkBinding(b *testing.B) {
	for _, typ := range exchange.Names() {
		for _, n := range []int{10, 100_000} {
			b.Run(fmt.Sprint(typ, "/", n), func(b *testing.B) {
				f, _ := benchVHost(b, n, typ)
				f.Commit()
				extra := meta.Binding{VHost: "/", Source: "x", Destination: "queue-3", RoutingKey: "region1.another.humidity"}
				b.ReportAllocs()
				for b.Loop() {
					f.must(f.PutBinding(extra))
					f.Commit()
					f.DeleteBinding(extra)
					f.Commit()
				}
			})
		}
	}
}
