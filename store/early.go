//go:build !fault_confirm_early

package store

// completeEarly is for a bug that is planted on purpose (see the build tag): it does nothing.
func (c *committer) completeEarly(int) bool { return false }
