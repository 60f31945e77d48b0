package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// recover reads all keys. It fills s.recovered, s.live and c.gone, and returns the keys of what is void: blocks without a
// persistent record, blocks that a longer one replaced, bitmaps without a block, damaged states.
func (s *Store) recover(c *committer, clean bool) (void [][]byte, err error) {
	s.recovered = map[uint64]*block.Recovered{}
	get := func(queue uint64) *block.Recovered {
		r := s.recovered[queue]
		if r == nil {
			r = &block.Recovered{Clean: clean, Gone: map[uint64][]uint64{}}
			s.recovered[queue] = r
		}
		return r
	}
	err = s.eachKey([]byte{prefixBlock}, nil, func(it *badger.Item) error {
		_, queue, d, ok := parseBlockKey(it.Key())
		switch {
		case !ok || d.Count == 0:
			s.opt.Logger.Error("stored key makes no sense, dropped", "key", fmt.Sprintf("%x", it.Key()))
			void = append(void, it.KeyCopy(nil))
			return nil
		case d.Persistent == 0:
			void = append(void, s.blockKeys(queue, d)...)
			return nil
		}
		r := get(queue)
		void = append(void, s.place(r, queue, d)...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading blocks: %w", err)
	}
	err = s.eachKey([]byte{prefixGone}, nil, func(it *badger.Item) error {
		key := it.Key()
		if len(key) != 17 {
			void = append(void, it.KeyCopy(nil))
			return nil
		}
		queue, base := binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(key[9:])
		r := s.recovered[queue]
		if r == nil || !hasBlock(r, base) {
			void = append(void, it.KeyCopy(nil))
			return nil
		}
		return it.Value(func(v []byte) error {
			bits := make([]uint64, len(v)/8)
			for i := range bits {
				bits[i] = binary.LittleEndian.Uint64(v[8*i:])
			}
			r.Gone[base] = bits
			c.gone[blockID{queue, base}] = struct{}{}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading settled records: %w", err)
	}
	err = s.eachKey([]byte{prefixMark}, nil, func(it *badger.Item) error {
		key := it.Key()
		if len(key) != 9 {
			return nil
		}
		return it.Value(func(v []byte) error {
			if len(v) == 8 {
				get(binary.BigEndian.Uint64(key[1:])).Mark = binary.LittleEndian.Uint64(v)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading marks: %w", err)
	}
	invalid, err := s.recoverStates(get)
	if err != nil {
		return nil, fmt.Errorf("reading states: %w", err)
	}
	void = append(void, invalid...)
	for queue, r := range s.recovered {
		for _, d := range r.Blocks {
			s.live.Add(s.valueBytes(d))
			if d.Persistent < d.Count {
				s.voidTransient(r, queue, d)
			}
		}
	}
	return void, nil
}

// place adds d to r.Blocks. Keys come in the order of offsets, and with equal offsets the shorter block first, so that only
// the end of the list can overlap with d. That happens when a merge was cut off by a crash (see writeBlock): the block that
// covers the other stays. It returns the keys of the one that goes.
func (s *Store) place(r *block.Recovered, queue uint64, d block.Desc) (void [][]byte) {
	for len(r.Blocks) > 0 {
		last := r.Blocks[len(r.Blocks)-1]
		end, lastEnd := d.Base+uint64(d.Count), last.Base+uint64(last.Count)
		switch {
		case d.Base >= lastEnd:
			r.Blocks = append(r.Blocks, d)
			return void
		case d.Base <= last.Base && end >= lastEnd:
			void = append(void, s.blockKeys(queue, last)...)
			r.Blocks = r.Blocks[:len(r.Blocks)-1]
		default:
			if end > lastEnd {
				s.corrupt(queue, d.Base, fmt.Errorf("%w: overlaps with the block at %d", block.ErrCorrupt, last.Base))
			}
			return append(void, s.blockKeys(queue, d)...)
		}
	}
	r.Blocks = append(r.Blocks, d)
	return void
}

// blockKeys returns all keys of the value of d.
func (s *Store) blockKeys(queue uint64, d block.Desc) [][]byte {
	key := appendBlockKey(nil, s.epoch, queue, d)
	keys := [][]byte{key}
	for i := 1; i < partsOf(d); i++ {
		keys = append(keys, appendPartKey(nil, key, i))
	}
	return keys
}

// hasBlock tells whether a block begins at base. r.Blocks is sorted.
func hasBlock(r *block.Recovered, base uint64) bool {
	_, ok := slices.BinarySearchFunc(r.Blocks, base, func(d block.Desc, base uint64) int {
		switch {
		case d.Base < base:
			return -1
		case d.Base > base:
			return 1
		}
		return 0
	})
	return ok
}

// voidTransient marks the transient records of a mixed block as settled. This is the only case in which start-up reads a
// value. A damaged one is reported and keeps its place: the queue meets it again when it loads the block.
func (s *Store) voidTransient(r *block.Recovered, queue uint64, d block.Desc) {
	records, err := s.Load(queue, d)
	if err != nil {
		return
	}
	bits := r.Gone[d.Base]
	for len(bits) < (int(d.Count)+63)/64 {
		bits = append(bits, 0)
	}
	for i := range int(d.Count) {
		if block.FlagsOf(records)&block.Persistent == 0 {
			bits[i/64] |= 1 << (i % 64)
		}
		records = records[block.RecordLen(records):]
	}
	r.Gone[d.Base] = bits
}

// eachKey calls f for every item whose key begins with prefix, from the key from on if it is not nil, without reading values
// from the value log. The item is valid during the call.
func (s *Store) eachKey(prefix, from []byte, f func(*badger.Item) error) error {
	// Closing the last iterator removes value-log files that were collected meanwhile.
	s.files.RLock()
	defer s.files.RUnlock()
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	opt := badger.DefaultIteratorOptions
	opt.PrefetchValues = false
	opt.Prefix = prefix
	it := txn.NewIterator(opt)
	defer it.Close()
	if from == nil {
		from = prefix
	}
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		if err := f(it.Item()); err != nil {
			return err
		}
	}
	return nil
}

// Recovered returns what the log knew of each queue when it was opened, by queue id. Queues of which nothing was stored are
// missing. The map and what it refers to belong to the caller after the first call; later calls return the same.
func (s *Store) Recovered() map[uint64]*block.Recovered { return s.recovered }
