package block

import "sync"

// Arenas are the byte slices that blocks are built in. Two sizes, so that a message to many queues does not take TargetLen
// bytes for each.

// SmallArena is the capacity in bytes that a block starts with.
const SmallArena = 4 << 10

var (
	small = sync.Pool{New: func() any { b := make([]byte, 0, SmallArena); return &b }}
	large = sync.Pool{New: func() any { b := make([]byte, 0, TargetLen); return &b }}
	// The pools hold pointers to slice headers; the headers themselves are recycled here.
	headers = sync.Pool{New: func() any { return new([]byte) }}
)

// GetArena returns an empty slice with at least the capacity of a small arena, of a large one if n bytes will not fit that.
func GetArena(n int) []byte {
	pool := &small
	if n > SmallArena {
		pool = &large
	}
	p := pool.Get().(*[]byte)
	b := *p
	*p = nil
	headers.Put(p)
	if cap(b) < n {
		return make([]byte, 0, n)
	}
	return b[:0]
}

// PutArena takes back a slice that came from GetArena and that nothing refers to any more. Other slices are left to the
// garbage collector.
func PutArena(b []byte) {
	var pool *sync.Pool
	switch cap(b) {
	case SmallArena:
		pool = &small
	case TargetLen:
		pool = &large
	default:
		return
	}
	p := headers.Get().(*[]byte)
	*p = b[:0]
	pool.Put(p)
}

// Grow returns buf with room for n more bytes. A small arena that is outgrown goes back to its pool.
func Grow(buf []byte, n int) []byte {
	if cap(buf)-len(buf) >= n {
		return buf
	}
	next := GetArena(len(buf) + n)
	next = append(next, buf...)
	PutArena(buf)
	return next
}
