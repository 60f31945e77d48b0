package store

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
)

// model is what the store should hold.
type model struct {
	blocks map[blockID]*block.Op // the put of each stored block
	gone   map[blockID][]uint64
	marks  map[uint64]uint64
	next   map[uint64]uint64 // next offset of each queue
	open   map[uint64]uint64 // model's queue -> id in the store; a dropped queue gets a new id
	ids    uint64
}

func (m *model) queue(t *rapid.T) uint64 {
	q := rapid.Uint64Range(1, 3).Draw(t, "queue")
	if m.open[q] == 0 {
		m.ids++
		m.open[q] = m.ids
	}
	return m.open[q]
}

// pick returns one of the stored blocks.
func (m *model) pick(t *rapid.T) (blockID, *block.Op) {
	if len(m.blocks) == 0 {
		t.Skip("nothing stored")
	}
	ids := slices.SortedFunc(maps.Keys(m.blocks), compareIDs)
	id := rapid.SampledFrom(ids).Draw(t, "block")
	return id, m.blocks[id]
}

func compareIDs(a, b blockID) int {
	switch {
	case a.queue != b.queue:
		return int(a.queue) - int(b.queue)
	case a.base < b.base:
		return -1
	}
	return 1
}

// TestModel compares the store with a map under random ops, while space is reclaimed, and over orderly and disorderly ends.
func TestModel(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "store-model")
		if err != nil {
			t.Fatal(err)
		}
		opt := Options{Dir: dir, Logger: quiet, MemTable: 512 << 10, ValueFile: 16 << 20, LazyInterval: time.Millisecond}
		s, err := Open(opt)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = s.Close(t.Context())
			os.RemoveAll(dir)
		}()
		m := &model{blocks: map[blockID]*block.Op{}, gone: map[blockID][]uint64{}, marks: map[uint64]uint64{},
			next: map[uint64]uint64{}, open: map[uint64]uint64{}}
		submit := func(op *block.Op) {
			a := newAwait()
			op.Owner = a
			s.Submit(op)
			if err := <-a.done; err != nil {
				t.Fatalf("op %d: %v", op.Kind, err)
			}
		}
		put := func(queue, base uint64, n int) *block.Op {
			persistent := rapid.IntRange(0, n).Draw(t, "persistent")
			return put(queue, base, n, persistent, rapid.SampledFrom([]int{0, 10, 300, 5000, 20000}).Draw(t, "size"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				q := m.queue(t)
				n := rapid.IntRange(1, 70).Draw(t, "records")
				op := put(q, m.next[q], n)
				op.Desc.Spill = rapid.Bool().Draw(t, "spill")
				op.Lazy = rapid.Bool().Draw(t, "lazy")
				m.next[q] += uint64(n)
				submit(op)
				m.blocks[blockID{q, op.Desc.Base}] = op
			},
			"large": func(t *rapid.T) {
				q := m.queue(t)
				op := put(q, m.next[q], 1)
				*op = *largeOp(q, m.next[q])
				m.next[q]++
				submit(op)
				m.blocks[blockID{q, op.Desc.Base}] = op
			},
			"replace": func(t *rapid.T) {
				id, first := m.pick(t)
				old := []block.Desc{first.Desc}
				n := int(first.Desc.Count)
				for {
					next, ok := m.blocks[blockID{id.queue, id.base + uint64(n)}]
					if !ok || next.Desc.Spill != first.Desc.Spill {
						break
					}
					old = append(old, next.Desc)
					n += int(next.Desc.Count)
				}
				if len(old) < 2 || first.Desc.Spill {
					t.Skip("no neighbour")
				}
				op := put(id.queue, id.base, n)
				op.Kind, op.Remove = block.OpReplace, old
				submit(op)
				for _, d := range old {
					delete(m.blocks, blockID{id.queue, d.Base})
					delete(m.gone, blockID{id.queue, d.Base})
				}
				m.blocks[id] = op
			},
			"delete": func(t *rapid.T) {
				id, op := m.pick(t)
				submit(&block.Op{Kind: block.OpDelete, Queue: id.queue, Remove: []block.Desc{op.Desc}, Lazy: true})
				delete(m.blocks, id)
				delete(m.gone, id)
			},
			"gone": func(t *rapid.T) {
				id, op := m.pick(t)
				if op.Desc.Spill {
					t.Skip("spilled blocks have no bitmap")
				}
				bits := rapid.SliceOfN(rapid.Uint64(), 1, 2).Draw(t, "bits")
				submit(&block.Op{Kind: block.OpGone, Queue: id.queue, Desc: op.Desc, Gone: bits})
				m.gone[id] = bits
			},
			"mark": func(t *rapid.T) {
				q := m.queue(t)
				m.marks[q] = rapid.Uint64().Draw(t, "mark")
				submit(&block.Op{Kind: block.OpMark, Queue: q, Mark: m.marks[q]})
			},
			"barrier": func(*rapid.T) { submit(&block.Op{Kind: block.OpBarrier}) },
			"drop": func(t *rapid.T) {
				q := m.queue(t)
				s.DropQueue(q)
				maps.DeleteFunc(m.open, func(_, id uint64) bool { return id == q })
				maps.DeleteFunc(m.blocks, func(id blockID, _ *block.Op) bool { return id.queue == q })
				maps.DeleteFunc(m.gone, func(id blockID, _ []uint64) bool { return id.queue == q })
				delete(m.marks, q)
			},
			"pad": func(t *rapid.T) {
				if err := s.pad(); err != nil {
					t.Fatal(err)
				}
			},
			"load": func(t *rapid.T) {
				id, op := m.pick(t)
				got, err := s.Load(id.queue, op.Desc)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != content(op) {
					t.Fatalf("queue %d, offset %d: loaded bytes differ", id.queue, id.base)
				}
			},
			"reopen": func(t *rapid.T) {
				if err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(opt); err != nil {
					t.Fatal(err)
				}
				known := slices.Collect(maps.Values(m.open))
				s.DropUnknown(func(q uint64) bool { return slices.Contains(known, q) })
				maps.DeleteFunc(m.blocks, func(_ blockID, op *block.Op) bool {
					return op.Desc.Spill || op.Desc.Persistent == 0
				})
				maps.DeleteFunc(m.gone, func(id blockID, _ []uint64) bool { return m.blocks[id] == nil })
				if err := m.compare(s.Recovered()); err != nil {
					t.Fatal(err)
				}
				// Transient records are gone from now on.
				for id, op := range m.blocks {
					if bits := s.Recovered()[id.queue].Gone[id.base]; op.Desc.Persistent < op.Desc.Count {
						m.gone[id] = bits
						submit(&block.Op{Kind: block.OpGone, Queue: id.queue, Desc: op.Desc, Gone: bits})
					}
				}
			},
		})
	})
}

