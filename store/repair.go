package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// Damaged files
//
// Badger does not open a directory in which a file is damaged, ends the process over it, or silently cuts off what is behind
// the damage. So the store looks at the files first and brings them into a form that Badger takes, losing as little as
// possible:
//
//	value log     a damaged block is found when it is loaded. Badger would cut the newest file off at the first damaged
//	              entry: an empty file behind it prevents that.
//	memtable log  it is written anew without the damaged entries.
//	table         it is set aside, and what it listed is restored from the value log (salvage). Small blocks, which were
//	              in the table itself, are lost, and blocks may be restored that were consumed before.
//	MANIFEST      it is written anew with all tables that are there.

// damage collects what was found.
type damage struct {
	found bool // anything
	index bool // a table is lost, so that blocks have to be looked for in the value log
}

// openBadger repairs what is damaged and opens the database.
func (s *Store) openBadger() (db *badger.DB, damaged bool, err error) {
	var d damage
	if err := s.manifestVersion(); err != nil {
		return nil, false, err
	}
	for _, repair := range []func(*damage) error{s.repairKeys, s.repairLogs, s.repairTables, s.trimDiscards} {
		if err := repair(&d); err != nil {
			return nil, d.found, err
		}
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged files: %v", p)
		}
	}()
	db, err = badger.OpenManaged(s.opt.badger(s.opt.Dir, s.values))
	if err != nil {
		return nil, d.found, errors.New(strings.Join(strings.Fields(err.Error()), " "))
	}
	if d.index {
		s.db = db
		s.version.Store(db.MaxVersion())
		if err := s.salvage(); err != nil {
			return nil, true, errors.Join(err, db.Close())
		}
	}
	return db, d.found, nil
}

// repairKeys removes a damaged registry of encryption keys. The store uses none, and Badger makes a new one.
func (s *Store) repairKeys(d *damage) error {
	name := filepath.Join(s.opt.Dir, badger.KeyRegistryFileName)
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	kr, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: s.opt.Dir, ReadOnly: true})
	if err == nil {
		return kr.Close()
	}
	s.damaged(d, "key registry is damaged, made anew; nothing is lost", name, "error", err)
	return os.Remove(name)
}

// repairLogs repairs the logs of memtables and the value log.
func (s *Store) repairLogs(d *damage) error {
	mems, err := filepath.Glob(filepath.Join(s.opt.Dir, "*.mem"))
	if err != nil {
		return err
	}
	vlogs, err := filepath.Glob(filepath.Join(s.values, "*.vlog"))
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(mems, vlogs) {
		if err := s.repairHeader(d, name); err != nil {
			return err
		}
	}
	for _, name := range mems {
		if err := s.checkLength(d, name); err != nil {
			return err
		}
		if err := s.repairMemtable(d, name); err != nil {
			return err
		}
	}
	newest := ""
	for _, name := range vlogs {
		if newer(name, newest) {
			newest = name
		}
	}
	if newest == "" {
		return nil
	}
	return s.guardValues(d, newest)
}

// repairHeader removes a file that a crash left empty when it was created or removed, and corrects the id of the encryption
// key in the header, without which Badger does not open.
func (s *Store) repairHeader(d *damage, name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var id [8]byte
	n, err := f.ReadAt(id[:], 0)
	switch {
	case n == 0:
		return os.Remove(name)
	case n == len(id) && id != [8]byte{}:
		s.damaged(d, "log header is damaged, corrected; nothing is lost", name)
		if _, err := f.WriteAt(make([]byte, len(id)), 0); err != nil {
			return err
		}
		return f.Sync()
	case n < len(id):
		s.damaged(d, "log is truncated to nothing", name, "length", n)
		return os.Remove(name)
	}
	_ = err // a short read is all that can go wrong, and it is handled
	return nil
}

// checkLength reports the log of a memtable that is shorter than Badger made it: what was written last may be missing, and
// nothing else would show it.
func (s *Store) checkLength(d *damage, name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was removed just now
	}
	if err != nil {
		return err
	}
	if full := 2 * s.opt.MemTable; info.Size() < full {
		s.damaged(d, "memtable log was cut off, what was written last may be lost", name, "length", info.Size(), "want", full)
	}
	return nil
}

