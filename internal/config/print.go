package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteYAML writes the configuration as a file that Load accepts, with the source of each value as a comment. Secret values
// are left out.
func (c *Config) WriteYAML(w io.Writer) error {
	out := bufio.NewWriter(w)
	var sections layout
	for i := range keys {
		k := &keys[i]
		indent, leaf := sections.enter(out, k.Name)
		if k.Secret {
			fmt.Fprintf(out, "%s# %s: not shown (%s)\n", indent, leaf, c.Source(k.Name))
			continue
		}
		comment := c.Source(k.Name).String()
		if k.typ == "memory" {
			comment += fmt.Sprintf(", %d bytes here", c.Memory.Limit)
		}
		fmt.Fprintf(out, "%s%s: %s # %s\n", indent, leaf, yamlText(k.format(c)), comment)
	}
	return out.Flush()
}

// layout writes the section lines between keys. The table of keys has each section in one piece.
type layout struct{ open []string }

// enter writes the lines of the sections that key name is the first of, and returns its indentation and last part.
func (l *layout) enter(w io.Writer, name string) (indent, leaf string) {
	parts := strings.Split(name, ".")
	path := parts[:len(parts)-1]
	same := 0
	for same < len(path) && same < len(l.open) && path[same] == l.open[same] {
		same++
	}
	for depth := same; depth < len(path); depth++ {
		fmt.Fprintf(w, "%s%s:\n", strings.Repeat("  ", depth), path[depth])
	}
	l.open = path
	return strings.Repeat("  ", len(path)), parts[len(parts)-1]
}

// yamlText returns a value on one line of YAML.
func yamlText(v value) string {
	var node yaml.Node
	if v.list {
		node = yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, item := range v.items {
			node.Content = append(node.Content, stringNode(item))
		}
	} else {
		node = *stringNode(v.items[0])
		if !v.quoted {
			node.Tag = ""
		}
	}
	text, err := yaml.Marshal(&node)
	if err != nil {
		panic(err) // a tree of plain strings
	}
	return strings.TrimSpace(string(text))
}

func stringNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// Change is a key whose value differs between two configurations.
type Change struct {
	Key      string
	Old, New string // as written; empty for a secret
	Live     bool   // takes effect without a restart
}

// Diff returns the keys whose values differ, in the order of the table.
func Diff(old, new *Config) []Change {
	var changes []Change
	for i := range keys {
		k := &keys[i]
		before, after := k.format(old), k.format(new)
		if before.String() == after.String() {
			continue
		}
		change := Change{Key: k.Name, Live: k.Live}
		if !k.Secret {
			change.Old, change.New = before.String(), after.String()
		}
		changes = append(changes, change)
	}
	return changes
}

// Shown is a key with its value, for people.
type Shown struct {
	Key, Value, Default, Help string
}

// Show returns all keys in the order of the table; the values of secrets are hidden.
func (c *Config) Show() []Shown {
	list := make([]Shown, 0, len(keys))
	for i := range keys {
		k := &keys[i]
		value := "********"
		if !k.Secret {
			value = k.format(c).String()
		}
		list = append(list, Shown{Key: k.Name, Value: value, Default: k.defaultValue(), Help: k.Help})
		if k.Secret {
			list[len(list)-1].Default = ""
		}
	}
	return list
}
