package queue

import (
	"cmp"
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/deadletter"
)

// Messages expire at their deadlines wherever they are in the queue. Blocks with deadlines are in a heap by the earliest one;
// a timer is set to the top of it.

// deadlines is the heap.
type deadlines []*memBlock

func (h deadlines) less(i, j int) bool { return h[i].minDeadline < h[j].minDeadline }

func (h deadlines) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i+1, j+1
}

// set changes the deadline of b; 0 takes b out.
func (h *deadlines) set(b *memBlock, deadline int64) {
	b.minDeadline = deadline
	if deadline == 0 {
		if b.heapAt == 0 {
			return
		}
		i, last := b.heapAt-1, len(*h)-1
		h.swap(i, last)
		(*h)[last] = nil
		*h = (*h)[:last]
		b.heapAt = 0
		if i < last {
			h.fix(i)
		}
		return
	}
	if b.heapAt == 0 {
		*h = append(*h, b)
		b.heapAt = len(*h)
	}
	h.fix(b.heapAt - 1)
}

func (h deadlines) fix(i int) {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h.less(c+1, c) {
			c++
		}
		if !h.less(c, i) {
			return
		}
		h.swap(i, c)
		i = c
	}
}

// stamp gives the records of b the queue's own time to live, where they have no earlier deadline.
func (q *Queue) stamp(b *block.Block) {
	if q.set.MessageTTL < 0 || b.Count == 0 {
		return
	}
	b.MinDeadline = 0
	for pos := 0; pos < len(b.Records); pos += block.RecordLen(b.Records[pos:]) {
		r := b.Records[pos:]
		d := block.ArrivedOf(r) + q.set.MessageTTL
		if own := block.DeadlineOf(r); own != 0 && own < d {
			d = own
		} else {
			block.SetDeadline(r, d)
		}
		if b.MinDeadline == 0 || d < b.MinDeadline {
			b.MinDeadline = d
		}
	}
}

// watch notes that b has a record that expires at deadline, 0 for none.
func (q *Queue) watch(b *memBlock, deadline int64) {
	if deadline != 0 {
		b.mayExpire, b.timed = true, nil
		if q.opts.Delays {
			deadline = b.lane.lookAt(deadline)
		}
	}
	if deadline != 0 && !b.dead && (b.minDeadline == 0 || deadline < b.minDeadline) {
		q.deadlines.set(b, deadline)
	}
}

// expire gives up the ready messages whose deadline is at or before limit. Messages with no time at all are kept until consumers
// had a chance to get them (SEMANTICS 6.3).
func (q *Queue) expire(limit int64) {
	if q.opts.Delays {
		q.expireDue(limit)
		return
	}
	for len(q.deadlines) > 0 && q.deadlines[0].minDeadline <= limit {
		b := q.deadlines[0]
		if b.resident() {
			q.expireIn(b, limit)
			if b.minDeadline == 0 || b.minDeadline > limit+1 { // else it is needed again at once
				q.pageOut(b)
			}
			continue
		}
		q.deadlines.set(b, 0)
		if !b.overdue {
			b.overdue = true
			q.overdue = append(q.overdue, b)
		}
	}
	for len(q.overdue) > 0 {
		b := q.overdue[0]
		if b.overdue && !b.dead {
			if !b.lane.loading {
				b.lane.startLoad(b, 1)
			}
			return // its arrival wakes the runner
		}
		q.overdue[0] = nil
		q.overdue = q.overdue[1:]
	}
	q.overdue = nil
}

// timed is a record that expires.
type timed struct {
	deadline int64
	index    uint32
}

// findTimed lists the records of b that may expire, by deadline, so that blocks with many different deadlines are not searched
// at each of them. The list is kept until a record is added to it.
func (b *memBlock) findTimed() {
	pos := 0
	for i := uint32(0); i < b.count; i++ {
		r := b.buf[pos:]
		pos += block.RecordLen(r)
		if d := block.DeadlineOf(r); d != 0 && !b.gone.has(i) && b.lane.isReady(b, i) {
			if d == block.ArrivedOf(r) {
				b.immediate = true
			}
			b.timed = append(b.timed, timed{d, i})
		}
	}
	slices.SortFunc(b.timed, func(x, y timed) int { return cmp.Compare(x.deadline, y.deadline) })
}

