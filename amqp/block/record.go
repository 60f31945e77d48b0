package block

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Layout of a record, little endian:
//
//	0  uint32 length of the whole record, prefix included
//	4  uint8  flags
//	5  uint8  priority
//	6  uint16 delivery count (failed deliveries before this copy was made)
//	8  int64  time of arrival, Unix milliseconds
//	16 int64  deadline, Unix milliseconds, 0 for none
//	24 uint8  length of the exchange name
//	25 uint8  length of the routing key
//	26 uint16 reserved, zero
//	28 uint32 length of the property bytes
//	32 exchange, routing key, properties, body

// PrefixLen is the length of the fixed part of a record in bytes.
const PrefixLen = 32

// MaxRecordLen bounds the length of one record in bytes; a larger length in stored bytes means corruption.
const MaxRecordLen = 1 << 30

// Flags describe a record.
type Flags uint8

const (
	// Persistent marks a message published with delivery mode 2.
	Persistent Flags = 1 << iota
	// Redelivered marks a record that was delivered before this copy of it was made.
	Redelivered
)

// ErrCorrupt is returned for bytes that are no record or no block.
var ErrCorrupt = errors.New("corrupt block")

// Record is one message. The slices of a parsed Record point into the block's memory and are valid, unchanged, as long as
// the block is referenced.
type Record struct {
	Flags         Flags
	Priority      uint8
	DeliveryCount uint16
	Arrived       int64 // Unix milliseconds
	Deadline      int64 // Unix milliseconds, 0: none
	Exchange      []byte
	RoutingKey    []byte
	Properties    []byte // as in the content header, from the property flags on
	Body          []byte
}

// Len returns the length of r when encoded, its body included.
func (r *Record) Len() int {
	return PrefixLen + len(r.Exchange) + len(r.RoutingKey) + len(r.Properties) + len(r.Body)
}

// AppendRecord appends r to buf and returns the extended slice. Exchange and RoutingKey must be at most 255 bytes.
func AppendRecord(buf []byte, r *Record) []byte {
	return append(AppendRecordHead(buf, r, len(r.Body)), r.Body...)
}

// AppendRecordHead appends everything of r but its body, for a body of bodyLen bytes that the caller appends, or keeps
// beside the block as its Tail.
func AppendRecordHead(buf []byte, r *Record, bodyLen int) []byte {
	n := PrefixLen + len(r.Exchange) + len(r.RoutingKey) + len(r.Properties) + bodyLen
	var p [PrefixLen]byte
	binary.LittleEndian.PutUint32(p[0:], uint32(n))
	p[4], p[5] = byte(r.Flags), r.Priority
	binary.LittleEndian.PutUint16(p[6:], r.DeliveryCount)
	binary.LittleEndian.PutUint64(p[8:], uint64(r.Arrived))
	binary.LittleEndian.PutUint64(p[16:], uint64(r.Deadline))
	p[24], p[25] = byte(len(r.Exchange)), byte(len(r.RoutingKey))
	binary.LittleEndian.PutUint32(p[28:], uint32(len(r.Properties)))
	buf = append(buf, p[:]...)
	buf = append(buf, r.Exchange...)
	buf = append(buf, r.RoutingKey...)
	return append(buf, r.Properties...)
}

// RecordLen returns the encoded length of the record at the start of b, which must hold at least 4 bytes.
func RecordLen(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }

// FlagsOf returns the flags of the record at the start of b, which must hold a valid record.
func FlagsOf(b []byte) Flags { return Flags(b[4]) }

// DeadlineOf returns the deadline (Unix milliseconds, 0 for none) of the record at the start of b.
func DeadlineOf(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b[16:])) }

// BodyLenOf returns the length of the body of the record at the start of b, which must hold a valid record prefix.
func BodyLenOf(b []byte) int {
	return RecordLen(b) - PrefixLen - int(b[24]) - int(b[25]) - int(binary.LittleEndian.Uint32(b[28:]))
}

// Parse reads the record at the start of b into r and returns its length. When the record is longer than b, its body is
// tail, which must then be exactly as long as the body (see [Block]). r points into b and tail.
func Parse(b, tail []byte, r *Record) (int, error) {
	if len(b) < PrefixLen {
		return 0, fmt.Errorf("%w: record of %d bytes", ErrCorrupt, len(b))
	}
	n := RecordLen(b)
	ex, rk, pr := int(b[24]), int(b[25]), int(binary.LittleEndian.Uint32(b[28:]))
	head := PrefixLen + ex + rk + pr
	if n > MaxRecordLen || pr > MaxRecordLen || head > n || head > len(b) {
		return 0, fmt.Errorf("%w: record length %d, head %d, %d bytes left", ErrCorrupt, n, head, len(b))
	}
	r.Flags, r.Priority = Flags(b[4]), b[5]
	r.DeliveryCount = binary.LittleEndian.Uint16(b[6:])
	r.Arrived = int64(binary.LittleEndian.Uint64(b[8:]))
	r.Deadline = int64(binary.LittleEndian.Uint64(b[16:]))
	r.Exchange = b[PrefixLen : PrefixLen+ex : PrefixLen+ex]
	r.RoutingKey = b[PrefixLen+ex : PrefixLen+ex+rk : PrefixLen+ex+rk]
	r.Properties = b[PrefixLen+ex+rk : head : head]
	switch {
	case n <= len(b):
		r.Body = b[head:n:n]
	case n-head == len(tail) && head == len(b):
		r.Body = tail
	default:
		return 0, fmt.Errorf("%w: record of %d bytes in %d", ErrCorrupt, n, len(b))
	}
	return n, nil
}

// ArrivedOf returns the time of arrival (Unix milliseconds) of the record at the start of b.
func ArrivedOf(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b[8:])) }

// PriorityOf returns the priority of the record at the start of b.
func PriorityOf(b []byte) uint8 { return b[5] }

// SetDeadline changes the deadline of the record at the start of b, which nobody else may read meanwhile.
func SetDeadline(b []byte, deadline int64) { binary.LittleEndian.PutUint64(b[16:], uint64(deadline)) }
