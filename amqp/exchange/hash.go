package exchange

import (
	"encoding/binary"
	"math/bits"

	"github.com/brokerd/brokerd/amqp/wire"
)

// The hash of this file decides which queue a message goes to. It must be the same on all nodes and in all versions: with another
// one, messages with one key would be in two queues, and a cluster would not agree while it is upgraded. It is not meant to
// withstand someone who looks for collisions; all he gains is messages in one queue.

// Odd numbers whose bits look random.
const (
	hashStart  = 0x243f6a8885a308d3 // pi
	hashFactor = 0x9e3779b97f4a7c15 // golden ratio
	hashSecond = 0xb7e151628aed2a6b // e
)

// hashBytes returns the hash of what h is the hash of, followed by b.
func hashBytes(h uint64, b []byte) uint64 {
	h = fold(h ^ uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		h = fold(h ^ binary.LittleEndian.Uint64(b))
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		h = fold(h ^ binary.LittleEndian.Uint64(last[:]))
	}
	return h
}

// fold maps x so that all of its bits have a say in many bits of the result.
func fold(x uint64) uint64 {
	high, low := bits.Mul64(x^hashSecond, hashFactor)
	return high ^ low
}

// scramble ends a hash: each bit of x has a say in each bit of the result, and no two numbers have the same result.
func scramble(x uint64) uint64 {
	x = (x ^ x>>32) * hashFactor
	x = (x ^ x>>29) * hashSecond
	return x ^ x>>32
}

// hashKeys returns the hash of all routing keys.
func hashKeys(m *Message) uint64 {
	h := hashBytes(hashStart, m.Key)
	for _, key := range m.Extra {
		h = hashBytes(h, key)
	}
	return scramble(h)
}

// hashHeader returns the hash of the first header with this name, and that of the empty string if there is none. Integers are
// the same in all widths.
func hashHeader(headers []byte, name string) uint64 {
	h := scramble(hashBytes(hashStart, nil))
	// Malformed headers end the walk, like no headers.
	_ = wire.WalkTable(headers, func(field []byte, v wire.RawValue) bool {
		if string(field) != name {
			return true
		}
		if n, ok := v.Int(); ok {
			h = hashNumber(uint64(n))
		} else {
			h = scramble(hashBytes(hashStart, v.Data))
		}
		return false
	})
	return h
}

func hashNumber(n uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return scramble(hashBytes(hashStart, b[:]))
}