// expireIn gives up what is due in b, and finds its next deadline. Unacknowledged messages do not count: requeueing looks at
// theirs.
func (q *Queue) expireIn(b *memBlock, limit int64) {
	l := b.lane
	if b.timed == nil {
		b.findTimed()
	}
	var due []uint32
	var later []timed
	n := 0
	for n < len(b.timed) && b.timed[n].deadline <= limit {
		t := b.timed[n]
		n++
		switch {
		case b.gone.has(t.index) || !l.isReady(b, t.index):
		case b.immediate && b.base+uint64(t.index) >= l.offered && b.hasNoTime(t.index):
			later = append(later, t)
		default:
			due = append(due, t.index)
		}
	}
	if b.timed = b.timed[n:]; len(later) > 0 {
		b.timed = append(later, b.timed...)
	}
	switch {
	case len(later) > 0:
		q.deadlines.set(b, limit+1)
	case len(b.timed) > 0:
		q.deadlines.set(b, b.timed[0].deadline)
	default:
		b.timed = nil
		q.deadlines.set(b, 0)
	}
	slices.Sort(due)
	var runs []run
	for _, i := range due {
		if n := len(runs); n > 0 && runs[n-1].hi+1 == i {
			runs[n-1].hi = i
		} else {
			runs = append(runs, run{b, i, i})
		}
	}
	for _, r := range runs {
		l.unready(b, r.lo, int(r.hi-r.lo+1))
	}
	if l.ready == 0 {
		l.requeued = nil
	}
	q.giveUp(deadletter.Expired, runs)
}

// hasNoTime reports whether record i expires at its arrival.
func (b *memBlock) hasNoTime(i uint32) bool {
	r := b.buf[b.position(i):]
	return block.DeadlineOf(r) == block.ArrivedOf(r)
}

// isReady reports whether record i of b, which is not gone and has a deadline, waits for a consumer.
func (l *lane) isReady(b *memBlock, i uint32) bool {
	return b.base+uint64(i) >= l.curOff || b.back.has(i)
}

// maxAlarm bounds the time that the timer runs, in milliseconds.
const maxAlarm = 1 << 30

// arm sets the timer to the next deadline.
func (q *Queue) arm(now int64) {
	if len(q.deadlines) == 0 || q.draining {
		return
	}
	at := q.deadlines[0].minDeadline
	if q.opts.Delays && !q.deadlines[0].resident() {
		at -= readLead
	}
	if at <= now && (q.heldUp || !q.deadlines[0].resident()) {
		return // its arrival in memory wakes the runner
	}
	at = min(at, now+maxAlarm)
	if q.alarmAt != 0 && q.alarmAt <= at && q.alarmAt > now {
		return
	}
	q.alarmAt = at
	wait := time.Duration(max(0, at-now)) * time.Millisecond
	if q.alarm != nil {
		q.alarm.Stop()
	}
	q.alarm = time.AfterFunc(wait, func() { q.post(&item{fn: func() { q.alarmAt = 0 }}) })
}

// The queue itself expires when it has had no consumer, declaration or basic.get for Settings.Expires.

// Touch implements Handle.
func (q *Queue) Touch() {
	if q.expires.Load() {
		q.post(&item{fn: q.touch})
	}
}

// touch starts the time anew.
func (q *Queue) touch() {
	q.expires.Store(q.set.Expires >= 0)
	if q.idle != nil {
		q.idle.Stop()
		q.idle = nil
	}
	if q.set.Expires < 0 || len(q.consumers) > 0 || q.opts.OnExpired == nil || q.over() {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(time.Duration(q.set.Expires)*time.Millisecond, func() {
		q.post(&item{fn: func() {
			if q.idle == t && q.state == stateOpen && len(q.consumers) == 0 {
				q.idle = nil
				q.opts.OnExpired()
			}
		}})
	})
	q.idle = t
}
