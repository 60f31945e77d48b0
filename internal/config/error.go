package config

import (
	"fmt"
	"strings"
)

// Error is one problem of a configuration.
type Error struct {
	Source Source
	Key    string // the key, or the variable that is none; empty when the problem is with the file as a whole
	Value  string // as written; empty when there is none to show
	Text   string // what is wrong and what is allowed, without the rest
}

// Error returns one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Key == "" {
		b.WriteString("configuration " + e.Source.String())
	} else {
		b.WriteString(e.Key)
		if e.Value != "" {
			fmt.Fprintf(&b, " = %q", e.Value)
		}
		if e.Source.Origin != FromDefault && e.Source.Name != e.Key {
			fmt.Fprintf(&b, " (%s)", e.Source)
		}
	}
	return b.String() + ": " + e.Text
}

// Errors is all problems of a configuration, at least one.
type Errors []*Error

// Error returns one line per problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, problem := range e {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems for errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, problem := range e {
		list[i] = problem
	}
	return list
}

func unknownKey(name string, source Source) *Error {
	e := &Error{Source: source, Key: name, Text: "not a configuration key"}
	for i := range keys {
		if strings.HasPrefix(keys[i].Name, name+".") {
			e.Text = fmt.Sprintf("a section, not a key (it has %s)", strings.Join(section(name), ", "))
			return e
		}
		if strings.HasPrefix(name, keys[i].Name+".") {
			e.Text = fmt.Sprintf("not a configuration key (%s has nothing below it)", keys[i].Name)
			return e
		}
	}
	candidates := make([]string, len(keys))
	for i := range keys {
		candidates[i] = keys[i].Name
		if source.Origin == FromEnvironment {
			candidates[i] = keys[i].Env()
		}
	}
	if near := Nearest(name, candidates); near != "" {
		e.Text += fmt.Sprintf(", did you mean %s?", near)
	}
	return e
}

func section(name string) []string {
	var list []string
	for i := range keys {
		if rest, ok := strings.CutPrefix(keys[i].Name, name+"."); ok {
			list = append(list, rest)
		}
	}
	return list
}

// Nearest returns the candidate that was probably meant by s, or "" when none is near: one that differs by a few letters or
// only in separators, or whose last part is s.
func Nearest(s string, candidates []string) string {
	s = strings.ToLower(s)
	best, bestDistance := "", max(len(s)/4, 2)+1
	for _, candidate := range candidates {
		c := strings.ToLower(candidate)
		d := distance(s, c)
		if plain(s) == plain(c) || strings.HasSuffix(c, "."+s) {
			d = 0
		}
		// Half of a short word is not a typing error.
		if d < bestDistance && d < (len(c)+1)/2 {
			best, bestDistance = candidate, d
		}
	}
	return best
}

func plain(s string) string { return strings.NewReplacer(".", "", "_", "", "-", "").Replace(s) }

// distance is the number of bytes to insert, delete, replace or swap with their neighbour to get from a to b.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
