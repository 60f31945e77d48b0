package meta

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A follower learns that an entry is committed from the next thing that the leader sends, which at low load is an empty message
// some CommitTimeout later. Whoever proposed through a follower, or asked for a read index there, knows it at once from the
// leader's answer. notices tells Raft so: as the message that the leader would have sent next, without entries.
//
// Why this is safe: the message says that the entry of this index and term is committed, which is a fact, and names that entry as
// the previous one, so that Raft checks that its own log has it. Then it has all entries before it as well, and may apply them.
// The message bears the term and leader that Raft has at the time: should they have changed since, it is ignored as an old one.
//
// notices stands between Raft and its transport, because a transport has no other way in.
type notices struct {
	raft.Transport
	state func() *State
	rpcs  chan raft.RPC // what Raft consumes
	stop  chan struct{}
	wake  chan struct{} // capacity 1
	wg    sync.WaitGroup
	once  sync.Once

	mu          sync.Mutex
	index, term uint64 // the greatest entry that somebody waits for
	until       time.Time
}

// Within noticeTimeout the leader's own messages will have arrived. noticeInterval is how often the log is looked at for an
// entry that is still on its way.
const (
	noticeTimeout  = 500 * time.Millisecond
	noticeInterval = time.Millisecond
)

// newNotices starts to pass on the messages of a transport.
func newNotices(t raft.Transport, state func() *State) *notices {
	n := &notices{Transport: t, state: state, rpcs: make(chan raft.RPC), stop: make(chan struct{}), wake: make(chan struct{}, 1)}
	n.wg.Go(n.pass)
	return n
}

// transport returns what to give to Raft. Raft asks by a type assertion whether a transport can do pre-votes.
func (n *notices) transport() raft.Transport {
	if v, ok := n.Transport.(raft.WithPreVote); ok {
		return struct {
			*notices
			raft.WithPreVote
		}{n, v}
	}
	return n
}

// Consumer implements raft.Transport.
func (n *notices) Consumer() <-chan raft.RPC { return n.rpcs }

// Close implements raft.WithClose.
func (n *notices) Close() (err error) {
	n.once.Do(func() {
		close(n.stop)
		n.wg.Wait()
		err = closeTransport(n.Transport)
	})
	return err
}

func (n *notices) pass() {
	for {
		select {
		case rpc := <-n.Transport.Consumer():
			select {
			case n.rpcs <- rpc:
			case <-n.stop:
				return
			}
		case <-n.stop:
			return
		}
	}
}

// Committed says that the entry of this index and term is committed, because another member has applied it (Options.OnApplied): this
// one can do so, too, without waiting for word from the leader. It does not wait.
func (g *Group) Committed(index, term uint64) { g.notices.want(index, term) }

// want says that somebody waits for the entry of this index and term, which is committed.
func (n *notices) want(index, term uint64) {
	if term == 0 {
		return
	}
	n.mu.Lock()
	if index > n.index {
		n.index, n.term, n.until = index, term, time.Now().Add(noticeTimeout)
	}
	n.mu.Unlock()
	signal(n.wake)
}

func (n *notices) wanted() (index, term uint64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.index <= n.state().Index() || time.Now().After(n.until) {
		n.index = 0
		return 0, 0, false
	}
	return n.index, n.term, true
}

func (n *notices) forget(index uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.index == index {
		n.index = 0
	}
}

// serve delivers notices to r.
func (n *notices) serve(r *raft.Raft) {
	n.wg.Go(func() {
		for {
			select {
			case <-n.wake:
			case <-n.stop:
				return
			}
			for index, term, ok := n.wanted(); ok; index, term, ok = n.wanted() {
				if r.LastIndex() >= index {
					// Once is enough: if Raft has another entry there, that will soon be overwritten by the leader.
					n.forget(index)
					n.tell(r, index, term)
					continue
				}
				select {
				case <-time.After(noticeInterval):
				case <-n.stop:
					return
				}
			}
		}
	})
}

// elect has Raft stand for election at once, as the message does with which a leader hands over.
func (n *notices) elect() {
	n.wg.Go(func() {
		rpc := raft.RPC{RespChan: make(chan raft.RPCResponse, 1), Command: &raft.TimeoutNowRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax},
		}}
		select {
		case n.rpcs <- rpc:
		case <-n.stop:
		}
	})
}

// tell gives Raft one notice and waits until it was dealt with.
func (n *notices) tell(r *raft.Raft, index, term uint64) {
	// The term first: a leader that is read later is of this term or a later one, and in the latter case the message is too old.
	current := r.CurrentTerm()
	address, id := r.LeaderWithID()
	if id == "" || address == n.LocalAddr() {
		return
	}
	leader := n.EncodePeer(id, address)
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{RespChan: answer, Command: &raft.AppendEntriesRequest{
		RPCHeader:         raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: leader},
		Term:              current,
		PrevLogEntry:      index,
		PrevLogTerm:       term,
		LeaderCommitIndex: index,
	}}
	select {
	case n.rpcs <- rpc:
	case <-n.stop:
		return
	}
	select {
	case <-answer:
	case <-n.stop:
	}
}
