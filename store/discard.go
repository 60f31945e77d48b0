package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Badger counts the garbage of value-log files in the file DISCARD: a row of (file id 8, bytes 8), big endian, up to the first
// id of zero. The store reads it to learn which files to look at; it never relies on it.

func (s *Store) discardName() string { return filepath.Join(s.values, "DISCARD") }

// discards returns the counted garbage by file id.
func (s *Store) discards() (map[uint64]int64, error) {
	counted := map[uint64]int64{}
	err := withFile(s.discardName(), func(b []byte) error {
		for ; len(b) >= 16; b = b[16:] {
			id, n := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
			if id == 0 {
				return nil
			}
			if n > 0 {
				counted[id] = int64(n)
			}
		}
		return nil
	})
	return counted, err
}

// trimDiscards drops files that are gone from DISCARD before Badger opens it. Badger keeps them for good, and sorts them all
// whenever there is a new one.
func (s *Store) trimDiscards(*damage) error {
	counted, err := s.discards()
	if err != nil {
		return err
	}
	fi, err := os.Stat(s.discardName())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var b []byte
	for id, n := range counted {
		if _, err := os.Stat(filepath.Join(s.values, fmt.Sprintf("%06d.vlog", id))); err == nil {
			b = binary.BigEndian.AppendUint64(b, id)
			b = binary.BigEndian.AppendUint64(b, uint64(n))
		}
	}
	if err := replaceFile(s.discardName(), b); err != nil {
		return err
	}
	return os.Truncate(s.discardName(), max(fi.Size(), 1<<20))
}

// fileID returns the id of a value-log file, 0 if it has none.
func fileID(name string) (id uint64) {
	if _, err := fmt.Sscanf(filepath.Base(name), "%d.vlog", &id); err != nil {
		return 0
	}
	return id
}
