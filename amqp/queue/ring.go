package queue

import "slices"

// ready is the consumers that may be given messages, highest priority first, round robin within a priority.
type ready struct {
	levels []*level // by priority, descending
}

// level is the consumers of one priority that wait for their turn, in order. Consumer.slot is the consumer's position, counted
// from the level's beginning, so that it can be taken out without a search; its place stays empty then.
type level struct {
	priority int32
	ring     []*Consumer // ring[0] has slot first
	first    int
	head     int // entries before are empty
	n        int // consumers in ring
}

// maxIdleLevels is how many priorities without a waiting consumer are kept for the next one.
const maxIdleLevels = 8

func (r *ready) find(priority int32) (int, bool) {
	return slices.BinarySearchFunc(r.levels, priority, func(l *level, p int32) int {
		switch {
		case l.priority > p:
			return -1
		case l.priority < p:
			return 1
		}
		return 0
	})
}

// add puts c at the end of its priority's ring, if it is not waiting already.
func (r *ready) add(c *Consumer) {
	if c.waiting {
		return
	}
	i, ok := r.find(c.Priority)
	if !ok {
		r.prune()
		i, _ = r.find(c.Priority)
		r.levels = slices.Insert(r.levels, i, &level{priority: c.Priority})
	}
	l := r.levels[i]
	c.waiting = true
	c.slot = l.first + len(l.ring)
	l.ring = append(l.ring, c)
	l.n++
}

// prune forgets priorities that nobody waits in when there are many.
func (r *ready) prune() {
	idle := 0
	for _, l := range r.levels {
		if l.n == 0 {
			idle++
		}
	}
	if idle >= maxIdleLevels {
		r.levels = slices.DeleteFunc(r.levels, func(l *level) bool { return l.n == 0 })
	}
}

// next takes the consumer whose turn it is, nil if none waits, and reports how many waited in its ring.
func (r *ready) next() (c *Consumer, waiting int) {
	for _, l := range r.levels {
		if l.n > 0 {
			waiting = l.n
			for c == nil {
				c = l.ring[l.head]
				l.ring[l.head] = nil
				l.head++
			}
			c.waiting = false
			l.n--
			l.compact()
			return c, waiting
		}
	}
	return nil, 0
}

// remove takes c out.
func (r *ready) remove(c *Consumer) {
	if !c.waiting {
		return
	}
	c.waiting = false
	i, _ := r.find(c.Priority)
	l := r.levels[i]
	l.ring[c.slot-l.first] = nil
	l.n--
	l.compact()
}

// compact frees the empty entries at the front once they are the majority.
func (l *level) compact() {
	switch {
	case l.n == 0:
		l.first += len(l.ring)
		clear(l.ring)
		l.ring, l.head = l.ring[:0], 0
	case l.head > 64 && l.head > len(l.ring)/2:
		m := copy(l.ring, l.ring[l.head:])
		clear(l.ring[m:])
		l.first += l.head
		l.ring, l.head = l.ring[:m], 0
	}
}
