package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// TargetLen is the size in bytes that blocks are packed to. A record longer than this has a block of its own.
const TargetLen = 64 << 10

// LargeBody is the body size in bytes from which a body is not copied into blocks but shared as a Tail.
const LargeBody = 32 << 10

// Block is a run of records with consecutive offsets, not yet placed in a queue. Records holds Count encoded records. If
// Tail is set, Count is 1 and the body of the only record is Tail instead of the end of Records, so that several queues can
// share one large body. Whoever pushes a Block gives its slices away and must not write to them afterwards.
type Block struct {
	Records []byte
	Tail    []byte
	Count   int
	Bodies  int64 // bytes of all bodies
	// Persistent is the number of records with the Persistent flag.
	Persistent int
	// MinDeadline is the smallest deadline of the records in Unix milliseconds, 0 for none.
	MinDeadline int64
}

// Size returns the number of bytes that the records take, shared bodies included.
func (b *Block) Size() int { return len(b.Records) + len(b.Tail) }

// Copy returns b with Records of its own. Tail is shared.
func (b *Block) Copy() Block {
	c := *b
	c.Records = append(GetArena(len(b.Records)), b.Records...)
	return c
}

// Reset empties b and keeps the capacity of Records.
func (b *Block) Reset() { *b = Block{Records: b.Records[:0]} }

// Append adds r. A body of LargeBody bytes or more is kept as Tail; b must be empty then.
func (b *Block) Append(r *Record) {
	if len(r.Body) >= LargeBody {
		b.Records = AppendRecordHead(b.Records, r, len(r.Body))
		b.Tail = r.Body
	} else {
		b.Records = AppendRecord(b.Records, r)
	}
	b.Count++
	b.Bodies += int64(len(r.Body))
	if r.Flags&Persistent != 0 {
		b.Persistent++
	}
	if r.Deadline != 0 && (b.MinDeadline == 0 || r.Deadline < b.MinDeadline) {
		b.MinDeadline = r.Deadline
	}
}

// Header is what stands before the records of a stored or sent block.
//
// Layout, little endian: uint32 magic, uint32 CRC-32C of everything behind it (header and records), uint64 queue id, uint64
// base offset, uint32 count, uint32 persistent count, int64 minimum deadline, uint32 length of the records, uint32 zero.
type Header struct {
	Queue       uint64
	Base        uint64
	Count       uint32
	Persistent  uint32
	MinDeadline int64
	Len         uint32 // bytes of records behind the header
}

// HeaderLen is the encoded length of a Header in bytes.
const HeaderLen = 48

const magic = 0x31424d41 // "AMB1"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendStored appends the stored form of a block: its header and the given record bytes (parts, in order).
// h.Len is computed.
func AppendStored(buf []byte, h Header, parts ...[]byte) []byte {
	start := len(buf)
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	var p [HeaderLen]byte
	binary.LittleEndian.PutUint32(p[0:], magic)
	binary.LittleEndian.PutUint64(p[8:], h.Queue)
	binary.LittleEndian.PutUint64(p[16:], h.Base)
	binary.LittleEndian.PutUint32(p[24:], h.Count)
	binary.LittleEndian.PutUint32(p[28:], h.Persistent)
	binary.LittleEndian.PutUint64(p[32:], uint64(h.MinDeadline))
	binary.LittleEndian.PutUint32(p[40:], uint32(n))
	buf = append(buf, p[:]...)
	for _, b := range parts {
		buf = append(buf, b...)
	}
	binary.LittleEndian.PutUint32(buf[start+4:], crc32.Checksum(buf[start+8:], castagnoli))
	return buf
}

// ParseStored checks and splits the stored form of a block. records points into b. It walks the records, so that a block that
// passes can be walked without further checks.
func ParseStored(b []byte) (h Header, records []byte, err error) {
	if len(b) < HeaderLen || binary.LittleEndian.Uint32(b) != magic {
		return h, nil, fmt.Errorf("%w: no block header in %d bytes", ErrCorrupt, len(b))
	}
	if got, want := crc32.Checksum(b[8:], castagnoli), binary.LittleEndian.Uint32(b[4:]); got != want {
		return h, nil, fmt.Errorf("%w: checksum %08x, want %08x", ErrCorrupt, got, want)
	}
	h = Header{
		Queue:       binary.LittleEndian.Uint64(b[8:]),
		Base:        binary.LittleEndian.Uint64(b[16:]),
		Count:       binary.LittleEndian.Uint32(b[24:]),
		Persistent:  binary.LittleEndian.Uint32(b[28:]),
		MinDeadline: int64(binary.LittleEndian.Uint64(b[32:])),
		Len:         binary.LittleEndian.Uint32(b[40:]),
	}
	records = b[HeaderLen:]
	if int(h.Len) != len(records) {
		return h, nil, fmt.Errorf("%w: %d bytes of records, header says %d", ErrCorrupt, len(records), h.Len)
	}
	var r Record
	rest := records
	for i := uint32(0); i < h.Count; i++ {
		n, err := Parse(rest, nil, &r)
		if err != nil {
			return h, nil, fmt.Errorf("record %d: %w", i, err)
		}
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return h, nil, fmt.Errorf("%w: %d bytes after the last record", ErrCorrupt, len(rest))
	}
	return h, records, nil
}
