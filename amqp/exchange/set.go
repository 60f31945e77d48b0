package exchange

import "github.com/brokerd/brokerd/amqp/exchange/pmap"

// smallSet is the number of destinations up to which a set is a slice.
const smallSet = 8

// set is a persistent set of destinations that counts how often each was added. The zero value is empty. Most keys lead to one
// destination and most queues are bound once, so the slice comes first and counts are kept only beyond one.
type set struct {
	small []Destination // in the order of their addition; nil if large is used
	large pmap.IDs[Destination]
	again pmap.IDs[int] // by ID: how often a destination was added beyond the first time, never 0
}

func (s set) empty() bool { return len(s.small) == 0 && s.large.Len() == 0 }

func (s set) appendTo(buf []Destination) []Destination {
	if s.large.Len() > 0 {
		return s.large.AppendValues(buf)
	}
	return append(buf, s.small...)
}

// index returns the place of id in small, or -1.
func (s set) index(id uint64) int {
	for i, d := range s.small {
		if d.ID() == id {
			return i
		}
	}
	return -1
}

func (s set) has(id uint64) bool {
	if s.large.Len() > 0 {
		_, ok := s.large.Get(id)
		return ok
	}
	return s.index(id) >= 0
}

func (s set) with(d Destination) set {
	id := d.ID()
	switch {
	case s.has(id):
		n, _ := s.again.Get(id)
		s.again = s.again.With(id, n+1)
	case s.large.Len() > 0:
		s.large = s.large.With(id, d)
	case len(s.small) < smallSet:
		// Exact capacity: another table may append to the same slice.
		small := make([]Destination, len(s.small)+1)
		small[copy(small, s.small)] = d
		s.small = small
	default:
		for _, o := range s.small {
			s.large = s.large.With(o.ID(), o)
		}
		s.large = s.large.With(id, d)
		s.small = nil
	}
	return s
}

// without takes one addition of id away. removed is false if there was none.
func (s set) without(id uint64) (out set, removed bool) {
	if !s.has(id) {
		return s, false
	}
	if n, ok := s.again.Get(id); ok {
		if n == 1 {
			s.again = s.again.Without(id)
		} else {
			s.again = s.again.With(id, n-1)
		}
		return s, true
	}
	if s.large.Len() > 0 {
		s.large = s.large.Without(id)
		return s, true
	}
	i := s.index(id)
	small := make([]Destination, 0, len(s.small)-1)
	s.small = append(append(small, s.small[:i]...), s.small[i+1:]...)
	return s, true
}
