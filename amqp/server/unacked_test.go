package server

import (
	"testing"

	"pgregory.net/rapid"
)

// TestUnackedModel compares unacked with a map from delivery tag to offset.
func TestUnackedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u unacked
		open := make(map[uint64]uint64)
		next, offset := uint64(1), uint64(0)
		type run struct{ lo, hi uint64 }
		var undoable []run
		consumers := []*consumer{{}, {}}
		who := make(map[uint64]*consumer)
		tagRange := func(t *rapid.T) (lo, hi uint64) {
			lo = rapid.Uint64Range(1, next+2).Draw(t, "lo")
			return lo, lo + rapid.Uint64Range(0, 70).Draw(t, "more")
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n := rapid.Uint32Range(1, 150).Draw(t, "n")
				next += uint64(rapid.IntRange(0, 1).Draw(t, "skipped")) // a delivery without acknowledgement in between
				offset += uint64(rapid.IntRange(0, 1).Draw(t, "gap"))
				c := rapid.SampledFrom(consumers).Draw(t, "consumer")
				u.add(delivery{first: next, n: n, left: n, offset: offset, consumer: c})
				for range n {
					open[next], who[next] = offset, c
					next++
					offset++
				}
			},
			"settle": func(t *rapid.T) {
				lo, hi := tagRange(t)
				if rapid.Bool().Draw(t, "multiple") {
					lo = 1
				}
				want := make(map[uint64]uint64)
				for tag := lo; tag <= hi; tag++ {
					if off, ok := open[tag]; ok {
						want[tag] = off
					}
				}
				last := uint64(0)
				n := u.settle(lo, hi, func(d *delivery, lo, hi uint64) {
					undoable = append(undoable, run{lo, hi})
					for tag := lo; tag <= hi; tag++ {
						off := d.offset + tag - d.first
						if w, ok := want[tag]; !ok || w != off || tag <= last || d.consumer != who[tag] {
							t.Fatalf("tag %d, offset %d behind tag %d; want %d, %v", tag, off, last, w, ok)
						}
						last = tag
						delete(want, tag)
						delete(open, tag)
					}
				})
				sum := 0
				for _, r := range undoable[max(0, len(undoable)-n):] {
					sum += int(r.hi - r.lo + 1)
				}
				if len(want) != 0 || sum < n {
					t.Fatalf("settled %d, left out %v", n, want)
				}
			},
			"undo": func(t *rapid.T) {
				for _, r := range undoable {
					d := u.list[u.from(r.lo)]
					u.unsettle(r.lo, r.hi)
					for tag := r.lo; tag <= r.hi; tag++ {
						open[tag] = d.offset + tag - d.first
					}
				}
				undoable = nil
			},
			"compact": func(t *rapid.T) {
				undoable = nil
				u.compact()
				if n := len(u.list) - u.off; n > 2*len(open)+manyDead+1 {
					t.Fatalf("%d entries for %d deliveries", n, len(open))
				}
			},
			"": func(t *rapid.T) {
				lo, hi := tagRange(t)
				want, wantGap := uint64(0), false
				for tag := lo; tag <= hi && !wantGap; tag++ {
					if _, ok := open[tag]; !ok {
						want, wantGap = tag, true
					}
				}
				if tag, gap := u.gap(lo, hi); tag != want || gap != wantGap {
					t.Fatalf("gap of [%d, %d]: %d, %v; want %d, %v", lo, hi, tag, gap, want, wantGap)
				}
				if _, ok := open[lo]; u.outstanding(lo) != ok {
					t.Fatalf("tag %d outstanding: %v", lo, !ok)
				}
			},
		})
	})
}

// TestUnackedForgets settles everything but the oldest delivery, message by message.
func TestUnackedForgets(t *testing.T) {
	var u unacked
	for tag := uint64(1); tag <= 100_000; tag++ {
		u.add(delivery{first: tag, n: 1, left: 1, offset: 2 * tag})
		if tag > 1 {
			u.settle(tag, tag, func(*delivery, uint64, uint64) {})
		}
		u.compact()
	}
	if n := cap(u.list); n > 1024 {
		t.Errorf("room for %d deliveries where 1 is left", n)
	}
	if !u.outstanding(1) || u.outstanding(2) || u.outstanding(100_000) {
		t.Error("the wrong ones are left")
	}
}
