package store

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// releasePages drops the page table entries of the shared file mappings of this process whose path begins with prefix and
// that pick accepts. The pages stay in the page cache, dirty or not, and the next access maps them again; so this is
// harmless to whoever uses the mapping.
//
// The caller must see to it that no accepted mapping is removed meanwhile: the address range could be in use for something
// else by the time the kernel is told, and private memory would be lost.
func releasePages(prefix string, pick func(path string) bool) error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		// address perms offset dev inode path
		line := sc.Text()
		i := strings.IndexByte(line, '/')
		if i < 0 || !strings.HasPrefix(line[i:], prefix) || !pick(line[i:]) {
			continue
		}
		var lo, hi uintptr
		var perms string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &lo, &hi, &perms); err != nil {
			continue
		}
		if len(perms) < 4 || perms[3] != 's' {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, lo, hi-lo, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("store: releasing pages of %s: %w", line[i:], errno)
		}
	}
	return sc.Err()
}
