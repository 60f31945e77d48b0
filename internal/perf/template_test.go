package perf

import (
	"bytes"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"pgregory.net/rapid"
)

func TestTemplateRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, 20000)).Draw(t, "size")
		channel := rapid.Uint16Range(1, 65535).Draw(t, "channel")
		exchange := rapid.StringN(0, 20, 100).Draw(t, "exchange")
		key := rapid.StringN(0, 20, 100).Draw(t, "routing key")
		mandatory := rapid.Bool().Draw(t, "mandatory")
		sent := rapid.Int64Range(0, 1<<62).Draw(t, "sent")
		id := newMessageID(rapid.Uint8().Draw(t, "run"), rapid.Uint16().Draw(t, "producer"),
			rapid.Int64Range(0, 1<<sequenceBits-1).Draw(t, "sequence"))
		prefix := rapid.SliceOf(rapid.Byte()).Draw(t, "before")
		tpl := newTemplate(channel, exchange, key, mandatory, &wire.Properties{DeliveryMode: 2}, size, wire.FrameMinSize)
		out := tpl.append(append([]byte(nil), prefix...), sent, id)
		if !bytes.HasPrefix(out, prefix) {
			t.Fatal("what stood before has changed")
		}
		if patched := tpl.patch(sent, id); !bytes.Equal(patched, out[len(prefix):]) {
			t.Fatal("patch and append differ")
		}

		var c content
		b, complete := out[len(prefix):], false
		for n := 0; len(b) > 0; n++ {
			f, length, err := wire.ParseFrame(b, wire.FrameMinSize)
			if err != nil || length == 0 || f.Channel != channel {
				t.Fatalf("frame %d on channel %d: length %d, %v", n, f.Channel, length, err)
			}
			b = b[length:]
			switch {
			case n == 0:
				p, err := wire.ParsePublish(f.Payload[4:])
				if err != nil || string(p.Exchange) != exchange || string(p.RoutingKey) != key || p.Mandatory != mandatory {
					t.Fatalf("basic.publish %+v, %v", p, err)
				}
				c.begin()
			case f.Type == wire.FrameHeader:
				_, _, _, raw, _ := wire.ParseContentHeader(f.Payload)
				if p, err := wire.ParseProperties(raw); err != nil || p.DeliveryMode != 2 {
					t.Fatalf("properties %+v, %v", p, err)
				}
				complete, err = c.header(f.Payload)
			default:
				complete, err = c.body(f.Payload)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !complete || c.size != uint64(size) {
			t.Fatalf("complete %t with %d bytes, want %d", complete, c.size, size)
		}
		if got, ok := c.sent(); ok != (size >= timeLen) || ok && got != sent {
			t.Errorf("sent %d %t, want %d", got, ok, sent)
		}
		if got, ok := c.id(); ok != (size >= stampLen) || ok && got != id {
			t.Errorf("id %x %t, want %x", got, ok, id)
		}
	})
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	id := newMessageID(0xAB, 0xCDEF, 1<<sequenceBits-2)
	if id.run() != 0xAB || id.producer() != 0xCDEF || id.sequence() != 1<<sequenceBits-2 || id.stream() != 0xABCDEF {
		t.Errorf("run %x, producer %x, sequence %x, stream %x", id.run(), id.producer(), id.sequence(), id.stream())
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, confirm := range []int{0, 1024} {
		name := "transient"
		if confirm > 0 {
			name = "confirmed"
		}
		b.Run(name, func(b *testing.B) {
			p := &producer{channel: 1, count: 1 << 60}
			p.templates = []template{newTemplate(1, "", "perf-0", false, &wire.Properties{}, stampLen, maxFrame)}
			if confirm > 0 {
				p.window = newWindow(confirm)
			}
			out := make([]byte, 0, writeBuffer)
			var runs []sentRun
			b.ReportAllocs()
			for i := 0; i < b.N; {
				n, _ := p.ready(int64(i), 512)
				out = p.append(out[:0], n, int64(i))
				if p.window != nil {
					runs, _ = p.window.settle(uint64(p.sent), true, runs[:0])
				}
				i += int(n)
			}
		})
	}
}
