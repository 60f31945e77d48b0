package exchange

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"sort"
	"sync"

	"github.com/brokerd/brokerd/amqp/wire"
)

// headerSet is the headers of one message, prepared for many comparisons.
type headerSet struct {
	// fields are sorted by hash, those of the same hash in the order of the table: of several fields with the same name only the
	// first counts.
	fields []headerField
	marks  uint64 // of all fields, see pattern.need
}

type headerField struct {
	hash  uint64 // of name
	index int    // in the table
	name  []byte
	value wire.RawValue
}

// keptFields bounds the memory of a pooled headerSet.
const keptFields = 1024

var headerSets = sync.Pool{New: func() any { return new(headerSet) }}

// readHeaders prepares the content of a field table; nil if it is malformed. The result refers to content until release.
func readHeaders(content []byte) *headerSet {
	m := headerSets.Get().(*headerSet)
	sorted := true
	err := wire.WalkTable(content, func(name []byte, v wire.RawValue) bool {
		f := headerField{maphash.Bytes(headerSeed, name), len(m.fields), name, v}
		sorted = sorted && (f.index == 0 || m.fields[f.index-1].hash <= f.hash)
		m.fields = append(m.fields, f)
		m.marks |= nameMark(f.hash)
		if bit, ok := valueMark(f.hash, v); ok {
			m.marks |= bit
		}
		return true
	})
	if err != nil {
		m.release()
		return nil
	}
	if !sorted {
		slices.SortFunc(m.fields, func(a, b headerField) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.index, b.index))
		})
	}
	return m
}

// release gives m back. Nothing of it may be used afterwards.
func (m *headerSet) release() {
	if cap(m.fields) > keptFields {
		return
	}
	clear(m.fields) // they refer to the message
	m.fields, m.marks = m.fields[:0], 0
	headerSets.Put(m)
}

// meets reports whether the message is what the pattern asks for.
func (m *headerSet) meets(p *pattern) bool {
	if p.any {
		if p.need&m.marks == 0 {
			return false
		}
	} else if p.need&^m.marks != 0 {
		return false
	}
	for i := range p.criteria {
		if m.has(&p.criteria[i]) == p.any {
			return p.any
		}
	}
	return !p.any
}

func (m *headerSet) has(c *criterion) bool {
	i := sort.Search(len(m.fields), func(i int) bool { return m.fields[i].hash >= c.hash })
	for ; i < len(m.fields) && m.fields[i].hash == c.hash; i++ {
		if string(m.fields[i].name) == c.name {
			return c.equals(m.fields[i].value)
		}
	}
	return false
}

// equals reports whether v has the value of c. All widths of integers are one kind, and so are float and double.
func (c *criterion) equals(v wire.RawValue) bool {
	switch c.value.Kind {
	case wire.KindVoid:
		return true
	case wire.KindString:
		return v.Kind == wire.KindString && string(v.Data) == c.value.Str
	case wire.KindTable, wire.KindArray:
		// Decoding allocates, so the usual case of the same bytes is tried first.
		return v.Kind == c.value.Kind && (bytes.Equal(v.Data, c.raw) || c.value.Equal(v.Value()))
	}
	if v.Kind == wire.KindTable || v.Kind == wire.KindArray || v.Kind == wire.KindString || v.Kind == wire.KindBinary {
		return v.Kind == c.value.Kind && bytes.Equal(v.Data, c.raw)
	}
	return c.value.Equal(v.Value())
}
