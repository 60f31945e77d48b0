package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Kind is what was done.
type Kind string

// Kinds of operations. Those on names have the name in Op.Name, those on messages the name of the queue.
const (
	DeclareQueue    Kind = "declare-queue"
	DeleteQueue     Kind = "delete-queue"
	LookQueue       Kind = "look-queue" // a passive declare
	DeclareExchange Kind = "declare-exchange"
	DeleteExchange  Kind = "delete-exchange"
	LookExchange    Kind = "look-exchange"
	Bind            Kind = "bind"
	Unbind          Kind = "unbind"
	LookBinding     Kind = "look-binding" // a mandatory publish, which is returned when nothing is bound
	Publish         Kind = "publish"      // persistent, mandatory, with confirm
	Deliver         Kind = "deliver"
	FaultDone       Kind = "fault"
	Exit            Kind = "exit" // of a process, when nobody asked for it
)

// Outcome is what became of an operation.
type Outcome string

// Outcomes.
const (
	OK      Outcome = "ok"
	Absent  Outcome = "absent"  // the name was not there; of a publish: returned, no queue has it
	Fail    Outcome = "fail"    // refused, without effect; of a publish: a nack, which leaves open whether it has one
	Unknown Outcome = "unknown" // it may have had its effect, or have it later
)

// Settled is what a consumer did with a delivery.
type Settled string

// What a consumer does with a delivery.
const (
	Acked    Settled = "ack"
	Requeued Settled = "requeue"
	Dropped  Settled = "none" // not settled: the channel ended with it
)

// Op is one line of a history.
type Op struct {
	Client string `json:"client"` // one channel of one connection; a new channel is a new client
	Node   int    `json:"node"`   // that the client is connected to
	Kind   Kind   `json:"op"`
	Name   string `json:"name,omitempty"`

	Message     string  `json:"message,omitempty"` // "channel of the publisher/serial number"
	Redelivered bool    `json:"redelivered,omitempty"`
	Settled     Settled `json:"settled,omitempty"`

	Fault *Fault `json:"fault,omitempty"`

	// Nanoseconds since the round began, by one clock for all clients.
	Start   int64   `json:"start"`
	End     int64   `json:"end"`
	Outcome Outcome `json:"outcome"`
	Error   string  `json:"error,omitempty"`
}

// History takes what clients do, for a file and for the checker. It is safe for concurrent use.
type History struct {
	begin time.Time

	mu   sync.Mutex
	ops  []Op
	file *os.File
	out  *bufio.Writer
	enc  *json.Encoder
	err  error // the first of the file
}

// NewHistory begins a history in a new file.
func NewHistory(path string) (*History, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	h := &History{begin: time.Now(), file: f, out: bufio.NewWriterSize(f, 64<<10)}
	h.enc = json.NewEncoder(h.out)
	return h, nil
}

// Now is the time of the history.
func (h *History) Now() int64 { return int64(time.Since(h.begin)) }

// Add appends an operation that has ended. Operations of one client must come in their order.
func (h *History) Add(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
	if err := h.enc.Encode(&op); err != nil && h.err == nil {
		h.err = err
	}
}

// Ops returns what there is so far. The caller only reads it.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ops[:len(h.ops):len(h.ops)]
}

// Close completes the file.
func (h *History) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.err, h.out.Flush(), h.file.Close())
}

// ReadHistory reads a history from its lines. The error names the line.
func ReadHistory(r io.Reader) ([]Op, error) {
	var ops []Op
	for dec := json.NewDecoder(r); ; {
		var op Op
		if err := dec.Decode(&op); errors.Is(err, io.EOF) {
			return ops, nil
		} else if err != nil {
			return nil, fmt.Errorf("history, line %d: %w", len(ops)+1, err)
		}
		ops = append(ops, op)
	}
}
