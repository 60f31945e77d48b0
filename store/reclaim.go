package store

import (
	"time"

	"github.com/dgraph-io/badger/v4"
)

const reclaimEvery = time.Second

type reclaim struct {
	s *Store
}

func (r *reclaim) step() error {
	err := r.s.db.RunValueLogGC(0.99)
	if err == badger.ErrNoRewrite || err == badger.ErrRejected {
		return nil
	}
	if err == nil {
		r.s.stats.gcRuns.Add(1)
	}
	return err
}

func (s *Store) releaseVersions() { s.db.SetDiscardTs(s.version.Load()) }
