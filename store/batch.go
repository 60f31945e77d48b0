package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// alloc takes n bytes from the group's arena. They stay valid until the next group even when the arena moves.
func (c *committer) alloc(n int) []byte {
	at := len(c.arena)
	c.arena = append(c.arena, make([]byte, n)...)
	return c.arena[at : at+n : at+n]
}

// writeBlock writes the block of op and, with OpReplace, removes the replaced ones, in one transaction if they fit in one.
// If they do not, the block goes first: recovery drops blocks that a longer one covers, so that a crash in between leaves
// one or the other, never both and never none.
func (c *committer) writeBlock(op *block.Op) error {
	d := op.Desc
	if got := len(op.Records) + len(op.Tail); got != int(d.Size) {
		return fmt.Errorf("store: queue %d, offset %d: %d bytes of records, described as %d", op.Queue, d.Base, got, d.Size)
	}
	parts := partsOf(d)
	entries := parts
	for i := range op.Remove {
		entries += partsOf(op.Remove[i]) + 1
	}
	c.room(min(entries, c.s.maxEntries), int64(c.s.opt.Inline))
	fits := entries <= c.s.maxEntries
	if fits {
		for i := range op.Remove {
			c.remove(op.Queue, op.Remove[i])
		}
	}
	h := block.Header{
		Queue: op.Queue, Base: d.Base, Count: d.Count, Persistent: d.Persistent, MinDeadline: d.MinDeadline,
	}
	at := len(c.arena)
	c.arena = block.AppendStored(c.arena, h, op.Records, op.Tail)
	value := c.arena[at:]
	at = len(c.arena)
	c.arena = appendBlockKey(c.arena, c.s.epoch, op.Queue, d)
	key := c.arena[at:]
	for i := 0; i < parts; i++ {
		part := value[i*partLen : min((i+1)*partLen, len(value))]
		if i == 0 {
			c.set(key, part)
			continue
		}
		at = len(c.arena)
		c.arena = appendPartKey(c.arena, key, i)
		c.set(c.arena[at:], part)
	}
	if !fits {
		for i := range op.Remove {
			c.remove(op.Queue, op.Remove[i])
		}
	}
	return nil
}

// remove deletes the block d with all its parts, and its bitmap if there is one.
func (c *committer) remove(queue uint64, d block.Desc) {
	at := len(c.arena)
	c.arena = appendBlockKey(c.arena, c.s.epoch, queue, d)
	key := c.arena[at:]
	c.removeKey(key)
	for i := 1; i < partsOf(d); i++ {
		at = len(c.arena)
		c.arena = appendPartKey(c.arena, key, i)
		c.removeKey(c.arena[at:])
	}
	id := blockID{queue, d.Base}
	if _, ok := c.gone[id]; ok && !d.Spill {
		delete(c.gone, id)
		at = len(c.arena)
		c.arena = appendGoneKey(c.arena, queue, d.Base)
		c.removeKey(c.arena[at:])
	}
}

func (c *committer) set(key, value []byte) {
	n := int64(len(value))
	if n >= int64(c.s.opt.Inline) {
		n = 0
		c.dirtyValues = true
	}
	c.add(badger.NewEntry(key, value), n)
}

func (c *committer) removeKey(key []byte) {
	c.room(1, int64(len(key)))
	if err := c.txn.Delete(key); err != nil {
		c.txnErr = errors.Join(c.txnErr, err)
	}
	c.count++
	c.size += entryOverhead + int64(len(key))
}

func (c *committer) add(e *badger.Entry, inline int64) {
	c.room(1, inline)
	if err := c.txn.SetEntry(e); err != nil {
		c.txnErr = errors.Join(c.txnErr, err)
	}
	c.count++
	c.size += entryOverhead + int64(len(e.Key)) + inline
}

// entryOverhead is more than what Badger counts for an entry besides its key and inlined value: version, value pointer, meta.
const entryOverhead = 32

// room makes sure that the transaction takes n more entries with size bytes of inlined values altogether.
func (c *committer) room(n int, size int64) {
	need := size + int64(n)*(entryOverhead+maxKeyLen)
	if c.txn != nil && (c.count+int64(n) > int64(c.s.maxEntries) || c.size+need > c.s.maxBytes) {
		c.flush()
	}
	if c.txn == nil {
		c.txn = c.s.db.NewTransactionAt(math.MaxUint64, true)
		c.count, c.size, c.txnErr = 0, 0, nil
	}
}

// flush commits the transaction to Badger: afterwards its entries are readable, and survive the end of the process, but not
// that of the machine. If it fails, all ops with entries in it fail.
func (c *committer) flush() {
	if c.txn == nil {
		return
	}
	err := c.txnErr
	if err == nil {
		ts := c.s.version.Add(1)
		c.s.writing.Lock()
		err = c.txn.CommitAt(ts, nil)
		c.s.writing.Unlock()
		c.dirtyLSM = true
		c.s.releaseVersions()
	}
	c.txn.Discard()
	c.txn = nil
	if err != nil {
		err = fmt.Errorf("store: writing: %w", err)
		for i := c.first; i < len(c.group); i++ {
			if c.group[i].err == nil {
				c.group[i].err = err
			}
		}
	}
	// The op being written may go on in the next transaction.
	c.first = max(0, len(c.group)-1)
}

// account keeps the number of live bytes in the value log.
func (c *committer) account(op *block.Op) {
	for _, w := range op.With {
		c.account(w)
	}
	var n int64
	switch op.Kind {
	case block.OpPut, block.OpReplace:
		n += c.s.valueBytes(op.Desc)
	case block.OpState:
		if len(op.Records) > 0 {
			n += c.s.stateBytes(op.Desc)
		}
		for i := range op.Remove {
			n -= c.s.stateBytes(op.Remove[i])
		}
		c.s.stats.deleted.Add(int64(len(op.Remove)))
		c.s.live.Add(n)
		return
	case opMove:
		c.s.stats.deleted.Add(1) // the old values are garbage now
	case opRaw:
		for _, k := range op.Owner.(*rawDelete).keys {
			if _, _, d, ok := parseBlockKey(k); ok {
				n -= c.s.valueBytes(d)
				c.s.stats.deleted.Add(1)
			} else if _, d, ok := parseStateKey(k); ok {
				n -= c.s.stateBytes(d)
				c.s.stats.deleted.Add(1)
			}
		}
	}
	for i := range op.Remove {
		n -= c.s.valueBytes(op.Remove[i])
	}
	c.s.stats.deleted.Add(int64(len(op.Remove)))
	c.s.live.Add(n)
}

// pad writes enough to fill the memtable up, and then one entry more, with which Badger takes the next one. See reclaim.
func (c *committer) pad() {
	for i := range c.s.opt.MemTable/padKeyLen + 2 {
		key := c.alloc(padKeyLen)
		if i > c.s.opt.MemTable/padKeyLen {
			c.flush() // Badger looks whether the memtable is full before a transaction
			key = key[:3]
		}
		key[0] = prefixPad
		binary.BigEndian.PutUint16(key[1:], uint16(i))
		c.removeKey(key)
	}
}
