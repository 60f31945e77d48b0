package meta

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// MaxCommandLen is the greatest encoded length of one command in bytes.
const MaxCommandLen = 4 << 20

// Bounds of one log entry: commands, and bytes of them (a single command may be longer).
const (
	maxBatchCommands = 1024
	maxBatchBytes    = 512 << 10
)

// proposeTimeout bounds how long Raft may take to accept an entry; being committed may take longer.
const proposeTimeout = 10 * time.Second

// maxInFlight is how many batches may be under way at once, to Raft or to the leader. While one is being synced the next is
// already there, so that the disk need not wait for the network; more would only make the batches smaller.
const maxInFlight = 4

// While there is no leader, proposals are tried again after pauses from minPause to maxPause, and when the leader changes.
const (
	minPause = 5 * time.Millisecond
	maxPause = 100 * time.Millisecond
)

// proposal is a command on its way to the log.
type proposal struct {
	ctx       context.Context // of the proposer
	data      []byte          // encoded Command
	version   uint32          // least version that can apply it
	forwarded bool            // by another member: it goes no further than this one
	done      chan outcome    // capacity 1

	// claimed is set once, by the collector, which sends the command on then, or by the proposer, who has no more time: then the
	// command certainly stays where it is.
	claimed atomic.Bool
}

// claim says whether the caller is the first to claim the proposal.
func (p *proposal) claim() bool { return p.claimed.CompareAndSwap(false, true) }

// Propose commits a command and returns its result once it is applied on this node, so that State and whatever OnApply feeds
// show it. It works on every member: the leader gets the command through Options.Forward. While there is no leader it waits until
// ctx ends. A command that is refused returns a *NameError or ErrInvalidArgument and changes nothing.
//
// Errors of the group that mean that the command was not applied: ErrTooLarge, ErrTooNew, ErrNoLeader (with ErrTimeout),
// ErrNotLeader (without Options.Forward). It may have been applied, now or later, in spite of these: ErrLeadershipLost,
// ErrTimeout (ctx ended; it wraps the cause), ErrShutdown, ErrIncompatible.
func (g *Group) Propose(ctx context.Context, c Command) (Result, error) {
	if r, done, err := g.proposeEarly(ctx, c); done {
		return r, err
	}
	version := versionOf(c)
	if version > g.opts.Version {
		return Result{}, tooNew(version, g.opts.NodeID, g.opts.Version)
	}
	data, err := proto.Marshal(c.encode())
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	if len(data) > MaxCommandLen {
		return Result{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		changed := g.leaders.current().changed
		p := &proposal{ctx: ctx, data: data, version: version, done: make(chan outcome, 1)}
		if err := g.enqueue(p); err != nil {
			return Result{}, err
		}
		o := g.wait(p)
		if o.retry {
			if err := g.pause(ctx, changed, pause, o.err); err != nil {
				return Result{}, err
			}
			continue
		}
		if o.result.Index > 0 {
			if err := g.await(ctx, o.result.Index, o.term); err != nil {
				return Result{}, err
			}
		}
		if o.elided {
			return g.complete(o.result, c)
		}
		return o.result, o.err
	}
}

// proposeAlone commits a command past the collector, on the leader.
func (g *Group) proposeAlone(c Command) error {
	data, err := proto.Marshal(c.encode())
	if err != nil {
		return err
	}
	p := &proposal{data: data, version: versionOf(c), done: make(chan outcome, 1)}
	b := batch{proposals: []*proposal{p}}
	g.settle(&b, g.raft.Apply(appendBatch(nil, b.proposals), proposeTimeout))
	return (<-p.done).err
}

// complete adds the entity that the leader's answer had no room for.
func (g *Group) complete(r Result, c Command) (Result, error) {
	switch c := c.(type) {
	case DeclareQueue:
		if r.Queue = g.State().Queue(c.Queue.VHost, c.Queue.Name); r.Queue == nil {
			return r, &NameError{Err: ErrNoQueue, VHost: c.Queue.VHost, Name: c.Queue.Name}
		}
	case MoveQueue:
		if r.Queue = g.State().QueueByID(c.ID); r.Queue == nil {
			return r, &NameError{Err: ErrNoQueue, Name: fmt.Sprintf("id %d", c.ID)}
		}
	case DeclareExchange:
		if r.Exchange = g.State().Exchange(c.Exchange.VHost, c.Exchange.Name); r.Exchange == nil {
			return r, &NameError{Err: ErrNoExchange, VHost: c.Exchange.VHost, Name: c.Exchange.Name}
		}
	}
	return r, nil
}

// enqueue hands a proposal to the collector. After an error it is certainly not applied.
func (g *Group) enqueue(p *proposal) error {
	select {
	case <-g.stop:
		return ErrShutdown
	default:
	}
	select {
	case g.proposals <- p:
		return nil
	case <-g.stop:
		return ErrShutdown
	case <-p.ctx.Done():
		return g.timedOut(p.ctx, nil)
	}
}

// wait returns what became of a proposal that was enqueued.
func (g *Group) wait(p *proposal) outcome {
	select {
	case o := <-p.done:
		return o
	case <-p.ctx.Done():
		if p.claim() {
			return outcome{err: g.timedOut(p.ctx, nil)}
		}
		return outcome{err: fmt.Errorf("%w: it is under way: %w", ErrTimeout, context.Cause(p.ctx))}
	case <-g.collected:
	}
	// The collector is gone. It may have answered on its way out; if not, it never came to this proposal.
	select {
	case o := <-p.done:
		return o
	default:
		return outcome{err: ErrShutdown, retry: p.forwarded}
	}
}

// pause waits before something is tried again that did not work because of err. Its error says why it must not be tried again.
func (g *Group) pause(ctx context.Context, changed <-chan struct{}, d time.Duration, err error) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
		return nil
	case <-t.C:
		return nil
	case <-g.stop:
		return ErrShutdown
	case <-ctx.Done():
		return g.timedOut(ctx, err)
	}
}

