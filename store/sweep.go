package store

import (
	"encoding/binary"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/brokerd/brokerd/amqp/block"
)

// sweepBatch is how many keys one background deletion takes, so that it fits into one transaction and the commits of the
// queues are not held up by it.
const sweepBatch = 256

// opDrop is submitted by DropQueue; its completion says that everything before it was written.
type dropped struct {
	s     *Store
	queue uint64
}

func (d *dropped) Claim(*block.Op) bool  { return true }
func (d *dropped) Done(*block.Op, error) { d.s.janitor.drop(d.queue) }

// DropQueue deletes everything of a queue in the background, after all ops submitted before. Nothing must be submitted for
// the queue afterwards. If the node goes down before the end, DropUnknown does the rest at the next start.
func (s *Store) DropQueue(queue uint64) {
	// Lazy: it needs a place in the order of ops, but no sync.
	s.Submit(&block.Op{Kind: block.OpDelete, Queue: queue, Lazy: true, Owner: &dropped{s, queue}})
}

// DropUnknown deletes in the background everything of those recovered queues that known rejects, and removes them from
// Recovered. It is called once, at start-up, before the queues are used. known is called on the caller's goroutine.
func (s *Store) DropUnknown(known func(queue uint64) bool) {
	for queue := range s.recovered {
		if !known(queue) {
			delete(s.recovered, queue)
			s.DropQueue(queue)
		}
	}
}

// sweepQueue deletes all keys of a queue.
func (s *Store) sweepQueue(queue uint64) error {
	spill := binary.BigEndian.AppendUint64([]byte{prefixSpill}, s.epoch)
	spill = binary.BigEndian.AppendUint64(spill, queue)
	prefixes := [][]byte{
		append([]byte{prefixPart}, queuePrefix(prefixBlock, queue)...),
		append([]byte{prefixPart}, spill...),
		queuePrefix(prefixBlock, queue),
		spill,
		queuePrefix(prefixGone, queue),
		queuePrefix(prefixMark, queue),
		queuePrefix(prefixState, queue),
	}
	for _, p := range prefixes {
		if err := s.sweep(p, nil); err != nil {
			return err
		}
	}
	return nil
}

// sweepSpilled deletes the spilled blocks of earlier runs.
func (s *Store) sweepSpilled() error {
	ours := binary.BigEndian.AppendUint64([]byte{prefixSpill}, s.epoch)
	if err := s.sweep([]byte{prefixPart, prefixSpill}, append([]byte{prefixPart}, ours...)); err != nil {
		return err
	}
	return s.sweep([]byte{prefixSpill}, ours)
}

var errEnough = errors.New("batch is full")

// sweep deletes all keys with the prefix that are less than end, if end is not nil, in batches, each after the one before is
// written.
func (s *Store) sweep(prefix, end []byte) error {
	from := prefix
	for {
		var keys [][]byte
		err := s.eachKey(prefix, from, func(it *badger.Item) error {
			if len(keys) == sweepBatch || end != nil && string(it.Key()) >= string(end) {
				return errEnough
			}
			keys = append(keys, it.KeyCopy(nil))
			return nil
		})
		if err != nil && err != errEnough {
			return err
		}
		if len(keys) == 0 {
			return nil
		}
		if err := s.deleteKeys(keys); err != nil {
			return err
		}
		// What was deleted is a row of tombstones now, which the next iteration should not walk again.
		from = append(keys[len(keys)-1], 0)
	}
}

// deleteKeys deletes keys through the committer and waits until they are. It gives up when the janitor is told to end.
func (s *Store) deleteKeys(keys [][]byte) error {
	for len(keys) > 0 {
		n := min(len(keys), sweepBatch)
		r := newRawDelete(keys[:n])
		keys = keys[n:]
		s.Submit(r.op())
		if err := <-r.done; err != nil {
			return err
		}
		s.stats.dropped.Add(int64(n))
		select {
		case <-s.janitor.stop:
			return errEnding
		default:
		}
	}
	return nil
}

var errEnding = errors.New("store is closing")
