package exchange

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/wire"
)

// oneOf routes to one destination, which it chooses among all bindings alike: a destination that is bound twice is chosen twice
// as often. Keys and arguments of bindings do not matter.
type oneOf struct {
	lot *lot
	pool
	// choices are the destinations of all bindings, sorted. They are made by the first Match, so that many changes in a row cost
	// little. It makes no difference if several goroutines make them at once: the results are alike, and each is complete before
	// its pointer is here.
	choices atomic.Pointer[[]Destination]
}

// lot is a way to choose.
type lot struct {
	basis Basis
	local bool // among local destinations only
	// cast returns a number below n, which is positive.
	cast func(m *Message, n int) int
}

var (
	byModulus     = &lot{basis: ByKeys, cast: func(m *Message, n int) int { return int(hashKeys(m) % uint64(n)) }}
	byChance      = &lot{basis: ByChance, cast: func(_ *Message, n int) int { return rand.IntN(n) }}
	byLocalChance = &lot{basis: ByChance, cast: byChance.cast, local: true}
)

func (t *oneOf) With(b Binding) Table { return &oneOf{lot: t.lot, pool: t.with(b.To, 0)} }

func (t *oneOf) Without(b Binding) Table {
	p, ok := t.without(b.To.ID(), 0)
	if !ok {
		return t
	}
	return &oneOf{lot: t.lot, pool: p}
}

func (t *oneOf) Basis() Basis { return t.lot.basis }

func (t *oneOf) Match(buf []Destination, m *Message) []Destination {
	choices := t.choices.Load()
	if choices == nil {
		choices = t.list()
		t.choices.Store(choices)
	}
	switch n := len(*choices); n {
	case 0:
		return buf
	case 1:
		return append(buf, (*choices)[0])
	default:
		return append(buf, (*choices)[t.lot.cast(m, n)])
	}
}

func (t *oneOf) list() *[]Destination {
	choices := make([]Destination, 0, t.n)
	for _, m := range t.sorted() {
		if t.lot.local && !m.to.Local() {
			continue
		}
		for range m.weights {
			choices = append(choices, m.to)
		}
	}
	return &choices
}

// checkNoKey refuses all binding keys but the empty one.
func checkNoKey(key string, _ wire.Table) error {
	if key == "" {
		return nil
	}
	return wire.Errorf(wire.PreconditionFailed, "Non empty binding '%s' key not permitted", key)
}

// checkClassic accepts classic queues. For RabbitMQ an exchange is a queue that is not there; types have the names of modules.
func checkClassic(queueType string) error {
	switch queueType {
	case "classic":
		return nil
	case "":
		return wire.Errorf(wire.PreconditionFailed, "Destination not found")
	}
	return wire.Errorf(wire.PreconditionFailed, "Queue type rabbit_%s_queue not valid for this exchange type", queueType)
}
