package queue

import "math/bits"

// bitset is a set of small integers. The zero value is empty and has no memory.
type bitset []uint64

func (b bitset) has(i uint32) bool {
	w := int(i >> 6)
	return w < len(b) && b[w]&(1<<(i&63)) != 0
}

// setRange adds [lo, hi] and returns how many of them were not in the set. n is the capacity that b is grown to at once.
func (b *bitset) setRange(lo, hi, n uint32) uint32 {
	if need := int(n+63) >> 6; len(*b) < need {
		grown := make(bitset, need)
		copy(grown, *b)
		*b = grown
	}
	s := *b
	var added uint32
	for w := lo >> 6; w <= hi>>6; w++ {
		mask := ^uint64(0)
		if w == lo>>6 {
			mask &= ^uint64(0) << (lo & 63)
		}
		if w == hi>>6 {
			mask &= ^uint64(0) >> (63 - hi&63)
		}
		added += uint32(bits.OnesCount64(mask &^ s[w]))
		s[w] |= mask
	}
	return added
}

// clearRange takes [lo, hi] out.
func (b bitset) clearRange(lo, hi uint32) {
	for w := lo >> 6; w <= hi>>6 && int(w) < len(b); w++ {
		mask := ^uint64(0)
		if w == lo>>6 {
			mask &= ^uint64(0) << (lo & 63)
		}
		if w == hi>>6 {
			mask &= ^uint64(0) >> (63 - hi&63)
		}
		b[w] &^= mask
	}
}

// countRange returns how many of [lo, hi] are in the set.
func (b bitset) countRange(lo, hi uint32) uint32 {
	var n uint32
	for w := lo >> 6; w <= hi>>6 && int(w) < len(b); w++ {
		mask := ^uint64(0)
		if w == lo>>6 {
			mask &= ^uint64(0) << (lo & 63)
		}
		if w == hi>>6 {
			mask &= ^uint64(0) >> (63 - hi&63)
		}
		n += uint32(bits.OnesCount64(b[w] & mask))
	}
	return n
}

// slice returns the members of [lo, lo+n) as a set of its own, shifted to start at 0.
func (b bitset) slice(lo, n uint32) bitset {
	out := make(bitset, (n+63)>>6)
	for i := uint32(0); i < n; i++ {
		if b.has(lo + i) {
			out[i>>6] |= 1 << (i & 63)
		}
	}
	return out
}
