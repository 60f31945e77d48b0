package peer

import (
	"fmt"

	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// answered is what a response says about a publication.
type answered struct {
	sent             *sent
	confirm, release bool
}

// read handles what comes until the stream breaks.
func (s *session) read() error {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		s.heard.Store(true)
		s.answer(m)
		if err := s.events(m.Events); err != nil {
			return fmt.Errorf("bad message from node %s: %w", s.link.node, err)
		}
		s.heard.Store(true)
	}
}

// answer tells publishers and settlers what has become of theirs.
func (s *session) answer(m *peerv1.LinkResponse) {
	if len(m.Refusals)+len(m.Done)+len(m.Released)+len(m.Settled) == 0 {
		return
	}
	s.mu.Lock()
	for _, r := range m.Refusals {
		if p := s.sent[r.Id]; p != nil {
			p.refused = append(p.refused, r.Indexes...)
		}
	}
	for _, id := range m.Done {
		if p := s.sent[id]; p != nil && p.confirm {
			p.confirm = false
			if !p.release {
				delete(s.sent, id)
			}
			s.answered = append(s.answered, answered{sent: p, confirm: true})
		}
	}
	for _, id := range m.Released {
		if p := s.sent[id]; p != nil && p.release {
			p.release = false
			if !p.confirm {
				delete(s.sent, id)
			}
			s.answered = append(s.answered, answered{sent: p, release: true})
		}
	}
	for _, id := range m.Settled {
		if done := s.settles[id]; done != nil {
			delete(s.settles, id)
			s.durable = append(s.durable, done)
		}
	}
	s.mu.Unlock()
	for _, a := range s.answered {
		a.sent.answer(a.confirm, a.release)
	}
	for _, done := range s.durable {
		done()
	}
	clear(s.answered)
	clear(s.durable)
	s.answered, s.durable = s.answered[:0], s.durable[:0]
}

// events handles what is in order. Pieces for one consumer that follow each other go to it at once.
func (s *session) events(list []*peerv1.Event) error {
	for i := 0; i < len(list); i++ {
		e := list[i]
		switch {
		case e.Deliver != nil:
			id := e.Deliver.Consumer
			s.pieces = s.pieces[:0]
			for ; i < len(list) && list[i].Deliver != nil && list[i].Deliver.Consumer == id; i++ {
				p, err := s.piece(list[i].Deliver)
				if err != nil {
					return err
				}
				s.pieces = append(s.pieces, p)
			}
			i--
			s.deliver(id, s.pieces)
			clear(s.pieces)
		case e.Chunk != nil:
			if err := s.asm.add(e.Chunk); err != nil {
				return err
			}
		case e.Reply != nil:
			if err := s.reply(e.Reply); err != nil {
				return err
			}
		case e.Cancelled != nil:
			if c := s.consumer(e.Cancelled.Consumer); c != nil {
				c.cancelled()
			}
		case e.Paused != nil:
			if c := s.consumer(e.Paused.Consumer); c != nil {
				c.paused()
			}
		case e.Notice != nil:
			if r := e.Notice.Reply; r != nil {
				var err error
				if r.Tail, err = s.asm.body(r.Tail, r.TailBefore); err != nil {
					return err
				}
			}
			if fn := s.link.links.opts.OnNotice; fn != nil {
				fn(s.link.node, e.Notice)
			}
		}
	}
	return nil
}

func (s *session) piece(d *peerv1.Deliver) (queue.Piece, error) {
	tail, err := s.asm.body(d.Tail, d.TailBefore)
	if err == nil && d.Count == 0 {
		err = fmt.Errorf("a delivery of no records to consumer %d", d.Consumer)
	}
	return queue.Piece{Records: d.Records, Tail: tail, First: d.First, Count: int(d.Count), Bytes: len(d.Records) + len(tail),
		Redelivered: d.Redelivered, Failures: d.Failures}, err
}

func (s *session) consumer(id uint64) *consumer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

// deliver gives pieces to their consumer. Those of one that nobody waits for any more go back to the queue.
func (s *session) deliver(id uint64, pieces []queue.Piece) {
	if c := s.consumer(id); c != nil {
		c.deliver(pieces)
		return
	}
	m := &peerv1.Settle{Consumer: id, Outcome: peerv1.Outcome_OUTCOME_RETURN}
	for i := range pieces {
		p := &pieces[i]
		m.Ranges = append(m.Ranges, p.First, p.First+uint64(p.Count)-1)
	}
	s.push(entry{op: &peerv1.Operation{Settle: m}, key: noticeKey})
}

func (s *session) reply(r *peerv1.Reply) error {
	if r.Piece != nil {
		tail, err := s.asm.body(r.Piece.Tail, r.Piece.TailBefore)
		if err != nil {
			return err
		}
		r.Piece.Tail = tail
	}
	s.mu.Lock()
	c := s.calls[r.Id]
	delete(s.calls, r.Id)
	s.mu.Unlock()
	if c != nil {
		c.answer(r)
	}
	return nil
}
