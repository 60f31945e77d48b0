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
//
// # Memory and disk
//
// Blocks go to Badger's value log, their keys and small blocks to its tree. Badger maps the value log into memory; the pager
// gives its pages back, so that a backlog that passes through does not stay resident. Space of deleted blocks comes back as
// described in reclaim.go, what is done about damaged files in repair.go. Badger writes to mapped files, and on a full file
// system that kills the process, so puts stop at a floor of free bytes.
//
// # Measured
//
// On 2 cores, shared with the benchmark itself and other work, on an ext4 virtual disk (BenchmarkOption, BenchmarkCommit,
// TestDiskBound and TestBacklog with -store.flow); the default is named first:
//
//   - Flow of 50 MB/s of 64 KiB blocks, each deleted a second later, 330 to 490 commits/s: some 300 MB on disk at most (50 MB
//     live, slack 192 MB), 24 to 31% of a core. Before the defaults were chosen, with memtables of 512 KiB to 4 MiB and value
//     files of 16, 32 and 64 MiB: 275 to 340 MB and 27 to 36% of a core in nine runs of ten, without a trend; one run
//     with 16 MiB reached 438 MB and 264 MB mapped. Mapped memory was 45 to 80 MB with 32 MiB, 96 to 121 MB with 64 MiB.
//   - Backlog of 750 MB in 12,000 blocks: written in 1.5 to 1.7 s, read and deleted in 0.3 to 0.8 s, below 200 MB on disk half
//     a second later. Resident at most 83 MB private and 112 MB mapped; with pages given back every 100 ms instead of every
//     32 MiB, 292 MB mapped.
//   - Memtable of 2 MiB: a group of 1000 blocks of 100 bytes commits in 3.1 ms. 512 KiB 13.4 ms, 1 MiB 4.9 to 6.1 ms,
//     4 MiB 3.9 ms, 16 MiB 3.2 ms. In the flow above 1 MiB took 42 to 60 MB of private
//     memory and 4 MiB 81 to 86 MB.
//   - Inline below 256 bytes. Blocks of 500 bytes one by one take 208 µs in the value log and 153 µs in the tree, where one
//     file less is synced; 100 at once take 0.67 ms and 2.1 ms, and of 5000 bytes 1.5 ms and 17.6 ms.
//   - One block of 64 KiB per commit: 0.46 to 0.57 ms with sync always (two files, at the same time), 0.14 ms with interval
//     or os. 16 per commit: 315 to 610 MB/s, 127 file syncs per 1000 blocks. One of 100 bytes: 0.14 to 0.22 ms, one file.
//   - 16,000 blocks: opened in 22 ms. A million messages in 1000 blocks: 41 ms, and 65 ms after a kill; closed in 14 to 55 ms.
package store
