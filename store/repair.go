package store

import "github.com/dgraph-io/badger/v4"

func (s *Store) openBadger() (*badger.DB, bool, error) {
	db, err := badger.OpenManaged(s.opt.badger(s.opt.Dir, s.values))
	return db, false, err
}
