//go:build !linux

package socket

// within calls fn with dir. A path that is too long is the system's error.
func within(dir string, fn func(dir string) error) error { return fn(dir) }
