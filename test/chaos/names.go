package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is the state of a name: what a declare, a delete and a look can tell of it.
type register int

const (
	never register = iota // so far
	first                 // there for the first time
	gone
	again // there, and was gone before
)

// step is what the model sees of an operation.
type step struct {
	verb    verb
	outcome Outcome
	stale   bool // the node may not know the latest
	op      *Op
}

type verb int

const (
	declare verb = iota
	remove
	look
)

// verbs says what an operation does to which kind of name. A publish looks for its queue.
var verbs = map[Kind]struct {
	verb verb
	of   string
}{
	DeclareQueue:    {declare, "queue"},
	DeleteQueue:     {remove, "queue"},
	LookQueue:       {look, "queue"},
	Publish:         {look, "queue"},
	DeclareExchange: {declare, "exchange"},
	DeleteExchange:  {remove, "exchange"},
	LookExchange:    {look, "exchange"},
	Bind:            {declare, "binding"},
	Unbind:          {remove, "binding"},
	LookBinding:     {look, "binding"},
}

// next returns the states that may follow s when a step takes effect; none if it cannot have had that outcome.
func (st step) next(s register) []register {
	there := s == first || s == again
	switch st.verb {
	case look:
		if st.outcome == Absent && there || st.outcome == OK && !there && !(st.stale && s == gone) {
			return nil
		}
		return []register{s}
	case declare:
		next := map[register]register{never: first, first: first, gone: again, again: again}[s]
		// A node answers a declare of what it knows already without asking anybody.
		if st.outcome == Unknown || st.stale && s == gone {
			return []register{s, next}
		}
		return []register{next}
	default:
		// Deleting what is not there succeeds. What a node knows may be an earlier one of the name, which is gone.
		switch {
		case !there:
			return []register{s}
		case st.outcome == Unknown || st.stale && s == again:
			return []register{s, gone}
		}
		return []register{gone}
	}
}

var nameModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{never} },
	Step: func(state, input, _ any) []any {
		next := input.(step).next(state.(register))
		states := make([]any, len(next))
		for i, s := range next {
			states[i] = s
		}
		return states
	},
	Equal: func(a, b any) bool { return a == b },
}).ToModel()

// nameTimeout bounds the search for an order of the operations on one name.
const nameTimeout = 10 * time.Second

// checkNames looks for an order of events for each name.
func (c *checker) checkNames() {
	names := map[string][]step{}
	for i := range c.ops {
		op := &c.ops[i]
		v, ok := verbs[op.Kind]
		if !ok || op.Outcome == Fail {
			continue
		}
		st := step{v.verb, op.Outcome, c.disturbed(op), op}
		if v.verb == look {
			// A publish tells something only when it is returned: there are too many of the others. What a node routes by is not a
			// name that it would ask the leader for, so a node that may not know the latest may miss it.
			switch {
			case op.Outcome == Unknown,
				op.Kind == Publish && op.Outcome == OK,
				(op.Kind == Publish || op.Kind == LookBinding) && st.stale && op.Outcome == Absent:
				continue
			}
		}
		if op.Kind == LookBinding && c.changing(op) {
			continue
		}
		names[v.of+" "+op.Name] = append(names[v.of+" "+op.Name], st)
	}
	for _, name := range sorted(names) {
		steps := names[name]
		c.verdict.Names++
		switch porcupine.CheckOperationsTimeout(nameModel, operations(steps), nameTimeout) {
		case porcupine.Illegal:
			c.violate("names", fmt.Sprintf("%s: no order of events explains what was seen\n%s", name, tell(shrink(steps))))
		case porcupine.Unknown:
			c.verdict.Undecided = append(c.verdict.Undecided, name)
		}
	}
}

// unknownFor is how long a change without a known outcome counts as being under way.
const unknownFor = 10 * time.Second

// changing says whether somebody was changing the binding during a look for it. Nodes route by a change one after the other while
// it is under way, and all of them once it is answered. Names of queues and exchanges are another matter: a node asks before it
// says that there is none.
func (c *checker) changing(look *Op) bool {
	if c.changes == nil {
		c.changes = map[string][]window{}
		for i := range c.ops {
			if op := &c.ops[i]; (op.Kind == Bind || op.Kind == Unbind) && op.Outcome != Fail {
				w := window{op.Start, op.End}
				if op.Outcome == Unknown {
					w.to += int64(unknownFor)
				}
				c.changes[op.Name] = append(c.changes[op.Name], w)
			}
		}
	}
	for _, w := range c.changes[look.Name] {
		if look.Start <= w.to && look.End >= w.from {
			return true
		}
	}
	return false
}

// operations makes the steps intervals. One without a known outcome may take effect until the end of time.
func operations(steps []step) []porcupine.Operation {
	list := make([]porcupine.Operation, len(steps))
	for i, st := range steps {
		list[i] = porcupine.Operation{Input: st, Call: st.op.Start, Return: st.op.End}
		if st.outcome == Unknown {
			list[i].Return = math.MaxInt64
		}
	}
	return list
}

// shrink cuts off what came after the contradiction, and what is long before: what it returns, in the order of time, is where to
// look.
func shrink(steps []step) []step {
	const enough = 14
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.op.Start, b.op.Start) })
	n := sort.Search(len(steps), func(n int) bool {
		return porcupine.CheckOperationsTimeout(nameModel, operations(steps[:n]), time.Second) == porcupine.Illegal
	})
	n = min(n, len(steps))
	return steps[max(0, n-enough):n]
}

// tell lists steps.
func tell(steps []step) string {
	var b strings.Builder
	for _, st := range steps {
		note := ""
		if st.stale {
			note = " (node disturbed)"
		}
		fmt.Fprintf(&b, "    %s%s\n", st.op.line(), note)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// splitBinding is the queue and the key of a binding's name.
func splitBinding(name string) (queue, key string) {
	queue, key, _ = strings.Cut(name, " ")
	return queue, key
}
