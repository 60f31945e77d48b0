package server

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// storingQueue keeps what is published to it and answers when it is told to.
type storingQueue struct {
	takingQueue
	messages []string // in order
	seqs     []uint64
	open     []*queue.Publication
	patient  bool // answers wait for answer
}

func (q *storingQueue) Publish(p *queue.Publication) {
	rest := p.Block.Records
	for i := range p.Block.Count {
		var rec block.Record
		n, err := block.Parse(rest, p.Block.Tail, &rec)
		check(err)
		ttl := int64(-1)
		if rec.Deadline != 0 {
			ttl = rec.Deadline - rec.Arrived
		}
		q.messages = append(q.messages, fmt.Sprintf("%d %d %d %q %q %x %q", rec.Flags, rec.Priority, ttl, rec.Exchange, rec.RoutingKey,
			rec.Properties, rec.Body))
		switch {
		case p.Seqs != nil:
			q.seqs = append(q.seqs, p.Seqs[i])
		case p.Batch != nil:
			q.seqs = append(q.seqs, p.Batch.First+uint64(i))
		}
		rest = rest[min(n, len(rest)):]
	}
	if len(rest) != 0 || p.Block.Count == 0 {
		panic(fmt.Sprintf("%d bytes behind %d records", len(rest), p.Block.Count))
	}
	q.open = append(q.open, p)
	if !q.patient {
		q.answer(0)
	}
}

func (q *storingQueue) answer(i int) {
	p := q.open[i]
	q.open = slices.Delete(q.open, i, i+1)
	if p.Batch != nil {
		p.Batch.Done()
	}
	p.Flow.Done(p.Block.Size())
}

func headersField(fields ...wire.Field) wire.Properties { return wire.Properties{Headers: fields} }

func strings1(values ...string) wire.Value {
	v := wire.Value{Kind: wire.KindArray}
	for _, s := range values {
		v.Array = append(v.Array, wire.String(s))
	}
	return v
}