// timedOut is the error for what was certainly not done before ctx ended. The last attempt failed with err, nil for none.
func (g *Group) timedOut(ctx context.Context, err error) error {
	if err == nil && g.leaders.current().id != "" {
		return fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w: %s: %w", ErrTimeout, ErrNoLeader, g.whyNoLeader(err), context.Cause(ctx))
}

// whyNoLeader tells what this node knows of the cause.
func (g *Group) whyNoLeader(err error) string {
	if l := g.leaders.current(); l.id != "" && l.id != g.opts.NodeID {
		return fmt.Sprintf("leader %q: %v", l.id, err)
	}
	if g.opts.Reachable == nil {
		return "no leader"
	}
	voters, reachable := 0, 0
	for _, id := range g.voters() {
		voters++
		if id == g.opts.NodeID || g.opts.Reachable(id) {
			reachable++
		}
	}
	return fmt.Sprintf("no leader: %d of %d members reachable", reachable, voters)
}

// collect turns what is proposed into batches. While maxInFlight are under way what is proposed waits for the next one, so the
// batches grow with the load, and a lone proposal does not wait for company.
func (g *Group) collect() {
	defer close(g.collected)
	defer g.batches.Wait()
	slots := make(chan struct{}, maxInFlight)
	var held *proposal // did not fit into the last batch
	for {
		first := held
		held = nil
		if first == nil {
			select {
			case first = <-g.proposals:
			case <-g.stop:
				return
			}
		}
		select {
		case slots <- struct{}{}:
		case <-g.stop:
			return
		}
		var b batch
		for p := first; p != nil; p = g.waiting() {
			if b.full(p) {
				held = p
				break
			}
			if p.ctx.Err() != nil {
				p.done <- outcome{err: g.timedOut(p.ctx, nil)}
				continue
			}
			b.add(p)
		}
		g.dispatch(b, func() { <-slots })
	}
}

// waiting returns the next proposal if there is one.
func (g *Group) waiting() *proposal {
	select {
	case p := <-g.proposals:
		return p
	default:
		return nil
	}
}

// batch is a number of proposals that go together. Each of them is answered exactly once.
type batch struct {
	proposals []*proposal
	bytes     int
}

func (b *batch) full(p *proposal) bool {
	n := len(b.proposals)
	return n == maxBatchCommands || (n > 0 && b.bytes+len(p.data) > maxBatchBytes)
}

func (b *batch) add(p *proposal) {
	b.proposals = append(b.proposals, p)
	b.bytes += len(p.data)
}

// keep leaves in the batch what refuse accepts, and answers the others.
func (b *batch) keep(refuse func(p *proposal) outcome) {
	kept := b.proposals[:0]
	for _, p := range b.proposals {
		if o := refuse(p); o.err != nil {
			p.done <- o
		} else {
			kept = append(kept, p)
		}
	}
	b.proposals = kept
}

func (b *batch) fail(o outcome) {
	for _, p := range b.proposals {
		p.done <- o
	}
}

// dispatch sends a batch on its way, to Raft if this node leads, otherwise to the leader, and calls release when it is through.
func (g *Group) dispatch(b batch, release func()) {
	if g.tenure.Load() != nil {
		s := g.State()
		b.keep(func(p *proposal) outcome {
			if !p.claim() {
				return outcome{err: ErrTimeout}
			}
			return outcome{err: s.checkVersion(p.version)}
		})
		if len(b.proposals) == 0 {
			release()
			return
		}
		// Apply returns when Raft has taken the entry, so entries are in the order of their batches.
		future := g.raft.Apply(appendBatch(make([]byte, 0, b.bytes+8*len(b.proposals)+8), b.proposals), proposeTimeout)
		g.batches.Go(func() {
			defer release()
			g.settle(&b, future)
		})
		return
	}
	l := g.leaders.refresh(g.raft)
	b.keep(func(p *proposal) outcome {
		switch {
		case p.forwarded:
			return outcome{err: ErrNotLeader, retry: true}
		case l.id == "" || l.id == g.opts.NodeID: // or it leads, but does not know yet what its predecessors committed
			return outcome{err: ErrNoLeader, retry: true}
		case g.opts.Forward == nil:
			return outcome{err: fmt.Errorf("%w: %q does", ErrNotLeader, l.id)}
		case !p.claim():
			return outcome{err: ErrTimeout}
		}
		return outcome{}
	})
	if len(b.proposals) == 0 {
		release()
		return
	}
	g.batches.Go(func() {
		defer release()
		g.forward(l, b)
	})
}

// settle waits until Raft is through with the entry of a batch, and answers the proposals.
func (g *Group) settle(b *batch, future raft.ApplyFuture) {
	err := g.settled(context.Background(), func() raft.Future { return future })
	var outcomes []outcome
	if err == nil {
		switch r := future.Response().(type) {
		case []outcome:
			outcomes = r
		case error:
			err = r
		}
	}
	if err != nil {
		// Raft refused to take the entry.
		b.fail(outcome{err: err, retry: errors.Is(err, ErrNotLeader)})
		return
	}
	for i, p := range b.proposals {
		p.done <- outcomes[i]
	}
}

// forward has the leader deal with a batch, and answers the proposals.
func (g *Group) forward(l *leader, b batch) {
	commands := make([]*metav1.ForwardCommand, len(b.proposals))
	for i, p := range b.proposals {
		commands[i] = &metav1.ForwardCommand{Command: p.data, Version: p.version}
	}
	// l.ctx ends when the leader changes: then nobody waits for an answer that may never come.
	response, err := g.ask(l.ctx, l.id, &metav1.ForwardRequest{
		Kind: &metav1.ForwardRequest_Commands{Commands: &metav1.ForwardCommands{Commands: commands}},
	})
	switch {
	case errors.Is(err, ErrNotSent):
		b.fail(outcome{err: err, retry: true})
		return
	case err == nil && response.Error != nil: // refused as a whole
		err = decodeError(response.Error)
		b.fail(outcome{err: err, retry: errors.Is(err, ErrNotLeader)})
		return
	case err == nil && len(response.GetResults()) != len(commands):
		err = fmt.Errorf("answer of %q: %d results for %d commands", l.id, len(response.GetResults()), len(commands))
	}
	if err != nil {
		b.fail(outcome{err: fmt.Errorf("%w: %w", ErrLeadershipLost, err)})
		return
	}
	for i, p := range b.proposals {
		p.done <- decodeOutcome(response.Results[i])
	}
}

// appendBatch appends a metav1.Batch of commands that are encoded already, by the proposers in parallel: a repeated message
// field is nothing but each element behind its tag and length.
func appendBatch(buf []byte, batch []*proposal) []byte {
	const versionField, commandsField = 1, 2
	buf = protowire.AppendTag(buf, versionField, protowire.VarintType)
	version := uint32(1)
	for _, p := range batch {
		version = max(version, p.version)
	}
	buf = protowire.AppendVarint(buf, uint64(version))
	for _, p := range batch {
		buf = protowire.AppendTag(buf, commandsField, protowire.BytesType)
		buf = protowire.AppendBytes(buf, p.data)
	}
	return seal(buf)
}

// groupError translates an error of the Raft library, which stays wrapped.
func groupError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrIncompatible):
		return err
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrLeadershipLost, err)
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrShutdown, err)
	default:
		return fmt.Errorf("metadata log: %w", err)
	}
}
