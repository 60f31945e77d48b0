package server

import (
	"math/bits"

	"github.com/brokerd/brokerd/amqp/queue"
)

// delivery is a run of deliveries that are tracked together: tags [first, first+n) are the offsets [offset, offset+n) of one
// queue.
type delivery struct {
	first    uint64
	n        uint32
	left     uint32 // not settled
	offset   uint64
	handle   queue.Handle
	consumer *consumer // nil for basic.get
	settled  []uint64  // bitmap, nil while nothing or everything is settled
}

func (d *delivery) last() uint64 { return d.first + uint64(d.n) - 1 }

func (d *delivery) isSettled(tag uint64) bool {
	if d.left == d.n {
		return false
	}
	if d.left == 0 {
		return true
	}
	i := tag - d.first
	return d.settled[i>>6]&(1<<(i&63)) != 0
}

// settle marks the unsettled ones of [lo, hi], calls visit for each run of them, and returns how many they were.
func (d *delivery) settle(lo, hi uint64, visit func(d *delivery, lo, hi uint64)) int {
	if d.left == 0 {
		return 0
	}
	if d.left == d.n && lo == d.first && hi == d.last() {
		d.left = 0
		visit(d, lo, hi)
		return int(d.n)
	}
	if d.settled == nil {
		d.settled = make([]uint64, (d.n+63)/64)
	}
	n := 0
	for tag := lo; tag <= hi; {
		i := tag - d.first
		word := d.settled[i>>6] >> (i & 63)
		if word&1 != 0 { // skip the settled ones
			tag += uint64(bits.TrailingZeros64(^word))
			continue
		}
		end := tag
		for end < hi && !d.bit(end+1) {
			end++
		}
		for t := tag; t <= end; t++ {
			j := t - d.first
			d.settled[j>>6] |= 1 << (j & 63)
		}
		n += int(end - tag + 1)
		visit(d, tag, end)
		tag = end + 1
	}
	d.left -= uint32(n)
	if d.left == 0 {
		d.settled = nil
	}
	return n
}

func (d *delivery) bit(tag uint64) bool {
	i := tag - d.first
	return d.settled[i>>6]&(1<<(i&63)) != 0
}

// unsettle takes back a settlement of [lo, hi], all of which are settled.
func (d *delivery) unsettle(lo, hi uint64) {
	if d.left == 0 {
		d.settled = make([]uint64, (d.n+63)/64)
		for t := d.first; t <= d.last(); t++ {
			i := t - d.first
			d.settled[i>>6] |= 1 << (i & 63)
		}
	}
	for t := lo; t <= hi; t++ {
		i := t - d.first
		d.settled[i>>6] &^= 1 << (i & 63)
	}
	d.left += uint32(hi - lo + 1)
	if d.left == d.n {
		d.settled = nil
	}
}

// unacked is the unsettled deliveries of a channel in order of their tags. Settled ones stay until compact forgets them.
type unacked struct {
	list []delivery
	off  int
	dead int // deliveries of list[off:] that are settled altogether
}

func (u *unacked) add(d delivery) {
	if n := len(u.list); n > u.off {
		// The next run of the same block goes on where the last one ended.
		l := &u.list[n-1]
		if l.handle == d.handle && l.consumer == d.consumer && l.left == l.n && l.n+d.n <= 1<<16 &&
			l.first+uint64(l.n) == d.first && l.offset+uint64(l.n) == d.offset {
			l.n += d.n
			l.left += d.n
			return
		}
	}
	u.list = append(u.list, d)
}

// from returns the position of the first delivery whose last tag is at least tag.
func (u *unacked) from(tag uint64) int {
	lo, hi := u.off, len(u.list)
	if lo < hi && u.list[lo].last() >= tag {
		return lo
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if u.list[mid].last() < tag {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// outstanding reports whether tag is delivered and not settled.
func (u *unacked) outstanding(tag uint64) bool {
	_, gap := u.gap(tag, tag)
	return !gap
}

// oldest calls visit with the lowest tag of each run that is delivered and not settled, in order, until it returns false.
func (u *unacked) oldest(visit func(d *delivery, tag uint64) bool) {
	for i := u.off; i < len(u.list); i++ {
		d := &u.list[i]
		if d.left == 0 {
			continue
		}
		tag := d.first
		for d.isSettled(tag) {
			tag++
		}
		if !visit(d, tag) {
			return
		}
	}
}

// gap returns the first tag of [lo, hi] that is not outstanding.
func (u *unacked) gap(lo, hi uint64) (tag uint64, ok bool) {
	for i := u.from(lo); lo <= hi; i++ {
		if i == len(u.list) || u.list[i].first > lo {
			return lo, true
		}
		d := &u.list[i]
		for d.left < d.n && lo <= min(hi, d.last()) {
			if d.isSettled(lo) {
				return lo, true
			}
			lo++
		}
		lo = max(lo, d.last()+1)
	}
	return 0, false
}

// settle settles what is unsettled in [lo, hi]. visit is called for each run.
func (u *unacked) settle(lo, hi uint64, visit func(d *delivery, lo, hi uint64)) int {
	n := 0
	for i := u.from(lo); i < len(u.list) && u.list[i].first <= hi; i++ {
		d := &u.list[i]
		if k := d.settle(max(lo, d.first), min(hi, d.last()), visit); k > 0 {
			n += k
			if d.left == 0 {
				u.dead++
			}
		}
	}
	return n
}

// unsettle takes back what settle did with [lo, hi], a run that it visited. compact must not have been called since.
func (u *unacked) unsettle(lo, hi uint64) {
	d := &u.list[u.from(lo)]
	if d.left == 0 {
		u.dead--
	}
	d.unsettle(lo, hi)
}

// manyDead is the number of settled deliveries from which unsettled ones that are older do not keep them in memory.
const manyDead = 64

// compact forgets deliveries that are settled: the oldest ones at once, others when they are the majority.
func (u *unacked) compact() {
	for u.off < len(u.list) && u.list[u.off].left == 0 {
		u.list[u.off] = delivery{}
		u.off++
		u.dead--
	}
	switch {
	case u.off == len(u.list):
		u.list, u.off = u.list[:0], 0
	case u.dead > manyDead && u.dead > (len(u.list)-u.off)/2, u.off > manyDead && u.off > len(u.list)/2:
		n := 0
		for _, d := range u.list[u.off:] {
			if d.left > 0 {
				u.list[n] = d
				n++
			}
		}
		clear(u.list[n:])
		u.list, u.off, u.dead = u.list[:n], 0, 0
	}
	if len(u.list) == 0 && cap(u.list) > keptDeliveries {
		u.list = nil
	}
}

// keptDeliveries bounds the capacity that an empty list keeps.
const keptDeliveries = 4096
