package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/brokerd/brokerd/cluster/meta"
)

// ErrInvalid is what all errors of [Validate] are.
var ErrInvalid = errors.New("invalid policy")

// Error says what is wrong with a policy.
type Error struct {
	VHost, Policy string
	Operator      bool
	Field         string // name, pattern, apply-to, definition, or a key of the definition
	Got, Want     string // in words
}

// Error returns one line for the operator.
func (e *Error) Error() string {
	return fmt.Sprintf("%s '%s' in vhost '%s': %s: got %s, want %s", kindName(e.Operator), e.Policy, e.VHost, e.Field, e.Got, e.Want)
}

// Is makes the error one of [ErrInvalid].
func (e *Error) Is(target error) bool { return target == ErrInvalid }

func kindName(operator bool) string {
	if operator {
		return "operator policy"
	}
	return "policy"
}

// Validate checks a policy that is to be stored: its name, pattern, apply-to, and the keys and values of its definition
// (SEMANTICS 14.5, values as in 5.12). It returns an [*Error] that names the first thing that is wrong, but all unknown keys.
// Keys that do not fit apply-to are allowed; they have no effect.
func Validate(p *meta.Policy) error {
	if _, problems := compile(p); len(problems) > 0 {
		return problems[0]
	}
	return nil
}

// setting is a key of a definition.
type setting struct {
	key   int // index in keys
	value value
}

// parseDefinition decodes a definition. The settings are those that are in order, by key; problems says what is wrong with
// others, or with all of it.
func parseDefinition(p *meta.Policy) (settings []setting, problems []error) {
	wrong := func(field, got, want string) {
		problems = append(problems, &Error{VHost: p.VHost, Policy: p.Name, Operator: p.Operator, Field: field, Got: got, Want: want})
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(p.Definition, &fields); err != nil {
		wrong("definition", shorten(p.Definition), "a JSON object")
		return nil, problems
	}
	if len(fields) == 0 {
		wrong("definition", "no key", "at least one of "+keyNames(p.Operator))
		return nil, problems
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		i := keyOf(name)
		if i < 0 || p.Operator && !keys[i].operator {
			unknown = append(unknown, shorten([]byte(name)))
			continue
		}
		d := &keys[i].domain
		if v, ok := d.parse(fields[name]); ok {
			settings = append(settings, setting{i, v})
		} else {
			wrong(name, shorten(fields[name]), d.want)
		}
	}
	if unknown != nil {
		// In front: a mistyped name is more likely what is wrong than anything else.
		problems = slices.Insert(problems, 0, error(&Error{VHost: p.VHost, Policy: p.Name, Operator: p.Operator, Field: "definition",
			Got: "unrecognised " + strings.Join(unknown, ", "), Want: "only keys of " + keyNames(p.Operator)}))
	}
	upstreams := 0
	for _, s := range settings {
		if strings.HasPrefix(keys[s.key].name, "federation-upstream") {
			upstreams++
		}
	}
	if upstreams > 1 {
		wrong("definition", "several", "only one of federation-upstream, federation-upstream-pattern and federation-upstream-set")
		settings = slices.DeleteFunc(settings, func(s setting) bool { return strings.HasPrefix(keys[s.key].name, "federation-upstream") })
	}
	return settings, problems
}

// parse decodes a JSON value.
func (d *domain) parse(raw json.RawMessage) (v value, ok bool) {
	if d.text {
		var s *string
		if json.Unmarshal(raw, &s) != nil || s == nil {
			return v, false
		}
		v.text = *s
	} else {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return v, false
		}
		v.number = n
	}
	return v, d.check(v)
}

// keyNames lists the keys that a policy may have.
func keyNames(operator bool) string {
	var names []string
	for i := range keys {
		if !operator || keys[i].operator {
			names = append(names, keys[i].name)
		}
	}
	return strings.Join(names, ", ")
}

// shorten returns what stands in a policy, fit for an error text.
func shorten(raw []byte) string {
	const most = 80
	if len(raw) > most {
		return strings.ToValidUTF8(string(raw[:most]), "") + "..."
	}
	if len(raw) == 0 {
		return "nothing"
	}
	return strings.ToValidUTF8(string(raw), "\uFFFD")
}
