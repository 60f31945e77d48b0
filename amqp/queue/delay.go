package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
)

// A queue with Options.Delays keeps its messages until their deadlines. So that millions of them need not be in memory, and that
// none is read from the log over and over, they are sorted roughly when they come in: each lane stands for a span of time, and a
// block in it has only records that are due within that span. Lanes are the slots of a timing wheel with several levels: a slot
// of the lowest level is one second long, and one of the next level as long as many of those. Some time before a slot of a higher level
// begins, its records move on to lanes of lower levels, each in one transaction of the log.
//
// A lane says nothing but what is likely to be needed together: what counts is the deadline in each record.

const (
	wheelLevels = 5
	wheelSlots  = 48 // of each level
	// The slots of level n are 1 << (wheelShift + n*wheelStep) milliseconds long.
	wheelShift = 10
	wheelStep  = 5
	// wheelLead is how many slots of the level below a slot is dissolved ahead of its begin. Together with the slots of the level
	// below that make up the slot it stays under wheelSlots, so that all records do find a place further down.
	wheelLead = 8

	wheelLanes = wheelLevels * wheelSlots
)

// readLead is how long before their deadlines messages are read from the log, in milliseconds.
const readLead = 1000

// maxDue bounds the messages that are given up at a time, so that they are stored elsewhere in steps.
const maxDue = 1024

// delayLane returns the lane for a message that comes in at now and is due at deadline, in Unix milliseconds.
func delayLane(deadline, now int64) int {
	deadline = max(deadline, now)
	for level := range wheelLevels {
		shift := wheelShift + level*wheelStep
		if slot := deadline >> shift; slot-now>>shift < wheelSlots || level == wheelLevels-1 {
			return level*wheelSlots + int(slot%wheelSlots)
		}
	}
	return 0
}

// lookAt returns when a block must be looked at of which the first record is due at deadline: then, or when its slot is dissolved.
func (l *lane) lookAt(deadline int64) int64 {
	level := int(l.next>>laneShift) / wheelSlots
	if level == 0 {
		return deadline
	}
	shift := wheelShift + level*wheelStep
	return max(1, deadline>>shift<<shift-wheelLead<<(shift-wheelStep))
}

// date sees to it that every record of b has a deadline: one without is due at once.
func date(b *block.Block) {
	for pos := 0; pos < len(b.Records); pos += block.RecordLen(b.Records[pos:]) {
		r := b.Records[pos:]
		if block.DeadlineOf(r) == 0 {
			d := max(1, block.ArrivedOf(r))
			block.SetDeadline(r, d)
			if b.MinDeadline == 0 || d < b.MinDeadline {
				b.MinDeadline = d
			}
		}
	}
}

// upTo calls visit for the blocks that must be looked at until the given time, in no particular order. i is where to begin.
func (h deadlines) upTo(i int, until int64, visit func(*memBlock)) {
	if i >= len(h) || h[i].minDeadline > until {
		return
	}
	visit(h[i])
	h.upTo(2*i+1, until, visit)
	h.upTo(2*i+2, until, visit)
}

// dueRecord is record i of a block.
type dueRecord struct {
	deadline, arrived int64
	blk               *memBlock
	i                 uint32
}

// expireDue gives up what is due, in the order of the deadlines, and loads what is about to be. A block that is not in memory yet
// holds up everything that is due later than its first record.
func (q *Queue) expireDue(now int64) {
	if q.draining {
		return
	}
	q.lookedAt, q.expiring = now, true
	q.giveUpDue(now)
	q.expiring = false
	for i, b := range q.unpaged {
		q.pageOut(b)
		q.unpaged[i] = nil
	}
	q.unpaged = q.unpaged[:0]
}

