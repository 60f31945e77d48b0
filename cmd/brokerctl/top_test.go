package main

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// TestTopFits shows that a screen of any size is never overfull, whatever there is to show.
func TestTopFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := topMoment{rates: &adminv1.WatchRatesResponse{Time: timestamppb.Now()}, all: rapid.Bool().Draw(t, "all")}
		for range rapid.IntRange(0, 20).Draw(t, "nodes") {
			m.rates.Nodes = append(m.rates.Nodes, &adminv1.NodeRates{Node: rapid.String().Draw(t, "node"),
				PublishRate: rapid.Float64Range(0, 1e13).Draw(t, "rate"), MessagesReady: rapid.Uint64().Draw(t, "ready"),
				MemoryUsedBytes: rapid.Uint64().Draw(t, "memory"), Alarm: rapid.SampledFrom([]string{"", "disk"}).Draw(t, "alarm")})
		}
		for range rapid.IntRange(0, 60).Draw(t, "queues") {
			m.queues = append(m.queues, &adminv1.Queue{Name: rapid.String().Draw(t, "queue"), Vhost: rapid.SampledFrom([]string{"/", "v"}).Draw(t, "vhost"),
				MessagesReady: rapid.Uint64Range(0, 1e15).Draw(t, "messages"), Leader: "node1"})
		}
		s := topScreen{moment: m, sort: rapid.IntRange(0, len(topSorts)-1).Draw(t, "sort")}
		width, height := rapid.IntRange(20, 200).Draw(t, "width"), rapid.IntRange(5, 60).Draw(t, "height")
		lines := s.lines(width, height)
		if len(lines) > height {
			t.Fatalf("%d lines on a screen of %d", len(lines), height)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > width {
				t.Fatalf("a line of %d characters on a screen of %d: %q", n, width, line)
			}
		}
	})
}

func TestTopScreen(t *testing.T) {
	t.Parallel()
	at := timestamppb.Now()
	m := topMoment{all: true, rates: &adminv1.WatchRatesResponse{Time: at, UnreachableNodes: []string{"node3"}, Nodes: []*adminv1.NodeRates{
		{Node: "node1", PublishRate: 123456, ConfirmRate: 123400, DeliverRate: 99999, AckRate: 1, MessagesReady: 1234567, MemoryUsedBytes: 1 << 30},
		{Node: "node2", PublishRate: 12, MessagesUnacknowledged: 9999, MemoryUsedBytes: 100 << 20, Alarm: "disk"},
	}}}
	for i := range 30 {
		m.queues = append(m.queues, &adminv1.Queue{Name: fmt.Sprintf("q%02d", i), Vhost: "/", MessagesReady: uint64(i * 1000), MemoryBytes: 5 << 20, Leader: "node1"})
	}
	got := (&topScreen{moment: m}).lines(80, 24)
	for i, line := range []string{
		"", "",
		"node             publish  confirm  deliver      ack    ready  unacked     memory",
		"node1             123.5k   123.4k   100.0k        1     1.2M        0    1.0 GiB",
		"node2                 12        0        0        0        0     9999  100.0 MiB",
		"all 2             123.5k   123.4k   100.0k        1     1.2M     9999    1.1 GiB",
		"ALARM on node2: disk",
		"no answer from node3",
		"",
		"queue                            ready  unacked consumers     memory leader",
		"q29                              29.0k        0         0    5.0 MiB node1",
		"q28                              28.0k        0         0    5.0 MiB node1",
	} {
		if line != "" && got[i] != line {
			t.Errorf("line %d:\n%s\nwant\n%s", i, got[i], line)
		}
	}
	if last := got[len(got)-1]; len(got) != 24 || last != "and 17 more queues with messages" {
		t.Errorf("%d lines, the last is %q", len(got), last)
	}
	if empty := (&topScreen{moment: topMoment{rates: &adminv1.WatchRatesResponse{Time: at}}}).lines(80, 24); empty[len(empty)-1] != "no queue holds messages" {
		t.Errorf("empty: %q", empty)
	}
	if frame := (&topScreen{moment: m}).frame(80, 24); !strings.HasPrefix(frame, "\x1b[H") || !strings.HasSuffix(frame, "\x1b[J") {
		t.Errorf("frame %q", frame)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 1 << 63: "8.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for f, want := range map[float64]string{0: "0", 0.4: "0", 9999: "9999", 10000: "10.0k", 99999: "100.0k", 999960: "1.0M", 1.5e6: "1.5M", 2e9: "2.0G", 3e12: "3.0T"} {
		if got := short(f); got != want {
			t.Errorf("short(%v) = %s, want %s", f, got, want)
		}
	}
}
