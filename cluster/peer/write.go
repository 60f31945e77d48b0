package peer

import (
	"fmt"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// writer turns entries into messages of the stream.
type writer struct {
	s   *session
	seq sequencer[*peerv1.Operation]
	id  uint64 // of the last publication

	list      []entry // taken, and not sent from at on
	at        int
	crediting []*consumer // taken

	// The message in the making:
	ops    []keyedOp
	drafts []*draft
	last   map[*remote]lastOp // what came last for each handle, as long as something can be joined to it
	out    []*peerv1.Operation
}

type keyedOp struct {
	op   *peerv1.Operation
	key  uint64
	size int
}

// lastOp is either a draft or a settlement.
type lastOp struct {
	draft  *draft
	settle *peerv1.Settle
}

// write sends what is pending until done is closed or the stream breaks.
func (s *session) write(done <-chan struct{}) error {
	w := &writer{s: s, last: make(map[*remote]lastOp)}
	w.seq.body = func(o *peerv1.Operation) (*[]byte, *bool) {
		switch {
		case o.Publish != nil:
			return &o.Publish.Tail, &o.Publish.TailBefore
		case o.Notice != nil && o.Notice.Reply != nil:
			return &o.Notice.Reply.Tail, &o.Notice.Reply.TailBefore
		}
		return nil, nil
	}
	w.seq.chunk = func(c *peerv1.Chunk) *peerv1.Operation { return &peerv1.Operation{Chunk: c} }
	defer w.abort()
	for {
		if w.at == len(w.list) && len(w.seq.late) == 0 {
			select {
			case <-done:
				return nil
			case <-s.wake:
			}
		}
		if w.at == len(w.list) {
			w.take()
		}
		w.credit()
		w.encode()
		if !w.register() {
			return nil
		}
		if err := w.send(); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
}

// keptEntries bounds the memory that is kept for entries.
const keptEntries = 4096

// take takes all that is pending.
func (w *writer) take() {
	clear(w.list)
	next := w.list[:0]
	if cap(next) > keptEntries {
		next = nil
	}
	credits := w.crediting[:0]
	w.s.mu.Lock()
	w.list, w.s.pending = w.s.pending, next
	w.crediting, w.s.crediting = w.s.crediting, credits
	w.s.mu.Unlock()
	w.at = 0
}

// credit makes operations of what consumers have taken. Their order does not matter.
func (w *writer) credit() {
	for i, c := range w.crediting {
		c.crediting.Store(false) // before the figures are read, so that none is forgotten
		if op := c.creditTaken(); op != nil {
			w.ops = append(w.ops, keyedOp{op, c.h.id, settleBytes})
		}
		w.crediting[i] = nil
	}
	w.crediting = w.crediting[:0]
}

// abort answers what was taken and not registered.
func (w *writer) abort() {
	for i := range w.drafts {
		if d := w.drafts[i]; d != nil {
			d.sent.refuse()
		}
	}
	for i := w.at; i < len(w.list); i++ {
		w.list[i].fail()
	}
}

// encode makes about batchBytes of entries into operations.
func (w *writer) encode() {
	size := 0
	for ; w.at < len(w.list) && size < batchBytes; w.at++ {
		e := &w.list[w.at]
		switch {
		case e.pub != nil:
			size += w.publish(e.h, e.pub)
		case e.settle != nil:
			size += w.settle(e)
		default:
			size += w.add(e)
		}
	}
	clear(w.last)
}

func (w *writer) publish(h *remote, p *queue.Publication) int {
	if h.gone.Load() {
		taken(p)
		return 0
	}
	size := p.Block.Size()
	if d := w.last[h].draft; d != nil && d.joins(p) {
		d.join(p)
		w.ops[d.at].size += size
		return size
	}
	w.id++
	d := newDraft(h, w.id, p)
	d.at = len(w.ops)
	w.drafts = append(w.drafts, d)
	w.ops = append(w.ops, keyedOp{d.op, h.id, size})
	w.last[h] = lastOp{draft: d}
	return size
}

// settleBytes is about what a settlement takes.
const settleBytes = 32

func (w *writer) settle(e *entry) int {
	if l := w.last[e.h].settle; l != nil && e.id == 0 && l.Consumer == e.consumer && l.Estate == e.estate && l.Outcome == peerv1.Outcome(e.settle.Outcome) {
		for _, r := range e.settle.Ranges {
			if n := len(l.Ranges); l.Ranges[n-1]+1 == r.First {
				l.Ranges[n-1] = r.Last
			} else {
				l.Ranges = append(l.Ranges, r.First, r.Last)
			}
		}
		return settleBytes
	}
	m := &peerv1.Settle{Queue: e.h.id, Consumer: e.consumer, Outcome: peerv1.Outcome(e.settle.Outcome), Id: e.id,
		Estate: e.estate,
		Ranges: appendRanges(make([]uint64, 0, 2*len(e.settle.Ranges)), e.settle.Ranges)}
	size := settleBytes + 8*len(m.Ranges)
	w.ops = append(w.ops, keyedOp{&peerv1.Operation{Settle: m}, e.h.id, size})
	l := lastOp{}
	if e.id == 0 && len(m.Ranges) > 0 {
		l.settle = m
	}
	w.last[e.h] = l
	return size
}

func (w *writer) add(e *entry) int {
	size := settleBytes
	if n := e.op.Notice; n != nil {
		size = noticeSize(n)
		w.s.mu.Lock()
		w.s.noticed -= size
		w.s.mu.Unlock()
	}
	if g := e.op.Signal; g != nil && g.Kind == peerv1.SignalKind_SIGNAL_KIND_TOUCH {
		e.h.touched.Store(false)
	}
	if e.h != nil {
		w.last[e.h] = lastOp{}
	}
	w.ops = append(w.ops, keyedOp{e.op, e.key, size})
	return size
}

// register notes the publications as sent. It returns false when the session has ended.
func (w *writer) register() bool {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	for _, d := range w.drafts {
		m := d.op.Publish
		m.Confirm, m.Release = d.sent.confirm, d.sent.release
		if m.Confirm || m.Release {
			s.sent[m.Id] = d.sent
		} else {
			m.Id = 0
		}
	}
	return true
}

func (w *writer) send() error {
	for i := range w.ops {
		o := &w.ops[i]
		w.out = w.seq.add(w.out, o.key, o.op, o.size)
		*o = keyedOp{}
	}
	w.ops = w.ops[:0]
	drafts := w.drafts
	w.drafts = w.drafts[:0]
	if len(w.seq.late) > 0 {
		clear(drafts) // the garbage collector takes what is late
		drafts = nil
		w.out = w.seq.round(w.out)
	}
	w.s.spoke.Store(true)
	err := w.s.stream.Send(&peerv1.LinkRequest{Operations: w.out})
	for i, d := range drafts {
		d.recycle()
		drafts[i] = nil
	}
	clear(w.out)
	w.out = w.out[:0]
	return err
}
