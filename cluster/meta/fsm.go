package meta

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// outcome is what became of one command of a log entry. The response of raft.Apply is a []outcome in the order of the
// commands, or an error if the entry could not be applied.
type outcome struct {
	result Result
	term   uint64 // of the entry
	err    error

	// retry says that the command was certainly not applied, for a reason that may pass: err tells it.
	retry bool
	// elided says that the result lacks its entity, because the answer of the leader was full.
	elided bool
}

// fsm applies the log. Raft calls its methods from one goroutine at a time; state may be read by anyone.
type fsm struct {
	log       *slog.Logger
	version   uint32                   // greatest version of commands that is applied
	onApplied func(index, term uint64) // may be nil
	onApply   func(old, new *State, changes []Change)
	state     atomic.Pointer[State]
	waiters   indexWaiters

	// broken is set once an entry or snapshot cannot be understood. From then on nothing is applied and no snapshot is taken,
	// so that the log keeps what an upgraded version needs.
	broken     atomic.Pointer[error]
	restoreErr error // of the last Restore; Open reads it when Raft did not start

	// Work that a restart would have to repeat, counted since the last snapshot; behind compact is told.
	commands, bytes int
	compact         chan struct{} // capacity 1
	filled          chan struct{} // capacity 1: the directory holds something of a group
}

// A snapshot is due when the log since the last one has compactCommands commands, or half as many as the state has
// entities, whichever is more, so that its cost is spread over the changes; and in any case after compactBytes of log. Both keep
// a restart to well under a second of replay.
const (
	compactCommands = 50_000
	compactBytes    = 64 << 20
)

func newFSM(log *slog.Logger, onApply func(old, new *State, changes []Change)) *fsm {
	f := &fsm{
		log: log, version: CommandVersion, onApply: onApply, compact: make(chan struct{}, 1), filled: make(chan struct{}, 1),
	}
	f.state.Store(newState())
	return f
}

// failure returns why nothing is applied any more, nil if all is well.
func (f *fsm) failure() error {
	if p := f.broken.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *fsm) fail(err error) {
	f.log.Error("metadata cannot be applied; this node must be upgraded", "err", err)
	f.broken.Store(&err)
	f.waiters.wakeAll()
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: one new State for all entries.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	old := f.state.Load()
	t := newTxn(old)
	index := old.index
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		if err := f.failure(); err != nil {
			responses[i] = err
			continue
		}
		commands, version, err := decodeBatch(l.Data, f.version)
		if err != nil {
			err = fmt.Errorf("log entry %d: %w", l.Index, err)
			f.fail(err)
			responses[i] = err
			continue
		}
		t.version, t.term = max(t.version, version), l.Term
		responses[i] = applyAll(t, l, commands)
		index = l.Index
		f.commands += len(commands)
		f.bytes += len(l.Data)
	}
	if index != old.index {
		f.publish(old, t.commit(index), t.changes)
	}
	return responses
}

func applyAll(t *txn, l *raft.Log, commands []Command) []outcome {
	outcomes := make([]outcome, len(commands))
	for i, c := range commands {
		o := &outcomes[i]
		o.result, o.err = c.apply(t)
		o.result.Index, o.term = l.Index, l.Term
	}
	return outcomes
}

// publish makes new the state. The listener goes first: whatever a reader finds in the state, the listener has dealt with.
func (f *fsm) publish(old, new *State, changes []Change) {
	if f.onApply != nil && (len(changes) > 0 || old == nil) {
		f.onApply(old, new, changes)
	}
	f.state.Store(new)
	if f.onApplied != nil {
		f.onApplied(new.index, new.term)
	}
	f.waiters.wake(new.index)
	signal(f.filled)
	entities := new.NumQueues() + new.NumExchanges() + new.NumBindings()
	if f.commands >= max(compactCommands, entities/2) || f.bytes >= compactBytes {
		signal(f.compact)
	}
}

// signal fills a channel of capacity 1; one that is full says so already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// decodeBatch returns the commands of a log entry, and its version. What is beyond version or not known is ErrIncompatible.
func decodeBatch(data []byte, version uint32) ([]Command, uint32, error) {
	data, err := unseal(data)
	if err != nil {
		return nil, 0, err
	}
	var b metav1.Batch
	if err := proto.Unmarshal(data, &b); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrIncompatible, err)
	}
	if v := b.GetVersion(); v == 0 || v > version {
		return nil, 0, fmt.Errorf("%w: log entry of version %d, this is version %d", ErrIncompatible, v, version)
	}
	commands := make([]Command, len(b.GetCommands()))
	for i, m := range b.GetCommands() {
		if commands[i], err = decodeCommand(m); err != nil {
			return nil, 0, err
		}
	}
	return commands, b.GetVersion(), nil
}

// Snapshot implements raft.FSM. It costs nothing: a State never changes.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	f.commands, f.bytes = 0, 0
	return snapshot{f.state.Load()}, nil
}

// Restore implements raft.FSM.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	s, err := readSnapshot(r, f.version)
	f.restoreErr = err
	if err != nil {
		if errors.Is(err, ErrIncompatible) {
			f.fail(err)
		}
		return err
	}
	f.commands, f.bytes = 0, 0
	f.publish(nil, s, nil)
	return nil
}
