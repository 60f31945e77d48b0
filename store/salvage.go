package store

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// salvage puts every block of the value log back whose key is not in the tree in any version, not even as deleted. Among
// them are blocks that were deleted so long ago that their tombstones are gone; they are delivered again. To lose
// messages would be worse.
func (s *Store) salvage() error {
	names, err := filepath.Glob(filepath.Join(s.values, "*.vlog"))
	if err != nil {
		return err
	}
	restored := 0
	for _, name := range names {
		n, err := s.salvageFile(name)
		restored += n
		if err != nil {
			return fmt.Errorf("restoring from %s: %w", filepath.Base(name), err)
		}
	}
	s.opt.Logger.Warn("store: restored blocks whose table was lost; some may have been consumed before", "blocks", restored)
	return nil
}

func (s *Store) salvageFile(name string) (n int, err error) {
	err = withFile(name, func(b []byte) error {
		var err error
		scanLog(b, func(e logEntry) {
			if err != nil || len(e.key) == 0 || e.key[0] != prefixBlock && e.key[0] != prefixPart || s.knows(e.key) {
				return
			}
			txn := s.db.NewTransactionAt(math.MaxUint64, true)
			defer txn.Discard()
			if err = txn.Set(bytes.Clone(e.key), bytes.Clone(e.value)); err == nil {
				err = txn.CommitAt(s.version.Add(1), nil)
				n++
			}
		})
		return err
	})
	return n, err
}

// knows tells whether any version of key is in the tree.
func (s *Store) knows(key []byte) bool {
	txn := s.db.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	opt := badger.DefaultIteratorOptions
	opt.PrefetchValues, opt.AllVersions = false, true
	it := txn.NewKeyIterator(key, opt)
	defer it.Close()
	it.Seek(key)
	return it.Valid()
}
