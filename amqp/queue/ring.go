package queue

import "slices"

// ready is the consumers that may be given messages, highest priority first, round robin within a priority.
type ready struct {
	levels []*level // by priority, descending; empty ones stay
	n      int
}

type level struct {
	priority int32
	ring     []*Consumer
	head     int
}

func (r *ready) level(priority int32) *level {
	i, ok := slices.BinarySearchFunc(r.levels, priority, func(l *level, p int32) int {
		switch {
		case l.priority > p:
			return -1
		case l.priority < p:
			return 1
		}
		return 0
	})
	if !ok {
		r.levels = slices.Insert(r.levels, i, &level{priority: priority})
	}
	return r.levels[i]
}

// add puts c at the end of its priority's ring, if it is not waiting already.
func (r *ready) add(c *Consumer) {
	if c.waiting {
		return
	}
	c.waiting = true
	l := r.level(c.Priority)
	l.ring = append(l.ring, c)
	r.n++
}

// next takes the consumer whose turn it is, nil if none waits, and reports how many waited in its ring.
func (r *ready) next() (c *Consumer, waiting int) {
	for _, l := range r.levels {
		if n := len(l.ring) - l.head; n > 0 {
			c = l.ring[l.head]
			l.ring[l.head] = nil
			l.head++
			if l.head == len(l.ring) {
				l.ring, l.head = l.ring[:0], 0
			} else if l.head > 64 && l.head > len(l.ring)/2 {
				m := copy(l.ring, l.ring[l.head:])
				clear(l.ring[m:])
				l.ring, l.head = l.ring[:m], 0
			}
			c.waiting = false
			r.n--
			return c, n
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
	r.n--
	l := r.level(c.Priority)
	for i := l.head; i < len(l.ring); i++ {
		if l.ring[i] == c {
			l.ring = append(l.ring[:i], l.ring[i+1:]...)
			return
		}
	}
}
