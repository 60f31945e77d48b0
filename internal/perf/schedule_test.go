package perf

import (
	"testing"

	"pgregory.net/rapid"
)

func TestScheduleDueIsTheInverseOfAt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.001, 1e8).Draw(t, "rate")
		s := newSchedule(1_800_000_000_000_000_000, rate)
		i := rapid.Int64Range(0, 1<<36).Draw(t, "message")
		if float64(i)/rate > 30*86400 {
			t.Skip("longer than a month")
		}
		at := s.at(i)
		if got := s.due(at); got < i+1 || s.at(got) <= at {
			t.Fatalf("at(%d) = %d, due then %d with the next at %d", i, at, got, s.at(got))
		}
		if got := s.due(at - 1); got > i {
			t.Fatalf("%d messages are due before message %d is", got, i)
		}
	})
}

func TestScheduleKeepsTheRate(t *testing.T) {
	t.Parallel()
	s := newSchedule(1000, 3)
	for _, c := range []struct{ now, want int64 }{
		{0, 0}, {999, 0}, {1000, 1}, {333_334_333, 1}, {333_334_334, 2}, {1_000_000_999, 3}, {1_000_001_000, 4},
		{1000 + 3600*1_000_000_000, 3*3600 + 1},
	} {
		if got := s.due(c.now); got != c.want {
			t.Errorf("due(%d) = %d, want %d", c.now, got, c.want)
		}
	}
}
