package pmap

import (
	"hash/maphash"
	"unsafe"
)

var seed = maphash.MakeSeed()

// Strings is a persistent map from strings to V.
type Strings[V any] struct {
	root *node[string, V]
	n    int
}

// Len returns the number of keys.
func (m Strings[V]) Len() int { return m.n }

// Get returns the value of key.
func (m Strings[V]) Get(key string) (V, bool) {
	if m.n > 0 {
		if l := m.root.get(maphash.String(seed, key), key); l != nil {
			return l.value, true
		}
	}
	var none V
	return none, false
}

// GetBytes is Get for a key in a buffer. It neither allocates nor keeps key.
func (m Strings[V]) GetBytes(key []byte) (V, bool) {
	// The string lives as long as this call, during which the caller does not write to key: nothing below stores it.
	return m.Get(unsafe.String(unsafe.SliceData(key), len(key)))
}

// With returns the map with key set to v.
func (m Strings[V]) With(key string, v V) Strings[V] {
	root, added := m.root.with(0, leaf[string, V]{maphash.String(seed, key), key, v})
	if added {
		m.n++
	}
	return Strings[V]{root, m.n}
}

// Without returns the map without key.
func (m Strings[V]) Without(key string) Strings[V] {
	root := m.root.without(0, maphash.String(seed, key), key)
	if root == m.root {
		return m
	}
	return Strings[V]{root, m.n - 1}
}

// Each calls visit for every key until it returns false.
func (m Strings[V]) Each(visit func(key string, v V) bool) { m.root.each(visit) }

// AppendValues appends all values to buf, in the order of Each.
func (m Strings[V]) AppendValues(buf []V) []V { return m.root.appendValues(buf) }

// IDs is a persistent map from unique numbers to V. Numbers counted up from anywhere spread evenly.
type IDs[V any] struct {
	root *node[uint64, V]
	n    int
}

// Len returns the number of keys.
func (m IDs[V]) Len() int { return m.n }

// Get returns the value of id.
func (m IDs[V]) Get(id uint64) (V, bool) {
	if l := m.root.get(id, id); l != nil {
		return l.value, true
	}
	var none V
	return none, false
}

// With returns the map with id set to v.
func (m IDs[V]) With(id uint64, v V) IDs[V] {
	root, added := m.root.with(0, leaf[uint64, V]{id, id, v})
	if added {
		m.n++
	}
	return IDs[V]{root, m.n}
}

// Without returns the map without id.
func (m IDs[V]) Without(id uint64) IDs[V] {
	root := m.root.without(0, id, id)
	if root == m.root {
		return m
	}
	return IDs[V]{root, m.n - 1}
}

// Each calls visit for every id until it returns false. The order depends on the ids alone.
func (m IDs[V]) Each(visit func(id uint64, v V) bool) { m.root.each(visit) }

// AppendValues appends all values to buf, in the order of Each.
func (m IDs[V]) AppendValues(buf []V) []V { return m.root.appendValues(buf) }
