//go:build fault_confirm_early

package store

import "time"

// holdBack is how long what was confirmed already stays in memory: what the operating system was given survives the end
// of the process, so the bug would not show otherwise.
const holdBack = 150 * time.Millisecond

// completeEarly is a bug that is planted on purpose, which test/chaos must find: a group is confirmed before it is written.
func (c *committer) completeEarly(bytes int) bool {
	c.complete(bytes)
	time.Sleep(holdBack)
	return true
}
