package queue

// rangeHeap is the requeued offsets as disjoint ranges, lowest first (a binary heap by First). Records that end otherwise than by
// delivery stay in it, as a search would be slow: who pops a range skips what is gone.
type rangeHeap []Range

func (h rangeHeap) empty() bool { return len(h) == 0 }

func (h *rangeHeap) push(r Range) {
	s := append(*h, r)
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].First <= s[i].First {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
	*h = s
}

func (h *rangeHeap) pop() Range {
	s := *h
	top := s[0]
	n := len(s) - 1
	s[0] = s[n]
	s = s[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && s[c+1].First < s[c].First {
			c++
		}
		if s[i].First <= s[c].First {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	if n == 0 {
		s = nil
	}
	*h = s
	return top
}

// popRun takes out the lowest range together with those that adjoin it, at most limit offsets beyond the first range.
func (h *rangeHeap) popRun(limit int) Range {
	r := h.pop()
	for !h.empty() && (*h)[0].First == r.Last+1 && r.Last-r.First < uint64(limit) {
		r.Last = h.pop().Last
	}
	return r
}
