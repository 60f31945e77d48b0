package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Effective is what policies make of one queue or exchange.
type Effective struct {
	// Type is that of the queue or exchange, as it was asked for.
	Type string
	// Policy and OperatorPolicy name the matching ones of the highest priority, empty for none.
	Policy, OperatorPolicy string
	// Values are the keys that have a value, by name, operator policies merged in.
	Values []Value
	// Skipped are keys of matching policies that do not apply.
	Skipped []Skipped
	// Ties are keys that two matching policies of one priority have with different values. The one whose name comes first
	// was used; which one RabbitMQ would use is not defined, so this is worth a warning.
	Ties []Tie

	on target // 0, in the zero Effective, is classic
}

// Value is the value of a key.
type Value struct {
	Key    string
	IsText bool
	Number int64  // unless IsText
	Text   string // if IsText
	Origin Origin
}

// Source is a kind of origin.
type Source uint8

// Sources of a setting.
const (
	Default        Source = iota // nobody said anything
	Argument                     // of the declaration
	Policy                       // a policy
	OperatorPolicy               // an operator policy
)

// String returns the source in words.
func (s Source) String() string {
	switch s {
	case Argument:
		return "argument"
	case Policy:
		return kindName(false)
	case OperatorPolicy:
		return kindName(true)
	}
	return "default"
}

// Origin says where a value comes from.
type Origin struct {
	Source Source
	Policy string // name of the policy or operator policy
}

// String returns the origin in words, such as "policy 'ttl'".
func (o Origin) String() string {
	if o.Policy == "" {
		return o.Source.String()
	}
	return fmt.Sprintf("%s '%s'", o.Source, o.Policy)
}

// Skipped is a key of a matching policy that does not apply.
type Skipped struct {
	Policy   string
	Operator bool
	Key      string
	Why      string
}

// Tie is a key that two matching policies of one priority set differently.
type Tie struct {
	Operator    bool // both are operator policies
	Key         string
	Used, Other string // names of the policies
}

func newValue(k *key, v value, from Origin) Value {
	return Value{Key: k.name, IsText: k.domain.text, Number: v.number, Text: v.text, Origin: from}
}

// Get returns the value of a key.
func (e *Effective) Get(key string) (Value, bool) {
	i, ok := slices.BinarySearchFunc(e.Values, key, func(v Value, key string) int { return strings.Compare(v.Key, key) })
	if !ok {
		return Value{}, false
	}
	return e.Values[i], true
}

// Definition returns the keys and values, int64 or string, as the HTTP API shows them in effective_policy_definition.
func (e *Effective) Definition() map[string]any {
	d := make(map[string]any, len(e.Values))
	for _, v := range e.Values {
		if v.IsText {
			d[v.Key] = v.Text
		} else {
			d[v.Key] = v.Number
		}
	}
	return d
}
