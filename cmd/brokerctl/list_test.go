package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// paged serves a list in pages of n.
func paged(items []int, n int, unreachable ...string) fetcher[int] {
	return func(token string) (page[int], error) {
		at := 0
		if token != "" {
			var err error
			if at, err = strconv.Atoi(token); err != nil {
				return page[int]{}, err
			}
		}
		end := min(at+n, len(items))
		p := page[int]{items: items[at:end], unreachable: unreachable}
		if end < len(items) {
			p.next = strconv.Itoa(end)
		}
		return p, nil
	}
}

// TestPages shows that a list in any pages, and two lists behind each other, come complete and in order.
func TestPages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.SliceOfN(rapid.Int(), 0, 30).Draw(t, "first")
		second := rapid.SliceOfN(rapid.Int(), 0, 30).Draw(t, "second")
		var got []int
		unreachable, err := eachPage(chained(paged(first, rapid.IntRange(1, 10).Draw(t, "size"), "n1"), paged(second, 3, "n2", "n1")), func(items []int) error {
			got = append(got, items...)
			return nil
		})
		if err != nil || !slices.Equal(got, slices.Concat(first, second)) || !slices.Equal(unreachable, []string{"n1", "n2"}) {
			t.Fatalf("%v, %v, %v", got, unreachable, err)
		}
	})
}

func TestPagesThatDoNotEnd(t *testing.T) {
	t.Parallel()
	same := func(string) (page[int], error) { return page[int]{next: "x"}, nil }
	if _, err := eachPage(same, func([]int) error { return nil }); err == nil || !strings.Contains(err.Error(), "same page twice") {
		t.Errorf("the same page: %v", err)
	}
	wrong := errors.New("wrong")
	if _, err := eachPage(paged([]int{1, 2}, 1), func([]int) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("a consumer that fails: %v", err)
	}
}
