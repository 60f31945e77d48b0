package definitions

import (
	"slices"

	"github.com/brokerd/brokerd/cluster/meta"
)

// Diff compares a state with definitions. The plan has a step for each definition, and one to delete whatever the state has beyond
// them in the sections that the definitions have. Passwords in plain text are compared by hashing, which takes some 20 ms each.
//
// The error is an [Errors] with what could not be applied: definitions that refer to what is neither defined nor there, more queues
// than a vhost may have, and definitions of one vhost that were not put [Definitions.In] one.
func Diff(s *meta.State, d *Definitions) (Plan, error) {
	if d.detached {
		return nil, Errors{{Text: "definitions of one vhost; say into which vhost they go"}}
	}
	have := index(collect(s, d.VHost, true))
	c := &checker{s: s, d: d, want: index(d)}
	c.check()
	if err := c.wrong.err(); err != nil {
		return nil, err
	}
	var plan Plan
	for _, k := range kinds {
		for _, i := range d.items[k] {
			plan = append(plan, compare(s, have[k][i.id()], i))
		}
	}
	return append(plan, deletions(s, d, c)...), nil
}

// index finds items by kind and id.
func index(d *Definitions) map[Kind]map[string]item {
	all := make(map[Kind]map[string]item, len(kinds))
	for _, k := range kinds {
		all[k] = make(map[string]item, len(d.items[k]))
		for _, i := range d.items[k] {
			all[k][i.id()] = i
		}
	}
	return all
}

// newStep makes a step without an action.
func newStep(i item) Step {
	return Step{Kind: i.kind(), VHost: i.in(), Name: i.label(), item: i}
}

// compare makes the step for a definition; have is what the state has of it, nil for nothing.
func compare(s *meta.State, have, want item) Step {
	want = inherit(s, have, want)
	step := newStep(want)
	if have == nil {
		step.Action = Create
		if p, ok := want.(*parameter); ok && p.isLimits() && p.fields()[0].Value == "{}" {
			step.Action = Unchanged // limits that are none
		}
		return step
	}
	old := have.fields()
	for i, f := range want.fields() {
		if f.Value == old[i].Value {
			continue
		}
		change := FieldChange{Field: f.Name, From: old[i].Value, To: f.Value}
		if f.Name == secretField {
			change.From, change.To = "", ""
		}
		step.Changes = append(step.Changes, change)
	}
	switch {
	case len(step.Changes) == 0:
		step.Action = Unchanged
	case step.Kind == Queues || step.Kind == Exchanges:
		step.Action = Conflict
	default:
		step.Action = Update
	}
	return step
}

// inherit returns a definition in which what the file leaves open is as the state has it.
func inherit(s *meta.State, have, want item) item {
	switch w := want.(type) {
	case *vhost:
		old, ok := have.(*vhost)
		if !ok {
			return want
		}
		v := *w
		if !v.given["description"] {
			v.Description = old.Description
		}
		if !v.given["tags"] {
			v.Tags = old.Tags
		}
		if !v.given["default_queue_type"] {
			v.DefaultQueueType = old.DefaultQueueType
		}
		if !v.given["tracing"] {
			v.Tracing = old.Tracing
		}
		if !v.given["protected_from_deletion"] {
			v.Protected = old.Protected
		}
		return &v
	case *user:
		old, ok := have.(*user)
		if !ok {
			return want
		}
		u := *w
		if !u.limitsGiven {
			u.limits = old.limits
		}
		if u.password != "" && meta.VerifyPassword(s.User(u.Name), u.password) {
			u.password, u.PasswordHash, u.HashAlgorithm = "", old.PasswordHash, old.HashAlgorithm
		}
		return &u
	}
	return want
}

// deletions returns the steps that delete what the definitions do not have, what depends on others first. What goes with its vhost
// or user needs no step.
func deletions(s *meta.State, d *Definitions, c *checker) (plan Plan) {
	// Bindings that JSON cannot tell apart have one id, so each is looked up by its own.
	have := collect(s, d.VHost, false)
	going := map[Kind]map[string]bool{VHosts: {}, Users: {}, Exchanges: {}, Queues: {}}
	for _, k := range kinds {
		if !d.sections[k] {
			continue
		}
		for _, i := range have.items[k] {
			if c.want[k][i.id()] != nil || going[VHosts][i.in()] || gone(i, going) || kept(i, d) {
				continue
			}
			if g := going[k]; g != nil {
				g[i.id()] = true
			}
			step := newStep(i)
			step.Action = Delete
			step.neededBy = c.needed[k][i.id()]
			plan = append(plan, step)
		}
	}
	slices.Reverse(plan)
	return plan
}

// gone says whether i goes with a user, an exchange or a queue that is deleted.
func gone(i item, going map[Kind]map[string]bool) bool {
	switch v := i.(type) {
	case *permission:
		return going[Users][v.User]
	case *topicPermission:
		return going[Users][v.User]
	case *binding:
		to := going[Queues]
		if v.DestinationKind == meta.ToExchange {
			to = going[Exchanges]
		}
		return going[Exchanges][join(v.VHost, v.Source)] || to[join(v.VHost, v.Destination)]
	}
	return false
}

// kept says whether a definition is not to be deleted although the file does not have it. Operator policies stand among
// the parameters, so a file with policies alone says nothing about them.
func kept(i item, d *Definitions) bool {
	if p, ok := i.(*policy); ok && p.Operator {
		return !d.sections[Parameters]
	}
	return false
}
