package store

import (
	"encoding/binary"

	"github.com/brokerd/brokerd/amqp/block"
)

// Keys, all numbers big endian so that a queue's blocks sort by offset:
//
//	'b' | queue 8 | desc 32            a block; the value is its stored form (the first part of it, if it is split)
//	'g' | queue 8 | base 8             bitmap of the settled records of a block
//	'm' | queue 8                      delivered mark
//	't' | queue 8 | base 8 | size 4    state; the value is its CRC-32C, little endian, and its bytes
//	's' | epoch 8 | queue 8 | desc 32  a spilled block of the run of the node that began at epoch
//	'x' | block's key | part 4         further parts of a value longer than partLen
//	'z'                                padding, see janitor
//
// desc is base 8 | count 4 | persistent 4 | size 4 | bodies 4 | minimum deadline 8. A block's key is made from its Desc
// alone, so that a deletion needs no lookup, and holds all of its Desc, so that recovery needs no values.
const (
	prefixBlock = 'b'
	prefixGone  = 'g'
	prefixMark  = 'm'
	prefixSpill = 's'
	prefixState = 't'
	prefixPart  = 'x'
	prefixPad   = 'z'
)

const descLen = 32

func appendDesc(buf []byte, d block.Desc) []byte {
	be := binary.BigEndian
	buf = be.AppendUint64(buf, d.Base)
	buf = be.AppendUint32(buf, d.Count)
	buf = be.AppendUint32(buf, d.Persistent)
	buf = be.AppendUint32(buf, d.Size)
	buf = be.AppendUint32(buf, d.Bodies)
	return be.AppendUint64(buf, uint64(d.MinDeadline))
}

func parseDesc(b []byte) block.Desc {
	be := binary.BigEndian
	return block.Desc{
		Base:        be.Uint64(b),
		Count:       be.Uint32(b[8:]),
		Persistent:  be.Uint32(b[12:]),
		Size:        be.Uint32(b[16:]),
		Bodies:      be.Uint32(b[20:]),
		MinDeadline: int64(be.Uint64(b[24:])),
	}
}

// appendBlockKey appends the key of the block d. Epoch counts only for spilled blocks: it keeps those of this run apart from
// those of earlier runs, which are void and may still be on their way out.
func appendBlockKey(buf []byte, epoch, queue uint64, d block.Desc) []byte {
	if d.Spill {
		buf = append(buf, prefixSpill)
		buf = binary.BigEndian.AppendUint64(buf, epoch)
	} else {
		buf = append(buf, prefixBlock)
	}
	buf = binary.BigEndian.AppendUint64(buf, queue)
	return appendDesc(buf, d)
}

// parseBlockKey reads a key with prefixBlock or prefixSpill.
func parseBlockKey(key []byte) (epoch, queue uint64, d block.Desc, ok bool) {
	switch {
	case len(key) == 1+8+descLen && key[0] == prefixBlock:
		return 0, binary.BigEndian.Uint64(key[1:]), parseDesc(key[9:]), true
	case len(key) == 1+16+descLen && key[0] == prefixSpill:
		d = parseDesc(key[17:])
		d.Spill = true
		return binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:]), d, true
	}
	return 0, 0, d, false
}

func appendGoneKey(buf []byte, queue, base uint64) []byte {
	buf = append(buf, prefixGone)
	buf = binary.BigEndian.AppendUint64(buf, queue)
	return binary.BigEndian.AppendUint64(buf, base)
}

func appendMarkKey(buf []byte, queue uint64) []byte {
	return binary.BigEndian.AppendUint64(append(buf, prefixMark), queue)
}

// stateKeyLen is the length of the key of a state.
const stateKeyLen = 1 + 8 + 8 + 4

func appendStateKey(buf []byte, queue uint64, d block.Desc) []byte {
	buf = append(buf, prefixState)
	buf = binary.BigEndian.AppendUint64(buf, queue)
	buf = binary.BigEndian.AppendUint64(buf, d.Base)
	return binary.BigEndian.AppendUint32(buf, d.Size)
}

func parseStateKey(key []byte) (queue uint64, d block.Desc, ok bool) {
	if len(key) != stateKeyLen || key[0] != prefixState {
		return 0, d, false
	}
	be := binary.BigEndian
	return be.Uint64(key[1:]), block.Desc{Base: be.Uint64(key[9:]), Size: be.Uint32(key[17:])}, true
}

// appendPartKey appends the key of a further part of the value under blockKey.
func appendPartKey(buf, blockKey []byte, part int) []byte {
	buf = append(buf, prefixPart)
	buf = append(buf, blockKey...)
	return binary.BigEndian.AppendUint32(buf, uint32(part))
}

// queuePrefix returns the prefix of all keys of one kind of a queue.
func queuePrefix(kind byte, queue uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, queue)
}

// storedLen is the length of the value of d, over all its parts.
func storedLen(d block.Desc) int64 { return block.HeaderLen + int64(d.Size) }

// partsOf returns in how many parts the value of d is kept.
func partsOf(d block.Desc) int { return int((storedLen(d) + partLen - 1) / partLen) }
