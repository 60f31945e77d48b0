package definitions

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// JSON is read into values that know where they stand, one item of a section at a time, so that a mistake can be shown in the file
// and a large file need not be in memory twice. The grammar is that of RFC 8259; beyond it a member may not occur twice, and text
// must be UTF-8.

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// value is a JSON value from at up to end in the source.
type value struct {
	kind    kind
	at, end int
	text    string // content of a string; literal of a number or boolean
	items   []value
	members []member
}

// member is one name and value of an object.
type member struct {
	name  string
	at    int // of the name
	value value
}

// get returns a member, nil if there is none.
func (v *value) get(name string) *value {
	for i := range v.members {
		if v.members[i].name == name {
			return &v.members[i].value
		}
	}
	return nil
}

// find returns the first member whose name is right, of v or within its members; nil if there is none.
func (v *value) find(right func(name string) bool) *value {
	for i := range v.members {
		if right(v.members[i].name) {
			return &v.members[i].value
		}
	}
	for i := range v.members {
		if m := v.members[i].value.find(right); m != nil {
			return m
		}
	}
	return nil
}

// maxNesting bounds how deep arrays and objects are nested. Field tables may be nested a little deeper (wire.MaxDepth).
const maxNesting = 100

// scanner reads JSON from the start of a source to its end. The first error is a *Problem and ends it.
type scanner struct {
	src   *source
	data  []byte
	pos   int
	depth int
}

func (s *scanner) wrong(at int, format string, args ...any) error {
	return &Problem{Position: place{s.src, at}.position(), Text: fmt.Sprintf(format, args...)}
}

