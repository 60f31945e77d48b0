package peer

import (
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// inbound is a publication of another node. It is the Flow of its publication; its batch numbers the records from 0.
type inbound struct {
	s     *serving
	id    uint64
	size  int
	left  atomic.Int64 // bytes that the queue holds against the publisher
	pub   queue.Publication
	batch queue.Batch
}

func newInbound(s *serving, m *peerv1.Publish, b block.Block) *inbound {
	in := &inbound{s: s, id: m.Id, size: b.Size()}
	in.pub = queue.Publication{Block: b, Letters: m.Letters}
	if m.Confirm {
		in.batch.Last = uint64(max(b.Count, 1) - 1)
		in.batch.Complete = in.complete
		in.batch.Add()
		in.pub.Batch = &in.batch
	}
	if m.Release {
		in.left.Store(int64(in.size))
		in.pub.Flow = in
	}
	return in
}

// complete is the Complete of the batch.
func (in *inbound) complete(b *queue.Batch) {
	var refused []uint32
	for _, seq := range b.Refused() {
		refused = append(refused, uint32(seq))
	}
	in.s.out.done(in.id, refused, b)
}

// Done implements queue.Flow.
func (in *inbound) Done(n int) {
	if left := in.left.Add(-int64(n)); left <= 0 && left+int64(n) > 0 || in.size == 0 {
		in.s.out.released(in.id, in.size)
	}
}

// refuse answers a publication for a queue that this node does not lead.
func (in *inbound) refuse() { refuse(&in.pub) }
