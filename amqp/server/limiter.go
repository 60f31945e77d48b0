package server

import (
	"cmp"
	"slices"
)

// limiter is a channel's prefetch limit over all its consumers (basic.qos with global set). It is guarded by deliveries.mu.
//
// When room comes back all consumers that were refused are told, as one of them may have nothing to deliver. First comes the one
// that has waited longest for its turn, and what it gets is its share, so that none is starved by another with a backlog.
type limiter struct {
	limit   int // 0: none
	used    int
	held    []*consumer // to be woken when there is room
	awaited int         // consumers that were woken and have not come yet, at most
	turns   uint64      // times that a woken consumer got something
}

// place is a consumer's place in the limiter's order.
type place struct {
	woken bool
	turn  uint64 // when it last got something after it was woken
}

// reserve takes up to n and returns how many. When they are fewer, c is remembered, or again is set: then c got its share and may
// ask for what the others leave.
func (l *limiter) reserve(c *consumer, n int) (granted int, again bool) {
	if l.limit == 0 {
		l.used += n
		return n, false
	}
	l.awaited = max(0, l.awaited-1)
	if room := l.limit - l.used; room > 0 {
		granted = min(n, 1+(room-1)/(1+l.awaited))
	}
	l.used += granted
	if c.place.woken && granted > 0 {
		l.turns++
		c.place.turn = l.turns
	}
	c.place.woken = false
	if granted == n {
		return granted, false
	}
	if l.used < l.limit {
		return granted, true
	}
	l.held = append(l.held, c)
	return granted, false
}

// release gives n back and returns the consumers that may go on.
func (l *limiter) release(n int) []*consumer {
	l.used -= n
	return l.freed()
}

// set changes the limit and returns the consumers that may go on.
func (l *limiter) set(limit int) []*consumer {
	l.limit = limit
	return l.freed()
}

func (l *limiter) freed() []*consumer {
	if len(l.held) == 0 || (l.limit > 0 && l.used >= l.limit) {
		return nil
	}
	held := l.held
	l.held = nil
	l.awaited = len(held)
	slices.SortStableFunc(held, func(a, b *consumer) int { return cmp.Compare(a.place.turn, b.place.turn) })
	for _, c := range held {
		c.place.woken = true
	}
	return held
}
