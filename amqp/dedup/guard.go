package dedup

import (
	"sync"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
)

// Guard keeps repetitions from passing an exchange on this node. It is safe for concurrent use.
//
// A channel takes keys with a [Claim] while it gathers messages, and settles it when the queues have them for good. Only then the
// keys of persistent messages are logged, and only after that the publisher gets its confirm: so what was confirmed stays known
// after a crash, and what a crash took may come again. Until a claim is settled, nobody can tell whether its messages will be
// kept, so the publishers of repetitions wait for it as well.
type Guard struct {
	opts Options
	log  block.Log // nil: keys are kept in memory only

	mu      sync.Mutex // guards the rest, and the claims
	window  *Window
	journal *Journal
	holders map[Key]*Claim // of the keys whose claims are not settled
	dropped bool
}

// NewGuard returns the guard of an exchange. If log is not nil, keys are kept there under the given id, which no queue has; states
// is what it holds from before.
func NewGuard(o Options, log block.Log, id uint64, states []block.State) *Guard {
	g := &Guard{opts: o, log: log, window: NewWindow(o), holders: make(map[Key]*Claim)}
	if log != nil {
		g.journal = NewJournal(id, g.window, states, time.Now().UnixMilli())
	}
	return g
}

// Options returns what the guard compares messages by.
func (g *Guard) Options() *Options { return &g.opts }

// Drop deletes what is logged: the exchange is gone. Claims may still be settled.
func (g *Guard) Drop() {
	if g.log == nil {
		return
	}
	g.mu.Lock()
	g.dropped = true
	op := g.journal.Clear()
	g.mu.Unlock()
	if op != nil {
		g.log.Submit(op)
	}
}

// Claim is the keys of the messages that one channel has gathered. Take is for its channel only, before Settle.
type Claim struct {
	guard   *Guard
	taken   []taken
	waits   []wait
	settled bool
	failed  map[Key]struct{} // of the settled claim
	record  uint64           // what is being logged
	entries []byte
}

type taken struct {
	key        Key
	number     uint64 // in the window
	seq        uint64
	time       int64
	persistent bool
}

type wait struct {
	key  Key
	done func(kept bool)
}

// Claim returns a claim without keys. It must be settled.
func (g *Guard) Claim() *Claim { return &Claim{guard: g} }

// Guard returns what the claim is on.
func (c *Claim) Guard() *Guard { return c.guard }

// Take takes the key of the message seq at the time now, in Unix milliseconds. fresh is false for a repetition; holder is the claim
// that has the key, this one perhaps, or nil if its message is safe.
func (c *Claim) Take(k Key, now int64, seq uint64, persistent bool) (holder *Claim, fresh bool) {
	g := c.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.window.Known(k, now) {
		return g.holders[k], false
	}
	c.taken = append(c.taken, taken{k, g.window.Add(k, now), seq, now, persistent})
	g.holders[k] = c
	return nil, true
}

// Wait calls done once, maybe at once, when it is known whether the message that has k is kept. done must not block.
func (c *Claim) Wait(k Key, done func(kept bool)) {
	g := c.guard
	g.mu.Lock()
	if !c.settled {
		c.waits = append(c.waits, wait{k, done})
		g.mu.Unlock()
		return
	}
	_, failed := c.failed[k]
	g.mu.Unlock()
	done(!failed)
}

// Settle ends the claim: every message is kept but those that refused tells. done is called, if it is not nil, when the keys are
// as safe as they get, with the numbers of the messages that must be taken as refused because they could not be logged. It does
// not block.
func (c *Claim) Settle(refused func(seq uint64) bool, done func(failed []uint64)) {
	g := c.guard
	g.mu.Lock()
	c.failed = make(map[Key]struct{})
	for _, t := range c.taken {
		switch {
		case refused(t.seq):
			c.failed[t.key] = struct{}{}
		case t.persistent && g.log != nil && !g.dropped:
			c.entries = AppendEntry(c.entries, Entry{t.key, t.time})
		}
	}
	var op *block.Op
	if len(c.entries) > 0 {
		c.record = g.journal.Reserve()
		op = g.journal.Op(c.record, c.entries)
		op.Owner = &logging{c, done}
	}
	g.mu.Unlock()
	if op != nil {
		g.log.Submit(op)
		return
	}
	c.finish(nil, done)
}

// logging is the owner of the op that logs the keys of a claim.
type logging struct {
	claim *Claim
	done  func(failed []uint64)
}

func (l *logging) Claim(*block.Op) bool        { return true }
func (l *logging) Done(_ *block.Op, err error) { l.claim.finish(err, l.done) }

// finish makes the outcome known.
func (c *Claim) finish(err error, done func(failed []uint64)) {
	g := c.guard
	var unlogged []uint64
	var last uint64
	g.mu.Lock()
	for _, t := range c.taken {
		if err != nil && t.persistent {
			c.failed[t.key] = struct{}{}
			unlogged = append(unlogged, t.seq)
		}
		last = max(last, t.number)
		if g.holders[t.key] != c {
			continue // it was pushed out of the window, and came again
		}
		delete(g.holders, t.key)
		if _, failed := c.failed[t.key]; failed {
			g.window.Forget(t.key)
		}
	}
	var op *block.Op
	if len(c.entries) > 0 && err == nil {
		d := block.Desc{Base: c.record, Size: uint32(len(c.entries))}
		op = g.journal.Stored(d, c.entries, last, g.window)
		if g.dropped {
			op = g.journal.Clear()
		}
	}
	c.settled = true
	waits := c.waits
	c.taken, c.waits, c.entries = nil, nil, nil
	g.mu.Unlock()
	if op != nil {
		g.log.Submit(op)
	}
	for _, w := range waits {
		_, failed := c.failed[w.key]
		w.done(!failed)
	}
	if done != nil {
		done(unlogged)
	}
}
