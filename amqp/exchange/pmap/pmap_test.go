package pmap

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// The hash of the test's keys has few distinct values, some of which agree in many low bits, so that deep chains and buckets
// appear.
func poorHash(k int) uint64 {
	return []uint64{0, 1, 33, 1 << 60, 1<<60 | 1<<5, ^uint64(0)}[k%6]
}

func checkShape(t *rapid.T, n *node[int, int], shift uint, root bool) (leaves int) {
	if n == nil {
		return 0
	}
	if !root && len(n.kids) == 0 && len(n.leaves) < 2 {
		t.Fatalf("node of %d leaves and no kids at shift %d", len(n.leaves), shift)
	}
	for _, kid := range n.kids {
		leaves += checkShape(t, kid, shift+levelBits, false)
	}
	return leaves + len(n.leaves)
}

func TestTrieAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			root *node[int, int]
			want map[int]int
		}
		cur := version{want: map[int]int{}}
		var history []version
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			k, v := rapid.IntRange(0, 24).Draw(t, "key"), rapid.IntRange(0, 3).Draw(t, "value")
			next := version{want: maps.Clone(cur.want)}
			_, had := cur.want[k]
			if rapid.Bool().Draw(t, "put") {
				var added bool
				next.root, added = cur.root.with(0, leaf[int, int]{poorHash(k), k, v})
				if added == had {
					t.Fatalf("with(%d): added %v, was there %v", k, added, had)
				}
				next.want[k] = v
			} else {
				next.root = cur.root.without(0, poorHash(k), k)
				if (next.root == cur.root) == had {
					t.Fatalf("without(%d): unchanged %v, was there %v", k, next.root == cur.root, had)
				}
				delete(next.want, k)
			}
			history, cur = append(history, cur), next
		}
		for _, ver := range append(history, cur) { // old versions must be as they were
			if n := checkShape(t, ver.root, 0, true); n != len(ver.want) {
				t.Fatalf("%d leaves, want %d", n, len(ver.want))
			}
			got := map[int]int{}
			ver.root.each(func(k, v int) bool { got[k] = v; return true })
			if !maps.Equal(got, ver.want) {
				t.Fatalf("each: %v, want %v", got, ver.want)
			}
			for k := range 25 {
				l := ver.root.get(poorHash(k), k)
				v, ok := ver.want[k]
				if (l != nil) != ok || ok && l.value != v {
					t.Fatalf("get(%d): %v, want %d, %v", k, l, v, ok)
				}
			}
			if got := ver.root.appendValues(nil); len(got) != len(ver.want) {
				t.Fatalf("%d values, want %d", len(got), len(ver.want))
			}
		}
	})
}

func TestStringsAndIDs(t *testing.T) {
	const n = 5000
	var s Strings[int]
	var d IDs[int]
	for i := range n {
		s, d = s.With(fmt.Sprint("key-", i), i), d.With(uint64(i), i)
	}
	s, d = s.With("key-7", 7), d.With(7, 7)
	if s.Len() != n || d.Len() != n {
		t.Fatalf("lengths %d and %d, want %d", s.Len(), d.Len(), n)
	}
	for i := range n {
		if v, ok := s.GetBytes([]byte(fmt.Sprint("key-", i))); !ok || v != i {
			t.Fatalf("key-%d: %d, %v", i, v, ok)
		}
		if v, ok := d.Get(uint64(i)); !ok || v != i {
			t.Fatalf("%d: %d, %v", i, v, ok)
		}
	}
	if _, ok := s.Get(""); ok {
		t.Fatal("the empty key is there")
	}
	stopped := 0
	s.Each(func(string, int) bool { stopped++; return stopped < 3 })
	d.Each(func(uint64, int) bool { stopped++; return stopped < 6 })
	if stopped != 6 {
		t.Fatalf("visited %d, want 6", stopped)
	}
	if a, b := len(s.AppendValues(nil)), len(d.AppendValues(nil)); a != n || b != n {
		t.Fatalf("%d and %d values, want %d", a, b, n)
	}
	for i := range n {
		s, d = s.Without(fmt.Sprint("key-", i)), d.Without(uint64(i))
	}
	s, d = s.Without("key-0"), d.Without(0)
	if s.Len() != 0 || d.Len() != 0 || s.root != nil || d.root != nil {
		t.Fatalf("%d and %d left", s.Len(), d.Len())
	}
	if _, ok := s.GetBytes(nil); ok {
		t.Fatal("found in the empty map")
	}
}

func TestGetBytesDoesNotAllocate(t *testing.T) {
	var s Strings[int]
	for i := range 1000 {
		s = s.With(fmt.Sprint(i), i)
	}
	key := []byte("777")
	if n := testing.AllocsPerRun(100, func() { s.GetBytes(key) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkGetBytes(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var s Strings[int]
			keys := make([][]byte, n)
			for i := range n {
				keys[i] = []byte(fmt.Sprint("some.key.", i))
				s = s.With(string(keys[i]), i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.GetBytes(keys[i*7919%n])
			}
		})
	}
}

func BenchmarkWith(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var s Strings[int]
			for i := range n {
				s = s.With(fmt.Sprint("some.key.", i), i)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.With("another", 1)
			}
		})
	}
}