// giveUpDue is the work of expireDue, during which no block is paged out.
func (q *Queue) giveUpDue(now int64) {
	var here []*memBlock
	var missing *memBlock // the first of them
	q.deadlines.upTo(0, now+readLead, func(b *memBlock) {
		switch {
		case !b.resident():
			if missing == nil || b.minDeadline < missing.minDeadline {
				missing = b
			}
		case b.minDeadline <= now:
			here = append(here, b)
		}
	})
	limit := now
	q.heldUp = false
	if missing != nil {
		if q.heldUp = missing.minDeadline <= now; q.heldUp {
			limit = missing.minDeadline - 1
		}
		// What is due keeps its place in memory only for a moment, so just the reading ahead needs room.
		stored, _ := q.mem.share()
		if !missing.lane.loading && (q.heldUp || q.resident <= stored) {
			missing.lane.startLoad(missing, aheadBlocks)
		}
	}
	var due []dueRecord
	for _, b := range here {
		if b.minDeadline <= limit {
			due = q.collectDue(due, b, now, limit)
		}
	}
	slices.SortFunc(due, func(a, b dueRecord) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.arrived, b.arrived),
			cmp.Compare(a.blk.base, b.blk.base), cmp.Compare(a.i, b.i))
	})
	for part := range slices.Chunk(due, maxDue) {
		var runs []run
		for _, d := range part {
			if n := len(runs); n > 0 && runs[n-1].blk == d.blk && runs[n-1].hi+1 == d.i {
				runs[n-1].hi = d.i
			} else {
				runs = append(runs, run{d.blk, d.i, d.i})
			}
		}
		q.giveUp(deadletter.Expired, runs)
	}
}

// collectDue takes out of the ready messages of b what is due at or before limit, and appends it to due. If b is in a slot that is
// to be dissolved, what is due after now moves on. What stays sets the time of the next look.
func (q *Queue) collectDue(due []dueRecord, b *memBlock, now, limit int64) []dueRecord {
	l := b.lane
	dissolve := l.lookAt(now) != now
	next := int64(0)
	pos := 0
	var moving []dueRecord
	for i := uint32(0); i < b.count && b.goneN < b.count; i++ {
		r := b.buf[pos:]
		pos += block.RecordLen(r)
		d := block.DeadlineOf(r)
		if d == 0 || b.gone.has(i) {
			continue
		}
		at := dueRecord{d, block.ArrivedOf(r), b, i}
		switch {
		case d <= limit:
			l.unready(b, i, 1)
			due = append(due, at)
		case dissolve && d > now:
			l.unready(b, i, 1)
			moving = append(moving, at)
		case next == 0 || d < next:
			next = d
		}
	}
	q.deadlines.set(b, next)
	q.moveOn(b, moving, now)
	return due
}

// moveOn puts records of b into the lanes where they belong by now. They are gone from b as soon as they are safe there.
func (q *Queue) moveOn(b *memBlock, moving []dueRecord, now int64) {
	if len(moving) == 0 {
		return
	}
	slices.SortStableFunc(moving, func(a, b dueRecord) int {
		return cmp.Compare(delayLane(a.deadline, now), delayLane(b.deadline, now))
	})
	var all, part []run
	batch := &Batch{First: 1, Last: 1, Complete: func(b *Batch) {
		if !b.Unkept() { // else the log keeps them where they were, for the next start
			q.post(&item{fn: func() { q.died(all) }})
		}
	}}
	batch.Add()
	var pubs []*Publication
	var lanes []*lane
	for k, m := range moving {
		to := q.lanes[delayLane(m.deadline, now)]
		if k == 0 || lanes[len(lanes)-1] != to {
			lanes = append(lanes, to)
			pubs = append(pubs, &Publication{Batch: batch})
			batch.Add()
		}
		var r block.Record
		pos := b.position(m.i)
		if _, err := block.Parse(b.buf[pos:], b.tail, &r); err != nil {
			q.logError("a delayed message is damaged", b, err)
		} else {
			pubs[len(pubs)-1].Block.Append(&r)
			part = append(part, run{b, m.i, m.i})
		}
		if k+1 == len(moving) || q.lanes[delayLane(moving[k+1].deadline, now)] != to {
			pubs[len(pubs)-1].Source = q.removal(part)
			all, part = append(all, part...), nil
		}
	}
	for _, r := range all {
		q.vanish(r)
	}
	for k, p := range pubs {
		if p.Block.Count == 0 {
			batch.Done()
			continue
		}
		q.append(lanes[k], p)
	}
	batch.Done()
}

// drainTime bounds how long drain waits.
const drainTime = 5 * time.Second

// drain lets nothing more become due, and waits until what was given up is safe elsewhere, so that the log will not bring it back.
func (q *Queue) drain() {
	drained := make(chan struct{})
	q.post(&item{fn: func() {
		if q.draining = true; q.dyingN == 0 || q.over() {
			close(drained)
			return
		}
		q.drained = drained
	}})
	limit := time.NewTimer(drainTime)
	defer limit.Stop()
	select {
	case <-drained:
	case <-limit.C:
	}
}
