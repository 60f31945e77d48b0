package meta

import (
	"sync"

	"github.com/hashicorp/raft"
)

// commitPush is a transport that tells the followers what is committed as soon as this member, which leads, has applied it.
//
// The Raft library tells them with the next entry, or else after its commit timeout, some 50 ms later. A client of a follower would
// wait that long for every change on a quiet cluster, as its node answers once it has applied the change. So an AppendEntries
// without entries is sent at once, just like those that the library sends after that timeout: it says what the follower's log holds
// already, from an answer of the follower itself, and how much of it is committed. A follower that knows of a newer term refuses it,
// and what was committed stays committed, so it can come late, twice or never without harm.
type commitPush struct {
	raft.Transport

	mu        sync.Mutex
	followers map[raft.ServerID]*follower
	closed    bool
	sending   sync.WaitGroup
}

// follower is what its answers say about a member.
type follower struct {
	address raft.ServerAddress
	request raft.AppendEntriesRequest // header, term and leader of the last one that it accepted; the rest is set when it is sent
	index   uint64                    // of the last entry that it holds for sure
	term    uint64                    // of that entry
	told    uint64                    // commit index that was pushed
	wanted  uint64                    // commit index to push
	busy    bool                      // a push is under way
}

func newCommitPush(t raft.Transport) *commitPush {
	return &commitPush{Transport: t, followers: make(map[raft.ServerID]*follower)}
}

// accepted takes note of a request that a member has answered with success.
func (t *commitPush) accepted(id raft.ServerID, address raft.ServerAddress, r *raft.AppendEntriesRequest) {
	index, term := r.PrevLogEntry, r.PrevLogTerm
	if n := len(r.Entries); n > 0 {
		index, term = r.Entries[n-1].Index, r.Entries[n-1].Term
	}
	if index == 0 { // a heartbeat says nothing about the log
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.followers[id]
	if f == nil {
		f = &follower{}
		t.followers[id] = f
	}
	if f.request.Term == r.Term && index < f.index {
		return // an answer that was overtaken
	}
	f.address, f.index, f.term = address, index, term
	f.request = raft.AppendEntriesRequest{RPCHeader: r.RPCHeader, Term: r.Term, Leader: r.Leader}
	f.told = max(f.told, min(r.LeaderCommitIndex, index))
	t.push(id, f)
}

// committed tells the followers that everything up to index is committed. It does not wait.
func (t *commitPush) committed(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, f := range t.followers {
		f.wanted = max(f.wanted, index)
		t.push(id, f)
	}
}

// push sends what f does not know yet, one request at a time. mu is held.
func (t *commitPush) push(id raft.ServerID, f *follower) {
	commit := min(f.wanted, f.index)
	if f.busy || t.closed || commit <= f.told {
		return
	}
	f.busy, f.told = true, commit
	request, address := f.request, f.address
	request.PrevLogEntry, request.PrevLogTerm, request.LeaderCommitIndex = f.index, f.term, commit
	t.sending.Go(func() {
		var response raft.AppendEntriesResponse
		err := t.Transport.AppendEntries(id, address, &request, &response)
		t.mu.Lock()
		defer t.mu.Unlock()
		f.busy = false
		if err != nil || !response.Success {
			delete(t.followers, id) // until it answers the library again
			return
		}
		t.push(id, f)
	})
}

// AppendEntries implements raft.Transport.
func (t *commitPush) AppendEntries(id raft.ServerID, target raft.ServerAddress, r *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse) error {
	err := t.Transport.AppendEntries(id, target, r, response)
	if err == nil && response.Success {
		t.accepted(id, target, r)
	}
	return err
}

// AppendEntriesPipeline implements raft.Transport.
func (t *commitPush) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.Transport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &watchedPipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture, cap(inner.Consumer())), done: make(chan struct{})}
	go p.relay(func(r *raft.AppendEntriesRequest) { t.accepted(id, target, r) })
	return p, nil
}

// watchedPipeline hands on the answers of a pipeline after a look at them.
type watchedPipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	done    chan struct{}
	close   sync.Once
}

// relay runs until Close.
func (p *watchedPipeline) relay(accepted func(*raft.AppendEntriesRequest)) {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if f.Error() == nil && f.Response().Success {
				accepted(f.Request())
			}
			select {
			case p.answers <- f:
			case <-p.done:
				return
			}
		case <-p.done:
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (p *watchedPipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline.
func (p *watchedPipeline) Close() error {
	p.close.Do(func() { close(p.done) })
	return p.AppendPipeline.Close()
}

// RequestPreVote implements raft.WithPreVote.
func (t *commitPush) RequestPreVote(id raft.ServerID, target raft.ServerAddress, r *raft.RequestPreVoteRequest,
	response *raft.RequestPreVoteResponse) error {
	inner, ok := t.Transport.(raft.WithPreVote)
	if !ok {
		return raft.ErrUnsupportedProtocol
	}
	return inner.RequestPreVote(id, target, r, response)
}

// Close implements raft.WithClose.
func (t *commitPush) Close() error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	err := closeTransport(t.Transport)
	t.sending.Wait()
	return err
}
