package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"
)

// SyncMode says when a commit is made durable.
type SyncMode string

const (
	// SyncAlways syncs before Done: a confirmed message survives a power cut.
	SyncAlways SyncMode = "always"
	// SyncInterval syncs every Options.Interval; a power cut loses what was confirmed since. A killed process loses nothing.
	SyncInterval SyncMode = "interval"
	// SyncOS leaves it to the operating system when data reaches the disk. A killed process loses nothing.
	SyncOS SyncMode = "os"
)

// Options configure a Store. The zero value of each field but Dir means its default.
type Options struct {
	// Dir is the store's directory; it is created if it does not exist.
	Dir string
	// Sync is SyncAlways by default.
	Sync SyncMode
	// Interval is the time between syncs with SyncInterval: 1 ms to 1 min, default 1 s.
	Interval time.Duration
	// MinFree is the number of bytes that must be free in Dir's file system; a commit that would leave less fails its puts
	// with ErrNoSpace. Badger writes through memory maps, where a full file system kills the process, so this is a hard
	// floor, not a warning level: at least 32 MiB and ValueFile, default 64 MiB. Half of it is for moving live blocks out of
	// files that are mostly garbage, the rest for Badger to flush a memtable and compact. Deletions go on below the floor,
	// down to a quarter of it.
	MinFree int64
	// LazyInterval is how long lazy ops wait for company: default 100 ms, at most 10 s.
	LazyInterval time.Duration
	// MaxCommit is the number of bytes after which a group commit is closed: 64 KiB to 64 MiB, default 8 MiB. A single
	// larger op has a commit of its own.
	MaxCommit int
	// MemTable is the size of Badger's memtable in bytes: 512 KiB to 64 MiB, default 2 MiB. Garbage in the value log is found
	// when a memtable that holds deletions is compacted, so a smaller one bounds the disk tighter.
	MemTable int64
	// ValueFile is the size of a value-log file in bytes: 16 MiB to 1 GiB, default 32 MiB. It is the unit of reclaim.
	ValueFile int64
	// Inline is the size in bytes from which a block goes to the value log instead of the LSM tree: 64 bytes to 64 KiB,
	// default 256 bytes.
	Inline int
	// Slack is the number of garbage bytes in the value log that is left alone while the store is busy: default 192 MiB.
	Slack int64
	// Logger is slog.Default() by default.
	Logger *slog.Logger
	// OnCorrupt, if set, is called besides a log line for every block that was found damaged, with the id of its queue and
	// its first offset. It is called from the goroutine that found it and must not block.
	OnCorrupt func(queue, base uint64, err error)

	// look is how often the janitor looks at the disk, 1 s; tests make it shorter.
	look time.Duration
}

// partLen is the length of the parts that a longer value is split into. Badger refuses a value longer than a value-log file.
const partLen = 8 << 20

func (o *Options) setDefaults() {
	if o.Sync == "" {
		o.Sync = SyncAlways
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.MinFree == 0 {
		o.MinFree = 64 << 20
	}
	if o.LazyInterval == 0 {
		o.LazyInterval = 100 * time.Millisecond
	}
	if o.MaxCommit == 0 {
		o.MaxCommit = 8 << 20
	}
	if o.MemTable == 0 {
		o.MemTable = 2 << 20
	}
	if o.ValueFile == 0 {
		o.ValueFile = 32 << 20
	}
	if o.Inline == 0 {
		o.Inline = 256
	}
	if o.Slack == 0 {
		o.Slack = 192 << 20
	}
	if o.look == 0 {
		o.look = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Validate reports every field that is out of its bounds. Zero fields are valid, except Dir.
func (o Options) Validate() error {
	o.setDefaults()
	var errs []error
	bound := func(name string, v, lo, hi int64) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("store: %s %d is not in [%d, %d]", name, v, lo, hi))
		}
	}
	if o.Dir == "" {
		errs = append(errs, errors.New("store: no directory given"))
	}
	switch o.Sync {
	case SyncAlways, SyncInterval, SyncOS:
	default:
		errs = append(errs, fmt.Errorf("store: unknown sync mode %q (always, interval, os)", o.Sync))
	}
	bound("interval", int64(o.Interval), int64(time.Millisecond), int64(time.Minute))
	bound("min free", o.MinFree, max(32<<20, o.ValueFile), 1<<50)
	bound("lazy interval", int64(o.LazyInterval), int64(time.Millisecond), int64(10*time.Second))
	bound("max commit", int64(o.MaxCommit), 64<<10, 64<<20)
	bound("memtable", o.MemTable, 512<<10, 64<<20)
	bound("value file", o.ValueFile, 16<<20, 1<<30)
	bound("inline", int64(o.Inline), 64, 64<<10)
	bound("slack", o.Slack, 1<<20, 1<<50)
	return errors.Join(errs...)
}

// badger returns the options of the database.
func (o *Options) badger(lsm, values string) badger.Options {
	b := badger.DefaultOptions(lsm)
	b.ValueDir = values
	b.Logger = badgerLog{o.Logger}
	b.SyncWrites = false // see syncer
	b.DetectConflicts = false
	b.MetricsEnabled = false
	b.NumVersionsToKeep = 1
	b.Compression = badgeroptions.None
	b.ChecksumVerificationMode = badgeroptions.NoVerification // see checkTable
	b.BlockCacheSize = 0                                      // only for compressed blocks
	b.IndexCacheSize = 0                                      // 0: indexes stay in memory; they are some kilobytes
	b.MemTableSize = o.MemTable
	b.NumMemtables = 2
	b.NumCompactors = 2
	b.NumLevelZeroTables = 1
	b.NumLevelZeroTablesStall = 8
	b.BaseTableSize = 4 << 20
	// With keys alone in the tree it never gets near this size, so that the last level is always the base level: a
	// compaction meets all versions of a key at once and drops the deleted ones together with their tombstones.
	b.BaseLevelSize = 1 << 30
	b.ValueThreshold = int64(o.Inline)
	b.ValueLogFileSize = o.ValueFile
	b.ExternalMagicVersion = formatVersion
	return b
}

// formatVersion is the version of the keys and values; Badger refuses to open a directory of another one.
const formatVersion = 1

// badgerLog passes Badger's warnings and errors on. Its informational lines are about its own tables and files and interest
// nobody who operates a broker. Values that it cannot read are reported by Load, by queue and offset.
type badgerLog struct{ l *slog.Logger }

func (b badgerLog) Errorf(f string, a ...any) {
	if strings.HasPrefix(f, "Unable to read: Key") || strings.HasPrefix(f, "Key: ") {
		b.l.Debug("badger: " + trimLine(f, a))
		return
	}
	b.l.Error("badger: " + trimLine(f, a))
}

func (b badgerLog) Warningf(f string, a ...any) { b.l.Warn("badger: " + trimLine(f, a)) }
func (b badgerLog) Infof(string, ...any)        {}
func (b badgerLog) Debugf(string, ...any)       {}

// trimLine formats a line of Badger's without its line break.
func trimLine(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