// TestPublisherModel publishes the same messages on two channels, of which one forgets everything between messages, while the
// topology changes. Both must give the same records to the same queues, return the same messages and confirm all of them.
func TestPublisherModel(t *testing.T) {
	names := []string{"q0", "q1", "q2", "q3"}
	properties := []wire.Properties{
		{}, {DeliveryMode: 2}, {DeliveryMode: 1, Priority: 7, MessageID: "m"}, {Expiration: "100"}, {Expiration: "0", DeliveryMode: 2},
		headersField(wire.Field{Name: "a", Value: wire.Int32(1)}),
		headersField(wire.Field{Name: "a", Value: wire.Int32(2)}),
		headersField(wire.Field{Name: "CC", Value: strings1("q1", "q2")}),
		headersField(wire.Field{Name: "BCC", Value: strings1("q3")}, wire.Field{Name: "a", Value: wire.Int32(1)}),
		headersField(wire.Field{Name: "CC", Value: strings1("q1")}, wire.Field{Name: "BCC", Value: strings1("q0")}),
	}
	rapid.Check(t, func(t *rapid.T) {
		mode := rapid.SampledFrom([]txMode{modePlain, modeConfirm, modeTx}).Draw(t, "mode")
		type side struct {
			r      *rig
			ch     *channel
			s      *recorder
			queues map[string]*storingQueue
		}
		sides := make([]*side, 2)
		for i := range sides {
			x := &side{s: &recorder{}, queues: make(map[string]*storingQueue)}
			x.r = newRig(discardCleanup{t}, x.s)
			defer x.r.c.out.close(flushTimeout)
			for _, name := range names[:3] {
				x.queues[name] = &storingQueue{patient: i == 0}
				x.r.queue(name, x.queues[name])
			}
			for _, typ := range []string{"direct", "fanout", "topic", "headers"} {
				x.r.exchange(typ, typ)
			}
			x.r.exchange("alternate", "direct", wire.Field{Name: "alternate-exchange", Value: wire.String("headers")})
			x.r.bind("headers", "q0", "", wire.Field{Name: "a", Value: wire.Int32(1)})
			x.r.bind("headers", "q1", "", wire.Field{Name: "a", Value: wire.Int32(2)})
			x.ch = x.r.open(1)
			x.r.c.out.close(flushTimeout) // what came so far does not count
			x.r.c.out = newOutbox(x.s, func() uint32 { return 131072 }, 1<<20)
			switch mode {
			case modeConfirm:
				x.ch.pub.selectConfirm()
			case modeTx:
				x.ch.pub.selectTx()
			}
			sides[i] = x
		}
		defer func() {
			for _, x := range sides {
				x.r.c.out.close(flushTimeout)
			}
		}()
		published := uint64(0)
		for range rapid.IntRange(1, 12).Draw(t, "chunks") {
			if rapid.Bool().Draw(t, "topology") {
				x := rapid.SampledFrom([]string{"direct", "fanout", "topic", "alternate"}).Draw(t, "source")
				q := rapid.SampledFrom(names).Draw(t, "queue")
				key := rapid.SampledFrom(names).Draw(t, "key")
				add := rapid.IntRange(0, 2).Draw(t, "add") > 0
				b := meta.Binding{VHost: "/", Source: x, Destination: q, RoutingKey: key}
				for _, s := range sides {
					switch {
					case s.queues[q] == nil && add:
						s.queues[q] = &storingQueue{patient: s == sides[0]}
						s.r.queue(q, s.queues[q])
					case s.queues[q] == nil:
					case add:
						s.r.must(s.r.builder.PutBinding(b))
					default:
						s.r.builder.DeleteBinding(b)
					}
					s.r.commit()
				}
			}
			var chunk [][]byte
			for range rapid.IntRange(1, 12).Draw(t, "messages") {
				x := rapid.SampledFrom([]string{"", "direct", "fanout", "topic", "headers", "alternate"}).Draw(t, "exchange")
				key := rapid.SampledFrom(names).Draw(t, "key")
				props := rapid.SampledFrom(properties).Draw(t, "properties")
				size := rapid.SampledFrom([]int{0, 10, 3000, 40_000, 140_000}).Draw(t, "size")
				mandatory := rapid.Bool().Draw(t, "mandatory")
				m := publishWith(1, x, key, strings.Repeat(fmt.Sprint(len(chunk)%10), size), mandatory, props)
				for range rapid.IntRange(1, 3).Draw(t, "times") {
					chunk = append(chunk, m)
					published++
				}
			}
			sides[0].r.feed(slices.Concat(chunk...))
			for _, m := range chunk {
				sides[1].ch.pub.route, sides[1].ch.pub.props = routeMemo{}, propsMemo{}
				sides[1].r.feed(m)
			}
			for range rapid.IntRange(0, 3).Draw(t, "answers") {
				q := sides[0].queues[rapid.SampledFrom(names[:3]).Draw(t, "queue")]
				if len(q.open) > 0 {
					q.answer(rapid.IntRange(0, len(q.open)-1).Draw(t, "which"))
				}
			}
			if mode == modeTx && rapid.IntRange(0, 2).Draw(t, "end") == 0 {
				commit := rapid.Bool().Draw(t, "commit")
				for _, s := range sides {
					if !commit {
						s.ch.pub.rollback()
						continue
					}
					s.ch.pub.commit(func(err error) {
						if err != nil {
							t.Errorf("commit: %v", err)
						}
					})
				}
			}
		}
		var returned [2][]byte
		for i, s := range sides {
			for _, q := range s.queues {
				for len(q.open) > 0 {
					q.answer(len(q.open) - 1)
				}
			}
			s.r.c.out.close(flushTimeout)
			var l confirmLedger
			for rest := s.s.taken(); len(rest) > 0; {
				f, n, err := wire.ParseFrame(rest, 0)
				if err != nil || n == 0 {
					t.Fatalf("%d bytes: %v", len(rest), err)
				}
				if key, _ := wire.ParseMethodKey(f.Payload); f.Type == wire.FrameMethod && key == wire.KeyBasicAck {
					l.frame(t, f, published)
				} else if f.Channel != 1 || key != wire.KeyChannelOpenOk {
					returned[i] = append(returned[i], rest[:n]...)
				}
				rest = rest[n:]
			}
			if mode == modeConfirm && uint64(len(l.answers)) != published {
				t.Fatalf("side %d: %d of %d confirmed", i, len(l.answers), published)
			}
			if s.r.c.flow.inFlight != 0 {
				t.Fatalf("side %d: %d bytes in flight", i, s.r.c.flow.inFlight)
			}
		}
		if !bytes.Equal(returned[0], returned[1]) {
			t.Fatalf("returned\n%x\nand\n%x", returned[0], returned[1])
		}
		for name, q := range sides[0].queues {
			other := sides[1].queues[name]
			if !slices.Equal(q.messages, other.messages) {
				t.Fatalf("queue %s:\n%s\nwithout memory:\n%s", name, strings.Join(q.messages, "\n"), strings.Join(other.messages, "\n"))
			}
			if mode == modeConfirm && (!slices.Equal(q.seqs, other.seqs) || !slices.IsSorted(q.seqs)) {
				t.Fatalf("queue %s: sequence numbers %v, without memory %v", name, q.seqs, other.seqs)
			}
		}
	})
}

