package peer

import (
	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// refuse answers a publication that did not get to the leader.
func refuse(p *queue.Publication) {
	if p.Batch != nil {
		refuseAll(p)
	}
	taken(p)
}

// taken answers a publication for a deleted queue, which counts as having taken it.
func taken(p *queue.Publication) {
	if p.Batch != nil {
		p.Batch.Done()
	}
	if p.Flow != nil {
		p.Flow.Done(p.Block.Size())
	}
}

func refuseAll(p *queue.Publication) {
	p.Batch.Lose()
	if p.Seqs != nil {
		p.Batch.Refuse(p.Seqs...)
		return
	}
	seqs := make([]uint64, 0, p.Batch.Last-p.Batch.First+1)
	for q := p.Batch.First; q <= p.Batch.Last; q++ {
		seqs = append(seqs, q)
	}
	p.Batch.Refuse(seqs...)
}

// sent is publications to one queue, in one Publish, that are not answered yet.
type sent struct {
	h     *remote
	parts []sentPart
	one   [1]sentPart // parts in the beginning
	// What is not answered yet. Guarded by session.mu.
	confirm, release bool
	refused          []uint32 // indexes of records
}

// sentPart is a publication. Its records are given away.
type sentPart struct {
	pub         *queue.Publication
	count, size int
}

// refuse answers all that is not answered.
func (p *sent) refuse() {
	for i := range p.parts {
		if b := p.parts[i].pub; p.confirm && b.Batch != nil {
			refuseAll(b)
		}
	}
	p.answer(p.confirm, p.release)
}

// answer tells the publishers that their messages are safe, as far as they are not refused, and gives them their budget back.
func (p *sent) answer(confirm, release bool) {
	if confirm {
		p.applyRefused()
		for i := range p.parts {
			if b := p.parts[i].pub.Batch; b != nil {
				b.Done()
			}
		}
	}
	if release {
		for i := range p.parts {
			if f := p.parts[i].pub.Flow; f != nil {
				f.Done(p.parts[i].size)
			}
		}
	}
}

// applyRefused has the leader's refusals noted in the publishers' batches.
func (p *sent) applyRefused() {
	for _, index := range p.refused {
		for i, at := 0, int(index); i < len(p.parts); i++ {
			b := &p.parts[i]
			if at >= b.count {
				at -= b.count
				continue
			}
			switch {
			case b.pub.Batch == nil:
			case b.pub.Seqs == nil:
				b.pub.Batch.Refuse(min(b.pub.Batch.First+uint64(at), b.pub.Batch.Last))
			case at < len(b.pub.Seqs):
				b.pub.Batch.Refuse(b.pub.Seqs[at])
			}
			break
		}
	}
	p.refused = nil
}

// draft is a Publish in the making: publications of one handle that follow each other are joined, so that small ones cost the
// leader no more than large ones.
type draft struct {
	op         *peerv1.Operation
	sent       *sent
	persistent bool
	owned      bool // the records are a copy from an arena
	at         int  // position in the message
}

// joins reports whether p can be added.
func (d *draft) joins(p *queue.Publication) bool {
	m := d.op.Publish
	b := &p.Block
	return len(m.Tail) == 0 && len(b.Tail) == 0 && len(m.Records)+len(b.Records) <= block.TargetLen && m.Letters == p.Letters &&
		d.sent.confirm == (p.Batch != nil) && d.persistent == (b.Persistent > 0)
}

func newDraft(h *remote, id uint64, p *queue.Publication) *draft {
	b := &p.Block
	d := &draft{
		sent: &sent{h: h, confirm: p.Batch != nil, release: p.Flow != nil},
		op: &peerv1.Operation{Publish: &peerv1.Publish{
			Id: id, Queue: h.id, Count: uint32(b.Count), Records: b.Records, Tail: b.Tail, Letters: p.Letters,
		}},
		persistent: b.Persistent > 0,
	}
	d.sent.one[0] = sentPart{p, b.Count, b.Size()}
	d.sent.parts = d.sent.one[:]
	return d
}

func (d *draft) join(p *queue.Publication) {
	m := d.op.Publish
	if !d.owned { // its capacity may be somebody else's
		joined := append(block.GetArena(len(m.Records)+len(p.Block.Records)), m.Records...)
		d.recycle()
		m.Records, d.owned = joined, true
	}
	m.Records = append(block.Grow(m.Records, len(p.Block.Records)), p.Block.Records...)
	m.Count += uint32(p.Block.Count)
	d.sent.parts = append(d.sent.parts, sentPart{p, p.Block.Count, p.Block.Size()})
	d.sent.release = d.sent.release || p.Flow != nil
	block.PutArena(p.Block.Records)
	p.Block.Records = nil
}

// recycle gives the memory of the records back. They are sent.
func (d *draft) recycle() {
	block.PutArena(d.op.Publish.Records)
	d.op.Publish.Records, d.sent.parts[0].pub.Block.Records = nil, nil
}