// found shows what stands at the current position.
func (s *scanner) found() string {
	if s.pos >= len(s.data) {
		return "the end of the file"
	}
	r, n := utf8.DecodeRune(s.data[s.pos:])
	if r == utf8.RuneError && n <= 1 {
		return fmt.Sprintf("the byte 0x%02x", s.data[s.pos])
	}
	return quote(string(r))
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// next skips space and says whether c follows, which it takes.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// peek skips space and returns the byte that follows, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// list reads the elements of an array; the position is at its bracket.
func (s *scanner) list(element func() error) error {
	return s.sequence('[', ']', element)
}

// object reads the members of an object; the position is at its brace. each reads the value.
func (s *scanner) object(each func(name string, at int) error) error {
	seen := make(map[string]bool)
	return s.sequence('{', '}', func() error {
		s.space()
		at := s.pos
		if s.peek() != '"' {
			return s.wrong(s.pos, "found %s, want the name of a member in double quotes", s.found())
		}
		name, err := s.string()
		if err != nil {
			return err
		}
		if seen[name] {
			return s.wrong(at, "the member %s occurs twice in this object; remove one of them", quote(name))
		}
		seen[name] = true
		if !s.next(':') {
			return s.wrong(s.pos, "found %s, want a colon after the name of a member", s.found())
		}
		return each(name, at)
	})
}

func (s *scanner) sequence(open, end byte, element func() error) error {
	s.pos++
	s.depth++
	defer func() { s.depth-- }()
	if s.depth > maxNesting {
		return s.wrong(s.pos-1, "nested deeper than %d levels", maxNesting)
	}
	if s.next(end) {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch {
		case s.next(','):
			if s.peek() == end {
				return s.wrong(s.pos, "found %s after a comma; remove the comma or add what is missing", s.found())
			}
		case s.next(end):
			return nil
		default:
			return s.wrong(s.pos, "found %s, want a comma or %s for the %q before", s.found(), quote(string(end)), string(open))
		}
	}
}

// value reads one value of any kind.
func (s *scanner) value() (v value, err error) {
	s.space()
	v.at = s.pos
	c := s.peek()
	switch {
	case c == '{':
		v.kind = object
		err = s.object(func(name string, at int) error {
			m, err := s.value()
			v.members = append(v.members, member{name, at, m})
			return err
		})
	case c == '[':
		v.kind = array
		err = s.list(func() error {
			e, err := s.value()
			v.items = append(v.items, e)
			return err
		})
	case c == '"':
		v.kind = text
		v.text, err = s.string()
	case c == '-' || c >= '0' && c <= '9':
		v.kind = number
		v.text, err = s.number()
	default:
		v.kind, v.text, err = s.word()
	}
	v.end = s.pos
	return v, err
}

func (s *scanner) word() (kind, string, error) {
	for word, k := range map[string]kind{"null": null, "true": boolean, "false": boolean} {
		if strings.HasPrefix(string(s.data[s.pos:min(len(s.data), s.pos+len(word))]), word) {
			s.pos += len(word)
			return k, word, nil
		}
	}
	return null, "", s.wrong(s.pos, "found %s, want a JSON value", s.found())
}

// digits takes digits and returns how many.
func (s *scanner) digits() (n int) {
	for s.pos < len(s.data) && s.data[s.pos] >= '0' && s.data[s.pos] <= '9' {
		s.pos++
		n++
	}
	return n
}

func (s *scanner) number() (string, error) {
	start := s.pos
	if s.data[s.pos] == '-' {
		s.pos++
	}
	first := s.pos
	n := s.digits()
	ok := n == 1 || n > 1 && s.data[first] != '0'
	if ok && s.pos < len(s.data) && s.data[s.pos] == '.' {
		s.pos++
		ok = s.digits() > 0
	}
	if ok && s.pos < len(s.data) && (s.data[s.pos] == 'e' || s.data[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.data) && (s.data[s.pos] == '+' || s.data[s.pos] == '-') {
			s.pos++
		}
		ok = s.digits() > 0
	}
	if !ok {
		return "", s.wrong(start, "%s is no number of JSON", quote(string(s.data[start:s.pos])))
	}
	return string(s.data[start:s.pos]), nil
}

// string reads a string; the position is at its first quote.
func (s *scanner) string() (string, error) {
	start := s.pos
	escaped := false
	for s.pos++; ; {
		if s.pos >= len(s.data) {
			return "", s.wrong(start, "this string has no closing quote")
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return s.unquote(start, escaped)
		case c == '\\':
			escaped = true
			s.pos += 2
		case c < ' ':
			return "", s.wrong(s.pos, "the control character 0x%02x in a string; write it as \\u%04x", c, c)
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, n := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && n <= 1 {
				return "", s.wrong(s.pos, "the byte 0x%02x in a string is not UTF-8; save the file as UTF-8", c)
			}
			s.pos += n
		}
	}
}

// unquote returns the content of the string from start to the current position.
func (s *scanner) unquote(start int, escaped bool) (string, error) {
	raw := s.data[start:s.pos]
	if !escaped {
		return string(raw[1 : len(raw)-1]), nil
	}
	if at := loneSurrogate(raw); at >= 0 {
		return "", s.wrong(start+at, "%s is half of a character; write both halves", quote(string(raw[at:at+6])))
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", s.wrong(start, "%s has an escape that JSON does not know: %v", quote(string(raw)), err)
	}
	return text, nil
}

// loneSurrogate returns where a \u escape for half of a character stands alone, which encoding/json would silently replace; -1 for
// nowhere.
func loneSurrogate(raw []byte) int {
	high := -1
	for i := 0; i < len(raw); i++ {
		unit := 0
		if raw[i] == '\\' && i+5 < len(raw) && raw[i+1] == 'u' {
			if _, err := fmt.Sscanf(string(raw[i+2:i+6]), "%04x", &unit); err != nil {
				return -1 // encoding/json says what is wrong
			}
		}
		low := unit >= 0xdc00 && unit < 0xe000
		if high >= 0 && !low {
			return high
		}
		if low && high < 0 {
			return i
		}
		high = -1
		if unit >= 0xd800 && unit < 0xdc00 {
			high = i
		}
		switch {
		case unit != 0:
			i += 5
		case raw[i] == '\\':
			i++
		}
	}
	return high
}
