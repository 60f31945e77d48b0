package perf

import (
	"strings"
	"testing"
)

// preparedConsuming returns a connection with one consumer and no socket, whose buffer holds n deliveries with the tags from 1.
func preparedConsuming(o Options, n int) *consuming {
	r := &run{o: &o, clock: newClock(), latency: newRecorder(1)}
	b := &consuming{
		run: r, c: &conn{}, latency: r.latency.shard(0),
		consumers: []*consumer{{channel: 1, subscriptions: []subscription{{queue: "perf-0"}}}},
	}
	for i := range n {
		b.c.buf = append(b.c.buf, delivery(1, "0", uint64(i+1), newMessageID(0, 0, int64(i)), false)...)
	}
	b.c.end = len(b.c.buf)
	return b
}

// again makes the buffer unread.
func (b *consuming) again() {
	b.c.start, b.out = 0, b.out[:0]
	b.consumers[0].tag, b.consumers[0].acknowledged = 0, 0
}

func TestAcknowledgements(t *testing.T) {
	t.Parallel()
	const ack = 7 + 4 + 9 + 1 // bytes
	for _, c := range []struct {
		name     string
		multiAck int
		autoAck  bool
		want     int // acknowledgements for 100 deliveries
		last     uint64
	}{
		{"automatic", 0, false, 1, 100},
		{"each", 1, false, 100, 100},
		{"every 30", 30, false, 3, 90},
		{"none", 0, true, 0, 0},
	} {
		o := DefaultOptions()
		o.MultiAck, o.AutoAck = c.multiAck, c.autoAck
		b := preparedConsuming(o, 100)
		if err := b.chunk(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := len(b.out) / ack; got != c.want || b.consumers[0].acknowledged != c.last {
			t.Errorf("%s: %d acknowledgements up to %d, want %d up to %d", c.name, got, b.consumers[0].acknowledged, c.want, c.last)
		}
		if got := b.counters.received.Load(); got != 100 {
			t.Errorf("%s: received %d, want 100", c.name, got)
		}
	}
}

func TestSplitFrames(t *testing.T) {
	t.Parallel()
	b := preparedConsuming(DefaultOptions(), 20)
	end := b.c.end
	for b.c.end = 0; b.c.end < end; {
		b.c.end = min(b.c.end+13, end)
		if err := b.chunk(); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.counters.received.Load(); got != 20 || b.consumers[0].acknowledged != 20 {
		t.Errorf("received %d, acknowledged %d, want 20 and 20", got, b.consumers[0].acknowledged)
	}
}

func TestDeliveryOfWrongTag(t *testing.T) {
	t.Parallel()
	b := preparedConsuming(DefaultOptions(), 2)
	b.consumers[0].tag = 5
	if err := b.chunk(); err == nil || !strings.Contains(err.Error(), "delivered tag 1 after 5") {
		t.Errorf("error %v, want that tag 1 came after 5", err)
	}
}

func TestConsumeDoesNotAllocate(t *testing.T) {
	b := preparedConsuming(DefaultOptions(), 1000)
	if n := testing.AllocsPerRun(10, func() {
		b.again()
		if err := b.chunk(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for 1000 deliveries, want none", n)
	}
}

func BenchmarkConsume(b *testing.B) {
	const n = 1000
	k := preparedConsuming(DefaultOptions(), n)
	b.ReportAllocs()
	for i := 0; i < b.N; i += n {
		k.again()
		if err := k.chunk(); err != nil {
			b.Fatal(err)
		}
	}
}
