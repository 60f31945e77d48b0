package block

// Desc describes a block in the log without its content; it is what the log's key holds, so that recovery reads no values.
type Desc struct {
	Base       uint64 // offset of the first record
	Count      uint32 // records
	Persistent uint32 // records with the Persistent flag; the others are void after a restart
	Size       uint32 // bytes of the records
	Bodies     uint32 // bytes of the bodies
	// MinDeadline is the smallest deadline in the block, Unix milliseconds, 0 for none.
	MinDeadline int64
	// Spill marks a block that was written to free memory, not for durability: it is void after a restart.
	Spill bool
}

// OpKind says what an Op does.
type OpKind uint8

const (
	// OpPut stores one block.
	OpPut OpKind = iota
	// OpReplace stores one block and deletes those in Remove, atomically (small-block merging).
	OpReplace
	// OpDelete deletes the blocks in Remove, and their Gone bitmaps.
	OpDelete
	// OpGone stores the bitmap of settled records of the block Desc.
	OpGone
	// OpMark stores the queue's delivered mark: every record below it may have been delivered before.
	OpMark
	// OpState stores Records, if there are any, as the state Desc of the queue, and deletes the states in Remove, atomically if it is
	// little. Of Desc only Base, which names the state, and Size count. The log does not look into states, and returns them
	// when it is opened.
	OpState
	// OpBarrier stores nothing; it is done when everything submitted before it is durable.
	OpBarrier
)

// Op is one entry of a group commit. The submitter must not change it, nor the bytes it refers to, until Done; only the owner's
// Claim may still set Desc and Records, so that a block grows until it is written. Before that the log may look at op, but
// Desc.Size is a lower bound.
type Op struct {
	Kind    OpKind
	Queue   uint64
	Desc    Desc
	Records []byte // OpPut, OpReplace: the records, Desc.Size bytes together with Tail; OpState: Desc.Size bytes
	Tail    []byte
	Remove  []Desc
	Gone    []uint64 // OpGone: bit i of word i/64 is record Base+i
	Mark    uint64
	// Lazy ops wait for the next commit that happens anyway, at most for the log's lazy interval (some 100 ms). They are
	// written but not synced on their own account.
	Lazy  bool
	Owner OpOwner // may be nil
	// With is stored in the same transaction as this op: both or none after a crash. The log does not look at their Owner, Lazy and
	// With.
	With []*Op

	Next *Op // owned by the log between Submit and Done
}

// OpOwner is told about an op. Both methods are called from the log's goroutines and must not block.
type OpOwner interface {
	// Claim is called once, right before the op is written, and may complete the op (see Op). If it returns false the op is dropped: it is not written, and
	// Done is not called.
	Claim(op *Op) bool
	// Done is called once the op is durable (as durable as the log's sync mode and Lazy promise), or with the error that
	// prevented it; then nothing of the op was stored.
	Done(op *Op, err error)
}

// Log is the durable side of the queues of a node. The store implements it for one node; a replicated log can take its place.
type Log interface {
	// Submit hands op to the next group commit. It never blocks. Ops of one queue take effect in the order of submission.
	Submit(op *Op)
	// Load reads the records of a stored block and checks them (ParseStored). The result is the caller's. The error wraps
	// ErrCorrupt when the stored bytes are damaged or missing.
	Load(queue uint64, d Desc) ([]byte, error)
	// DropQueue deletes everything of a queue in the background, after all ops submitted before.
	DropQueue(queue uint64)
}

// Recovered is what the log knows of one queue at start-up.
type Recovered struct {
	Blocks []Desc              // by Base, not overlapping, without spilled ones
	Gone   map[uint64][]uint64 // by Base of the block: bitmap of settled records
	Mark   uint64              // delivered mark
	Clean  bool                // the log was closed cleanly, so Mark is exact and no acknowledgement was lost
	States []State             // by Base
}

// State is something small that a queue keeps beside its messages, see OpState.
type State struct {
	Desc  Desc
	Value []byte
}
