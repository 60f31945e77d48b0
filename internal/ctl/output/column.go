package output

import (
	"fmt"
	"slices"
	"strings"
)

// Column is a column of a list of T.
type Column[T any] struct {
	// Name of the column, and of the member in JSON and YAML. It does not change between releases.
	Name string
	// Get returns the value of an item (see Member).
	Get func(T) any
	// Extra says that a table and CSV have it only when it is asked for.
	Extra bool
}

// Columns are all columns of a list of T, in order.
type Columns[T any] []Column[T]

// Names returns the names of the columns.
func (c Columns[T]) Names() []string {
	names := make([]string, len(c))
	for i := range c {
		names[i] = c[i].Name
	}
	return names
}

// Select returns the named columns in the order of the names; without names, those that the format has by itself.
func (c Columns[T]) Select(names []string, format Format) (Columns[T], error) {
	if len(names) == 0 {
		if format == JSON || format == YAML {
			return c, nil
		}
		return slices.DeleteFunc(slices.Clone(c), func(c Column[T]) bool { return c.Extra }), nil
	}
	selected := make(Columns[T], 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(c, func(c Column[T]) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no column %q; there are %s", name, strings.Join(c.Names(), ", "))
		}
		selected = append(selected, c[i])
	}
	return selected, nil
}

// Values returns the values of an item.
func (c Columns[T]) Values(item T) []any {
	values := make([]any, len(c))
	for i := range c {
		values[i] = c[i].Get(item)
	}
	return values
}

// Object returns an item as an object.
func (c Columns[T]) Object(item T) Object {
	o := make(Object, len(c))
	for i := range c {
		o[i] = Member{c[i].Name, c[i].Get(item)}
	}
	return o
}
