package policy

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/brokerd/brokerd/cluster/meta"
)

// Set is the policies of one vhost, ready to be asked. It is immutable. A nil Set is one without policies.
type Set struct {
	users, operators []*compiled // by priority, highest first, then by name
	problems         []error
}

// compiled is a policy.
type compiled struct {
	name     string
	operator bool
	priority int32
	targets  target
	pattern  pattern
	settings []setting
}

// Compile makes a Set of policies and operator policies, which must all be of one vhost. What is wrong with one (see [Validate])
// is left out, as little as possible, and reported by [Set.Problems]: stored policies were validated, but perhaps by another
// version.
func Compile(policies iter.Seq[*meta.Policy]) *Set {
	s := &Set{}
	for p := range policies {
		c, problems := compile(p)
		s.problems = append(s.problems, problems...)
		switch {
		case c == nil:
		case p.Operator:
			s.operators = append(s.operators, c)
		default:
			s.users = append(s.users, c)
		}
	}
	for _, list := range [][]*compiled{s.users, s.operators} {
		slices.SortFunc(list, func(a, b *compiled) int {
			return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(a.name, b.name))
		})
	}
	return s
}

// Problems says which parts of which policies have no effect because they are invalid.
func (s *Set) Problems() []error {
	if s == nil {
		return nil
	}
	return s.problems
}

// compile compiles one policy. The result is nil when it can apply to nothing.
func compile(p *meta.Policy) (c *compiled, problems []error) {
	wrong := func(field, got, want string) {
		problems = append(problems, &Error{VHost: p.VHost, Policy: p.Name, Operator: p.Operator, Field: field, Got: got, Want: want})
	}
	if p.Name == "" {
		wrong("name", "nothing", "a name")
	}
	re, err := compilePattern(p.Pattern)
	if err != nil {
		wrong("pattern", "'"+shorten([]byte(p.Pattern))+"'",
			fmt.Sprintf("a regular expression of RE2, which has no lookaround and no back-references (%v)", err))
	}
	targets, ok := applyTo[p.ApplyTo]
	if !ok {
		wrong("apply-to", "'"+shorten([]byte(p.ApplyTo))+"'", applyToNames)
	}
	usable := len(problems) == 0
	settings, more := parseDefinition(p)
	problems = append(problems, more...)
	if !usable || len(settings) == 0 {
		return nil, problems
	}
	return &compiled{name: p.Name, operator: p.Operator, priority: p.Priority, targets: targets, pattern: re, settings: settings}, problems
}

// ForQueue returns what policies make of a queue with the given name and type ("classic", "quorum" or "stream", classic for any
// other).
func (s *Set) ForQueue(name, queueType string) Effective {
	return s.effective(targetOf(queueType), name, queueType)
}

// ForExchange returns what policies make of an exchange with the given name and type. All types have the same keys.
func (s *Set) ForExchange(name, exchangeType string) Effective {
	return s.effective(exchange, name, exchangeType)
}

func (s *Set) effective(on target, name, kind string) Effective {
	e := Effective{Type: kind, on: on}
	if s == nil {
		return e
	}
	var users, operators choice
	e.Policy = users.make(s.users, on, name, &e)
	e.OperatorPolicy = operators.make(s.operators, on, name, &e)
	if users.count+operators.count == 0 {
		return e
	}
	e.Values = make([]Value, 0, min(users.count+operators.count, len(keys)))
	for i := range keys {
		from := users.from[i]
		if o := operators.from[i]; from.by == nil || o.by != nil && keys[i].operatorWins(o.value, from.value) {
			from = o
		}
		if from.by != nil {
			e.Values = append(e.Values, newValue(&keys[i], from.value, from.by.origin()))
		}
	}
	return e
}

// operatorWins reports whether the value of an operator policy replaces that of a policy.
func (k *key) operatorWins(operator, user value) bool {
	if k.rule == minimum || k.rule == limit {
		return k.rule.less(operator, user)
	}
	return true
}

func (c *compiled) origin() Origin {
	if c.operator {
		return Origin{Source: OperatorPolicy, Policy: c.name}
	}
	return Origin{Source: Policy, Policy: c.name}
}

// choice is the value of each key that the policies of one kind choose.
type choice struct {
	from [keyCount]struct {
		by    *compiled // nil for none
		value value
	}
	count int // keys with a value
}

// make lets the policies in list choose for a name, adds to e what they do not do, and returns the name of the first that
// matches.
func (c *choice) make(list []*compiled, on target, name string, e *Effective) (first string) {
	matched := false
	for _, p := range list {
		if p.targets&on == 0 || !p.pattern.match(name) {
			continue
		}
		if !matched {
			matched, first = true, p.name
		}
		for _, s := range p.settings {
			k, from := &keys[s.key], &c.from[s.key]
			why := k.whyNot(on, s.value)
			switch {
			case why != "":
				e.Skipped = append(e.Skipped, Skipped{Policy: p.name, Operator: p.operator, Key: k.name, Why: why})
			case from.by == nil:
				from.by, from.value = p, s.value
				c.count++
			case from.by.priority == p.priority && from.value != s.value:
				e.Ties = append(e.Ties, Tie{Operator: p.operator, Key: k.name, Used: from.by.name, Other: p.name})
			}
		}
	}
	return first
}
