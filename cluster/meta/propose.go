package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
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

// proposal is a command on its way to the log.
type proposal struct {
	ctx  context.Context // of the proposer
	data []byte          // encoded Command
	done chan outcome    // capacity 1
}

// Propose commits a command and returns its result once it is applied on this node, so that State and whatever OnApply feeds
// show it. A command that is refused returns a *NameError or ErrInvalidArgument and changes nothing. Errors of the group:
// ErrNotLeader, ErrLeadershipLost, ErrTimeout (ctx ended; it wraps the cause), ErrTooLarge, ErrShutdown, ErrIncompatible. The
// command may be applied in spite of ErrTimeout or ErrLeadershipLost.
func (g *Group) Propose(ctx context.Context, c Command) (Result, error) {
	data, err := proto.Marshal(c.encode())
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	if len(data) > MaxCommandLen {
		return Result{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	p := &proposal{ctx: ctx, data: data, done: make(chan outcome, 1)}
	select {
	case g.proposals <- p:
	case <-g.stop:
		return Result{}, ErrShutdown
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	}
	select {
	case o := <-p.done:
		return o.result, o.err
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
	case <-g.collected:
	}
	// The collector is gone. It may have answered on its way out.
	select {
	case o := <-p.done:
		return o.result, o.err
	default:
		return Result{}, ErrShutdown
	}
}

// collect turns what is proposed into log entries. One entry is under way at a time; what is proposed meanwhile makes the
// next one, so the batches grow with the load, and a lone proposal does not wait for company.
func (g *Group) collect() {
	defer close(g.collected)
	var batch []*proposal
	var held *proposal // did not fit into the last batch
	for {
		batch = batch[:0]
		first := held
		held = nil
		if first == nil {
			select {
			case first = <-g.proposals:
			case <-g.stop:
				return
			}
		}
		bytes := 0
		for p := first; p != nil; p = g.waiting() {
			if len(batch) == maxBatchCommands || (len(batch) > 0 && bytes+len(p.data) > maxBatchBytes) {
				held = p
				break
			}
			if err := p.ctx.Err(); err != nil {
				p.done <- outcome{err: fmt.Errorf("%w: %w", ErrTimeout, err)}
				continue
			}
			batch = append(batch, p)
			bytes += len(p.data)
		}
		if len(batch) > 0 {
			g.commit(batch, bytes)
			clear(batch)
		}
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

// commit puts the proposals into one log entry, waits until it is applied, and answers them.
func (g *Group) commit(batch []*proposal, bytes int) {
	future := g.raft.Apply(appendBatch(make([]byte, 0, bytes+8*len(batch)+8), batch), proposeTimeout)
	err := future.Error()
	var outcomes []outcome
	if err == nil {
		switch r := future.Response().(type) {
		case []outcome:
			outcomes = r
		case error:
			err = r
		}
	}
	err = groupError(err)
	for i, p := range batch {
		if err != nil {
			p.done <- outcome{err: err}
		} else {
			p.done <- outcomes[i]
		}
	}
}

// appendBatch appends a metav1.Batch of commands that are encoded already, by the proposers in parallel: a repeated message
// field is nothing but each element behind its tag and length.
func appendBatch(buf []byte, batch []*proposal) []byte {
	const versionField, commandsField = 1, 2
	buf = protowire.AppendTag(buf, versionField, protowire.VarintType)
	buf = protowire.AppendVarint(buf, batchVersion)
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
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return fmt.Errorf("%w: %w", ErrLeadershipLost, err)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrShutdown, err)
	default:
		return fmt.Errorf("metadata log: %w", err)
	}
}
