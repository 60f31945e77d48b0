package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizesAndDurationsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "n") &^ (1<<rapid.IntRange(0, 50).Draw(t, "zero bits") - 1)
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Fatalf("%d is written %s and read as %d, %v", n, formatSize(n), got, err)
		}
		d := time.Duration(rapid.Int64Min(0).Draw(t, "d")).Truncate(
			rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour}).Draw(t, "unit"))
		if got, err := time.ParseDuration(formatDuration(d)); err != nil || got != d {
			t.Fatalf("%s is written %s and read as %s, %v", d, formatDuration(d), got, err)
		}
	})
}

// FuzzLoadValue gives arbitrary text to every key; whatever is accepted must be written and accepted again.
func FuzzLoadValue(f *testing.F) {
	for _, s := range []string{"", "0", "64KiB", "1m30s", "60%", "[::1]:5672,:1", "a,b", "true", "info", "\x00", "9223372036854775807TiB"} {
		f.Add(s)
	}
	defaults := Default()
	f.Fuzz(func(t *testing.T, s string) {
		for i := range keys {
			k := &keys[i]
			c, again := new(Config), new(Config)
			*c, *again = *defaults, *defaults
			if k.parse(c, scalar(s)) != nil {
				continue
			}
			if err := k.parse(again, k.format(c)); err != nil {
				t.Errorf("%s accepts %q but not %q: %v", k.Name, s, k.format(c), err)
			}
			if got, want := k.format(again).String(), k.format(c).String(); got != want {
				t.Errorf("%s = %q becomes %q", k.Name, want, got)
			}
		}
	})
}
