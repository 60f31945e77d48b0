package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// Errors of a Store.
var (
	// ErrNoSpace fails an op that would take the file system below its floor of free bytes. Nothing of it is stored.
	ErrNoSpace = errors.New("not enough free disk space")
	// ErrClosed fails ops submitted after Close.
	ErrClosed = errors.New("store is closed")
)

var errNoValue = fmt.Errorf("%w: the value cannot be read", block.ErrCorrupt)

// maxKeyLen is the length of the longest key.
const maxKeyLen = 1 + 1 + 16 + descLen + 4

// Store is the log of a node. Its methods are safe for concurrent use.
type Store struct {
	opt     Options
	db      *badger.DB
	lock    *os.File
	values  string // directory of the value log
	epoch   uint64 // distinguishes the spilled blocks of this run
	in      intake
	version atomic.Uint64 // of the last transaction

	// Badger's limits for one transaction, with a margin for the marker that it adds.
	maxEntries int
	maxBytes   int64

	recovered map[uint64]*block.Recovered
	live      atomic.Int64 // bytes of stored blocks in the value log

	// files is held for reading while an iterator or a collection may remove value-log files, and for writing while pages
	// of their memory maps are released.
	files   sync.RWMutex
	janitor janitor
	pager   pager

	// writing is held by the committer while it hands a transaction to Badger, and by a collection.
	writing sync.Mutex
	// loading is held for reading by Load, and for writing by Close: Badger must not be closed under a reader.
	loading sync.RWMutex

	stats    counters
	closed   atomic.Bool
	stop     chan struct{} // ends the committer
	stopped  chan struct{} // closed by the committer
	drained  atomic.Bool   // the committer has ended
	broken   atomic.Bool   // a sync failed
	closing  sync.Once
	done     chan struct{} // closed when everything is, after closeErr was set
	closeErr error
}

