package queue

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/block"
)

// Errors that a Handle returns. The cluster turns them into AMQP errors with the texts that clients know.
var (
	ErrGone         = errors.New("queue is gone")            // deleted, or its node is going down
	ErrExclusiveUse = errors.New("queue in exclusive use")   // 403: an exclusive consumer is there, or asked for beside others
	ErrInUse        = errors.New("queue in use")             // 406: if-unused
	ErrNotEmpty     = errors.New("queue not empty")          // 406: if-empty
	ErrUnavailable  = errors.New("queue leader unavailable") // the node that leads the queue cannot be reached
)

// Handle is a queue as channels and the cluster use it, wherever its leader is. All methods are safe for concurrent use.
// Publish and Settle never block and keep the order of calls from one goroutine.
type Handle interface {
	// ID is unique among all queues that ever existed in the cluster.
	ID() uint64
	// Publish gives a block to the queue.
	Publish(p *Publication)
	// Settle acknowledges, drops or requeues deliveries.
	Settle(s *Settlement)
	// Consume attaches c. Errors: ErrGone, ErrExclusiveUse. After return deliveries may come at any time.
	Consume(c *Consumer) error
	// Cancel detaches c; when it returns no more deliveries come. Unsettled ones stay unsettled.
	Cancel(c *Consumer)
	// Wake tells the queue that c's receiver has room again (see Receiver.Reserve).
	Wake(c *Consumer)
	// Get takes one message. ok is false when none is ready. With noAck it is settled at once, otherwise the caller must
	// settle piece.First later. remaining is the number of ready messages left.
	Get(noAck bool) (piece Piece, remaining int, ok bool, err error)
	// Purge removes all ready messages and returns their number. No restart brings them back, unless there is an error.
	Purge() (int, error)
	// Touch tells a queue that expires when unused that it is being used.
	Touch()
	// Status reports counts.
	Status() (Status, error)
	// PrepareDelete checks the conditions and holds the queue still: what arrives from now on waits until Drop or Resume. It
	// returns the number of ready messages. Errors: ErrGone, ErrInUse, ErrNotEmpty.
	PrepareDelete(ifUnused, ifEmpty bool) (int, error)
	// Resume ends PrepareDelete when the deletion could not be agreed on.
	Resume()
	// Drop ends the queue: its consumers are told, waiting publishers answered, its messages deleted. It does not wait.
	Drop()
}

// Heir is a queue at the node that leads it, as the engine that led it before uses it.
type Heir interface {
	Handle
	// Barrier returns when everything that was given to the handle before has reached the queue, or is refused. Errors: ErrGone;
	// ErrUnavailable, also when ctx ends first.
	Barrier(ctx context.Context) error
	// Adopt attaches consumers that the queue had before it moved, in this order, each with so many unsettled deliveries, and has the
	// queue begin. Deliveries may come before it returns. After an error nothing is attached, and what was delivered before is requeued.
	Adopt(list []*Consumer, unacked []int) (Inheritance, error)
}

// Inheritance is what remains to be done with the deliveries that were made before a queue moved. It is void when the link to the
// new leader is lost: they are requeued then.
type Inheritance interface {
	// Settle is Handle.Settle for deliveries of before and after.
	Settle(s *Settlement)
	// Get is Handle.Get, whose deliveries are settled with Settle.
	Get(noAck bool) (piece Piece, remaining int, ok bool, err error)
}

// Status is a snapshot of a queue's counters.
type Status struct {
	Ready, Unacked int // messages
	Consumers      int
	Resident       int64 // bytes of message memory
}

// Publication is a block on its way into a queue.
type Publication struct {
	Block block.Block
	// Batch is counted down when the block is safe (see Batch). May be nil.
	Batch *Batch
	// Seqs are the publish sequence numbers of the records, only when they are not Batch.First, Batch.First+1, ...
	Seqs []uint64
	// Source is what removes the records from where they come from. It is stored in one transaction with them if they are stored.
	Source []*block.Op
	// Letters says that the publisher keeps the records until Batch is done. A queue that was stopped never counts Batch down then.
	Letters bool
	// Flow gets the block's size back once the queue no longer holds it against the publisher. May be nil.
	Flow Flow

	// fresh are the keys of the records that the queue has to remember durably, nil if there are none.
	fresh *freshKeys
}

// Flow is a publisher's budget of bytes in flight. Done must not block.
type Flow interface{ Done(bytes int) }

// Batch is what one channel published in one read chunk: the publish sequence numbers [First, Last]. Every Publication that
// carries it is counted by Add before it is pushed.
type Batch struct {
	First, Last uint64
	// Complete is called once by whoever counts the batch down to zero, from any goroutine. It must not block.
	Complete func(*Batch)
	// Completed is for the use of the batch's maker.
	Completed bool

	pending atomic.Int32
	refused atomic.Pointer[[]uint64]
	lost    atomic.Bool
	unkept  atomic.Bool
}

