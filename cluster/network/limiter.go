package network

import (
	"sync"
	"time"
)

// How often the same thing is logged, and about how many things the limiter remembers it.
const (
	logInterval = time.Minute
	logKeys     = 256
)

// limiter lets one message per key and minute through.
type limiter struct {
	now func() time.Time

	mu   sync.Mutex
	last map[string]time.Time // at most logKeys
}

// allow tells whether a message about key may be logged now.
func (l *limiter) allow(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if at, ok := l.last[key]; ok && now.Sub(at) < logInterval {
		return false
	}
	if len(l.last) >= logKeys {
		for k, at := range l.last {
			if now.Sub(at) >= logInterval {
				delete(l.last, k)
			}
		}
		if len(l.last) >= logKeys {
			return false // so many at once are one event, and it has been logged many times
		}
	}
	l.last[key] = now
	return true
}
