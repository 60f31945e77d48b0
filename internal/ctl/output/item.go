package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Item prints one object: as a table it is a line for each member, with lists of objects as tables below.
func Item(w io.Writer, format Format, o Object) error {
	switch format {
	case JSON:
		b, err := encode(o)
		if err != nil {
			return err
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, b, "", "  "); err != nil {
			return err
		}
		indented.WriteByte('\n')
		_, err = w.Write(indented.Bytes())
		return err
	case YAML:
		n, err := node(o)
		if err != nil {
			return err
		}
		b, err := marshalYAML(n)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	case CSV, TSV:
		names := make([]string, len(o))
		values := make([]any, len(o))
		for i, m := range o {
			names[i], values[i] = m.Name, m.Value
		}
		l := NewList(w, format, names, true)
		if err := l.Row(values); err != nil {
			return err
		}
		return l.Close()
	}
	return lines(w, o)
}

func lines(w io.Writer, o Object) error {
	width := 0
	for _, m := range o {
		if _, nested := m.Value.([]Object); !nested {
			width = max(width, utf8.RuneCountInString(m.Name))
		}
	}
	for _, m := range o {
		if list, nested := m.Value.([]Object); nested {
			if err := section(w, m.Name, list); err != nil {
				return err
			}
			continue
		}
		line := m.Name + ":" + strings.Repeat(" ", width-utf8.RuneCountInString(m.Name)+1) + Text(m.Value)
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// section prints a list within an object; the members of its first object name the columns.
func section(w io.Writer, name string, list []Object) error {
	if len(list) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(w, "\n%s:\n", name); err != nil {
		return err
	}
	names := make([]string, len(list[0]))
	for i, m := range list[0] {
		names[i] = m.Name
	}
	l := NewList(w, Table, names, true)
	for _, o := range list {
		values := make([]any, len(names))
		for i := range min(len(names), len(o)) {
			values[i] = o[i].Value
		}
		if err := l.Row(values); err != nil {
			return err
		}
	}
	return l.Close()
}
