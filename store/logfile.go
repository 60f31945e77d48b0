package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"path/filepath"
	"runtime/debug"
)

// Badger's log files, the value log and the logs of memtables, are a header and a row of entries:
//
//	meta 1 | user meta 1 | uvarint key length | uvarint value length | uvarint expiry | key | value | CRC-32C 4 of all before
//
// A key ends with its version, stored as its complement. Badger reads such a file up to the first entry that it cannot read,
// and cuts off the rest. The store reads them itself, to find out what is behind a damaged place before Badger opens
// them, and which blocks of a file are live.

// logHeaderLen is the length of the header: id of an encryption key, 0 for none, and an initialization vector.
const logHeaderLen = 20

// Flags in the meta byte of a log entry.
const (
	metaTxn    = 1 << 6 // part of a transaction
	metaTxnEnd = 1 << 7 // marks the end of a transaction
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logEntry is one entry; its slices point into the file.
type logEntry struct {
	meta    byte
	key     []byte // without version
	version uint64
	value   []byte
	raw     []byte // all of it
}

// parseLogEntry reads the entry at the start of b. sound is false if the checksum is wrong: then the fields may be.
func parseLogEntry(b []byte) (e logEntry, sound, ok bool) {
	if len(b) < 2 {
		return e, false, false
	}
	at := 2
	var lens [3]uint64
	for i := range lens {
		v, n := binary.Uvarint(b[at:min(len(b), at+binary.MaxVarintLen64)])
		if n <= 0 {
			return e, false, false
		}
		lens[i], at = v, at+n
	}
	klen, vlen := lens[0], lens[1]
	if klen <= 8 || klen > math.MaxUint16 || vlen > math.MaxUint32 || uint64(len(b)-at) < klen+vlen+crc32.Size {
		return e, false, false
	}
	end := at + int(klen+vlen)
	key := b[at : at+int(klen)]
	e = logEntry{
		meta:    b[0],
		key:     key[:len(key)-8],
		version: ^binary.BigEndian.Uint64(key[len(key)-8:]),
		value:   b[at+int(klen) : end],
		raw:     b[:end+crc32.Size],
	}
	return e, crc32.Checksum(b[:end], castagnoli) == binary.BigEndian.Uint32(b[end:]), true
}

// hole is a range of a log file that holds no entry.
type hole struct{ from, to int }

// scanLog calls f for every sound entry. It returns where the last one ends, and the damaged ranges between entries. What is
// behind the last entry is not among them: it is the preallocated rest of the file, or what a crash left unfinished.
func scanLog(b []byte, f func(e logEntry)) (end int, holes []hole) {
	end = min(logHeaderLen, len(b))
	for at := end; at < len(b); {
		if e, sound, ok := parseLogEntry(b[at:]); ok && sound {
			if at > end {
				holes = append(holes, hole{end, at})
			}
			f(e)
			at += len(e.raw)
			end = at
			continue
		}
		at = nextCandidate(b, at+1)
	}
	return end, holes
}

// nextCandidate returns the next place at which an entry may begin, judged by the first byte of its key.
func nextCandidate(b []byte, at int) int {
	for ; at+logEntryMin <= len(b); at++ {
		// The lengths take at least three bytes; a key length up to 127 takes one, and a longer one belongs to padding.
		if n := b[at+2]; n <= 8 || n >= 0x80 {
			continue
		}
		for k := at + 5; k < at+5+6 && k < len(b); k++ {
			switch b[k] {
			case prefixBlock, prefixGone, prefixMark, prefixSpill, prefixState, prefixPart, '!':
				return at
			}
		}
	}
	return len(b)
}

const logEntryMin = 2 + 3 + 9 + crc32.Size

// appendLogEntry appends e with the given meta byte.
func appendLogEntry(buf []byte, e logEntry, meta byte) []byte {
	at := len(buf)
	buf = append(buf, e.raw[:len(e.raw)-crc32.Size]...)
	buf[at] = meta
	return binary.BigEndian.AppendUint32(buf, crc32.Checksum(buf[at:], castagnoli))
}

// withFile calls f with the content of a file up to its first hole, if the file exists. The content is mapped, and what the disk
// cannot deliver is an error.
func withFile(name string, f func(b []byte) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	b, unmap, err := mapFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unmap()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading %s: %v", filepath.Base(name), p)
		}
	}()
	return f(b)
}
