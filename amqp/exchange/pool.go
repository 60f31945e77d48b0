package exchange

import (
	"cmp"
	"slices"

	"github.com/brokerd/brokerd/amqp/exchange/pmap"
)

// pool is a persistent set of destinations of which a table chooses one. The zero value is empty.
type pool struct {
	members pmap.IDs[*member]
	n       int // bindings
}

// member is a destination with the weights of the bindings that lead to it.
type member struct {
	to      Destination
	weights []int // ascending, never empty
}

// Len returns the number of bindings.
func (p pool) Len() int { return p.n }

func (p pool) with(to Destination, weight int) pool {
	m := member{to: to}
	if old, ok := p.members.Get(to.ID()); ok {
		m = *old
	}
	at, _ := slices.BinarySearch(m.weights, weight)
	m.weights = slices.Insert(slices.Clone(m.weights), at, weight)
	return pool{p.members.With(to.ID(), &m), p.n + 1}
}

// without takes one binding away. removed is false if there was none.
func (p pool) without(id uint64, weight int) (out pool, removed bool) {
	old, ok := p.members.Get(id)
	if !ok {
		return p, false
	}
	at, ok := slices.BinarySearch(old.weights, weight)
	if !ok {
		return p, false
	}
	if len(old.weights) == 1 {
		return pool{p.members.Without(id), p.n - 1}, true
	}
	m := member{old.to, slices.Delete(slices.Clone(old.weights), at, at+1)}
	return pool{p.members.With(id, &m), p.n - 1}, true
}

// sorted returns the members in an order that depends on nothing but their identities.
func (p pool) sorted() []*member {
	members := p.members.AppendValues(make([]*member, 0, p.members.Len()))
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.to.Identity(), b.to.Identity()) })
	return members
}