// repairMemtable writes the log of a memtable anew if there are entries behind a damaged place. The transactions' bounds are
// given up: their sound entries count on their own.
func (s *Store) repairMemtable(d *damage, name string) error {
	var out []byte
	err := withFile(name, func(b []byte) error {
		_, holes := scanLog(b, func(logEntry) {})
		if len(holes) == 0 {
			return nil
		}
		s.reportHoles(d, name, b, holes)
		out = append(make([]byte, 0, len(b)), b[:logHeaderLen]...)
		scanLog(b, func(e logEntry) {
			if e.meta&metaTxnEnd == 0 {
				out = appendLogEntry(out, e, e.meta&^metaTxn)
			}
		})
		return nil
	})
	if err != nil || out == nil {
		return err
	}
	return replaceFile(name, out)
}

// guardValues keeps Badger from cutting the newest value-log file off at a damaged entry when there are sound ones behind.
func (s *Store) guardValues(d *damage, name string) error {
	end, damaged := 0, false
	err := withFile(name, func(b []byte) error {
		e, holes := scanLog(b, func(logEntry) {})
		end, damaged = e, len(holes) > 0
		s.reportHoles(d, name, b, holes)
		return nil
	})
	if err != nil || !damaged {
		return err
	}
	var id int
	if _, err := fmt.Sscanf(filepath.Base(name), "%d.vlog", &id); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := os.Truncate(name, int64(end)); err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.values, fmt.Sprintf("%06d.vlog", id+1)), make([]byte, logHeaderLen))
}

// reportHoles names the blocks in the damaged ranges of a log as far as their keys can be read.
func (s *Store) reportHoles(d *damage, name string, b []byte, holes []hole) {
	for _, h := range holes {
		s.damaged(d, "log is damaged, the entries there are lost", name, "from", h.from, "to", h.to)
		e, _, ok := parseLogEntry(b[h.from:])
		if !ok {
			continue
		}
		if _, queue, desc, ok := parseBlockKey(e.key); ok {
			s.corrupt(queue, desc.Base, fmt.Errorf("%w: damaged in %s", block.ErrCorrupt, filepath.Base(name)))
		}
	}
}

// repairTables sets damaged tables aside and makes the MANIFEST agree with the tables that are there. A table that is not in
// the MANIFEST is normally what a crash left of an unfinished flush or compaction, and its content is elsewhere, too. But
// when the MANIFEST has lost its end it is all there is, so it is taken in either way: at level 0 any tables may overlap.
func (s *Store) repairTables(d *damage) error {
	levels, torn, err := s.readManifest()
	rewrite := err != nil
	if err != nil {
		s.damaged(d, "MANIFEST is damaged, made anew", badger.ManifestFilename, "error", err)
		levels = map[uint64]uint8{}
	}
	files, err := s.tableFiles()
	if err != nil {
		return err
	}
	for id, name := range files {
		_, listed := levels[id]
		if err := checkTable(name); err != nil {
			if listed || rewrite || torn {
				s.damaged(d, "table is damaged and set aside; blocks are restored from the value log", name, "error", err)
				d.index = true
			}
			if err := os.Rename(name, name+".damaged"); err != nil {
				return err
			}
			delete(files, id)
			continue
		}
		if !listed {
			if levels == nil {
				levels = map[uint64]uint8{}
			}
			levels[id], rewrite = 0, true
		}
	}
	for id := range levels {
		if _, ok := files[id]; ok {
			continue
		}
		delete(levels, id)
		rewrite = true
		if !d.index {
			s.damaged(d, "table is missing; blocks are restored from the value log", fmt.Sprintf("%06d.sst", id))
			d.index = true
		}
	}
	if !rewrite {
		return nil
	}
	return s.writeManifest(levels)
}

// damaged logs what was found in a file.
func (s *Store) damaged(d *damage, what, file string, args ...any) {
	d.found = true
	s.stats.damaged.Add(1)
	s.note(fmt.Errorf("%s: %s", filepath.Base(file), what))
	s.opt.Logger.Error("store: "+what, append([]any{"file", file}, args...)...)
}

// replaceFile puts a file in place of another one, durably and at once.
func replaceFile(name string, content []byte) error {
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}
