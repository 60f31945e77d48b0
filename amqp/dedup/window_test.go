package dedup

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/wire"
)

func key(n int) (k Key) {
	binary.LittleEndian.PutUint64(k[:], uint64(n)+1)
	return k
}

// TestModel compares a window and its journal with a plain list, over restarts.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Size: rapid.SampledFrom([]int{1, 5, 300, 20_000}).Draw(t, "size"), TTL: rapid.SampledFrom([]int64{0, 50}).Draw(t, "ttl")}
		w := NewWindow(o)
		j := NewJournal(7, w, nil, 0)
		logged := map[uint64][]byte{}
		store := func(op *block.Op) {
			if op == nil {
				return
			}
			if op.Queue != 7 || op.Kind != block.OpState || int(op.Desc.Size) != len(op.Records) {
				t.Fatalf("op %+v", op)
			}
			if len(op.Records) > 0 {
				logged[op.Desc.Base] = op.Records
			}
			for _, d := range op.Remove {
				if len(logged[d.Base]) != int(d.Size) {
					t.Fatalf("removal of %+v, of which %d bytes are stored", d, len(logged[d.Base]))
				}
				delete(logged, d.Base)
			}
		}
		type entry struct {
			time   int64
			number uint64
		}
		latest := map[Key]entry{}
		added, now := uint64(0), int64(0)
		// What was refused takes a place, until a restart makes room for something older.
		refused, roomy := false, false
		known := func(k Key) bool {
			e, ok := latest[k]
			return ok && (o.TTL == 0 || now-e.time < o.TTL) && added-e.number < uint64(o.Size)
		}
		t.Repeat(map[string]func(*rapid.T){
			"message": func(t *rapid.T) {
				var entries []byte
				var last uint64
				stride := rapid.Uint64Range(0, 5).Draw(t, "stride")
				for range rapid.SampledFrom([]int{1, 1, 1, 10, 100, 5000}).Draw(t, "batch") {
					k := key(int(added*stride) % (3*o.Size + 1))
					now++ // so that the order is clear after a restart
					got, want := w.Known(k, now), known(k)
					if got != want && (want || !roomy) {
						t.Fatalf("known %v, want %v", got, want)
					}
					if got {
						stride++
						continue
					}
					added++
					latest[k] = entry{now, added}
					last = w.Add(k, now)
					entries = AppendEntry(entries, Entry{k, now})
				}
				if len(entries) > 0 {
					name := j.Reserve()
					op := j.Op(name, entries)
					store(op)
					store(j.Stored(op.Desc, entries, last, w))
				}
				if w.Len() > o.Size {
					t.Fatalf("%d keys in a window of %d", w.Len(), o.Size)
				}
			},
			"refused": func(t *rapid.T) {
				k := Key{15: 1}
				refused = true
				w.Add(k, now)
				w.Forget(k)
				if added++; w.Known(k, now) {
					t.Fatal("known after it was forgotten")
				}
			},
			"time": func(t *rapid.T) { now += rapid.Int64Range(0, 30).Draw(t, "ms") },
			"restart": func(t *rapid.T) {
				var states []block.State
				for base, v := range logged {
					states = append(states, block.State{Desc: block.Desc{Base: base, Size: uint32(len(v))}, Value: v})
				}
				roomy = refused
				w = NewWindow(o)
				j = NewJournal(7, w, states, now)
				for k := range latest {
					if got, want := w.Known(k, now), known(k); want && !got {
						t.Fatalf("key %x of %+v is lost at %d", k, latest[k], now)
					}
				}
			},
			"": func(t *rapid.T) {},
		})
	})
}

// A long life of single messages needs few records and few writes.
func TestJournalIsCompact(t *testing.T) {
	w := NewWindow(Options{Size: 20_000})
	j := NewJournal(1, w, nil, 0)
	written, stored, most := 0, map[uint64]int{}, 0
	for i := range 100_000 {
		n := w.Add(key(i), int64(i))
		entries := AppendEntry(nil, Entry{key(i), int64(i)})
		op := j.Op(j.Reserve(), entries)
		for _, op := range []*block.Op{op, j.Stored(op.Desc, entries, n, w)} {
			if op == nil {
				continue
			}
			if written += len(op.Records) / entryLen; len(op.Records) > 0 {
				stored[op.Desc.Base] = len(op.Records)
			}
			for _, d := range op.Remove {
				delete(stored, d.Base)
			}
		}
		most = max(most, len(stored))
	}
	if most > 300 || written > 310_000 {
		t.Errorf("%d records at most, %d entries written for 100000", most, written)
	}
	var states []block.State
	size := 0
	for base, n := range stored {
		states = append(states, block.State{Desc: block.Desc{Base: base, Size: uint32(n)}, Value: make([]byte, n)})
		size += n
	}
	if entries := size / entryLen; entries < 20_000 || entries > 40_000 {
		t.Errorf("%d entries stored for a window of 20000 in %d records", entries, len(states))
	}
}

func TestKeyOf(t *testing.T) {
	field := func(v wire.Value) *wire.PropertyView {
		var view wire.PropertyView
		if err := wire.ScanProperties((&wire.Properties{Headers: wire.Table{{Name: "h", Value: v}}, MessageID: "m",
			CorrelationID: "c"}).Append(nil), &view); err != nil {
			t.Fatal(err)
		}
		return &view
	}
	of := func(header string, v wire.Value) (Key, bool) { return (&Options{Header: header}).KeyOf(field(v)) }
	same := [][]wire.Value{
		{wire.String("x"), {Kind: wire.KindBinary, Str: "x"}},
		{{Kind: wire.KindInt8, Int: 5}, {Kind: wire.KindInt64, Int: 5}, {Kind: wire.KindUint16, Int: 5}},
		{wire.String("5")},
		{{Kind: wire.KindBool, Int: 1}},
		{{Kind: wire.KindInt32, Int: 1}},
		{{Kind: wire.KindDouble, Float: 1}},
	}
	seen := map[Key]int{}
	for i, class := range same {
		for _, v := range class {
			k, ok := of("h", v)
			if other, again := seen[k]; !ok || again && other != i {
				t.Errorf("%+v: %x, %t; seen in class %d", v, k, ok, other)
			}
			seen[k] = i
		}
	}
	if len(seen) != len(same) {
		t.Errorf("%d keys for %d different values", len(seen), len(same))
	}
	for _, v := range []wire.Value{wire.String(""), {Kind: wire.KindVoid}} {
		if _, ok := of("h", v); ok {
			t.Errorf("%+v has a key", v)
		}
	}
	if _, ok := of("other", wire.String("x")); ok {
		t.Error("a header that is not there has a key")
	}
	m, _ := of("message_id", wire.String("x"))
	c, _ := of("correlation_id", wire.String("x"))
	if want, _ := text([]byte("m")); m != want || m == c {
		t.Errorf("message id %x, correlation id %x, want %x first", m, c, want)
	}
}

func BenchmarkWindow(b *testing.B) {
	w := NewWindow(Options{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if k := hash('S', []byte("a value of some length")); w.Known(k, 0) {
			w.Forget(k)
		}
		w.Add(key(i), int64(i))
	}
}
