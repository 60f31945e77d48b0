package definitions

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendString appends text as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}

// appendFloat appends a number that is read as a float again: 2 is written as 2.0. What JSON has no number for becomes null.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return append(b, s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// objectWriter appends the members of an object in the order in which they come.
type objectWriter struct {
	b     []byte
	comma bool
}

func startObject(b []byte) *objectWriter { return &objectWriter{b: append(b, '{')} }

func (w *objectWriter) name(name string) {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
	w.b = append(appendString(w.b, name), ':')
}

func (w *objectWriter) text(name, s string) {
	w.name(name)
	w.b = appendString(w.b, s)
}

func (w *objectWriter) flag(name string, v bool) {
	w.name(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *objectWriter) integer(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *objectWriter) strings(name string, list []string) {
	w.name(name)
	w.b = appendStrings(w.b, list)
}

// raw appends a member whose value is JSON already.
func (w *objectWriter) raw(name string, v []byte) {
	w.name(name)
	w.b = append(w.b, v...)
}

func (w *objectWriter) end() []byte { return append(w.b, '}') }

// appendValue appends v without white space, with the members of objects in their order or sorted by name.
func appendValue(b []byte, v *value, sorted bool) []byte {
	switch v.kind {
	case null:
		return append(b, "null"...)
	case text:
		return appendString(b, v.text)
	case array:
		b = append(b, '[')
		for i := range v.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, &v.items[i], sorted)
		}
		return append(b, ']')
	case object:
		members := v.members
		if sorted {
			members = slices.Clone(members)
			slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		}
		w := startObject(b)
		for i := range members {
			w.name(members[i].name)
			w.b = appendValue(w.b, &members[i].value, sorted)
		}
		return w.end()
	}
	return append(b, v.text...)
}

// canonical returns JSON in a form in which values that are the same are the same bytes; what is not JSON is returned as it is.
func canonical(raw []byte) string {
	v, ok := readValue(raw)
	if !ok {
		return string(raw)
	}
	return string(appendValue(nil, &v, true))
}

// compact returns stored JSON without white space, null for what is not JSON: it must not spoil the rest of an export.
func compact(raw []byte) []byte {
	v, ok := readValue(raw)
	if !ok {
		return []byte("null")
	}
	return appendValue(nil, &v, false)
}

// readValue reads JSON that is no part of a file.
func readValue(raw []byte) (v value, ok bool) {
	if !json.Valid(raw) {
		return v, false
	}
	s := &scanner{src: &source{data: raw}, data: raw}
	v, err := s.value()
	return v, err == nil
}
