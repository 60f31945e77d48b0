package socket

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxPath is the longest path in bytes that fits into the address of a Unix socket.
const maxPath = 107

// within calls fn with a name for the directory dir that leaves room for the name of the socket.
func within(dir string, fn func(dir string) error) error {
	if len(filepath.Join(dir, Name)) <= maxPath {
		return fn(dir)
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}
