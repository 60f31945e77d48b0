package definitions

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Action says what a step does.
type Action string

// The actions.
const (
	Create    Action = "create"
	Update    Action = "update"
	Delete    Action = "delete"    // only with ApplyOptions.Prune
	Unchanged Action = "unchanged" // it is there already, as it should be
	Conflict  Action = "conflict"  // a queue or exchange that differs, and is left as it is
)

// FieldChange is a field that differs. Values are JSON; those of secrets are empty.
type FieldChange struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
}

// Step is what a plan says about one definition.
type Step struct {
	Action  Action        `json:"action"`
	Kind    Kind          `json:"kind"`
	VHost   string        `json:"vhost,omitempty"`
	Name    string        `json:"name"` // for people; of a binding its ends, key and arguments
	Changes []FieldChange `json:"changes,omitempty"`

	item item
	// neededBy is what the definitions have that would not work without the thing that is deleted.
	neededBy item
}

// Position returns where the definition stands in its file; the zero Position for what is to be deleted.
func (s *Step) Position() Position { return s.item.where().position() }

// marks stand in front of the lines of a plan.
var marks = map[Action]string{Create: "+", Update: "~", Delete: "-", Unchanged: "=", Conflict: "!"}

// nouns name one of a kind.
var nouns = map[Kind]string{VHosts: "vhost", Users: "user", Permissions: "permission", TopicPermissions: "topic permission",
	Parameters: "parameter", GlobalParameters: "global parameter", Policies: "policy", Exchanges: "exchange", Queues: "queue",
	Bindings: "binding"}

// String returns one line: a mark, what it is, and what changes, such as
// "~ policy ttl in vhost /: priority 0 -> 1".
func (s *Step) String() string {
	var b strings.Builder
	b.WriteString(marks[s.Action] + " " + nouns[s.Kind] + " " + s.Name)
	if s.VHost != "" {
		b.WriteString(" in vhost " + s.VHost)
	}
	for i, c := range s.Changes {
		b.WriteString([]string{": ", ", "}[min(i, 1)] + c.Field)
		if c.From != "" || c.To != "" {
			fmt.Fprintf(&b, " %s -> %s", c.From, c.To)
		}
	}
	if s.Action == Conflict {
		b.WriteString(" (left as it is)")
	}
	return b.String()
}

// Plan is what is to be done to make a cluster match definitions. Steps are in the order of dependence of what is created, then
// deletions in the reverse one. A plan does not change.
type Plan []Step

// Counts is how many steps there are of each action.
type Counts struct {
	Create    int `json:"create"`
	Update    int `json:"update"`
	Delete    int `json:"delete"`
	Unchanged int `json:"unchanged"`
	Conflict  int `json:"conflict"`
}

func (c *Counts) of(a Action) *int {
	switch a {
	case Create:
		return &c.Create
	case Update:
		return &c.Update
	case Delete:
		return &c.Delete
	case Conflict:
		return &c.Conflict
	}
	return &c.Unchanged
}

// Count counts the steps.
func (p Plan) Count() (c Counts) {
	for i := range p {
		*c.of(p[i].Action)++
	}
	return c
}

// Empty says that the cluster matches the definitions already: there is nothing but Unchanged.
func (p Plan) Empty() bool {
	c := p.Count()
	return c.Create+c.Update+c.Delete+c.Conflict == 0
}

// String returns the counts in words.
func (c Counts) String() string {
	s := fmt.Sprintf("%d to create, %d to update, %d to delete, %d unchanged", c.Create, c.Update, c.Delete, c.Unchanged)
	if c.Conflict > 0 {
		s += fmt.Sprintf(", %d in conflict", c.Conflict)
	}
	return s
}

// WriteText writes one line per step but those unchanged, then the counts.
func (p Plan) WriteText(w io.Writer) error {
	for i := range p {
		if p[i].Action == Unchanged {
			continue
		}
		if _, err := fmt.Fprintln(w, p[i].String()); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, p.Count())
	return err
}

// MarshalJSON returns the counts, and the steps but those unchanged.
func (p Plan) MarshalJSON() ([]byte, error) {
	out := struct {
		Counts Counts  `json:"counts"`
		Steps  []*Step `json:"steps"`
	}{p.Count(), []*Step{}}
	for i := range p {
		if p[i].Action != Unchanged {
			out.Steps = append(out.Steps, &p[i])
		}
	}
	return json.Marshal(out)
}