// Add counts one more Publication.
func (b *Batch) Add() { b.pending.Add(1) }

// Done counts one Publication down.
func (b *Batch) Done() {
	if b.pending.Add(-1) == 0 && b.Complete != nil {
		b.Complete(b)
	}
}

// Refuse records that the messages with these sequence numbers must be nacked. Call it before Done.
func (b *Batch) Refuse(seqs ...uint64) {
	for {
		old := b.refused.Load()
		var next []uint64
		if old != nil {
			next = append(next, *old...)
		}
		next = append(next, seqs...)
		if b.refused.CompareAndSwap(old, &next) {
			return
		}
	}
}

// Lose records that the leader of a queue could not be reached, so that the messages that it was to get are refused. Call it before
// Done.
func (b *Batch) Lose() { b.lost.Store(true) }

// Lost says whether messages were refused for want of a link to their queue's leader.
func (b *Batch) Lost() bool { return b.lost.Load() }

// Unkept says that a queue of this node could not store messages: its log failed, or it was stopped. Whoever has them still must not
// forget them, though a queue whose log failed may deliver them as long as the node runs.
func (b *Batch) Unkept() bool { return b.unkept.Load() }

// refuseAll records that every message of the batch must be nacked.
func (b *Batch) refuseAll() {
	seqs := make([]uint64, 0, b.Last-b.First+1)
	for s := b.First; s <= b.Last; s++ {
		seqs = append(seqs, s)
	}
	b.Refuse(seqs...)
}

// Refused returns the sequence numbers to nack, unordered and possibly repeated.
func (b *Batch) Refused() []uint64 {
	if p := b.refused.Load(); p != nil {
		return *p
	}
	return nil
}

// Outcome is what happens to a delivery.
type Outcome uint8

const (
	Ack     Outcome = iota // consumed
	Drop                   // rejected without requeue: dead-lettered or dropped
	Requeue                // back to its old position
	Return                 // as Requeue, without counting as a failed delivery (the consumer never saw it)
)

// Range is the offsets [First, Last].
type Range struct{ First, Last uint64 }

// Settlement settles deliveries of one consumer, or of basic.get when Consumer is nil. Ranges must not be changed after
// the call.
type Settlement struct {
	Handle   Handle // the queue, for the use of the settlement's maker
	Consumer *Consumer
	Outcome  Outcome
	Ranges   []Range
	// Done, if set, is called when the settlement is as durable as a confirm (tx.commit), or cannot be. It must not block.
	Done func()
	// Failed, if set, is called before Done if the settlement has taken effect but a restart may undo it. It must not block.
	Failed func(error)
}

// Piece is a run of records of one block: Count records with offsets First, First+1, ... Records starts at the first of them.
type Piece struct {
	Records     []byte // encoded records, at least Count of them
	Tail        []byte // body of the only record, see block.Block
	First       uint64
	Count       int
	Bytes       int // encoded bytes of the Count records, Tail included
	Redelivered bool
	Failures    uint32 // failed deliveries of each of the records so far, counted while the queue has a delivery limit
}

// Consumer is one basic.consume. The fields are set before Consume and not changed afterwards, except by the queue.
type Consumer struct {
	Tag       string
	NoAck     bool
	Exclusive bool
	Priority  int32
	Prefetch  int // messages, 0 for no limit
	Receiver  Receiver

	// owned by the queue's runner
	attached   bool
	joined     uint64 // order of arrival at the queue
	unacked    int    // deliveries not settled
	blocked    bool   // Reserve refused; Wake will come
	waiting    bool   // in the ready ring of its priority
	slot       int    // where in the ring, see level
	place      int    // where in Queue.consumers
	batch      []Piece
	batchBytes int
}

// credit returns how many more messages c may have.
func (c *Consumer) credit() int {
	if c.NoAck || c.Prefetch == 0 {
		return maxCredit
	}
	return c.Prefetch - c.unacked
}

const maxCredit = 1 << 30

// Receiver is the channel behind a consumer. All methods are called by queue runners and must not block.
type Receiver interface {
	// Reserve asks for room for up to n messages and returns how many may be delivered now. When it returns less than n it
	// remembers c and calls Wake once there is room. Bytes are accounted by Deliver. A queue that does not use all that was granted
	// asks again without Wake.
	Reserve(c *Consumer, n int) int
	// Unreserve gives back what was reserved and not delivered.
	Unreserve(c *Consumer, n int)
	// Deliver hands over pieces in order. The slice is the callee's only during the call; the pieces' bytes stay valid while
	// they are referenced. With c.NoAck they are settled already.
	Deliver(c *Consumer, pieces []Piece)
	// Cancelled says that the queue is gone and c with it.
	Cancelled(c *Consumer)
}
