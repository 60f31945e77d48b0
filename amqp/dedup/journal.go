package dedup

import (
	"encoding/binary"
	"slices"

	"github.com/brokerd/brokerd/amqp/block"
)

// entryLen is the encoded length of an Entry: the key, and the time as a little-endian number.
const entryLen = len(Key{}) + 8

// Records with fewer entries than these are merged when they have become many, so that a window has about one record for
// each manyEntries, and each entry is written three times at most.
const (
	fewEntries  = 64
	manyEntries = 4096
	// fewRecords and manyRecords are how many records there may be with less than fewEntries and manyEntries.
	fewRecords  = 64
	manyRecords = 128
)

// AppendEntry appends an encoded entry.
func AppendEntry(b []byte, e Entry) []byte {
	b = append(b, e.Key[:]...)
	return binary.LittleEndian.AppendUint64(b, uint64(e.Time))
}

// eachEntry calls visit for the entries in b.
func eachEntry(b []byte, visit func(Entry)) {
	for ; len(b) >= entryLen; b = b[entryLen:] {
		visit(Entry{Key(b), int64(binary.LittleEndian.Uint64(b[len(Key{}):]))})
	}
}

// Journal is what the log holds of a window. It is not safe for concurrent use.
type Journal struct {
	id      uint64 // in the log
	next    uint64
	records []record // in the order in which they were stored
}

// record is one record in the log.
type record struct {
	desc  block.Desc
	last  uint64 // highest number of its entries
	value []byte // nil once it has become too large to be merged
}

func (r *record) entries() int { return int(r.desc.Size) / entryLen }

// NewJournal returns the journal of the queue id, and puts what the log holds of it into w. That is nil for a new queue.
func NewJournal(id uint64, w *Window, states []block.State, now int64) *Journal {
	// Names are not used again, not even by the next journal of the same id.
	j := &Journal{id: id, next: uint64(now) << 20}
	type recovered struct {
		Entry
		from int
	}
	var all []recovered
	for i, s := range states {
		j.next = max(j.next, s.Desc.Base+1)
		eachEntry(s.Value, func(e Entry) { all = append(all, recovered{e, i}) })
		r := record{desc: s.Desc}
		if r.entries() < manyEntries {
			r.value = s.Value
		}
		j.records = append(j.records, r)
	}
	// Records may have been stored in another order than that in which their messages came.
	slices.SortStableFunc(all, func(a, b recovered) int {
		switch {
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	})
	for _, e := range all {
		if w.late(e.Time, now) {
			continue
		}
		if n, again := w.numbers[e.Key]; again { // it was forgotten, or too old, in between
			w.entries[n-w.base].Key = Key{}
		}
		r := &j.records[e.from]
		r.last = max(r.last, w.Add(e.Key, e.Time))
	}
	slices.SortStableFunc(j.records, func(a, b record) int {
		switch {
		case a.last < b.last:
			return -1
		case a.last > b.last:
			return 1
		}
		return 0
	})
	return j
}

// Reserve returns the name of a new record.
func (j *Journal) Reserve() uint64 {
	j.next++
	return j.next - 1
}

// Op returns the op that stores entries, encoded, as the record name. They must not be changed any more. Once it is stored, Stored
// is called with its Desc. Unlike the other methods, Op may be called from any goroutine.
func (j *Journal) Op(name uint64, entries []byte) *block.Op {
	return &block.Op{Kind: block.OpState, Queue: j.id, Desc: block.Desc{Base: name, Size: uint32(len(entries))}, Records: entries}
}

// Stored notes that a record is in the log. last is the highest number that its entries have in the window. Another op may be due
// then, which may be submitted any time after: it has no owner, and if it fails there is only more in the log than need be.
func (j *Journal) Stored(d block.Desc, entries []byte, last uint64, w *Window) *block.Op {
	r := record{desc: d, last: last}
	if r.entries() < manyEntries {
		r.value = entries
	}
	j.records = append(j.records, r)
	return j.tidy(w.Oldest())
}

// tidy deletes the records of which nothing is in the window, and merges small ones.
func (j *Journal) tidy(oldest uint64) *block.Op {
	gone := 0
	for gone < len(j.records) && j.records[gone].last < oldest {
		gone++
	}
	from, to := j.mergeable(gone)
	if gone < fewRecords && gone*2 < len(j.records) && from == to {
		return nil
	}
	op := &block.Op{Kind: block.OpState, Queue: j.id, Lazy: true}
	for _, r := range j.records[:gone] {
		op.Remove = append(op.Remove, r.desc)
	}
	if from < to {
		var merged record
		for _, r := range j.records[from:to] {
			op.Remove = append(op.Remove, r.desc)
			merged.value = append(merged.value, r.value...)
			merged.last = max(merged.last, r.last)
		}
		op.Records = merged.value
		op.Desc = block.Desc{Base: j.Reserve(), Size: uint32(len(merged.value))}
		if merged.desc = op.Desc; merged.entries() >= manyEntries {
			merged.value = nil
		}
		j.records = slices.Replace(j.records, from, to, merged)
	}
	j.records = slices.Delete(j.records, 0, gone)
	return op
}

// mergeable returns a range of records to be merged, behind the first ones that go anyway.
func (j *Journal) mergeable(gone int) (from, to int) {
	n := len(j.records)
	if from = j.below(fewEntries, gone); n-from >= fewRecords {
		return from, n
	}
	if from = j.below(manyEntries, gone); n-from < manyRecords {
		return 0, 0
	}
	sum := 0
	for to = from; to < n && sum < manyEntries; to++ {
		sum += j.records[to].entries()
	}
	return from, to
}

// below returns where the records at the end begin that have fewer entries than limit.
func (j *Journal) below(limit, gone int) int {
	i := len(j.records)
	for i > gone && j.records[i-1].entries() < limit {
		i--
	}
	return i
}

// Clear returns the op that deletes everything, nil if there is nothing.
func (j *Journal) Clear() *block.Op {
	if len(j.records) == 0 {
		return nil
	}
	op := &block.Op{Kind: block.OpState, Queue: j.id, Lazy: true}
	for _, r := range j.records {
		op.Remove = append(op.Remove, r.desc)
	}
	j.records = nil
	return op
}
