package queue

import (
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/wire"
)

// seen is what a queue knows of the messages that it has had, so that it drops those that come again. It is the runner's.
//
// The keys of persistent messages are stored in the transaction that stores the messages: one without the other would lose a
// message, or take it twice, after a crash. A repetition of a message that is on its way to the log is answered together with it:
// before that, nothing keeps the message for either of its publishers.
type seen struct {
	opts    dedup.Options
	window  *dedup.Window
	journal *dedup.Journal // nil if the queue is not durable
	// storing are the segments with the keys that are not in the log yet; nil for a key of the publication that is being looked
	// through, of which there is no segment yet.
	storing map[dedup.Key]*segment
	now     func() int64 // Unix milliseconds
}

// freshKeys are the keys that must be stored with a Publication.
type freshKeys struct {
	keys []dedup.Key // of the records, in their order, as far as there are any; the zero Key for those without
	last uint64      // highest number in the window
	time int64
	late []late
}

// late is a repetition that came while its message was on its way to the log.
type late struct {
	key dedup.Key
	waiter
}

// segmentKeys are the keys that are stored with a segment. The segment's mu guards entries until the log claims it, and nothing
// changes them afterwards; the rest is the runner's.
type segmentKeys struct {
	record  uint64 // its name in the journal
	entries []byte // encoded
	keys    []dedup.Key
	last    uint64
	late    []late
}

func newSeen(o *Options) *seen {
	d := &seen{opts: *o.Deduplication, window: dedup.NewWindow(*o.Deduplication), now: func() int64 { return time.Now().UnixMilli() }}
	var states []block.State
	switch {
	case o.Arrival != nil:
		states = o.Arrival.states
	case o.Durable && o.Recovered != nil:
		states = o.Recovered.States
	}
	if !o.Durable {
		dedup.NewJournal(o.LogID, d.window, states, d.now()) // only for the window
	} else {
		d.journal = dedup.NewJournal(o.LogID, d.window, states, d.now())
		d.storing = make(map[dedup.Key]*segment)
	}
	return d
}

// filter takes out of p what is known, and remembers the rest if it should. It returns false if nothing is left.
func (d *seen) filter(q *Queue, p *Publication, now int64, remember bool) bool {
	b := &p.Block
	var kept block.Block
	var seqs []uint64
	var fresh *freshKeys
	again := 0 // records taken out
	var rec block.Record
	for i, pos := 0, 0; i < b.Count; i++ {
		start := pos
		n, err := block.Parse(b.Records[pos:], b.Tail, &rec)
		if err != nil {
			break // cannot be: the publisher encoded it
		}
		pos += n
		k, ok := d.keyOf(&rec)
		if ok && d.window.Known(k, now) {
			if again++; again == 1 {
				// From here on the others are copied. Before, none had to be.
				kept, seqs = d.head(p, i, start)
			}
			d.repeated(p, i, k, fresh)
			continue
		}
		if again > 0 {
			kept.Append(&rec)
			if p.Batch != nil {
				seqs = append(seqs, p.seq(i))
			}
		}
		if !ok || !remember {
			continue
		}
		number := d.window.Add(k, now)
		if d.journal != nil && rec.Flags&block.Persistent != 0 {
			if fresh == nil {
				fresh = &freshKeys{time: now}
			}
			fresh.set(i-again, k)
			fresh.last = number
			d.storing[k] = nil
		}
	}
	if again == 0 {
		p.fresh = fresh
		return true
	}
	if p.Flow != nil {
		p.Flow.Done(b.Size() - kept.Size())
	}
	p.Block, p.Seqs, p.fresh = kept, seqs, fresh
	if kept.Count == 0 && p.Batch != nil {
		p.Batch.Done()
	}
	return kept.Count > 0
}

// head returns a block of the first n records of p, which take so many bytes, and their sequence numbers.
func (d *seen) head(p *Publication, n, bytes int) (kept block.Block, seqs []uint64) {
	var rec block.Record
	for i, pos := 0, 0; i < n && pos < bytes; i++ {
		m, err := block.Parse(p.Block.Records[pos:], p.Block.Tail, &rec)
		if err != nil {
			break // cannot be
		}
		pos += m
		kept.Append(&rec)
		if p.Batch != nil {
			seqs = append(seqs, p.seq(i))
		}
	}
	return kept, seqs
}

func (d *seen) keyOf(rec *block.Record) (k dedup.Key, ok bool) {
	var view wire.PropertyView
	if err := wire.ScanProperties(rec.Properties, &view); err != nil {
		return k, false // cannot be: the publisher checked it
	}
	return d.opts.KeyOf(&view)
}

// repeated has record i of p answered when the message that has its key is safe.
func (d *seen) repeated(p *Publication, i int, k dedup.Key, fresh *freshKeys) {
	s, storing := d.storing[k]
	if !storing || p.Batch == nil {
		return
	}
	w := late{k, waiter{batch: p.Batch, seqs: []uint64{p.seq(i)}}}
	p.Batch.Add()
	if s != nil {
		s.keys.late = append(s.keys.late, w)
	} else {
		fresh.late = append(fresh.late, w)
	}
}

// set gives record i a key. Records are given theirs in order.
func (f *freshKeys) set(i int, k dedup.Key) {
	for len(f.keys) < i {
		f.keys = append(f.keys, dedup.Key{})
	}
	f.keys = append(f.keys, k)
}

// move adds to f, which may be nil, what from has of its record i, as record to. It returns f.
func (f *freshKeys) move(from *freshKeys, i, to int) *freshKeys {
	if i >= len(from.keys) || from.keys[i] == (dedup.Key{}) {
		return f
	}
	if f == nil {
		f = &freshKeys{last: from.last, time: from.time}
	}
	f.set(to, from.keys[i])
	for _, l := range from.late {
		if l.key == from.keys[i] {
			f.late = append(f.late, l)
		}
	}
	return f
}

// remember adds keys to what is stored with the segment, which is not claimed.
func (s *segment) remember(f *freshKeys) {
	d := s.q.seen
	if s.keys == nil {
		s.keys = &segmentKeys{record: d.journal.Reserve()}
	}
	for _, k := range f.keys {
		if k != (dedup.Key{}) {
			s.keys.entries = dedup.AppendEntry(s.keys.entries, dedup.Entry{Key: k, Time: f.time})
			s.keys.keys = append(s.keys.keys, k)
			d.storing[k] = s
		}
	}
	s.keys.last = max(s.keys.last, f.last)
	s.keys.late = append(s.keys.late, f.late...)
}

// answer tells the publishers of repetitions what became of the message.
func (k *segmentKeys) answer(err error) {
	for i := range k.late {
		k.late[i].done(err)
	}
	k.late = nil
}

// segmentDone is what is due when the log is done with a segment that has keys. If it failed, its messages may come again.
func (d *seen) segmentDone(q *Queue, s *segment) {
	keys := s.keys
	s.keys = nil
	for _, k := range keys.keys {
		if d.storing[k] != s {
			continue // it was pushed out of the window, and came again
		}
		delete(d.storing, k)
		if s.err != nil {
			d.window.Forget(k)
		}
	}
	keys.answer(s.err)
	if s.err != nil {
		return
	}
	op := d.journal.Stored(block.Desc{Base: keys.record, Size: uint32(len(keys.entries))}, keys.entries, keys.last, d.window)
	if op != nil && !q.over() {
		q.opts.Log.Submit(op)
	}
}
