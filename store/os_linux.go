package store

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// datasync makes the content of f durable. On Linux this covers what was written through a shared memory map.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return err
		}
	}
}

// freeBytes returns the bytes that an unprivileged process can still write in the file system of dir.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == unix.EINTR {
			continue
		}
		return int64(st.Bavail) * st.Bsize, err
	}
}

// allocated returns the bytes that a file takes on disk; Badger's newest files are sparse and much longer.
func allocated(fi os.FileInfo) int64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return fi.Size()
}

// lockDir locks dir against other stores until the returned file is closed.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "store.lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("in use by another store: %w", err)
	}
	return f, nil
}

// mapFile maps a file for reading, up to its first hole: Badger's newest files are mostly holes.
func mapFile(name string) (b []byte, unmap func(), err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_HOLE)
	if err == unix.ENXIO || err == nil && size == 0 {
		return nil, func() {}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("looking for the end of %s: %w", name, err)
	}
	b, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %s: %w", name, err)
	}
	return b, func() { _ = unix.Munmap(b) }, nil
}

// punch gives the disk space of a file back from an offset on; reading there gives zeros.
func punch(name string, from, to int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
}
