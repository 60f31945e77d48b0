package perf

import "encoding/binary"

// A body starts with a stamp: when the message was sent (with a rate: was to be sent) in Unix nanoseconds, 8 bytes, and its
// id, 8 bytes, both big-endian. Bodies too short for the whole stamp carry the time alone, or nothing.
const (
	timeLen  = 8
	stampLen = 16
)

// messageID names a message: 8 bits of run, 16 bits of producer, 40 bits of sequence number. The sequence numbers of a producer
// count from 0 for each of its targets. The run is random, to tell messages that an earlier run left in a queue.
type messageID uint64

const (
	sequenceBits = 40
	producerBits = 16
)

func newMessageID(run uint8, producer uint16, sequence int64) messageID {
	return messageID(run)<<(producerBits+sequenceBits) | messageID(producer)<<sequenceBits | messageID(sequence)
}

func (id messageID) run() uint8 { return uint8(id >> (producerBits + sequenceBits)) }

func (id messageID) producer() uint16 { return uint16(id >> sequenceBits) }

func (id messageID) sequence() int64 { return int64(id & (1<<sequenceBits - 1)) }

// stream is the id without the sequence number.
func (id messageID) stream() uint32 { return uint32(id >> sequenceBits) }

// putStamp writes as much of the stamp as body has room for.
func putStamp(body []byte, sent int64, id messageID) {
	if len(body) < timeLen {
		return
	}
	binary.BigEndian.PutUint64(body, uint64(sent))
	if len(body) >= stampLen {
		binary.BigEndian.PutUint64(body[timeLen:], uint64(id))
	}
}

func stampTime(body []byte) int64 { return int64(binary.BigEndian.Uint64(body)) }

func stampID(body []byte) messageID { return messageID(binary.BigEndian.Uint64(body[timeLen:])) }