// TestPublishPermissionChanges takes the permission away between two read chunks, in a transaction, too.
func TestPublishPermissionChanges(t *testing.T) {
	for _, tx := range []bool{false, true} {
		r := newRig(t, &sink{})
		q := &storingQueue{}
		r.queue("q", q)
		ch := r.open(1)
		if tx {
			ch.pub.selectTx()
		}
		r.feed(slices.Concat(publish(1, "", "q", "1"), publish(1, "", "q", "2")))
		if r.checks != 1 {
			t.Errorf("checked %d times in one chunk", r.checks)
		}
		r.mu.Lock()
		r.denied[""] = true
		r.mu.Unlock()
		r.feed(publish(1, "", "q", "3"))
		ch.wait()
		if ch.state != channelClosing {
			t.Errorf("tx %v: published without permission", tx)
		}
	}
}

// TestPublishRefusedFanOut has one queue of two refuse single messages of a chunk.
func TestPublishRefusedFanOut(t *testing.T) {
	s := &recorder{}
	r := newRig(t, s)
	a, b := &storingQueue{patient: true}, &storingQueue{patient: true}
	r.queue("a", a)
	r.queue("b", b)
	r.exchange("x", "fanout")
	r.bind("x", "a", "")
	r.bind("x", "b", "")
	ch := r.open(1)
	ch.pub.selectConfirm()
	r.feed(slices.Concat(publish(1, "", "a", "1"), publish(1, "x", "", "2"), publish(1, "", "a", "3"), publish(1, "x", "", "4")))
	if !slices.Equal(a.seqs, []uint64{1, 2, 3, 4}) || !slices.Equal(b.seqs, []uint64{2, 4}) {
		t.Fatalf("sequence numbers %v and %v", a.seqs, b.seqs)
	}
	if seqs := b.open[0].Seqs; !slices.Equal(seqs, []uint64{2, 4}) {
		t.Fatalf("queue b may refuse %v", seqs)
	}
	b.open[0].Batch.Refuse(4)
	b.answer(0)
	r.c.out.mu.Lock()
	early := r.c.out.owed
	r.c.out.mu.Unlock()
	if early != 0 {
		t.Error("confirmed before both queues have the messages")
	}
	a.answer(0)
	r.c.out.close(flushTimeout)
	want := wire.AppendMethod(nil, 1, &wire.ChannelOpenOk{})
	want = wire.AppendAck(want, 1, 3, true)
	want = wire.AppendNack(want, 1, 4, true, true)
	if got := s.taken(); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// TestBodyInParts sends bodies in parts of odd sizes and across read chunks; the record must not change when the buffers do.
func TestBodyInParts(t *testing.T) {
	r := newRig(t, &sink{})
	q := &storingQueue{patient: true}
	r.queue("q", q)
	r.open(1)
	var want []string
	for i, size := range []int{1, 100, block.LargeBody - 1, block.LargeBody, block.LargeBody + 1, 300_000, 50, 700_000, 20} {
		for _, part := range []int{1 + size/3, 4088, size} {
			body := bytes.Repeat([]byte{byte('a' + i)}, size)
			frames := wire.AppendPublish(nil, 1, "", "q", false)
			frames = wire.AppendContentHeader(frames, 1, basicClass, uint64(size), nil)
			r.feed(frames)
			for rest := body; len(rest) > 0; {
				n := min(part, len(rest), 131064)
				b := wire.AppendBody(nil, 1, rest[:n], 0)
				rest = rest[n:]
				if rest := len(rest); rest > 0 && rest%3 == 0 {
					b = append(b, 3, 0, 1, 0, 0, 0, 0, wire.FrameEnd) // an empty part
				}
				r.feed(b)
				clear(b) // the read buffer is used again
			}
			want = append(want, fmt.Sprintf("0 0 -1 %q %q %x %q", "", "q", []byte{0, 0}, body))
		}
	}
	if !slices.Equal(q.messages, want) {
		t.Fatal("the messages are not what was sent")
	}
	for i, p := range q.open { // nor may they have changed since
		var rec block.Record
		_, err := block.Parse(p.Block.Records, p.Block.Tail, &rec)
		if check(err); len(p.Block.Tail) > 0 && cap(p.Block.Tail) > len(p.Block.Tail)*5/4 {
			t.Errorf("message %d: a body of %d bytes holds on to %d", i, len(p.Block.Tail), cap(p.Block.Tail))
		}
		if got := fmt.Sprintf("0 0 -1 %q %q %x %q", "", "q", []byte{0, 0}, rec.Body); got != want[i] {
			t.Errorf("message %d has changed", i)
		}
	}
}

// TestTxBounds returns mandatory messages in a transaction without end.
func TestTxBounds(t *testing.T) {
	r := newRig(t, &sink{})
	ch := r.open(1)
	ch.pub.selectTx()
	ch.pub.bytes = maxTxBytes - 1000
	r.feed(publishWith(1, "", "nowhere", "x", true, wire.Properties{}))
	if ch.pub.bytes <= maxTxBytes-1000 {
		t.Error("a returned message does not count")
	}
	ch.pub.rollback()
	if ch.pub.bytes != 0 || ch.pub.returns != nil {
		t.Error("rollback left something")
	}
}
