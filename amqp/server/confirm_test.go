package server

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

// confirmLedger notes the answers that a publisher gets, as a client would understand them.
type confirmLedger struct {
	answers map[uint64]bool // true: ack
	open    uint64          // the lowest tag without an answer
}

// take reads confirm frames. last is the highest tag that was published.
func (l *confirmLedger) take(t fataler, frames []byte, last uint64) {
	t.Helper()
	for len(frames) > 0 {
		f, n, err := wire.ParseFrame(frames, 0)
		if n == 0 {
			t.Fatalf("not a frame: %x, %v", frames, err)
		}
		frames = frames[n:]
		l.frame(t, f, last)
	}
}

func (l *confirmLedger) frame(t fataler, f wire.Frame, last uint64) {
	t.Helper()
	m, err := wire.ParseMethod(f.Payload)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var tag uint64
	var multiple, ack bool
	switch m := m.(type) {
	case *wire.BasicAck:
		tag, multiple, ack = m.DeliveryTag, m.Multiple, true
	case *wire.BasicNack:
		tag, multiple = m.DeliveryTag, m.Multiple
	default:
		t.Fatalf("got %v", m.Key())
	}
	if tag == 0 || tag > last {
		t.Fatalf("answer to %d of %d", tag, last)
	}
	if l.answers == nil {
		l.answers, l.open = make(map[uint64]bool), 1
	}
	from := tag
	if multiple {
		from = l.open
	} else if _, ok := l.answers[tag]; ok {
		t.Fatalf("second answer to %d", tag)
	}
	for s := from; s <= tag; s++ {
		if _, ok := l.answers[s]; !ok {
			l.answers[s] = ack
		}
	}
	for {
		if _, ok := l.answers[l.open]; !ok {
			break
		}
		l.open++
	}
}

// fataler is what rapid.T and testing.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// TestAppendConfirms answers ranges with random refusals.
func TestAppendConfirms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l confirmLedger
		want := make(map[uint64]bool)
		for first := uint64(1); first < 100; {
			last := first + rapid.Uint64Range(0, 40).Draw(t, "more")
			refused := rapid.SliceOf(rapid.Uint64Range(first, last)).Draw(t, "refused")
			for s := first; s <= last; s++ {
				want[s] = !slices.Contains(refused, s)
			}
			l.take(t, appendConfirms(nil, 1, first, last, refused), last)
			first = last + 1
			for s, ack := range want {
				if got, ok := l.answers[s]; !ok || got != ack {
					t.Fatalf("%d: answered %v with %v, want %v", s, ok, got, ack)
				}
			}
			if l.open != first {
				t.Fatalf("answered up to %d, want %d", l.open-1, last)
			}
		}
	})
}

// TestConfirmsFromManyGoroutines completes batches of several blocks on several goroutines.
func TestConfirmsFromManyGoroutines(t *testing.T) {
	const batches, blocks, workers = 2000, 3, 4
	s := &recorder{}
	out := newOutbox(s, func() uint32 { return 131072 }, 1<<20)
	f := &confirms{stats: new(stats), out: out, channel: 1}
	work := make(chan func(), 64)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var kept []func() // to be done later, in another order
			for fn := range work {
				kept = append(kept, fn)
				if i := rand.IntN(len(kept)); len(kept) > 8 {
					kept[i]()
					kept = slices.Delete(kept, i, i+1)
				}
			}
			for _, fn := range kept {
				fn()
			}
		})
	}
	want := make(map[uint64]bool)
	seq := uint64(0)
	for range batches {
		b := &queue.Batch{First: seq + 1, Last: seq + 1 + rand.Uint64N(5), Complete: f.complete}
		for s := b.First; s <= b.Last; s++ {
			want[s] = true
		}
		seq = b.Last
		f.add(b)
		for range blocks {
			b.Add()
		}
		for range blocks {
			var refused []uint64
			if rand.IntN(10) == 0 {
				refused = []uint64{b.First + rand.Uint64N(b.Last-b.First+1)}
				want[refused[0]] = false
			}
			work <- func() {
				if refused != nil {
					b.Refuse(refused...)
				}
				b.Done()
			}
		}
	}
	close(work)
	wg.Wait()
	out.close(flushTimeout)
	var l confirmLedger
	l.take(t, s.taken(), seq)
	for s, ack := range want {
		if got, ok := l.answers[s]; !ok || got != ack {
			t.Fatalf("%d: answered %v with %v, want %v", s, ok, got, ack)
		}
	}
	if len(f.batches) != 0 {
		t.Errorf("%d batches left", len(f.batches))
	}
}

// TestConfirmsStop completes a batch after the channel has begun to close.
func TestConfirmsStop(t *testing.T) {
	s := &recorder{}
	out := newOutbox(s, func() uint32 { return 131072 }, 1<<20)
	f := &confirms{stats: new(stats), out: out, channel: 1}
	batch := func(seq uint64) *queue.Batch {
		b := &queue.Batch{First: seq, Last: seq, Complete: f.complete}
		b.Add()
		f.add(b)
		return b
	}
	early := batch(1)
	f.stop()
	early.Done()
	batch(2).Done()
	out.close(flushTimeout)
	if got := s.taken(); len(got) > 0 {
		t.Errorf("answered with %x", got)
	}
	if len(f.batches) > 0 {
		t.Errorf("%d batches are kept", len(f.batches))
	}
}
