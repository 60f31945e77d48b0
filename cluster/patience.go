package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// patience is a Raft transport that holds back entries for a member that cannot be reached until it can. Raft itself would try and
// fail, and wait after each failure twice as long as before, up to ten seconds: so long would a node that comes back after a while
// have to wait for what it has missed. Heartbeats go as ever; they have short pauses of their own, and tell Raft who is there.
type patience struct {
	raft.Transport
	nodes *nodes
	done  chan struct{}
}

// patient returns t with patience. Raft asks by a type assertion whether a transport can do pre-votes.
func patient(t raft.Transport, n *nodes) raft.Transport {
	p := &patience{Transport: t, nodes: n, done: make(chan struct{})}
	if v, ok := t.(raft.WithPreVote); ok {
		return struct {
			*patience
			raft.WithPreVote
		}{p, v}
	}
	return p
}

// AppendEntries implements raft.Transport.
func (p *patience) AppendEntries(id raft.ServerID, target raft.ServerAddress, r *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse) error {
	if heartbeat := r.PrevLogEntry == 0 && len(r.Entries) == 0; !heartbeat {
		p.nodes.awaitUp(string(id), p.done)
	}
	return p.Transport.AppendEntries(id, target, r, response)
}

// Close implements raft.WithClose.
func (p *patience) Close() error {
	close(p.done)
	if c, ok := p.Transport.(raft.WithClose); ok {
		return c.Close()
	}
	return nil
}

// awaitUp waits while node is a member that cannot be reached, until done is closed, this node is about to stop, or it leads no more.
// Raft waits for those who wait here before it closes its transport, and with them for the heartbeats that they are in charge of.
func (n *nodes) awaitUp(node string, done <-chan struct{}) {
	look := time.NewTicker(leadsStill)
	defer look.Stop()
	for {
		n.mu.Lock()
		o := n.others[node]
		reached, moved := o == nil || o.up, n.moved
		n.mu.Unlock()
		if reached {
			return
		}
		select {
		case <-moved:
		case <-done:
			return
		case <-n.broker.leaving:
			return
		case <-look.C:
			if n.ledByOthers() {
				return
			}
		}
	}
}

const leadsStill = 500 * time.Millisecond

// ledByOthers says whether this node certainly does not lead the metadata.
func (n *nodes) ledByOthers() bool {
	select {
	case <-n.broker.membership.opened:
		return !n.broker.meta.IsLeader()
	default:
		return false
	}
}
