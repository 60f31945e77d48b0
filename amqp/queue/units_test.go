package queue

import (
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/block"
)

// numbered is an item that can be told from others.
func numbered(pusher, n int) *item {
	return &item{settle: &Settlement{Ranges: []Range{{uint64(pusher), uint64(n)}}}}
}

func TestInboxModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in inbox
		var model []int
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(*rapid.T) {
				in.push(numbered(0, n))
				model = append(model, n)
				n++
			},
			"drain": func(t *rapid.T) {
				var got []int
				for it := in.drain(); it != nil; it = it.next {
					got = append(got, int(it.settle.Ranges[0].Last))
				}
				if !slices.Equal(got, model) {
					t.Fatalf("drained %v, want %v", got, model)
				}
				model = nil
			},
			"": func(t *rapid.T) {
				if in.empty() != (len(model) == 0) {
					t.Fatalf("empty is %v with %d items", in.empty(), len(model))
				}
			},
		})
	})
}

// Nothing is lost or doubled under contention, and the items of one pusher keep their order. Run with -race.
func TestInboxContended(t *testing.T) {
	const pushers, each = 8, 2000
	var in inbox
	var wg sync.WaitGroup
	for p := range pushers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				in.push(numbered(p, i))
			}
		}()
	}
	var next [pushers]int
	take := func() {
		for it := in.drain(); it != nil; it = it.next {
			r := it.settle.Ranges[0]
			if int(r.Last) != next[r.First] {
				t.Errorf("pusher %d: item %d, want %d", r.First, r.Last, next[r.First])
			}
			next[r.First]++
		}
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		take()
	}
	take()
	for p, n := range next {
		if n != each {
			t.Errorf("pusher %d: %d items came, want %d", p, n, each)
		}
	}
}

// Calls from many goroutines while the runner comes and goes: none may be forgotten between its last look and its end.
func TestRunnerForgetsNothing(t *testing.T) {
	q := newQueue(newScriptLog(), nil)
	var wg sync.WaitGroup
	n := 0 // the runner's
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 500 {
				q.call(func() { n++ })
			}
		}()
	}
	within(t, "4000 calls", wg.Wait)
	q.call(func() {
		if n != 4000 {
			t.Errorf("%d calls ran, want 4000", n)
		}
	})
}

// mutexInbox is what the lock-free inbox is compared with.
type mutexInbox struct {
	mu          sync.Mutex
	first, last *item
}

func (in *mutexInbox) push(it *item) {
	in.mu.Lock()
	defer in.mu.Unlock()
	it.next = nil
	if in.last == nil {
		in.first = it
	} else {
		in.last.next = it
	}
	in.last = it
}

func (in *mutexInbox) drain() *item {
	in.mu.Lock()
	defer in.mu.Unlock()
	it := in.first
	in.first, in.last = nil, nil
	return it
}

// BenchmarkInbox pushes from several goroutines while one drains.
func BenchmarkInbox(b *testing.B) {
	for name, in := range map[string]interface {
		push(*item)
		drain() *item
	}{"lockfree": &inbox{}, "mutex": &mutexInbox{}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(4)
			stop, stopped := make(chan struct{}), make(chan struct{})
			s, sum := &Settlement{Ranges: []Range{{0, 1}}}, uint64(0)
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					default:
						it := in.drain()
						if it == nil {
							runtime.Gosched()
						}
						for ; it != nil; it = it.next {
							sum += it.settle.Ranges[0].Last
						}
					}
				}
			}()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					in.push(&item{settle: s})
				}
			})
			close(stop)
			<-stopped
			_ = sum
		})
	}
}

func TestBitsetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 200
		var b bitset
		var model [n]bool
		draw := func(t *rapid.T) (lo, hi uint32) {
			lo = rapid.Uint32Range(0, n-1).Draw(t, "lo")
			return lo, rapid.Uint32Range(lo, n-1).Draw(t, "hi")
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				lo, hi := draw(t)
				want := uint32(0)
				for i := lo; i <= hi; i++ {
					if !model[i] {
						want++
					}
					model[i] = true
				}
				if got := b.setRange(lo, hi, max(hi+1, uint32(rapid.IntRange(0, n).Draw(t, "n")))); got != want {
					t.Fatalf("setRange(%d, %d) = %d, want %d", lo, hi, got, want)
				}
			},
			"count": func(t *rapid.T) {
				lo, hi := draw(t)
				want := uint32(0)
				for i := lo; i <= hi; i++ {
					if model[i] {
						want++
					}
				}
				if got := b.countRange(lo, hi); got != want {
					t.Fatalf("countRange(%d, %d) = %d, want %d", lo, hi, got, want)
				}
			},
			"slice": func(t *rapid.T) {
				lo, hi := draw(t)
				s := b.slice(lo, hi-lo+1)
				for i := lo; i <= hi; i++ {
					if s.has(i-lo) != model[i] {
						t.Fatalf("slice(%d, %d): member %d is %v, want %v", lo, hi-lo+1, i-lo, s.has(i-lo), model[i])
					}
				}
			},
			"": func(t *rapid.T) {
				for i, want := range model {
					if b.has(uint32(i)) != want {
						t.Fatalf("has(%d) is %v", i, !want)
					}
				}
			},
		})
	})
}

func TestRingModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ready
		all := make([]*Consumer, 40)
		for i := range all {
			all[i] = &Consumer{Priority: int32(i % 12)}
		}
		var model []*Consumer // in order of arrival
		pick := func(t *rapid.T) *Consumer { return all[rapid.IntRange(0, len(all)-1).Draw(t, "consumer")] }
		add := func(t *rapid.T) {
			c := pick(t)
			if !slices.Contains(model, c) {
				model = append(model, c)
			}
			r.add(c)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": add, "add2": add,
			"remove": func(t *rapid.T) {
				c := pick(t)
				model = slices.DeleteFunc(model, func(o *Consumer) bool { return o == c })
				r.remove(c)
			},
			"next": func(t *rapid.T) {
				var want *Consumer
				n := 0
				for _, c := range model {
					switch {
					case want == nil || c.Priority > want.Priority:
						want, n = c, 1
					case c.Priority == want.Priority:
						n++
					}
				}
				got, waiting := r.next()
				if got != want || waiting != n {
					t.Fatalf("next: %v of %d, want %v of %d", got, waiting, want, n)
				}
				model = slices.DeleteFunc(model, func(o *Consumer) bool { return o == want })
			},
		})
	})
}

// A ring that turns for ever does not grow, wherever consumers leave it.
func TestRingIsBounded(t *testing.T) {
	var r ready
	all := make([]*Consumer, 300)
	for i := range all {
		all[i] = &Consumer{}
		r.add(all[i])
	}
	for i := range 100_000 {
		c, _ := r.next()
		r.add(c)
		if i%7 == 0 {
			r.remove(all[i%300])
			r.add(all[i%300])
		}
	}
	if n := cap(r.levels[0].ring); n > 3000 {
		t.Fatalf("room for %d consumers, 300 are there", n)
	}
}

func TestRangeHeapModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h rangeHeap
		var model []Range
		free := make([]bool, 100) // disjoint ranges: which offsets are in the heap
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				lo := rapid.IntRange(0, 99).Draw(t, "lo")
				hi := lo
				for hi < 99 && hi-lo < 5 && !free[hi+1] {
					hi++
				}
				if free[lo] {
					return
				}
				for i := lo; i <= hi; i++ {
					free[i] = true
				}
				h.push(Range{uint64(lo), uint64(hi)})
				model = append(model, Range{uint64(lo), uint64(hi)})
				slices.SortFunc(model, func(a, b Range) int { return int(a.First) - int(b.First) })
			},
			"pop": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				limit := rapid.IntRange(1, 20).Draw(t, "limit")
				want := model[0]
				model = model[1:]
				for len(model) > 0 && model[0].First == want.Last+1 && want.Last-want.First < uint64(limit) {
					want.Last = model[0].Last
					model = model[1:]
				}
				if got := h.popRun(limit); got != want {
					t.Fatalf("popRun(%d) = %v, want %v", limit, got, want)
				}
				for i := want.First; i <= want.Last; i++ {
					free[i] = false
				}
			},
			"": func(t *rapid.T) {
				if h.empty() != (len(model) == 0) {
					t.Fatalf("empty is %v with %d ranges", h.empty(), len(model))
				}
			},
		})
	})
}

func TestIndexModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		var live []*memBlock
		next := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					next += uint64(rapid.IntRange(0, 3).Draw(t, "gap"))
					b := &memBlock{base: next, count: uint32(rapid.IntRange(1, 9).Draw(t, "count"))}
					next = b.end()
					x.push(b)
					live = append(live, b)
				}
			},
			"bury": func(t *rapid.T) {
				for range rapid.IntRange(1, 120).Draw(t, "n") {
					if len(live) == 0 {
						return
					}
					i := rapid.IntRange(0, len(live)-1).Draw(t, "i")
					live[i].dead = true
					live = slices.Delete(live, i, i+1)
					x.buried()
				}
			},
			"": func(t *rapid.T) {
				var got []*memBlock
				dead := 0
				for i := range x.len() {
					if b := x.at(i); b.dead {
						dead++
					} else {
						got = append(got, b)
					}
				}
				if !slices.Equal(got, live) {
					t.Fatalf("%d live blocks, want %d", len(got), len(live))
				}
				if dead != x.dead || dead > 64 && dead > x.len()/2+1 || x.len() > 0 && x.at(0).dead {
					t.Fatalf("%d dead of %d blocks, counted %d", dead, x.len(), x.dead)
				}
				off := uint64(0)
				if next > 0 {
					off = rapid.Uint64Range(0, next).Draw(t, "offset")
				}
				want := 0
				for want < x.len() && x.at(want).end() <= off {
					want++
				}
				if got := x.find(off); got != want {
					t.Fatalf("find(%d) = %d, want %d", off, got, want)
				}
			},
		})
	})
}

// A claim, an extension and a cancellation race: a publisher is answered exactly once, and what is claimed is what its
// publisher was promised. Run with -race.
func TestSegmentRace(t *testing.T) {
	for round := range 2000 {
		q := newQueue(newScriptLog(), nil)
		blk := &memBlock{buf: make([]byte, 0, 64)}
		s := &segment{q: q, blk: blk}
		var answered [3]int
		wait := func(i int) waiter {
			b := &Batch{Complete: func(*Batch) { answered[i]++ }}
			b.Add()
			return waiter{batch: b}
		}
		s.desc = block.Desc{Count: 1, Size: 8}
		s.records, s.n = blk.buf[:8], 1
		s.waiters = []waiter{wait(0)}
		s.op = block.Op{Desc: s.desc, Owner: s}
		claimed := make(chan bool)
		go func() {
			_ = s.op.Desc.Size
			ok := s.Claim(&s.op)
			if ok && (int(s.op.Desc.Size) != len(s.op.Records) || s.op.Desc.Count != s.op.Desc.Size/8) {
				t.Errorf("claimed %+v with %d bytes", s.op.Desc, len(s.op.Records))
			}
			claimed <- ok
		}()
		extended := s.extend(1, 1, 0, 0, blk.buf[:16], wait(1), nil)
		cancelled := round%2 == 0 && s.cancel()
		ok := <-claimed
		if ok == cancelled {
			t.Fatalf("claimed %v, cancelled %v", ok, cancelled)
		}
		if ok {
			if extended != (s.op.Desc.Count == 2) {
				t.Fatalf("extended %v, %d records claimed", extended, s.op.Desc.Count)
			}
			for i := range s.waiters {
				s.waiters[i].done(nil)
			}
		}
		want := [3]int{1, 0, 0}
		if extended {
			want[1] = 1
		}
		if answered != want {
			t.Fatalf("extended %v, cancelled %v: answered %v, want %v", extended, cancelled, answered, want)
		}
	}
}