// Open opens the log in opt.Dir, creates it if there is none, and recovers what it knows about queues. The error names the
// directory and the reason.
//
// Damaged files do not keep it from opening as long as anything can be read: what was lost is logged and reported to
// Options.OnCorrupt where the block is known.
func Open(opt Options) (*Store, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	opt.setDefaults()
	s := &Store{
		opt:     opt,
		values:  filepath.Join(opt.Dir, "values"),
		in:      intake{wake: make(chan struct{}, 1)},
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("store: opening %s: %w", opt.Dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	if err := os.MkdirAll(s.values, 0o750); err != nil {
		return err
	}
	if free, err := freeBytes(s.opt.Dir); err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	} else if free < s.opt.MinFree/4 {
		return fmt.Errorf("%w: %d bytes free, %d needed", ErrNoSpace, free, s.opt.MinFree/4)
	}
	var err error
	if s.lock, err = lockDir(s.opt.Dir); err != nil {
		return err
	}
	clean, err := takeCleanMark(s.opt.Dir)
	if err == nil {
		var damaged bool
		s.db, damaged, err = s.openBadger()
		clean = clean && !damaged
	}
	if err != nil {
		return errors.Join(err, s.lock.Close())
	}
	s.version.Store(s.db.MaxVersion())
	s.epoch = s.version.Load() + 1
	s.releaseVersions()
	s.maxEntries = int(s.db.MaxBatchCount()) - 2
	s.maxBytes = s.db.MaxBatchSize() - 128

	c := &committer{s: s, gone: map[blockID]struct{}{}, sync: syncer{
		lsm: s.opt.Dir, values: s.values, mem: map[string]*os.File{}, vlog: map[string]*os.File{},
	}}
	s.janitor.init()
	s.pager.start(s, s.janitor.stop)
	void, err := s.recover(c, clean)
	if err == nil {
		_, err = c.sync.sync(true)
	}
	if err != nil {
		c.sync.close()
		close(s.janitor.stop)
		<-s.pager.stopped
		return errors.Join(err, s.db.Close(), s.lock.Close())
	}
	go func() {
		defer close(s.stopped)
		c.run(s.stop)
	}()
	s.janitor.start(s, void)
	return nil
}

// Submit hands op to the next group commit. It never blocks. Ops take effect in the order of submission.
func (s *Store) Submit(op *block.Op) {
	if s.closed.Load() {
		if op.Owner != nil && op.Owner.Claim(op) {
			op.Owner.Done(op, ErrClosed)
		}
		return
	}
	s.in.push(op)
	// Close sets drained before its last look at the intake: either it sees op there, or this sees drained.
	if s.drained.Load() {
		s.refuse()
	}
}

// refuse fails what nobody will write any more.
func (s *Store) refuse() {
	for op := s.in.take(); op != nil; {
		next := op.Next
		if op.Owner != nil && op.Owner.Claim(op) {
			op.Owner.Done(op, ErrClosed)
		}
		op = next
	}
}

// Load reads the records of a stored block. The result is the caller's. An error wraps block.ErrCorrupt when the stored bytes
// are damaged or missing; it was logged and reported then.
func (s *Store) Load(queue uint64, d block.Desc) ([]byte, error) {
	s.loading.RLock()
	defer s.loading.RUnlock()
	if s.drained.Load() {
		return nil, ErrClosed
	}
	value, err := s.read(queue, d)
	var records []byte
	if err == nil {
		records, err = check(queue, d, value)
	}
	if err == nil {
		s.stats.loads.Add(1)
		s.pager.touch(len(value))
		return records, nil
	}
	if !errors.Is(err, block.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", block.ErrCorrupt, err)
	}
	err = fmt.Errorf("store: queue %d, offset %d: %w", queue, d.Base, err)
	s.corrupt(queue, d.Base, err)
	return nil, err
}

// check compares a value with its description and returns the records in it.
func check(queue uint64, d block.Desc, value []byte) ([]byte, error) {
	h, records, err := block.ParseStored(value)
	if err != nil {
		return nil, err
	}
	if h.Queue != queue || h.Base != d.Base || h.Count != d.Count || h.Len != d.Size {
		return nil, fmt.Errorf("%w: block of queue %d, offset %d, %d records, %d bytes; want %d records, %d bytes",
			block.ErrCorrupt, h.Queue, h.Base, h.Count, h.Len, d.Count, d.Size)
	}
	return records, nil
}

// read returns a copy of the value of d, all its parts together.
//
// Badger reads from a memory map and trusts what it finds there: a damaged length makes it panic, and a page that the disk
// cannot deliver raises a fault. Both are turned into errors.
func (s *Store) read(queue uint64, d block.Desc) (value []byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: reading: %v", block.ErrCorrupt, p)
		}
	}()
	key := appendBlockKey(make([]byte, 0, maxKeyLen), s.epoch, queue, d)
	parts := partsOf(d)
	value = make([]byte, 0, storedLen(d))
	for i := 0; i < parts; i++ {
		k := key
		if i > 0 {
			k = appendPartKey(nil, key, i)
		}
		if value, err = s.readKey(value, k); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// readKey appends the value of key to buf. A collection may move the value, and remove its file, between the look-up of the
// pointer and the use of it; then the next look-up finds the new place.
func (s *Store) readKey(buf, key []byte) ([]byte, error) {
	var err error
	for range 3 {
		txn := s.db.NewTransactionAt(math.MaxUint64, false)
		var item *badger.Item
		if item, err = txn.Get(key); err != nil {
			txn.Discard()
			if errors.Is(err, badger.ErrKeyNotFound) {
				return nil, fmt.Errorf("%w: not stored", block.ErrCorrupt)
			}
			return nil, err
		}
		n := len(buf)
		err = item.Value(func(v []byte) error {
			if len(v) == 0 {
				return errNoValue // Badger logs that it cannot read, and hands out nothing
			}
			buf = append(buf, v...)
			return nil
		})
		txn.Discard()
		if err == nil {
			return buf, nil
		}
		buf = buf[:n]
	}
	return nil, err
}

// corrupt logs and reports a damaged block.
func (s *Store) corrupt(queue, base uint64, err error) {
	s.stats.corrupt.Add(1)
	s.note(err)
	s.opt.Logger.Error("stored block is damaged", "queue", queue, "offset", base, "error", err)
	if s.opt.OnCorrupt != nil {
		s.opt.OnCorrupt(queue, base, err)
	}
}

// valueBytes returns what d takes in the value log; a small block is in the tree instead.
func (s *Store) valueBytes(d block.Desc) int64 {
	if n := storedLen(d); n >= int64(s.opt.Inline) {
		return n + maxKeyLen
	}
	return 0
}

// Close ends the store: everything submitted is written, synced and completed, and the directory is marked as cleanly
// closed. It waits for Loads that are running; later ones, and ops submitted later, fail with ErrClosed. If ctx ends first,
// Close returns its error and the rest goes on in the background. All calls return the same result.
func (s *Store) Close(ctx context.Context) error {
	s.closing.Do(func() { go s.close() })
	select {
	case <-s.done:
		return s.closeErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) close() {
	defer close(s.done)
	s.janitor.end()
	<-s.pager.stopped
	s.closed.Store(true)
	close(s.stop)
	<-s.stopped
	s.drained.Store(true)
	s.refuse()
	s.loading.Lock()
	defer s.loading.Unlock()
	err := s.db.Close()
	if err == nil && !s.broken.Load() {
		err = putCleanMark(s.opt.Dir)
	}
	if err = errors.Join(err, s.lock.Close()); err != nil {
		s.closeErr = fmt.Errorf("store: closing %s: %w", s.opt.Dir, err)
	}
}

// The clean mark is a file that exists while the store is closed and was closed in order.
const cleanName = "CLEAN"

var cleanText = []byte("brokerd store, closed in order\n")

// takeCleanMark tells whether the mark is there, and removes it durably.
func takeCleanMark(dir string) (bool, error) {
	name := filepath.Join(dir, cleanName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := os.Remove(name); err != nil {
		return false, err
	}
	return bytes.Equal(text, cleanText), syncDir(dir)
}

func putCleanMark(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, cleanName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(cleanText)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
