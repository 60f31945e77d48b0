package perf

import "math/bits"

// seqSet is a set of sequence numbers. Pages that are full cost a pointer, so that the set of everything up to n, with or
// without some gaps, stays small however large n is.
type seqSet struct {
	pages []*seqPage
	count int64
	end   int64 // one more than the highest member
}

const seqPageBits = 1 << 15 // 4 KiB

type seqPage struct {
	count int
	words [seqPageBits / 64]uint64
}

// fullPage stands for every page that has all its members. It is never written to.
var fullPage = &seqPage{count: seqPageBits}

// add adds n, which must not be negative, and reports whether it was not there before.
func (s *seqSet) add(n int64) bool {
	i := int(n / seqPageBits)
	for i >= len(s.pages) {
		s.pages = append(s.pages, nil)
	}
	p := s.pages[i]
	if p == nil {
		p = new(seqPage)
		s.pages[i] = p
	}
	if p == fullPage {
		return false
	}
	word, bit := &p.words[n%seqPageBits/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	s.count++
	s.end = max(s.end, n+1)
	if p.count++; p.count == seqPageBits {
		s.pages[i] = fullPage
	}
	return true
}

func (s *seqSet) has(n int64) bool {
	i := int(n / seqPageBits)
	if i >= len(s.pages) || s.pages[i] == nil {
		return false
	}
	return s.pages[i] == fullPage || s.pages[i].words[n%seqPageBits/64]&(1<<(n%64)) != 0
}

// missing calls visit for the numbers in [from, to) that are not in the set, in order.
func (s *seqSet) missing(from, to int64, visit func(n int64)) {
	for n := from; n < to; {
		i := int(n / seqPageBits)
		switch {
		case i < len(s.pages) && s.pages[i] == fullPage:
			n = (n/seqPageBits + 1) * seqPageBits
		case i >= len(s.pages) || s.pages[i] == nil:
			visit(n)
			n++
		default:
			// The zero bits of a word from n on are what is missing.
			absent := ^s.pages[i].words[n%seqPageBits/64] >> (n % 64)
			if absent == 0 {
				n = (n/64 + 1) * 64
				continue
			}
			n += int64(bits.TrailingZeros64(absent))
			if n < to {
				visit(n)
			}
			n++
		}
	}
}

// first returns the lowest member, end if there is none.
func (s *seqSet) first() int64 {
	for i, p := range s.pages {
		if p == nil {
			continue
		}
		for w, word := range p.words {
			if p == fullPage {
				return int64(i) * seqPageBits
			}
			if word != 0 {
				return int64(i)*seqPageBits + int64(w)*64 + int64(bits.TrailingZeros64(word))
			}
		}
	}
	return s.end
}
