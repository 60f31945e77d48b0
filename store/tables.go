package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// checkTable verifies all checksums of a table file (*.sst): of its index, and of every block. Badger cannot be asked to do
// it, since it ends the process when a footer is damaged.
func checkTable(name string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged table: %v", p)
		}
	}()
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	rest, sum, err := cutChecksum(b)
	if err != nil {
		return err
	}
	if len(rest) < 4 {
		return errors.New("no index")
	}
	n := int(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	rest = rest[:len(rest)-4]
	if n > len(rest) || n < 8 {
		return fmt.Errorf("index of %d bytes in a table of %d", n, len(b))
	}
	index := rest[len(rest)-n:]
	if err := y.VerifyChecksum(index, sum); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	ti := fb.GetRootAsTableIndex(index, 0)
	if ti.OffsetsLength() == 0 {
		return errors.New("no blocks")
	}
	for i := range ti.OffsetsLength() {
		var bo fb.BlockOffset
		if !ti.Offsets(&bo, i) {
			return fmt.Errorf("block %d: not in the index", i)
		}
		content, sum, err := cutChecksum(b[bo.Offset() : bo.Offset()+bo.Len()])
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
		if err := y.VerifyChecksum(content, sum); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// cutChecksum splits off the checksum that ends a table or a block: the encoded checksum and its length.
func cutChecksum(b []byte) (content []byte, sum *pb.Checksum, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("too short")
	}
	n := int(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > len(b) {
		return nil, nil, fmt.Errorf("checksum of %d bytes", n)
	}
	sum = &pb.Checksum{}
	if err := proto.Unmarshal(b[len(b)-n:], sum); err != nil {
		return nil, nil, err
	}
	return b[:len(b)-n], sum, nil
}

// readManifest returns the level of each table in the MANIFEST, nil if there is none. torn says that its end is missing. err
// says that it is damaged.
func (s *Store) readManifest() (levels map[uint64]uint8, torn bool, err error) {
	f, err := os.Open(filepath.Join(s.opt.Dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	m, end, err := badger.ReplayManifestFile(f, formatVersion, s.opt.badger(s.opt.Dir, s.values))
	if err != nil {
		return nil, false, err
	}
	levels = map[uint64]uint8{}
	for id, t := range m.Tables {
		levels[id] = t.Level
	}
	return levels, end != fi.Size(), nil
}

// manifestVersion returns an error if the MANIFEST is one of another version of the store or of Badger.
func (s *Store) manifestVersion() error {
	b, err := os.ReadFile(filepath.Join(s.opt.Dir, badger.ManifestFilename))
	if err != nil || len(b) < 8 || string(b[:4]) != "Bdgr" {
		return nil
	}
	own, theirs := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	if own != formatVersion || theirs != manifestFormat {
		return fmt.Errorf("written in format %d.%d, this program knows %d.%d", own, theirs, formatVersion, manifestFormat)
	}
	return nil
}

// manifestFormat is the version of Badger's MANIFEST.
const manifestFormat = 8

// writeManifest replaces the MANIFEST by one with the given tables: their creation, in the form of one set of changes.
func (s *Store) writeManifest(levels map[uint64]uint8) error {
	var set pb.ManifestChangeSet
	for id, level := range levels {
		set.Changes = append(set.Changes, &pb.ManifestChange{
			Id: id, Op: pb.ManifestChange_CREATE, Level: uint32(level), EncryptionAlgo: pb.EncryptionAlgo_aes,
		})
	}
	changes, err := proto.Marshal(&set)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	b := be.AppendUint16(be.AppendUint16([]byte("Bdgr"), formatVersion), manifestFormat)
	b = be.AppendUint32(b, uint32(len(changes)))
	b = be.AppendUint32(b, crc32.Checksum(changes, castagnoli))
	return replaceFile(filepath.Join(s.opt.Dir, badger.ManifestFilename), append(b, changes...))
}

// tableFiles returns the tables in the directory, by id.
func (s *Store) tableFiles() (map[uint64]string, error) {
	names, err := filepath.Glob(filepath.Join(s.opt.Dir, "*.sst"))
	if err != nil {
		return nil, err
	}
	files := map[uint64]string{}
	for _, name := range names {
		if id, ok := table.ParseFileID(name); ok {
			files[id] = name
		}
	}
	return files, nil
}
