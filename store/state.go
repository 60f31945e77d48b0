package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// States are small values that queues keep beside their messages. They are written with the messages that they belong to, and read
// at start-up only.

// writeState writes the state of op and removes others, in one transaction if they fit in one. If they do not, the new one goes
// first, so that a crash in between leaves more states, never less.
func (c *committer) writeState(op *block.Op) error {
	n := len(op.Records)
	if n > 0 && n != int(op.Desc.Size) || n+crc32.Size > partLen {
		return fmt.Errorf("store: queue %d, state %d: %d bytes, described as %d", op.Queue, op.Desc.Base, n, op.Desc.Size)
	}
	c.room(min(1+len(op.Remove), c.s.maxEntries), int64(c.s.opt.Inline))
	if n > 0 {
		v := c.alloc(crc32.Size + n)
		binary.LittleEndian.PutUint32(v, crc32.Checksum(op.Records, castagnoli))
		copy(v[crc32.Size:], op.Records)
		at := len(c.arena)
		c.arena = appendStateKey(c.arena, op.Queue, op.Desc)
		c.set(c.arena[at:], v)
	}
	for i := range op.Remove {
		at := len(c.arena)
		c.arena = appendStateKey(c.arena, op.Queue, op.Remove[i])
		c.removeKey(c.arena[at:])
	}
	return nil
}

// stateBytes returns what a state takes in the value log.
func (s *Store) stateBytes(d block.Desc) int64 {
	if n := crc32.Size + int64(d.Size); n >= int64(s.opt.Inline) {
		return n + maxKeyLen
	}
	return 0
}

// recoverStates reads the states of all queues. It returns the keys of damaged ones: what they held is forgotten.
func (s *Store) recoverStates(get func(queue uint64) *block.Recovered) (void [][]byte, err error) {
	type found struct {
		queue uint64
		desc  block.Desc
		key   []byte
	}
	var all []found
	err = s.eachKey([]byte{prefixState}, nil, func(it *badger.Item) error {
		queue, d, ok := parseStateKey(it.Key())
		if !ok {
			void = append(void, it.KeyCopy(nil))
			return nil
		}
		all = append(all, found{queue, d, it.KeyCopy(nil)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		v, err := s.readState(f.key)
		if err == nil && (len(v) != crc32.Size+int(f.desc.Size) ||
			crc32.Checksum(v[crc32.Size:], castagnoli) != binary.LittleEndian.Uint32(v)) {
			err = fmt.Errorf("%w: state of %d bytes is damaged", block.ErrCorrupt, f.desc.Size)
		}
		if err != nil {
			if !errors.Is(err, block.ErrCorrupt) {
				return nil, err
			}
			s.stats.corrupt.Add(1)
			s.note(err)
			s.opt.Logger.Error("stored state is damaged, forgotten", "queue", f.queue, "state", f.desc.Base, "error", err)
			void = append(void, f.key)
			continue
		}
		s.live.Add(s.stateBytes(f.desc))
		r := get(f.queue)
		r.States = append(r.States, block.State{Desc: f.desc, Value: v[crc32.Size:]})
	}
	return void, nil
}

// readState is readKey for bytes that may be damaged, see read.
func (s *Store) readState(key []byte) (v []byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: reading: %v", block.ErrCorrupt, p)
		}
	}()
	return s.readKey(nil, key)
}
