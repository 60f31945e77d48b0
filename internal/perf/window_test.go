package perf

import (
	"testing"

	"pgregory.net/rapid"
)

// TestWindowModel drives a window as writer and reader do, against a set of outstanding tags.
func TestWindowModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 100).Draw(t, "limit")
		w := newWindow(limit)
		outstanding := make(map[int64]bool)
		tag := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				room := w.room()
				if room > int64(limit-len(outstanding)) || room <= 0 && len(outstanding) == 0 {
					t.Fatalf("room for %d with %d of %d outstanding", room, len(outstanding), limit)
				}
				for range rapid.Int64Range(0, max(room, 0)).Draw(t, "messages") {
					tag++
					w.note(tag, tag*10)
					outstanding[tag] = true
				}
				w.publish(tag)
			},
			"settle": func(t *rapid.T) {
				n := rapid.Uint64Range(0, uint64(tag)+2).Draw(t, "tag")
				multiple := rapid.Bool().Draw(t, "multiple")
				upTo := int64(n)
				if n == 0 && multiple {
					upTo = tag
				}
				var want []int64
				for i := range outstanding {
					if i == upTo || multiple && i < upTo {
						want = append(want, i)
					}
				}
				wrong := upTo > tag || upTo == 0 || !multiple && len(want) == 0
				runs, err := w.settle(n, multiple, nil)
				if wrong != (err != nil) {
					t.Fatalf("settle(%d, %t) after %d published: %v", n, multiple, tag, err)
				}
				if err != nil {
					return
				}
				sum, count := int64(0), int64(0)
				for _, r := range runs {
					sum += r.sent * r.count
					count += r.count
				}
				for _, i := range want {
					sum -= i * 10
					delete(outstanding, i)
				}
				if sum != 0 || count != int64(len(want)) {
					t.Fatalf("settle(%d, %t) settled %v, want the tags %v", n, multiple, runs, want)
				}
			},
			"": func(t *rapid.T) {
				if got := w.published.Load() - w.settled.Load(); got != int64(len(outstanding)) {
					t.Fatalf("%d outstanding, want %d", got, len(outstanding))
				}
				for i := int64(1); i <= tag; i++ {
					if w.outstanding(i) != outstanding[i] {
						t.Fatalf("tag %d outstanding: %t, want %t", i, w.outstanding(i), outstanding[i])
					}
				}
			},
		})
	})
}
