//go:build unix

package datadir

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The files of this package inside the directory.
const (
	markerName = "brokerd.json"
	markerTemp = "brokerd.json.tmp"
	lockName   = "LOCK"
)

// format is the layout of the whole data directory. It changes when an older brokerd could not read it any more.
const format = 1

// Why a directory is refused. Open returns an *Error that wraps one of these.
var (
	ErrInUse    = errors.New("in use")           // another process has it open
	ErrForeign  = errors.New("not a data dir")   // not empty and without our marker
	ErrMarker   = errors.New("bad marker")       // marker damaged, or of a newer format
	ErrNotDir   = errors.New("not a directory")  // the path is something else
	ErrUnusable = errors.New("cannot be opened") // missing rights, full or failing disk
)

// Error says in one line why a data directory was refused.
type Error struct {
	Path string
	Kind error // one of the errors above
	text string
}

// Error returns one line that names the directory.
func (e *Error) Error() string { return fmt.Sprintf("data directory %s %s", e.Path, e.text) }

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }

// Dir is an open data directory.
type Dir struct {
	path   string
	nodeID string
	lock   *os.File
}

// marker is the content of brokerd.json.
type marker struct {
	Format  int       `json:"format"`
	NodeID  string    `json:"node_id"`
	Created time.Time `json:"created"`
}

// Open opens the data directory at path, creating it and its parents as needed. The error is an *Error. A directory that is
// refused is left as it was.
func Open(path string) (*Dir, error) {
	if err := makeDir(path); err != nil {
		return nil, err
	}
	// Look before the lock file is made: a foreign directory must not get one.
	if _, err := readMarker(path); err != nil {
		return nil, err
	}
	lock, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, lock: lock}
	if err := d.identify(); err != nil {
		_ = lock.Close() // nothing was written through it
		return nil, err
	}
	return d, nil
}

// Path returns the path that the directory was opened with.
func (d *Dir) Path() string { return d.path }

// NodeID returns the identity of the node that the directory belongs to: 32 hexadecimal digits, made at random with the
// directory and never changed.
func (d *Dir) NodeID() string { return d.nodeID }

// Close releases the directory. The lock file stays: removing it would let two later processes lock different files.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("data directory %s: %w", d.path, err)
	}
	return nil
}

func makeDir(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return &Error{path, ErrNotDir, "is not a directory"}
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOTDIR):
		return &Error{path, ErrNotDir, "is below something that is not a directory"}
	case !errors.Is(err, os.ErrNotExist):
		return unusable(path, "cannot be opened", err)
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return unusable(path, "cannot be created", err)
	}
	// The new directory is durable once its parent is synced. Higher parents were there before in all but odd set-ups, and
	// losing an empty directory in a crash right now loses nothing.
	if err := syncDir(filepath.Dir(filepath.Clean(path))); err != nil {
		return unusable(path, "cannot be created", err)
	}
	return nil
}

// identify reads the marker under the lock, or writes one into a new directory.
func (d *Dir) identify() error {
	m, err := readMarker(d.path)
	if err != nil {
		return err
	}
	if m == nil {
		if m, err = writeMarker(d.path); err != nil {
			return unusable(d.path, "is not writable", err)
		}
	}
	d.nodeID = m.NodeID
	return nil
}

// readMarker returns nil for a directory that is new, and an error for one that is not ours.
func readMarker(path string) (*marker, error) {
	file := filepath.Join(path, markerName)
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		err := checkEmpty(path)
		if err == nil {
			return nil, nil
		}
		// What is there may be the work of another first start, which wrote its marker after we had looked for it.
		if b, err2 := os.ReadFile(file); err2 == nil {
			return parseMarker(path, b)
		}
		return nil, err
	}
	if err != nil {
		return nil, unusable(path, "is not readable", err)
	}
	return parseMarker(path, b)
}

func parseMarker(path string, b []byte) (*marker, error) {
	var m marker
	if err := json.Unmarshal(b, &m); err != nil || m.Format < 1 {
		return nil, &Error{path, ErrMarker, fmt.Sprintf("is damaged: %s cannot be understood", markerName)}
	}
	if m.Format > format {
		return nil, &Error{path, ErrMarker, fmt.Sprintf("was written by a newer brokerd (format %d, this one reads %d)", m.Format, format)}
	}
	if id, err := hex.DecodeString(m.NodeID); err != nil || len(id) != 16 {
		return nil, &Error{path, ErrMarker, fmt.Sprintf("is damaged: %s has no valid node_id", markerName)}
	}
	return &m, nil
}

// checkEmpty refuses a directory that holds anything but what a broken-off first start, or the file system, leaves behind.
func checkEmpty(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return unusable(path, "is not readable", err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case lockName, markerTemp, "lost+found":
		default:
			return &Error{path, ErrForeign, fmt.Sprintf("is not brokerd's: it holds %s and no %s", entry.Name(), markerName)}
		}
	}
	return nil
}

func writeMarker(path string) (*marker, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	m := &marker{Format: format, NodeID: hex.EncodeToString(id[:]), Created: time.Now().UTC().Truncate(time.Second)}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	// Written aside, synced and renamed, so that a marker is whole or not there.
	temp := filepath.Join(path, markerTemp)
	if err := writeSynced(temp, append(b, '\n')); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, filepath.Join(path, markerName)); err != nil {
		return nil, err
	}
	return m, syncDir(path)
}

func writeSynced(file string, b []byte) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// lockFile takes the lock. It is held by the open file, so the kernel releases it however the process ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, unusable(path, "is not writable", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = &Error{path, ErrInUse, "is in use by " + holder(f)}
	} else if err != nil {
		err = unusable(path, "cannot be locked", err)
	} else if err = writeHolder(f); err != nil {
		err = unusable(path, "is not writable", err)
	}
	if err != nil {
		_ = f.Close() // the reason to give up is err
		return nil, err
	}
	return f, nil
}

// holder names the process that wrote the lock file. It may not have come to it yet.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	pid, parseErr := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil || parseErr != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func unusable(path, text string, err error) *Error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &Error{path, ErrUnusable, fmt.Sprintf("%s: %s", text, err)}
}
