package perf

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestVerification(t *testing.T) {
	t.Parallel()
	type delivery struct {
		consumer    int
		sequence    int64
		redelivered bool
	}
	one := func(sequences ...int64) (d []delivery) {
		for _, n := range sequences {
			d = append(d, delivery{sequence: n})
		}
		return d
	}
	for _, c := range []struct {
		name      string
		published int64
		excused   []int64
		got       []delivery
		want      Verification
		findings  []string
	}{
		{name: "complete", published: 4, got: one(0, 1, 2, 3), want: Verification{OK: true, Expected: 4, Received: 4}},
		{name: "nothing", published: 3, want: Verification{Expected: 3, Lost: 3},
			findings: []string{"lost: messages 0 to 2 of producer 5 in queue q"}},
		{name: "gap", published: 6, got: one(0, 2, 3, 5), want: Verification{Expected: 6, Received: 4, Lost: 2},
			findings: []string{"lost: message 1 of producer 5 in queue q", "lost: message 4 of producer 5 in queue q"}},
		{name: "end missing", published: 4, got: one(0, 1), want: Verification{Expected: 4, Received: 2, Lost: 2},
			findings: []string{"lost: messages 2 to 3 of producer 5 in queue q"}},
		{name: "duplicate", published: 3, got: one(0, 1, 1, 2), want: Verification{Expected: 3, Received: 3, Duplicated: 1},
			findings: []string{"duplicate: message 1 of producer 5 in queue q"}},
		{name: "reordered", published: 3, got: one(0, 2, 1), want: Verification{Expected: 3, Received: 3, Reordered: 1},
			findings: []string{"out of order: message 1 of producer 5 in queue q"}},
		{name: "redelivered", published: 2, got: []delivery{{sequence: 0}, {sequence: 1}, {sequence: 0, redelivered: true}},
			want: Verification{OK: true, Expected: 2, Received: 2, Redelivered: 1}},
		{name: "given back by another consumer", published: 3, got: []delivery{{sequence: 1}, {sequence: 2}, {sequence: 0, redelivered: true}},
			want: Verification{OK: true, Expected: 3, Received: 3}},
		{name: "two consumers", published: 4, got: []delivery{{0, 2, false}, {1, 0, false}, {1, 1, false}, {0, 3, false}},
			want: Verification{OK: true, Expected: 4, Received: 4}},
		{name: "refused messages", published: 4, excused: []int64{1, 2}, got: one(0, 2, 3),
			want: Verification{OK: true, Expected: 2, Received: 3}},
	} {
		v := newVerifier(9, false, []string{"q"})
		q := v.queues[0]
		q.mu.Lock()
		q.receive(0, false, false, lastSeen{})
		q.receive(newMessageID(8, 5, 0), true, false, lastSeen{}) // of another run
		last := []lastSeen{{}, {}}
		for _, d := range c.got {
			q.receive(newMessageID(9, 5, d.sequence), true, d.redelivered, last[d.consumer])
		}
		q.mu.Unlock()
		s := stream{producer: 5, queues: []int{0}, count: c.published, excused: new(seqSet)}
		for _, n := range c.excused {
			s.excused.add(n)
		}
		got := v.result([]stream{s})
		if got.Foreign != 2 {
			t.Errorf("%s: %d foreign messages, want 2", c.name, got.Foreign)
		}
		if !slices.Equal(got.Findings, c.findings) {
			t.Errorf("%s: findings %q, want %q", c.name, got.Findings, c.findings)
		}
		got.Foreign, got.Findings = 0, nil
		if got.OK != c.want.OK || got.Expected != c.want.Expected || got.Received != c.want.Received || got.Lost != c.want.Lost ||
			got.Duplicated != c.want.Duplicated || got.Reordered != c.want.Reordered || got.Redelivered != c.want.Redelivered {
			t.Errorf("%s: %+v, want %+v", c.name, *got, c.want)
		}
	}
}

func TestVerificationWithoutProducers(t *testing.T) {
	t.Parallel()
	v := newVerifier(0, true, []string{"q"})
	q, last := v.queues[0], lastSeen{}
	for _, n := range []int64{100_000, 100_001, 100_003} {
		q.receive(newMessageID(3, 1, n), true, false, last)
	}
	if got := v.result(nil); got.OK || got.Expected != 4 || got.Received != 3 || got.Lost != 1 {
		t.Errorf("%+v, want 1 of 4 lost", *got)
	}
}

func TestSeqSetModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s seqSet
		model := make(map[int64]bool)
		base := rapid.Int64Range(0, 2*seqPageBits).Draw(t, "base")
		if rapid.Bool().Draw(t, "full page") {
			for n := range int64(seqPageBits) {
				s.add(n)
				model[n] = true
			}
		}
		for _, n := range rapid.SliceOfN(rapid.Int64Range(0, 300), 0, 200).Draw(t, "added") {
			n += base
			if got := s.add(n); got == model[n] {
				t.Fatalf("add(%d) = %t", n, got)
			}
			model[n] = true
		}
		end, first := int64(0), int64(-1)
		for n := range model {
			end = max(end, n+1)
			if first < 0 || n < first {
				first = n
			}
		}
		if first < 0 {
			first = end
		}
		if s.count != int64(len(model)) || s.end != end || s.first() != first {
			t.Fatalf("count %d, first %d, end %d, want %d, %d, %d", s.count, s.first(), s.end, len(model), first, end)
		}
		from := rapid.Int64Range(0, end+10).Draw(t, "from")
		var want, got []int64
		for n := from; n < end+5; n++ {
			if model[n] != s.has(n) {
				t.Fatalf("has(%d) = %t", n, s.has(n))
			}
			if !model[n] {
				want = append(want, n)
			}
		}
		s.missing(from, end+5, func(n int64) { got = append(got, n) })
		if !slices.Equal(got, want) {
			t.Fatalf("missing from %d: %v, want %v", from, got, want)
		}
	})
}

func TestShareServesEveryQueue(t *testing.T) {
	t.Parallel()
	for members := 1; members < 8; members++ {
		for n := 1; n < 20; n++ {
			served := make(map[int]int)
			for i := range members {
				for _, q := range share(i, members, n) {
					served[q]++
				}
			}
			if len(served) != n {
				t.Errorf("%d members serve %d of %d queues", members, len(served), n)
			}
		}
	}
}
