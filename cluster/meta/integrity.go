package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// The database of the Raft log has no checksums, and reads through a memory map: what is damaged is taken as it is, or ends the
// process. So entries carry a checksum of their own, and the file is looked through before it is used. Metadata that is not as
// it was written must not be served: queues that it does not know would lose their messages.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the checksum of an encoded batch.
func seal(batch []byte) []byte {
	return binary.LittleEndian.AppendUint32(batch, crc32.Checksum(batch, castagnoli))
}

// unseal checks and removes the checksum.
func unseal(entry []byte) ([]byte, error) {
	n := len(entry) - 4
	if n < 0 || crc32.Checksum(entry[:n], castagnoli) != binary.LittleEndian.Uint32(entry[n:]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	return entry[:n], nil
}

// usedMark is a file that says that the directory has held metadata: from then on an empty log is damage, no new node.
const usedMark = "in-use"

func markUsed(dir string) error {
	name := filepath.Join(dir, usedMark)
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		return err
	}
	return syncDirs(dir)
}

// indexRun is a run of log entries without a gap.
type indexRun struct{ first, last uint64 }

// logBucket is where the database keeps the log, by index in big endian.
const logBucket = "logs"

// checkFile looks whether the database at path can be read from end to end, and returns what indexes its log has. There may be
// none yet.
func checkFile(path string) (runs []indexRun, err error) {
	_, used := os.Stat(filepath.Join(filepath.Dir(path), usedMark))
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && used == nil:
		return nil, damaged(path, "is missing")
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() == 0 && used == nil:
		return nil, damaged(path, "is empty")
	case info.Size() == 0:
		return nil, nil
	}
	// A page beyond the end of the file is a fault, and a page that is none a panic; both are caught here.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = damaged(path, fmt.Sprint(r))
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return nil, err // openLog says what that means
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return damaged(path, fmt.Sprintf("has %d bytes of %d", info.Size(), tx.Size()))
		}
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			sum := uint32(0)
			return b.ForEach(func(k, v []byte) error {
				if string(name) == logBucket && len(k) == 8 {
					runs = appendRun(runs, binary.BigEndian.Uint64(k))
				}
				sum = crc32.Update(crc32.Update(sum, castagnoli, k), castagnoli, v)
				return nil
			})
		})
	})
	return runs, err
}

// appendRun adds the next greater index.
func appendRun(runs []indexRun, index uint64) []indexRun {
	if n := len(runs); n > 0 && runs[n-1].last+1 == index {
		runs[n-1].last = index
		return runs
	}
	return append(runs, indexRun{index, index})
}

// checkEntries verifies the checksums of all commands in the log, and that there are some if there must be. runs are what
// checkFile found.
func checkEntries(dir, path string, db *raftboltdb.BoltStore, snapshots raft.SnapshotStore, runs []indexRun) error {
	last, err := db.LastIndex()
	if err != nil {
		return err
	}
	list, err := snapshots.List()
	if err != nil {
		return err
	}
	if last == 0 {
		if _, used := os.Stat(filepath.Join(dir, usedMark)); used == nil && len(list) == 0 {
			return damaged(path, "holds nothing")
		}
		return nil
	}
	for n, r := range runs {
		// A member that was far behind got a snapshot, and the entries after it: those in between it never had.
		if n > 0 && (len(list) == 0 || r.first-1 > list[0].Index) {
			return damaged(path, fmt.Sprintf("entry %d is missing", r.first-1))
		}
		for i := r.first; i <= r.last; i++ {
			if err := checkEntry(path, db, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkEntry(path string, db *raftboltdb.BoltStore, i uint64) error {
	var l raft.Log
	if err := db.GetLog(i, &l); err != nil {
		return damaged(path, fmt.Sprintf("entry %d: %v", i, err))
	}
	if l.Index != i {
		return damaged(path, fmt.Sprintf("entry %d says it is %d", i, l.Index))
	}
	if l.Type != raft.LogCommand {
		return nil
	}
	if _, err := unseal(l.Data); err != nil {
		return damaged(path, fmt.Sprintf("entry %d has a wrong checksum", i))
	}
	return nil
}

func damaged(path, how string) error {
	return fmt.Errorf("%w: %s %s; restore the data directory from a backup, or move it away to start an empty node", ErrDamaged, path, how)
}

// Empty says whether dir has no metadata yet: that of a node that never was in a group, or was not let into one. Errors are those of
// Open.
func Empty(dir string) (bool, error) {
	runs, err := checkFile(logPath(dir))
	if err != nil {
		return false, logError(logPath(dir), err)
	}
	if len(runs) > 0 {
		return false, nil
	}
	entries, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	return len(entries) == 0, nil
}
