package peer

import (
	"math/bits"
	"slices"

	"github.com/brokerd/brokerd/amqp/queue"
)

// offsets is a set of offsets: the deliveries of a consumer that are not settled. They come and go in runs, mostly in order, but
// any order costs the same. The zero value is empty.
type offsets struct {
	chunks map[uint64]offsetChunk // by offset / chunkOffsets; none is empty
	n      int
}

const (
	chunkWords   = 4
	chunkOffsets = chunkWords * 64
)

type offsetChunk [chunkWords]uint64

// mask returns the bits [lo, hi] of word w of a chunk; lo and hi are bits of the chunk.
func mask(w, lo, hi int) uint64 {
	lo, hi = max(lo-w*64, 0), min(hi-w*64, 63)
	if lo > 63 || hi < 0 {
		return 0
	}
	return ^uint64(0) << lo & (^uint64(0) >> (63 - hi))
}

// each calls fn for the part of r in each chunk.
func eachChunk(r queue.Range, fn func(key uint64, lo, hi int)) {
	for first := r.First; ; {
		key := first / chunkOffsets
		last := min(r.Last, key*chunkOffsets+chunkOffsets-1)
		fn(key, int(first%chunkOffsets), int(last%chunkOffsets))
		if last >= r.Last {
			return
		}
		first = last + 1
	}
}

// add adds r, of which nothing is in the set.
func (o *offsets) add(r queue.Range) {
	if o.chunks == nil {
		o.chunks = make(map[uint64]offsetChunk)
	}
	eachChunk(r, func(key uint64, lo, hi int) {
		c := o.chunks[key]
		for w := lo / 64; w <= hi/64; w++ {
			m := mask(w, lo, hi)
			o.n += bits.OnesCount64(m &^ c[w])
			c[w] |= m
		}
		o.chunks[key] = c
	})
}

// remove takes the ranges out of the set and returns what of them was in it: the same slice if that is all.
func (o *offsets) remove(ranges []queue.Range) []queue.Range {
	whole := true
	var found []queue.Range
	for i, r := range ranges {
		if r.Last < r.First || r.Last-r.First >= uint64(o.n) { // more than there is: it cannot be whole, nor cost more than there is
			if whole {
				whole, found = false, slices.Clone(ranges[:i])
			}
			if r.Last >= r.First {
				found = o.removeSome(found, r)
			}
			continue
		}
		if whole && o.removeWhole(r) {
			continue
		}
		if whole {
			whole, found = false, slices.Clone(ranges[:i])
		}
		found = o.removeSome(found, r)
	}
	if whole {
		return ranges
	}
	return found
}

// removeWhole takes r out if all of it is in the set.
func (o *offsets) removeWhole(r queue.Range) bool {
	all := true
	eachChunk(r, func(key uint64, lo, hi int) {
		c := o.chunks[key]
		for w := lo / 64; w <= hi/64; w++ {
			m := mask(w, lo, hi)
			all = all && c[w]&m == m
		}
	})
	if all {
		eachChunk(r, func(key uint64, lo, hi int) { o.clear(key, lo, hi) })
	}
	return all
}

func (o *offsets) clear(key uint64, lo, hi int) {
	c, ok := o.chunks[key]
	if !ok {
		return
	}
	for w := lo / 64; w <= hi/64; w++ {
		m := mask(w, lo, hi)
		o.n -= bits.OnesCount64(c[w] & m)
		c[w] &^= m
	}
	if c == (offsetChunk{}) {
		delete(o.chunks, key)
	} else {
		o.chunks[key] = c
	}
}

// removeSome takes out what of r is in the set and appends it to found.
func (o *offsets) removeSome(found []queue.Range, r queue.Range) []queue.Range {
	for _, f := range o.all() {
		f.First, f.Last = max(f.First, r.First), min(f.Last, r.Last)
		if f.First <= f.Last {
			eachChunk(f, func(key uint64, lo, hi int) { o.clear(key, lo, hi) })
			found = append(found, f)
		}
	}
	return found
}

// all returns the set as ascending ranges.
func (o *offsets) all() []queue.Range {
	keys := make([]uint64, 0, len(o.chunks))
	for k := range o.chunks {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var list []queue.Range
	for _, k := range keys {
		for w, word := range o.chunks[k] {
			for at := k*chunkOffsets + uint64(w)*64; word != 0; {
				skip := bits.TrailingZeros64(word)
				at += uint64(skip)
				run := bits.TrailingZeros64(^(word >> skip))
				if n := len(list); n > 0 && list[n-1].Last+1 == at {
					list[n-1].Last += uint64(run)
				} else {
					list = append(list, queue.Range{First: at, Last: at + uint64(run) - 1})
				}
				at += uint64(run)
				if skip+run == 64 {
					break
				}
				word >>= skip + run
			}
		}
	}
	return list
}

// take empties the set and returns what was in it.
func (o *offsets) take() []queue.Range {
	list := o.all()
	*o = offsets{}
	return list
}
