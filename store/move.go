package store

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// mover makes files of the value log dead that are mostly garbage, the oldest first, by writing their live blocks again. It
// belongs to the janitor's goroutine.
type mover struct {
	last string // the file that was looked at last
}

const (
	moveFiles = 64      // looked at in one step, at most
	moveRatio = 0.5     // of a file that may be live when its blocks are moved
	moveBytes = 1 << 20 // written by one op, so that the commits of the queues are not held up
)

// moving is the owner of an opMove: entries of the value log that were live when they were looked at.
type moving struct {
	rawDelete
	entries []moved
}

// moved is the key of an entry and the version it has there.
type moved struct {
	key     []byte
	version uint64
	size    int
}

func (m *moving) Claim(*block.Op) bool { return true }

// step looks at some files, going on where the last step ended, and empties those that are mostly garbage, until budget bytes
// are written.
func (m *mover) step(s *Store, budget int64) error {
	names, err := filepath.Glob(filepath.Join(s.values, "*.vlog"))
	if err != nil {
		return err
	}
	slices.SortFunc(names, byAge)
	if len(names) < 3 {
		return nil
	}
	names = names[:len(names)-2] // Badger writes to the newest
	from, ok := slices.BinarySearchFunc(names, m.last, byAge)
	if ok {
		from++
	}
	if from >= len(names) {
		from = 0
	}
	for _, name := range names[from:min(len(names), from+moveFiles)] {
		m.last = name
		n, err := m.empty(s, name, budget)
		if err != nil {
			return fmt.Errorf("emptying %s: %w", filepath.Base(name), err)
		}
		if budget -= n; budget <= 0 {
			return nil
		}
	}
	return nil
}

// inspection is what is found in a value-log file.
type inspection struct {
	live []moved
	size int64 // bytes of the live entries
	end  int64 // of the last entry
	dead bool  // nothing is live, nothing is damaged, and nothing is behind the last entry
}

// inspect finds out what is live in a value-log file that Badger no longer writes to. What is dead stays dead.
func (s *Store) inspect(name string) (in inspection, err error) {
	err = withFile(name, func(b []byte) error {
		var err error
		end, holes := scanLog(b, func(e logEntry) {
			v, lookErr := s.versionOf(e.key)
			if err = errors.Join(err, lookErr); v != e.version {
				return
			}
			in.live = append(in.live, moved{slices.Clone(e.key), e.version, len(e.value)})
			in.size += int64(len(e.raw))
		})
		in.end = int64(end)
		in.dead = err == nil && len(in.live) == 0 && len(holes) == 0 && end == len(b) && end > logHeaderLen
		return err
	})
	return in, err
}

// empty moves the live entries of a file away if they are few enough and fit in the budget, and returns their bytes. A file
// without any gives its space back at once: Badger does so only if it has counted its garbage, and a crash makes it
// forget some.
func (m *mover) empty(s *Store, name string, budget int64) (bytes int64, err error) {
	in, err := s.inspect(name)
	switch {
	case err != nil:
		return 0, err
	case in.dead:
		return 0, punch(name, logHeaderLen, in.end)
	case float64(in.size) > moveRatio*float64(in.end) || in.size > budget:
		return 0, nil
	}
	live := in.live
	for len(live) > 0 {
		n, batch := 0, 0
		for n < len(live) && (n == 0 || batch+live[n].size <= moveBytes) {
			batch += live[n].size
			n++
		}
		op := &moving{rawDelete: rawDelete{done: make(chan error, 1)}, entries: live[:n]}
		s.Submit(&block.Op{Kind: opMove, Owner: op})
		if err := <-op.done; err != nil {
			return bytes, err
		}
		bytes += int64(batch)
		live = live[n:]
		select {
		case <-s.janitor.stop:
			return bytes, errEnding
		default:
		}
	}
	return bytes, nil
}

// versionOf returns the version of the value that key has, 0 if it has none.
func (s *Store) versionOf(key []byte) (uint64, error) {
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return item.Version(), nil
}

// move writes the entries of op again that nobody has deleted or replaced meanwhile. The committer is the only writer, so
// nothing comes between the look and the write.
func (c *committer) move(op *moving) error {
	for _, e := range op.entries {
		v, err := c.s.versionOf(e.key)
		if err != nil {
			return fmt.Errorf("store: moving %x: %w", e.key, err)
		}
		if v != e.version {
			continue
		}
		value, err := c.s.readKey(nil, e.key)
		if err != nil {
			return fmt.Errorf("store: moving %x: %w", e.key, err)
		}
		c.set(e.key, value)
	}
	return nil
}