func largeOp(queue, base uint64) *block.Op { return put(queue, base, 1, 1, partLen+100) }

// compare checks what was recovered.
func (m *model) compare(rec map[uint64]*block.Recovered) error {
	n := 0
	for q, r := range rec {
		if !r.Clean {
			return fmt.Errorf("queue %d: not clean", q)
		}
		if r.Mark != m.marks[q] {
			return fmt.Errorf("queue %d: mark %d, want %d", q, r.Mark, m.marks[q])
		}
		last := uint64(0)
		for _, d := range r.Blocks {
			op := m.blocks[blockID{q, d.Base}]
			if op == nil || op.Desc != d {
				return fmt.Errorf("queue %d: recovered %+v, want %+v", q, d, op)
			}
			if d.Base < last {
				return fmt.Errorf("queue %d: offset %d after %d", q, d.Base, last)
			}
			last = d.Base + uint64(d.Count)
			n++
			want := slices.Clone(m.gone[blockID{q, d.Base}])
			for i := int(d.Persistent); i < int(d.Count); i++ { // put makes the first ones persistent
				for len(want) < (int(d.Count)+63)/64 {
					want = append(want, 0)
				}
				want[i/64] |= 1 << (i % 64)
			}
			if got := r.Gone[d.Base]; !slices.Equal(got, want) {
				return fmt.Errorf("queue %d, offset %d: settled %x, want %x", q, d.Base, got, want)
			}
		}
	}
	if n != len(m.blocks) {
		return fmt.Errorf("%d blocks recovered, want %d", n, len(m.blocks))
	}
	return nil
}
