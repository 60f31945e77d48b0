package server

import (
	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/cluster/routing"
)

// pendingBlock is a block that is being filled for a queue.
type pendingBlock struct {
	queue *routing.Queue
	block block.Block
	first uint64 // sequence number of the first record
	seqs  []uint64
}

// note records the sequence number of the record that is about to be appended. Runs need no list.
func (b *pendingBlock) note(seq uint64) {
	switch {
	case b.block.Count == 0:
		b.first = seq
	case b.seqs != nil:
		b.seqs = append(b.seqs, seq)
	case seq != b.first+uint64(b.block.Count):
		b.list(max(firstSeqs, 2*b.block.Count))
		b.seqs = append(b.seqs, seq)
	}
}

// firstSeqs is the least room for sequence numbers when a run ends: where one ends, more will.
const firstSeqs = 64

// list writes the sequence numbers of a run out, with room for others up to n in all.
func (b *pendingBlock) list(n int) {
	b.seqs = make([]uint64, b.block.Count, n)
	for i := range b.seqs {
		b.seqs[i] = b.first + uint64(i)
	}
}
