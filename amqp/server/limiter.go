package server

import "math/rand/v2"

// limiter is a channel's prefetch limit over all its consumers (basic.qos with global set). It is guarded by deliveries.mu.
//
// When room comes back all consumers that were refused are told, as one of them may have nothing to deliver; which comes first is
// left to chance, and what it gets is its share, so that none is starved by another with a backlog.
type limiter struct {
	limit   int // 0: none
	used    int
	held    []*consumer // to be woken when there is room
	awaited int         // consumers that were woken and have not come yet, at most
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
	rand.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	return held
}
