package exchange

import (
	"bytes"
	"math"
	"math/bits"
	"strings"

	"github.com/brokerd/brokerd/amqp/exchange/pmap"
)

// topic routes by patterns of words: "*" stands for one word, "#" for any number of words. The empty key has no words, and
// otherwise words are what is between the dots, empty ones included.
type topic struct {
	root *topicNode // nil if there are no bindings
	n    int
}

// topicNode stands for the words on the way from the root. It is immutable, and not empty.
type topicNode struct {
	here  *set // bindings that end here, nil for none
	words pmap.Strings[*topicNode]
	star  *topicNode // "*"
	hash  *topicNode // "#"
}

func (t topic) Len() int { return t.n }

func (t topic) With(b Binding) Table {
	return topic{t.root.with(b.Key, len(b.Key) == 0, b.To), t.n + 1}
}

func (t topic) Without(b Binding) Table {
	root, ok := t.root.without(b.Key, len(b.Key) == 0, b.To.ID())
	if !ok {
		return t
	}
	return topic{root, t.n - 1}
}

// with returns n with a binding at the end of the remaining words of its key; end says that none remain.
func (n *topicNode) with(key string, end bool, to Destination) *topicNode {
	var c topicNode
	if n != nil {
		c = *n
	}
	if end {
		var s set
		if c.here != nil {
			s = *c.here
		}
		s = s.with(to)
		c.here = &s
		return &c
	}
	word, rest, more := strings.Cut(key, ".")
	c.setChild(word, c.child(word).with(rest, !more, to))
	return &c
}

// without takes one binding away. It returns nil if nothing is left.
func (n *topicNode) without(key string, end bool, id uint64) (out *topicNode, removed bool) {
	if n == nil {
		return nil, false
	}
	c := *n
	if end {
		if c.here == nil {
			return n, false
		}
		s, ok := c.here.without(id)
		if !ok {
			return n, false
		}
		if c.here = &s; s.empty() {
			c.here = nil
		}
	} else {
		word, rest, more := strings.Cut(key, ".")
		child, ok := c.child(word).without(rest, !more, id)
		if !ok {
			return n, false
		}
		c.setChild(word, child)
	}
	if c.here == nil && c.star == nil && c.hash == nil && c.words.Len() == 0 {
		return nil, true
	}
	return &c, true
}

func (n *topicNode) child(word string) *topicNode {
	switch word {
	case "*":
		return n.star
	case "#":
		return n.hash
	}
	child, _ := n.words.Get(word)
	return child
}

func (n *topicNode) setChild(word string, child *topicNode) {
	switch {
	case word == "*":
		n.star = child
	case word == "#":
		n.hash = child
	case child == nil:
		n.words = n.words.Without(word)
	default:
		n.words = n.words.With(word, child)
	}
}

func (t topic) Basis() Basis { return ByKeys }

func (t topic) Match(buf []Destination, m *Message) []Destination {
	if t.root == nil {
		return buf
	}
	buf = t.root.matchKey(m.Key, buf)
	for _, key := range m.Extra {
		buf = t.root.matchKey(key, buf)
	}
	return buf
}

// matchKey needs no more than one visit per node of the trie, however many "#" the patterns have: it walks down with the set of
// all positions in the key at which the words so far may end, instead of trying one position after the other.
func (n *topicNode) matchKey(key []byte, buf []Destination) []Destination {
	var k topicKey
	if !k.split(key) {
		return matchLong(n, key, buf)
	}
	return k.match(n, 1, buf)
}

// maxWords is the number of words up to which positions, one more than words, fit into a uint64.
const maxWords = 63

// topicKey is a routing key of up to maxWords words.
type topicKey struct {
	key []byte
	n   int              // words
	end [maxWords]uint16 // ends of the words in key
}

// split returns false if key has too many words or bytes.
func (k *topicKey) split(key []byte) bool {
	k.key = key
	if len(key) == 0 {
		return true
	}
	if len(key) > math.MaxUint16 {
		return false
	}
	for i, c := range key {
		if c == '.' {
			if k.n == maxWords-1 {
				return false
			}
			k.end[k.n] = uint16(i)
			k.n++
		}
	}
	k.end[k.n] = uint16(len(key))
	k.n++
	return true
}

func (k *topicKey) word(i int) []byte {
	start := 0
	if i > 0 {
		start = int(k.end[i-1]) + 1
	}
	return k.key[start:k.end[i]]
}

// match appends what is reachable from n, where bit i of at says that the first i words of the key may lead to n.
func (k *topicKey) match(n *topicNode, at uint64, buf []Destination) []Destination {
	if n.here != nil && at>>k.n != 0 {
		buf = n.here.appendTo(buf)
	}
	if n.hash != nil { // from the first position on, everything
		first := uint64(1) << bits.TrailingZeros64(at)
		buf = k.match(n.hash, uint64(1)<<k.n<<1-first, buf)
	}
	at &^= 1 << k.n
	if at == 0 {
		return buf
	}
	if n.star != nil {
		buf = k.match(n.star, at<<1, buf)
	}
	if n.words.Len() == 0 {
		return buf
	}
	for at != 0 {
		i := bits.TrailingZeros64(at)
		at &= at - 1
		word := k.word(i)
		child, ok := n.words.GetBytes(word)
		if !ok {
			continue
		}
		// The child is visited once for all positions with this word.
		next := uint64(1) << i
		for rest := at; rest != 0; rest &= rest - 1 {
			if j := bits.TrailingZeros64(rest); bytes.Equal(k.word(j), word) {
				next |= 1 << j
			}
		}
		at &^= next
		buf = k.match(child, next<<1, buf)
	}
	return buf
}

// matchLong matches keys that do not fit into a topicKey. It goes word by word with the nodes that the words so far lead to, and
// allocates.
func matchLong(root *topicNode, key []byte, buf []Destination) []Destination {
	// now holds the nodes that the words so far lead to and that were entered by the last word. loops holds the "#" nodes that
	// were reached so far: they stay reachable with every further word.
	var now, next, loops []*topicNode
	seen := map[*topicNode]bool{}
	enter := func(to []*topicNode, n *topicNode) []*topicNode {
		to = append(to, n)
		for h := n.hash; h != nil && !seen[h]; h = h.hash {
			seen[h] = true
			loops = append(loops, h)
		}
		return to
	}
	now = enter(now, root)
	for more := true; more; {
		var word []byte
		word, key, more = bytes.Cut(key, dot)
		next = next[:0]
		step := func(n *topicNode) {
			if n.star != nil {
				next = enter(next, n.star)
			}
			if child, ok := n.words.GetBytes(word); ok {
				next = enter(next, child)
			}
		}
		// Loops that this word adds begin behind it, so they do not see it.
		for _, n := range loops[:len(loops):len(loops)] {
			step(n)
		}
		for _, n := range now {
			step(n)
		}
		now, next = next, now
	}
	for _, n := range append(now, loops...) {
		if n.here != nil {
			buf = n.here.appendTo(buf)
		}
	}
	return buf
}

var dot = []byte{'.'}
