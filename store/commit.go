package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// committer writes what was submitted, one group after the other, on its own goroutine; all its fields belong to that.
type committer struct {
	s       *Store
	pending opList
	urgent  bool      // pending has an op that does not wait for company
	since   time.Time // when the oldest of the pending lazy ops came
	sync    syncer

	// What was written since the last sync.
	dirtyLSM, dirtyValues bool

	// gone has the blocks with a stored bitmap, so that deleting a block writes a second tombstone only if there is something
	// to delete. A queue that is consumed in order has one or two of them.
	gone map[blockID]struct{}

	arena  []byte // keys and values of the current group
	txn    *badger.Txn
	count  int64 // entries and bytes of txn as Badger counts them
	size   int64
	group  []result
	first  int   // index in group of the first op with entries in txn
	txnErr error // an entry was refused
	failed error // a sync failed: final
}

type blockID struct{ queue, base uint64 }

// result is an op that was claimed, and what became of it.
type result struct {
	op  *block.Op
	err error
}

// syncs says whether op must be durable before Done. Spilled blocks are void after a restart anyway.
func syncs(op *block.Op) bool {
	if op.Lazy || op.Kind >= opInternal {
		return false
	}
	switch op.Kind {
	case block.OpPut:
		return !op.Desc.Spill
	case block.OpDelete:
		for i := range op.Remove {
			if !op.Remove[i].Spill {
				return true
			}
		}
		return false
	}
	return true
}

