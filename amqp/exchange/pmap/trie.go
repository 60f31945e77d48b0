package pmap

import "math/bits"

const (
	levelBits = 5
	levelMask = 1<<levelBits - 1
	hashBits  = 64
)

// node is one level of a hash trie. A child slot, selected by five bits of the hash, is empty, a leaf, or a deeper node: its
// bit is set in at most one of leafMap and kidMap, and leaves and kids hold the occupied slots in order. Below the last bits of
// the hash a node is a bucket: leaves whose hashes are all equal, in no slot order, with both maps zero.
//
// A node is never changed once it is reachable. No node but the root is empty or has a single leaf and nothing else, except a
// chain of single kids above two leaves that differ only in later bits.
type node[K comparable, V any] struct {
	leafMap, kidMap uint32
	leaves          []leaf[K, V]
	kids            []*node[K, V]
}

type leaf[K comparable, V any] struct {
	hash  uint64
	key   K
	value V
}

// slot returns the bit of the child slot of h in a node at depth shift.
func slot(h uint64, shift uint) uint32 { return 1 << (h >> shift & levelMask) }

// rank returns the index of slot bit among the occupied slots of m.
func rank(m, bit uint32) int { return bits.OnesCount32(m & (bit - 1)) }

// get finds the leaf of k, or nil.
func (n *node[K, V]) get(h uint64, k K) *leaf[K, V] {
	for shift := uint(0); n != nil && shift < hashBits; shift += levelBits {
		bit := slot(h, shift)
		if n.leafMap&bit != 0 {
			if l := &n.leaves[rank(n.leafMap, bit)]; l.hash == h && l.key == k {
				return l
			}
			return nil
		}
		if n.kidMap&bit == 0 {
			return nil
		}
		n = n.kids[rank(n.kidMap, bit)]
	}
	if n == nil {
		return nil
	}
	if i := n.inBucket(k); i >= 0 {
		return &n.leaves[i]
	}
	return nil
}

func (n *node[K, V]) inBucket(k K) int {
	for i := range n.leaves {
		if n.leaves[i].key == k {
			return i
		}
	}
	return -1
}

// with returns n with the leaf l added or put in the place of the one with the same key.
func (n *node[K, V]) with(shift uint, l leaf[K, V]) (out *node[K, V], added bool) {
	if n == nil {
		n = &node[K, V]{}
	}
	if shift >= hashBits {
		if i := n.inBucket(l.key); i >= 0 {
			return &node[K, V]{leaves: replaced(n.leaves, i, l)}, false
		}
		return &node[K, V]{leaves: inserted(n.leaves, len(n.leaves), l)}, true
	}
	bit := slot(l.hash, shift)
	c := *n
	switch {
	case n.kidMap&bit != 0:
		i := rank(n.kidMap, bit)
		kid, added := n.kids[i].with(shift+levelBits, l)
		c.kids = replaced(n.kids, i, kid)
		return &c, added
	case n.leafMap&bit != 0:
		i := rank(n.leafMap, bit)
		old := n.leaves[i]
		if old.hash == l.hash && old.key == l.key {
			c.leaves = replaced(n.leaves, i, l)
			return &c, false
		}
		var kid *node[K, V]
		kid, _ = kid.with(shift+levelBits, old)
		kid, _ = kid.with(shift+levelBits, l)
		c.leafMap &^= bit
		c.leaves = removed(n.leaves, i)
		c.kids = inserted(n.kids, rank(n.kidMap, bit), kid)
		c.kidMap |= bit
		return &c, true
	default:
		c.leaves = inserted(n.leaves, rank(n.leafMap, bit), l)
		c.leafMap |= bit
		return &c, true
	}
}

// without returns n without k: n itself if k is not there, nil if nothing is left.
func (n *node[K, V]) without(shift uint, h uint64, k K) *node[K, V] {
	if n == nil {
		return nil
	}
	c := *n
	if shift >= hashBits {
		i := n.inBucket(k)
		if i < 0 {
			return n
		}
		c.leaves = removed(n.leaves, i)
		return c.orNil()
	}
	bit := slot(h, shift)
	switch {
	case n.leafMap&bit != 0:
		i := rank(n.leafMap, bit)
		if l := &n.leaves[i]; l.hash != h || l.key != k {
			return n
		}
		c.leaves = removed(n.leaves, i)
		c.leafMap &^= bit
	case n.kidMap&bit != 0:
		i := rank(n.kidMap, bit)
		kid := n.kids[i].without(shift+levelBits, h, k)
		switch {
		case kid == n.kids[i]:
			return n
		case kid != nil && (len(kid.kids) > 0 || len(kid.leaves) > 1):
			c.kids = replaced(n.kids, i, kid)
			return &c
		}
		c.kids = removed(n.kids, i)
		c.kidMap &^= bit
		if kid != nil { // a single leaf moves up, so that the shape does not depend on what was there before
			c.leaves = inserted(n.leaves, rank(n.leafMap, bit), kid.leaves[0])
			c.leafMap |= bit
		}
	default:
		return n
	}
	return c.orNil()
}

func (n *node[K, V]) orNil() *node[K, V] {
	if len(n.leaves) == 0 && len(n.kids) == 0 {
		return nil
	}
	return n
}

func (n *node[K, V]) each(visit func(K, V) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.leaves {
		if !visit(n.leaves[i].key, n.leaves[i].value) {
			return false
		}
	}
	for _, kid := range n.kids {
		if !kid.each(visit) {
			return false
		}
	}
	return true
}

func (n *node[K, V]) appendValues(buf []V) []V {
	if n == nil {
		return buf
	}
	for i := range n.leaves {
		buf = append(buf, n.leaves[i].value)
	}
	for _, kid := range n.kids {
		buf = kid.appendValues(buf)
	}
	return buf
}

func replaced[T any](s []T, i int, x T) []T {
	out := make([]T, len(s))
	copy(out, s)
	out[i] = x
	return out
}

func inserted[T any](s []T, i int, x T) []T {
	out := make([]T, len(s)+1)
	copy(out, s[:i])
	out[i] = x
	copy(out[i+1:], s[i:])
	return out
}

func removed[T any](s []T, i int) []T {
	if len(s) == 1 {
		return nil
	}
	out := make([]T, len(s)-1)
	copy(out, s[:i])
	copy(out[i:], s[i+1:])
	return out
}
