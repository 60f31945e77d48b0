package main

import (
	"fmt"
	"strconv"
	"time"
)

// size writes bytes as people read them.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1023.95 && i < len(units)-1 {
		f /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// short writes a number in at most six characters: 1234, 12.3k, 4.56M.
func short(f float64) string {
	for _, unit := range []struct {
		suffix string
		size   float64
	}{{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if f >= unit.size*9.9995 || unit.size > 1e3 && f >= unit.size*0.99995 {
			return strconv.FormatFloat(f/unit.size, 'f', 1, 64) + unit.suffix
		}
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// upTime writes a duration in its two greatest units.
func upTime(d time.Duration) string {
	s := int64(d.Seconds())
	switch {
	case s >= 86400:
		return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
	case s >= 3600:
		return fmt.Sprintf("%dh %dm", s/3600, s%3600/60)
	case s >= 60:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	}
	return fmt.Sprintf("%ds", s)
}