// run is the committer's goroutine. It ends when stop is closed, after everything submitted was written and synced.
func (c *committer) run(stop <-chan struct{}) {
	lazy := time.NewTimer(time.Hour)
	lazy.Stop()
	defer lazy.Stop()
	var tick <-chan time.Time
	if c.s.opt.Sync == SyncInterval {
		t := time.NewTicker(c.s.opt.Interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		c.collect()
		if c.pending.first != nil && (c.urgent || time.Since(c.since) >= c.s.opt.LazyInterval) {
			c.commit()
			continue
		}
		if c.pending.first != nil {
			lazy.Reset(c.s.opt.LazyInterval - time.Since(c.since))
		}
		select {
		case <-c.s.in.wake:
		case <-lazy.C:
		case <-tick:
			c.fail(c.syncNow())
		case <-stop:
			c.collect()
			for c.pending.first != nil {
				c.commit()
				c.collect()
			}
			c.fail(c.syncNow())
			c.sync.close()
			return
		}
	}
}

// collect moves what was submitted to pending.
func (c *committer) collect() {
	for op := c.s.in.take(); op != nil; {
		next := op.Next
		if c.pending.first == nil {
			c.urgent, c.since = false, time.Now()
		}
		c.urgent = c.urgent || !op.Lazy
		c.pending.append(op)
		op = next
	}
}

// commit writes one group of pending ops, at most Options.MaxCommit bytes unless the first op is larger, and completes them.
func (c *committer) commit() {
	c.arena, c.group, c.first = c.arena[:0], c.group[:0], 0
	bytes, needSync := 0, false
	puts, full := c.space()
	for op := c.pending.first; op != nil; op = c.pending.first {
		if len(c.group) > 0 && bytes+putBytes(op) > c.s.opt.MaxCommit { // as far as it has grown so far
			break
		}
		c.pending.pop()
		if op.Owner != nil && !op.Owner.Claim(op) {
			continue
		}
		n := putBytes(op)
		err := c.failed
		if err == nil {
			err = full
		}
		if err == nil && n > 0 && int64(bytes+n) > puts {
			err = fmt.Errorf("%w: %d bytes, %d above the floor of %d", ErrNoSpace, n, max(puts, 0), c.s.opt.MinFree)
		}
		c.group = append(c.group, result{op: op})
		if err == nil {
			bytes += n
			err = c.write(op)
		}
		if err != nil {
			c.group[len(c.group)-1].err = err
			continue
		}
		needSync = needSync || syncs(op)
	}
	early := c.completeEarly(bytes)
	c.flush()
	if needSync && c.s.opt.Sync == SyncAlways {
		if err := c.syncNow(); err != nil {
			c.fail(err)
			for i := range c.group {
				if c.group[i].err == nil {
					c.group[i].err = err
				}
			}
		}
	}
	if !early {
		c.complete(bytes)
	}
}

// putBytes returns what op, and what goes with it, takes of the space; deletions and marks do not count. Before the op is claimed it
// is a lower bound.
func putBytes(op *block.Op) (n int) {
	if op.Kind == block.OpPut || op.Kind == block.OpReplace || op.Kind == block.OpState && len(op.Records) > 0 {
		n = int(op.Desc.Size) + block.HeaderLen
	}
	for _, w := range op.With {
		n += putBytes(w)
	}
	return n
}

// complete tells the owners, and frees a buffer that one large op has blown up.
func (c *committer) complete(bytes int) {
	st := &c.s.stats
	st.commits.Add(1)
	st.ops.Add(int64(len(c.group)))
	st.bytes.Add(int64(bytes))
	c.s.pager.touch(bytes)
	for i, r := range c.group {
		c.group[i] = result{}
		if r.err != nil {
			c.s.note(r.err)
		} else {
			c.account(r.op)
		}
		if r.op.Owner != nil {
			r.op.Owner.Done(r.op, r.err)
		}
	}
	if cap(c.arena) > 2*c.s.opt.MaxCommit {
		c.arena = nil
	}
}

// space returns the number of bytes that puts may take, and an error when not even deletions can be written.
//
// This is the guard against SIGBUS: Badger writes to holes of memory-mapped files, and a page that the file system cannot
// provide kills the process. Other processes may take the space at the same moment; the floor is there for them, too.
func (c *committer) space() (puts int64, full error) {
	free, err := freeBytes(c.s.opt.Dir)
	if err != nil {
		return 0, fmt.Errorf("store: asking for free space: %w", err)
	}
	c.s.stats.free.Store(free)
	if free < c.s.opt.MinFree/4 {
		return 0, fmt.Errorf("%w: %d bytes free, %d needed to delete anything", ErrNoSpace, free, c.s.opt.MinFree/4)
	}
	return free - c.s.opt.MinFree, nil
}

// syncNow makes durable what was written since the last sync, in every mode.
func (c *committer) syncNow() error {
	if !c.dirtyLSM && !c.dirtyValues || c.failed != nil {
		return c.failed
	}
	n, err := c.sync.sync(c.dirtyValues)
	c.s.stats.syncs.Add(int64(n))
	if err != nil {
		return err
	}
	c.dirtyLSM, c.dirtyValues = false, false
	return nil
}

func (c *committer) fail(err error) {
	if err != nil && c.failed == nil {
		c.failed = fmt.Errorf("store: no longer writable: %w", err)
		c.s.broken.Store(true)
		c.s.opt.Logger.Error("store is no longer writable, restart the node", "dir", c.s.opt.Dir, "error", err)
		c.s.note(err)
	}
}

// write puts the entries of op, and of the ops that go with it, into the current transaction. An error means that nothing of op is
// written.
func (c *committer) write(op *block.Op) error {
	if len(op.With) == 0 {
		return c.writeOne(op)
	}
	// Room for all of them, so that they get into one transaction. If they are too many, op goes first.
	n, size := partsOf(op.Desc)+len(op.Remove), int64(c.s.opt.Inline)
	for _, w := range op.With {
		n += 1 + 2*len(w.Remove)
		size += int64(8*len(w.Gone) + len(w.Records))
	}
	c.room(min(n, c.s.maxEntries), min(size, c.s.maxBytes/2))
	if err := c.writeOne(op); err != nil {
		return err
	}
	for _, w := range op.With {
		if err := c.writeOne(w); err != nil {
			return err
		}
	}
	return nil
}

func (c *committer) writeOne(op *block.Op) error {
	switch op.Kind {
	case block.OpPut, block.OpReplace:
		return c.writeBlock(op)
	case block.OpDelete:
		for i := range op.Remove {
			c.remove(op.Queue, op.Remove[i])
		}
	case block.OpGone:
		id := blockID{op.Queue, op.Desc.Base}
		v := c.alloc(8 * len(op.Gone))
		for i, w := range op.Gone {
			binary.LittleEndian.PutUint64(v[8*i:], w)
		}
		at := len(c.arena)
		c.arena = appendGoneKey(c.arena, id.queue, id.base)
		c.set(c.arena[at:], v)
		c.gone[id] = struct{}{}
	case block.OpMark:
		v := c.alloc(8)
		binary.LittleEndian.PutUint64(v, op.Mark)
		at := len(c.arena)
		c.arena = appendMarkKey(c.arena, op.Queue)
		c.set(c.arena[at:], v)
	case block.OpState:
		return c.writeState(op)
	case block.OpBarrier:
	case opRaw:
		for _, k := range op.Owner.(*rawDelete).keys {
			c.removeKey(k)
		}
	case opMove:
		c.flush() // so that what was deleted just before is seen to be deleted
		return c.move(op.Owner.(*moving))
	case opPad:
		c.flush() // it is not for the ops before to wait for, or to fail with it
		c.pad()
	default:
		return fmt.Errorf("store: unknown op %d", op.Kind)
	}
	return nil
}
