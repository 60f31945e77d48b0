package cluster

import (
	"errors"

	"github.com/brokerd/brokerd/amqp/queue"
)

// absent stands for a queue that this node cannot reach: it was deleted a moment ago (queue.ErrGone), or another node leads it
// (queue.ErrUnavailable).
type absent struct {
	id  uint64
	err error
}

var _ queue.Handle = absent{}

func (a absent) ID() uint64 { return a.id }

// Publish refuses the messages, unless the queue is deleted: then they count as taken, as with a queue that is deleted right
// after them.
func (a absent) Publish(p *queue.Publication) {
	if p.Flow != nil {
		p.Flow.Done(p.Block.Size())
	}
	if p.Batch == nil {
		return
	}
	if !errors.Is(a.err, queue.ErrGone) {
		seqs := p.Seqs
		if len(seqs) == 0 {
			for i := range p.Block.Count {
				seqs = append(seqs, p.Batch.First+uint64(i))
			}
		}
		p.Batch.Lose()
		p.Batch.Refuse(seqs...)
	}
	p.Batch.Done()
}

// Settle has nothing to settle.
func (a absent) Settle(s *queue.Settlement) {
	if s.Done != nil {
		s.Done()
	}
}

func (a absent) Consume(*queue.Consumer) error { return a.err }

func (a absent) Cancel(*queue.Consumer) {}

func (a absent) Wake(*queue.Consumer) {}

func (a absent) Get(bool) (queue.Piece, int, bool, error) { return queue.Piece{}, 0, false, a.err }

func (a absent) Purge() (int, error) { return 0, a.err }

func (a absent) Status() (queue.Status, error) { return queue.Status{}, a.err }

func (a absent) PrepareDelete(bool, bool) (int, error) { return 0, a.err }

func (a absent) Resume() {}

func (a absent) Drop() {}

// Touch implements queue.Handle.
func (absent) Touch() {}
