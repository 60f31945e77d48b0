package peer

import (
	"fmt"

	"github.com/brokerd/brokerd/amqp/block"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

const (
	// batchBytes is about how much goes in one message of the stream.
	batchBytes = 1 << 20
	// chunkBytes is the size of the parts that larger bodies are sent in.
	chunkBytes = 1 << 20
	// maxMessage is the limit in bytes for messages of the stream. Only records with huge properties come near.
	maxMessage = 64 << 20
)

// noticeKey is the key of notices in a sequencer. No queue has this id.
const noticeKey = ^uint64(0)

// sequencer puts large bodies in parts between other things, so that they do not hold them up. What has the same key stays in
// order. It is used by the goroutine that writes to the stream.
type sequencer[T any] struct {
	// body returns where a large body would be in an item, and whether it is to be fetched from chunks; nil if there is no such place.
	body  func(T) (data *[]byte, before *bool)
	chunk func(*peerv1.Chunk) T

	late []lateItem[T] // in order; the first one may be under way
	keys map[uint64]int
	sent int // bytes of the body of late[0]
}

type lateItem[T any] struct {
	key  uint64
	item T
	size int
}

// add appends an item to out, or keeps it for round if it is too large or must stay behind one that is.
func (s *sequencer[T]) add(out []T, key uint64, item T, size int) []T {
	if len(s.late) == 0 || s.keys[key] == 0 {
		if data, _ := s.body(item); data == nil || len(*data) <= chunkBytes {
			return append(out, item)
		}
	}
	if s.keys == nil {
		s.keys = make(map[uint64]int)
	}
	s.late = append(s.late, lateItem[T]{key, item, size})
	s.keys[key]++
	return out
}

// round appends the next part of what was kept: at most one chunk, and what is free behind it.
func (s *sequencer[T]) round(out []T) []T {
	chunked := false
	for size := 0; len(s.late) > 0 && size < batchBytes; {
		k := &s.late[0]
		data, before := s.body(k.item)
		if data != nil && len(*data) > chunkBytes {
			if chunked {
				break
			}
			chunked = true
			c := &peerv1.Chunk{Data: (*data)[s.sent:min(len(*data), s.sent+chunkBytes)]}
			if s.sent == 0 {
				c.Total = uint64(len(*data))
			}
			out = append(out, s.chunk(c))
			if s.sent += len(c.Data); s.sent < len(*data) {
				break
			}
			s.sent, *data, *before = 0, nil, true
		} else {
			size += k.size
		}
		out = append(out, k.item)
		if s.keys[k.key]--; s.keys[k.key] == 0 {
			delete(s.keys, k.key)
		}
		*k = lateItem[T]{}
		if s.late = s.late[1:]; len(s.late) == 0 {
			s.late = nil
		}
	}
	return out
}

// assembler puts bodies together again. It is used by the goroutine that reads from the stream.
type assembler struct {
	buf   []byte
	total int
}

func (a *assembler) add(c *peerv1.Chunk) error {
	if c.Total != 0 {
		if a.buf != nil || c.Total > block.MaxRecordLen {
			return fmt.Errorf("chunk of a body of %d bytes, want at most %d and none before it complete", c.Total, block.MaxRecordLen)
		}
		a.total = int(c.Total)
		a.buf = make([]byte, 0, a.total)
	}
	if len(a.buf)+len(c.Data) > a.total {
		return fmt.Errorf("chunks of %d bytes for a body of %d", len(a.buf)+len(c.Data), a.total)
	}
	a.buf = append(a.buf, c.Data...)
	return nil
}

// body returns the body that came in chunks if before is set, else tail, nil if that is empty.
func (a *assembler) body(tail []byte, before bool) ([]byte, error) {
	if !before {
		if len(tail) == 0 {
			return nil, nil
		}
		return tail, nil
	}
	if a.buf == nil || len(a.buf) != a.total {
		return nil, fmt.Errorf("%d of %d bytes of a body came in chunks before it was needed", len(a.buf), a.total)
	}
	b := a.buf
	*a = assembler{}
	return b, nil
}
