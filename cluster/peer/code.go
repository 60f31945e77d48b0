package peer

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// protocol is the version of the protocol that this code speaks, and the only one.
const protocol = 1

// failureOf returns the code by which err crosses a link.
func failureOf(err error) peerv1.Failure {
	switch {
	case err == nil:
		return peerv1.Failure_FAILURE_NONE
	case errors.Is(err, queue.ErrGone):
		return peerv1.Failure_FAILURE_GONE
	case errors.Is(err, queue.ErrExclusiveUse):
		return peerv1.Failure_FAILURE_EXCLUSIVE_USE
	case errors.Is(err, queue.ErrInUse):
		return peerv1.Failure_FAILURE_IN_USE
	case errors.Is(err, queue.ErrNotEmpty):
		return peerv1.Failure_FAILURE_NOT_EMPTY
	default:
		return peerv1.Failure_FAILURE_UNAVAILABLE
	}
}

func errorOf(f peerv1.Failure) error {
	switch f {
	case peerv1.Failure_FAILURE_NONE:
		return nil
	case peerv1.Failure_FAILURE_GONE:
		return queue.ErrGone
	case peerv1.Failure_FAILURE_EXCLUSIVE_USE:
		return queue.ErrExclusiveUse
	case peerv1.Failure_FAILURE_IN_USE:
		return queue.ErrInUse
	case peerv1.Failure_FAILURE_NOT_EMPTY:
		return queue.ErrNotEmpty
	default:
		return queue.ErrUnavailable
	}
}

// blockOf checks records that came from another node and describes them as a block, which keeps them.
func blockOf(records, tail []byte, count int) (block.Block, error) {
	b := block.Block{Records: records, Tail: tail, Count: count}
	if tail != nil && count != 1 {
		return b, fmt.Errorf("%w: %d records share a body", block.ErrCorrupt, count)
	}
	pos := 0
	var r block.Record
	for i := range count {
		n, err := block.Parse(records[pos:], tail, &r)
		if err != nil {
			return b, fmt.Errorf("record %d of %d: %w", i, count, err)
		}
		b.Bodies += int64(len(r.Body))
		if r.Flags&block.Persistent != 0 {
			b.Persistent++
		}
		if r.Deadline != 0 && (b.MinDeadline == 0 || r.Deadline < b.MinDeadline) {
			b.MinDeadline = r.Deadline
		}
		if tail != nil {
			return b, nil // Parse has compared the lengths
		}
		pos += n
	}
	if pos != len(records) {
		return b, fmt.Errorf("%w: %d bytes behind the last of %d records", block.ErrCorrupt, len(records)-pos, count)
	}
	return b, nil
}

// appendRanges appends the pairs of first and last offset.
func appendRanges(list []uint64, ranges []queue.Range) []uint64 {
	for _, r := range ranges {
		list = append(list, r.First, r.Last)
	}
	return list
}

func rangesOf(list []uint64) []queue.Range {
	ranges := make([]queue.Range, len(list)/2)
	for i := range ranges {
		ranges[i] = queue.Range{First: list[2*i], Last: list[2*i+1]}
	}
	return ranges
}

// split returns the first n records of p and the rest; 0 < n < p.Count.
func split(p queue.Piece, n int) (head, rest queue.Piece) {
	pos := 0
	for range n {
		if len(p.Records)-pos < block.PrefixLen {
			break // damaged: whoever parses it sees that
		}
		pos = min(pos+block.RecordLen(p.Records[pos:]), len(p.Records))
	}
	head, rest = p, p
	head.Count, head.Bytes = n, pos
	rest.Records, rest.First, rest.Count, rest.Bytes = p.Records[pos:], p.First+uint64(n), p.Count-n, p.Bytes-pos
	return head, rest
}

// noticeSize is about how many bytes n takes on the way. Its tail may be taken out meanwhile.
func noticeSize(n *peerv1.Notice) int { return proto.Size(n) }

// ownNotice returns n, or a copy if sending it takes it apart: its owner may send it to several nodes.
func ownNotice(n *peerv1.Notice) *peerv1.Notice {
	if r := n.Reply; r != nil && len(r.Tail) > chunkBytes {
		return &peerv1.Notice{Reply: &peerv1.DirectReply{Vhost: r.Vhost, Name: r.Name, Record: r.Record, Tail: r.Tail}}
	}
	return n
}
