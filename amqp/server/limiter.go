package server

// limiter is a channel's prefetch limit over all its consumers (basic.qos with global set). It is guarded by deliveries.mu.
type limiter struct {
	limit int // 0: none
	used  int
	held  []*consumer // to be woken when there is room
}

// reserve takes up to n and returns how many; c is remembered if they are fewer.
func (l *limiter) reserve(c *consumer, n int) int {
	granted := n
	if l.limit > 0 {
		granted = max(0, min(n, l.limit-l.used))
	}
	l.used += granted
	if granted < n {
		l.held = append(l.held, c)
	}
	return granted
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
	return held
}
