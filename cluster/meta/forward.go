package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// forwardTimeout bounds a request to another member. It ends earlier when the leader changes.
const forwardTimeout = 10 * time.Second

// MaxForwardLen is the greatest length in bytes of what goes through Options.Forward, in either direction.
const MaxForwardLen = 2*MaxCommandLen + 2*maxBatchBytes

// maxAnswerEntities bounds the entities that an answer repeats, in bytes (one may exceed it). What does not fit is left out, and
// the proposer takes it from its own state.
const maxAnswerEntities = MaxCommandLen

// HandleForward answers a request that another member's Options.Forward carried here. What becomes of the request is told in the
// response; an error means that there was no request in it (ErrInvalidArgument) or that this version does not know its kind
// (ErrIncompatible). The response belongs to the caller.
func (g *Group) HandleForward(ctx context.Context, request []byte) ([]byte, error) {
	var m metav1.ForwardRequest
	if err := proto.Unmarshal(request, &m); err != nil {
		return nil, fmt.Errorf("%w: request of another member: %w", ErrInvalidArgument, err)
	}
	if m.GetKind() == nil {
		return nil, fmt.Errorf("%w: unknown request of another member", ErrIncompatible)
	}
	return proto.Marshal(g.handle(ctx, &m))
}

// handle does what a request asks of this member.
func (g *Group) handle(ctx context.Context, m *metav1.ForwardRequest) *metav1.ForwardResponse {
	switch k := m.GetKind().(type) {
	case *metav1.ForwardRequest_Commands:
		return g.handleCommands(ctx, k.Commands.GetCommands())
	case *metav1.ForwardRequest_Read:
		index, term, err := g.leaderIndex(ctx)
		return &metav1.ForwardResponse{Index: index, Term: term, Error: encodeError(err)}
	case *metav1.ForwardRequest_Member:
		return &metav1.ForwardResponse{Error: encodeError(g.changeMember(ctx, k.Member.GetId(), k.Member.GetRemove()))}
	case *metav1.ForwardRequest_Status:
		if err := g.fsm.failure(); err != nil {
			return &metav1.ForwardResponse{Error: encodeError(err)}
		}
		return &metav1.ForwardResponse{Index: g.State().Index(), LastIndex: g.raft.LastIndex()}
	default:
		return &metav1.ForwardResponse{Error: encodeError(fmt.Errorf("%w: unknown request", ErrIncompatible))}
	}
}

// handleCommands proposes what another member was asked to propose; it shares log entries with what comes from elsewhere.
func (g *Group) handleCommands(ctx context.Context, commands []*metav1.ForwardCommand) *metav1.ForwardResponse {
	if len(commands) > maxBatchCommands {
		err := fmt.Errorf("%w: %d commands in one request, at most %d", ErrInvalidArgument, len(commands), maxBatchCommands)
		return &metav1.ForwardResponse{Error: encodeError(err)}
	}
	response := &metav1.ForwardResponse{Results: make([]*metav1.ForwardResult, len(commands))}
	proposals := make([]*proposal, len(commands))
	for i, c := range commands {
		p := &proposal{ctx: ctx, data: c.GetCommand(), version: c.GetVersion(), forwarded: true, done: make(chan outcome, 1)}
		if err := g.checkForwarded(p); err != nil {
			p.done <- outcome{err: err}
		} else if err := g.enqueue(p); err != nil {
			p.done <- outcome{err: err, retry: true}
		}
		proposals[i] = p
	}
	room := maxAnswerEntities
	for i, p := range proposals {
		o := g.wait(p)
		switch {
		case o.retry && !errors.Is(o.err, ErrNotLeader):
			o.err = fmt.Errorf("%w: %w", ErrNotLeader, o.err)
		case errors.Is(o.err, ErrShutdown):
			o.err = fmt.Errorf("%w: %w", ErrLeadershipLost, o.err)
		}
		m := o.encode()
		if room <= 0 {
			m.Elided = m.Exchange != nil || m.Queue != nil
			m.Exchange, m.Queue = nil, nil
		}
		room -= len(m.GetExchange().GetArguments()) + len(m.GetQueue().GetArguments())
		response.Results[i] = m
	}
	return response
}

// checkForwarded refuses what this node could not apply itself.
func (g *Group) checkForwarded(p *proposal) error {
	if p.version > g.opts.Version {
		return tooNew(p.version, g.opts.NodeID, g.opts.Version)
	}
	if len(p.data) > MaxCommandLen {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(p.data))
	}
	var m metav1.Command
	if err := proto.Unmarshal(p.data, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	c, err := decodeCommand(&m)
	if err != nil {
		return err
	}
	// A member of the future may know better, one of the past cannot.
	p.version = max(p.version, versionOf(c))
	return nil
}

// ask sends a request to a member and returns its answer, which may be an error. The error is ErrNotSent if the request
// certainly did not reach it.
func (g *Group) ask(ctx context.Context, id string, m *metav1.ForwardRequest) (*metav1.ForwardResponse, error) {
	request, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	data, err := g.opts.Forward(ctx, id, request)
	if err != nil {
		return nil, fmt.Errorf("request to %q: %w", id, err)
	}
	response := new(metav1.ForwardResponse)
	if err := proto.Unmarshal(data, response); err != nil {
		return nil, fmt.Errorf("answer of %q: %w", id, err)
	}
	return response, nil
}

// askLeader has the leader, which may be this node, deal with a request. retry says that it may be tried again: there is no
// leader, or the request certainly had no effect.
func (g *Group) askLeader(ctx context.Context, m *metav1.ForwardRequest) (r *metav1.ForwardResponse, retry bool, err error) {
	if g.tenure.Load() != nil {
		r = g.handle(ctx, m)
	} else {
		l := g.leaders.refresh(g.raft)
		switch {
		case l.id == "" || l.id == g.opts.NodeID:
			return nil, true, ErrNoLeader
		case g.opts.Forward == nil:
			return nil, false, fmt.Errorf("%w: %q does", ErrNotLeader, l.id)
		}
		lctx, cancel := bound(ctx, l.ctx)
		defer cancel()
		if r, err = g.ask(lctx, l.id, m); err != nil {
			return nil, errors.Is(err, ErrNotSent), err
		}
	}
	if err := decodeError(r.GetError()); err != nil {
		return nil, errors.Is(err, ErrNotLeader), err
	}
	return r, false, nil
}

// bound returns a context of ctx that also ends when other does.
func bound(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() { stop(); cancel(nil) }
}
