// Package store keeps the blocks of a node's queues in Badger: it implements [block.Log] with group commit, recovery from
// keys alone, and reclaim that keeps the disk bounded.
//
// internal/node opens one Store and hands it to the queues (amqp/queue), which submit operations and load blocks back. The
// package knows nothing of exchanges, consumers or the cluster, and it never looks into a record except to find the
// transient ones of a mixed block at start-up.
//
// # Goroutines
//
// Submit may be called from anywhere; it pushes to a lock-free stack. One goroutine, the committer, owns everything that is
// written: it takes what was submitted, writes it and makes it durable with at most two file syncs. A second one, the
// janitor, removes dropped queues and reclaims space; its own deletions go through the committer like everybody's. Load
// runs on the caller's goroutine.
//
// # Durability
//
// Badger runs without its own syncs. They would cost one per transaction and file, their failure is not reported for the
// value log, and its Sync leaves out a memtable that was rotated a moment before. The store keeps its own descriptors of
// the files Badger writes (see syncer) and calls fdatasync once per commit on those that changed. A failed sync is final:
// the kernel may have dropped the pages, so that every later operation fails until the node is restarted.
package store
