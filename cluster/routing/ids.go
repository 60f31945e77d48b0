package routing

import "math/bits"

// ids is a set of numbers that is emptied in no time, for use again and again. It is a hash table with open addressing in which
// slots of older generations count as free.
type ids struct {
	slots      []idSlot // a power of two, at least half of them free
	n          int
	generation uint32 // never 0 once in use
}

type idSlot struct {
	id         uint64
	generation uint32
}

func (s *ids) reset() {
	s.n = 0
	s.generation++
	if s.generation == 0 { // slots of 2^32 resets ago would come to life
		clear(s.slots)
		s.generation = 1
	}
}

// add returns false if id was in the set already.
func (s *ids) add(id uint64) bool {
	if 2*s.n >= len(s.slots) {
		s.grow()
	}
	// Ids are counted up, so the multiplication spreads them without collisions; its upper bits depend on all of id.
	const odd = 0x9e3779b97f4a7c15
	mask := len(s.slots) - 1
	for i := int(id * odd >> (64 - bits.Len(uint(mask)))); ; i++ {
		slot := &s.slots[i&mask]
		if slot.generation != s.generation {
			*slot = idSlot{id, s.generation}
			s.n++
			return true
		}
		if slot.id == id {
			return false
		}
	}
}

func (s *ids) grow() {
	old, generation := s.slots, s.generation
	*s = ids{slots: make([]idSlot, max(64, 2*len(old))), generation: max(1, generation)}
	for _, slot := range old {
		if slot.generation == generation && generation != 0 {
			s.add(slot.id)
		}
	}
}
