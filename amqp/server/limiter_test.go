package server

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLimiterModel plays queues with a backlog that share a limit: the limit is never passed, and whenever there is room all that
// was refused is woken.
func TestLimiterModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		l := &limiter{limit: limit}
		consumers := make([]*consumer, rapid.IntRange(1, 5).Draw(t, "consumers"))
		due := []*consumer{} // woken, or new
		for i := range consumers {
			consumers[i] = &consumer{}
			due = append(due, consumers[i])
		}
		got := make(map[*consumer]int)
		used := 0
		settle := func(n int) {
			used -= n
			due = append(due, l.release(n)...)
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(due) > 0 {
				i := rapid.IntRange(0, len(due)-1).Draw(t, "due")
				c := due[i]
				due = slices.Delete(due, i, i+1)
				n := rapid.IntRange(1, 30).Draw(t, "want")
				granted, again := l.reserve(c, n)
				if granted < 0 || granted > n || limit == 0 && granted < n {
					t.Fatalf("%d of %d granted", granted, n)
				}
				used += granted
				got[c] += granted
				switch {
				case limit > 0 && used > limit:
					t.Fatalf("%d of %d used", used, limit)
				case again && (granted == n || used == limit):
					t.Fatalf("%d of %d granted, %d of %d used, and told to come again", granted, n, used, limit)
				case again:
					due = append(due, c)
				case rapid.Bool().Draw(t, "unreserve"):
					k := rapid.IntRange(0, granted).Draw(t, "given back")
					got[c] -= k
					settle(k)
				}
			}
			if used > 0 && rapid.Bool().Draw(t, "ack") {
				settle(rapid.IntRange(1, used).Draw(t, "acked"))
			}
			if rapid.IntRange(0, 20).Draw(t, "qos") == 0 {
				limit = rapid.IntRange(max(used, 1), used+20).Draw(t, "limit")
				due = append(due, l.set(limit)...)
			}
			if len(l.held) > 0 && (l.limit == 0 || l.used < l.limit) {
				t.Fatalf("%d consumers wait with %d of %d used", len(l.held), l.used, l.limit)
			}
		}
	})
}

// TestLimiterIsFair has consumers of several queues share a limit while one message at a time is acknowledged.
func TestLimiterIsFair(t *testing.T) {
	const rounds = 20_000
	l := &limiter{limit: 3}
	consumers := []*consumer{{}, {}, {}, {}}
	got := make(map[*consumer]int)
	due := slices.Clone(consumers)
	for range rounds {
		for len(due) > 0 {
			c := due[0]
			due = due[1:]
			n, again := l.reserve(c, 1000)
			got[c] += n
			if again {
				due = append(due, c)
			}
		}
		due = l.release(1)
	}
	for i, c := range consumers {
		if n := got[c]; n < rounds/8 {
			t.Errorf("consumer %d got %d of %d messages", i, n, rounds)
		}
	}
}
