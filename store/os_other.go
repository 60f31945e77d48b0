//go:build !linux

package store

import (
	"math"
	"os"
)

func datasync(f *os.File) error { return f.Sync() }

// freeBytes is only known on Linux; elsewhere the floor of Options.MinFree is not enforced.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }

func allocated(fi os.FileInfo) int64 { return fi.Size() }

// releasePages is only needed where mapped pages count as memory of the process.
func releasePages(string, func(path string) bool) error { return nil }

// lockDir relies on Badger's own lock.
func lockDir(dir string) (*os.File, error) { return os.Open(dir) }

func mapFile(name string) (b []byte, unmap func(), err error) {
	b, err = os.ReadFile(name)
	return b, func() {}, err
}

// punch is only known on Linux. Elsewhere the space comes back when Badger removes the file.
func punch(string, int64, int64) error { return nil }
