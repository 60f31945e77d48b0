package output

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Format is how something is printed.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
	CSV   Format = "csv"
	// TSV is tab-separated, as rabbitmqctl prints.
	TSV Format = "tsv"
)

// Formats are those that --output takes.
var Formats = []Format{Table, JSON, YAML, CSV}

// sample is how many rows of a table are held to find the widths of its columns; wider cells of later rows push the rest aside.
const sample = 1000

// List prints rows as they come.
type List struct {
	w       *bufio.Writer
	format  Format
	names   []string
	headers bool
	rows    int
	held    [][]any
	widths  []int
	right   []bool
	csv     *csv.Writer
}

// NewList starts a list with the given columns. Without headers a table and CSV have no line of names.
func NewList(w io.Writer, format Format, names []string, headers bool) *List {
	l := &List{w: bufio.NewWriter(w), format: format, names: names, headers: headers}
	if format == CSV {
		l.csv = csv.NewWriter(l.w)
	}
	return l
}

// Row prints a row: one value for each column. The list keeps values.
func (l *List) Row(values []any) error {
	first := l.rows == 0
	l.rows++
	switch l.format {
	case JSON:
		separator := ",\n"
		if first {
			separator = "[\n"
		}
		b, err := encode(l.object(values))
		if err != nil {
			return err
		}
		_, err = l.w.WriteString(separator + "  " + string(b))
		return err
	case YAML:
		return l.yamlRow(values)
	case CSV, TSV:
		if first {
			if err := l.header(); err != nil {
				return err
			}
		}
		return l.cells(values)
	}
	if l.widths == nil {
		l.held = append(l.held, values)
		if len(l.held) < sample {
			return nil
		}
		return l.release()
	}
	return l.tableRow(values)
}

// Flush writes what is ready, for those who watch rows come. A table is laid out by the rows so far.
func (l *List) Flush() error {
	if l.format == Table && l.widths == nil && len(l.held) > 0 {
		if err := l.release(); err != nil {
			return err
		}
	}
	if l.csv != nil {
		l.csv.Flush()
		if err := l.csv.Error(); err != nil {
			return err
		}
	}
	return l.w.Flush()
}

// Close ends the list.
func (l *List) Close() error {
	switch l.format {
	case JSON:
		end := "\n]\n"
		if l.rows == 0 {
			end = "[]\n"
		}
		if _, err := l.w.WriteString(end); err != nil {
			return err
		}
	case YAML:
		if l.rows == 0 {
			if _, err := l.w.WriteString("[]\n"); err != nil {
				return err
			}
		}
	case CSV, TSV:
		if l.rows == 0 {
			if err := l.header(); err != nil {
				return err
			}
		}
	case Table:
		if l.widths == nil {
			if err := l.release(); err != nil {
				return err
			}
		}
	}
	return l.Flush()
}

func (l *List) object(values []any) Object {
	o := make(Object, len(values))
	for i, v := range values {
		o[i] = Member{l.names[i], v}
	}
	return o
}

func (l *List) yamlRow(values []any) error {
	n, err := sequence([]any{l.object(values)})
	if err != nil {
		return err
	}
	b, err := marshalYAML(n)
	if err != nil {
		return err
	}
	_, err = l.w.Write(b)
	return err
}

func marshalYAML(n *yaml.Node) ([]byte, error) {
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, err
	}
	return []byte(b.String()), e.Close()
}

func (l *List) header() error {
	if !l.headers {
		return nil
	}
	values := make([]any, len(l.names))
	for i, n := range l.names {
		values[i] = n
	}
	return l.cells(values)
}

func (l *List) cells(values []any) error {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = Text(v)
	}
	if l.csv != nil {
		return l.csv.Write(texts)
	}
	_, err := l.w.WriteString(strings.Join(texts, "\t") + "\n")
	return err
}

// release finds the widths of the columns and prints what was held.
func (l *List) release() error {
	l.widths = make([]int, len(l.names))
	l.right = make([]bool, len(l.names))
	if l.headers {
		for i, n := range l.names {
			l.widths[i] = utf8.RuneCountInString(n)
		}
	}
	for _, row := range l.held {
		for i, v := range row {
			l.widths[i] = max(l.widths[i], utf8.RuneCountInString(Text(v)))
			l.right[i] = l.right[i] || isNumber(v)
		}
	}
	if l.headers && len(l.names) > 0 {
		values := make([]any, len(l.names))
		for i, n := range l.names {
			values[i] = n
		}
		if err := l.tableRow(values); err != nil {
			return err
		}
	}
	held := l.held
	l.held = nil
	for _, row := range held {
		if err := l.tableRow(row); err != nil {
			return err
		}
	}
	return nil
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, int32, int64, uint32, uint64, float64:
		return true
	}
	return false
}

func (l *List) tableRow(values []any) error {
	var b strings.Builder
	for i, v := range values {
		text := Text(v)
		pad := strings.Repeat(" ", max(0, l.widths[i]-utf8.RuneCountInString(text)))
		if i > 0 {
			b.WriteString("  ")
		}
		if l.right[i] {
			text, pad = pad, text
		}
		b.WriteString(text)
		b.WriteString(pad)
	}
	_, err := fmt.Fprintln(l.w, strings.TrimRight(b.String(), " "))
	return err
}
