package exchange

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/wire"
)

// consistent routes to one destination by a hash of the message. The key of a binding is its weight: a destination gets that part
// of all hash values. When a destination comes or goes, only those messages move that go to it then, or went to it before.
//
// The choice is by weighted rendezvous: each destination draws a number from the hash and its own identity, and the best one
// wins. So it depends on nothing but the set of bindings. Jump hashing would not do: it numbers the destinations, and a node that
// learned the bindings from a snapshot cannot know the numbers that the others gave them in the course of time.
type consistent struct {
	on hashOn
	pool
	// classes are the destinations by ascending weight. They are made by the first Match, see oneOf.choices.
	classes atomic.Pointer[[]class]
}

// class is all destinations of one weight.
type class struct {
	weight     float64
	candidates []candidate
}

type candidate struct {
	seed uint64
	to   Destination
}

// maxWeight bounds the key of a binding.
const maxWeight = 10_000

func newConsistent(arguments []byte) Table { return &consistent{on: readHashOn(arguments)} }

func (t *consistent) With(b Binding) Table {
	return &consistent{on: t.on, pool: t.with(b.To, bindingWeight(b.Key))}
}

func (t *consistent) Without(b Binding) Table {
	p, ok := t.without(b.To.ID(), bindingWeight(b.Key))
	if !ok {
		return t
	}
	return &consistent{on: t.on, pool: p}
}

func (t *consistent) Basis() Basis {
	if t.on.source == sourceKey {
		return ByKeys
	}
	return ByMessage
}

func (t *consistent) Match(buf []Destination, m *Message) []Destination {
	classes := t.classes.Load()
	if classes == nil {
		classes = t.classify()
		t.classes.Store(classes)
	}
	if len(*classes) == 0 {
		return buf
	}
	h := t.on.hash(m)
	if len(*classes) == 1 {
		best, _ := (*classes)[0].best(h)
		return append(buf, best.to)
	}
	// If draws are evenly distributed between 0 and 1, -ln(draw)/weight is the time of an event with the rate weight, and which of
	// several events is the first one is a matter of their rates. Within a class the largest draw is the first.
	var first *candidate
	var at float64
	for i := range *classes {
		c := &(*classes)[i]
		best, draw := c.best(h)
		// 53 bits are exact, and the half keeps away from 0 and 1.
		time := -math.Log((float64(draw>>11)+0.5)/(1<<53)) / c.weight
		if first == nil || time < at {
			first, at = best, time
		}
	}
	return append(buf, first.to)
}

// best returns the candidate with the largest draw.
func (c *class) best(h uint64) (best *candidate, draw uint64) {
	best = &c.candidates[0]
	draw = scramble(h ^ best.seed)
	for i := 1; i < len(c.candidates); i++ {
		if d := scramble(h ^ c.candidates[i].seed); d > draw {
			best, draw = &c.candidates[i], d
		}
	}
	return best, draw
}

// classify makes classes. Of several bindings of a destination the one with the smallest weight counts, and the others are
// ignored: unlike their order, all nodes know that.
func (t *consistent) classify() *[]class {
	members := t.sorted()
	slices.SortStableFunc(members, func(a, b *member) int { return a.weights[0] - b.weights[0] })
	var classes []class
	for _, m := range members {
		weight := float64(m.weights[0])
		if n := len(classes); n == 0 || classes[n-1].weight != weight {
			classes = append(classes, class{weight: weight})
		}
		c := &classes[len(classes)-1]
		seed := scramble(hashBytes(hashStart, []byte(m.to.Identity())))
		c.candidates = append(c.candidates, candidate{seed, m.to})
	}
	return &classes
}

// bindingWeight returns the weight that a key stands for. Keys that no check would let through count as the nearest weight, or 1.
func bindingWeight(key string) int {
	n, err := strconv.ParseInt(key, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 1
	}
	return int(min(max(n, 1), maxWeight))
}

// checkWeight accepts keys that are a weight.
func checkWeight(key string, _ wire.Table) error {
	n, err := strconv.ParseInt(key, 10, 64) // out of range, n is the nearest number
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return wire.Errorf(wire.PreconditionFailed, "The binding key must be an integer: %s", wire.ErlangBytes([]byte(key)))
	case n < 1:
		return wire.Errorf(wire.PreconditionFailed, "The binding key must be greater than 0")
	case n > maxWeight:
		return wire.Errorf(wire.PreconditionFailed, "The binding key must not exceed %d", maxWeight)
	}
	return nil
}
