package definitions

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// Position is a place in a file. Line and column count from 1, the column in characters; 0 for none.
type Position struct {
	File         string `json:"file,omitempty"`
	Line, Column int
}

// String returns file:line:column, or what there is of it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// source is a file that was parsed.
type source struct {
	name string
	data []byte

	index sync.Once
	marks []mark // one for every markEvery bytes, made when the first position is asked for
}

// mark is the line and column behind some bytes of a source: both count from 1.
type mark struct{ line, column int }

// markEvery bounds what is read for one position. Exports are often one line of many megabytes.
const markEvery = 4 << 10

// byteOrderMark may stand at the start of a file. Editors do not show it.
var byteOrderMark = []byte("\xef\xbb\xbf")

// pass returns the mark behind more bytes. A character counts where it begins.
func (m mark) pass(data []byte) mark {
	for _, c := range data {
		switch {
		case c == '\n':
			m = mark{m.line + 1, 1}
		case utf8.RuneStart(c):
			m.column++
		}
	}
	return m
}

func (s *source) makeMarks() {
	m := mark{1, 1}
	if bytes.HasPrefix(s.data, byteOrderMark) {
		m.column--
	}
	s.marks = append(s.marks, m)
	for chunk := range slices.Chunk(s.data, markEvery) {
		m = m.pass(chunk)
		s.marks = append(s.marks, m)
	}
}

// place is a byte of a source. The zero place is nowhere.
type place struct {
	src *source
	at  int
}

func (p place) position() Position {
	if p.src == nil {
		return Position{}
	}
	s := p.src
	s.index.Do(s.makeMarks)
	at := min(p.at, len(s.data))
	n := at / markEvery
	m := s.marks[n].pass(s.data[n*markEvery : at])
	return Position{File: s.name, Line: m.line, Column: m.column}
}

// Problem is one thing that is wrong with definitions, or that is left out of them.
type Problem struct {
	Position
	Field string // path, such as queues[3].durable; empty for the file as a whole
	Value string // as it stands in the file, shortened; empty when there is none to show
	Text  string // what is wrong and what is allowed
}

// Error returns one line: position, field, value, and what is wrong with it.
func (p *Problem) Error() string {
	var parts []string
	if s := p.Position.String(); s != "" {
		parts = append(parts, s)
	}
	field := p.Field
	if p.Value != "" {
		if field != "" {
			field += " = "
		}
		field += p.Value
	}
	if field != "" {
		parts = append(parts, field)
	}
	return strings.Join(append(parts, p.Text), ": ")
}

// Errors is what is wrong with definitions, at least one problem. Nothing was changed.
type Errors []*Problem

// Error returns one line per problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems for errors.As.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, p := range e {
		list[i] = p
	}
	return list
}

// maxProblems bounds the problems and the warnings of one file; what is wrong beyond them is most likely the same again.
const maxProblems = 50

// problems collects problems up to maxProblems.
type problems struct {
	list []*Problem
	more int
}

func (p *problems) add(q *Problem) {
	if len(p.list) < maxProblems {
		p.list = append(p.list, q)
	} else {
		p.more++
	}
}

// all returns what was collected, with a word about the rest.
func (p *problems) all() []*Problem {
	if p.more == 0 {
		return p.list
	}
	return append(p.list[:len(p.list):len(p.list)], &Problem{Position: Position{File: p.list[0].File}, Text: fmt.Sprintf("and %d more like these", p.more)})
}

// err returns the problems as an error, nil if there are none.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return Errors(p.all())
}

// quote shows text from a file.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		cut := most
		for cut > most-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return strconv.Quote(s[:cut]) + "..."
	}
	return strconv.Quote(s)
}

// refusal makes a problem of what a check of package cluster says about the item at a place.
func refusal(at place, field string, err error) *Problem {
	p := &Problem{Position: at.position(), Field: field, Text: err.Error()}
	var argument *cluster.ArgumentError
	var amqp *wire.Error
	var name *meta.NameError
	switch {
	case errors.As(err, &argument):
		p.Field += "." + argument.Field
		p.Value = argument.Value
		p.Text = "want " + argument.Want
	case errors.As(err, &amqp):
		p.Text = amqp.Text
	case errors.As(err, &name):
		p.Text = name.Error()
	}
	return p
}
